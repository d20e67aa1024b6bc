"""The embedding matrix of a face swapper, read off its ONNX file.

The matrix is no part of the network, so no runtime hands it out.

Only the graph's own fields are visited, by the protocol buffers' wire format, and half a gigabyte
of weights stays on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import MissingModelError

SIDE = 512  # of an embedding
PUBLISHER = "https://github.com/deepinsight/insightface/tree/master/examples/in_swapper"
LICENCE = "The inswapper models are for non-commercial research only."

# Numbers of the fields that are read: onnx.proto of the ONNX project.
_GRAPH = 7  # of a model
_NODE, _INITIALIZER = 1, 5  # of a graph
_NODE_INPUT = 1
_DIMS, _DATA_TYPE, _FLOAT_DATA, _NAME, _RAW_DATA, _DATA_LOCATION = 1, 2, 4, 8, 9, 14  # of a tensor
_DTYPES = {1: np.dtype("<f4"), 10: np.dtype("<f2"), 11: np.dtype("<f8")}
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5

Value = int | memoryview


class _DamagedError(Exception):
    """The bytes are no protocol buffer message."""


@dataclass(frozen=True)
class _Tensor:
    """The header of a weight, read before its values."""

    name: str
    dims: tuple[int, ...]
    fields: dict[int, Value]


def embedding_matrix(path: Path) -> np.ndarray:
    """Return the matrix [512,512] float32 that a face's embedding is multiplied by before the
    network of `path` sees it.

    It is the one weight of this shape that no node of the network reads, wherever in the file it
    stands.
    Raises: MissingModelError for a file that is no ONNX model, holds no such matrix, several, or
    one whose values are elsewhere.
    Source: the published inswapper takes the file's last weight; re-exported files may hold it
    anywhere.
    """
    try:
        # Closed with the last view of it.
        square, read = _square_weights(memoryview(np.memmap(path, np.uint8, "r")))
    except (_DamagedError, ValueError, OSError) as error:
        raise MissingModelError(
            f"The face swap model {path} cannot be read as an ONNX file: {error}.",
            code="damaged-face-swapper",
            hint=f"The file is damaged or something else. Get it anew, from {PUBLISHER}. {LICENCE}",
        ) from error
    free = [tensor for tensor in square if tensor.name not in read]
    if len(free) != 1:
        raise _not_one(path, square, free)
    return _values(free[0], path)


def _square_weights(content: memoryview) -> tuple[list[_Tensor], set[str]]:
    """Return the weights of the matrix's shape, and the names of all that the network's nodes
    read.
    """
    graph = next((value for number, value in _fields(content) if number == _GRAPH), None)
    if graph is None:
        raise _DamagedError("it holds no graph")
    square: list[_Tensor] = []
    read: set[str] = set()
    for number, value in _fields(graph):
        if number == _NODE:
            read.update(str(one, "utf-8") for field, one in _fields(value) if field == _NODE_INPUT)
        elif number == _INITIALIZER and (tensor := _tensor(value)).dims == (SIDE, SIDE):
            square.append(tensor)
    return square, read


def _not_one(path: Path, square: list[_Tensor], free: list[_Tensor]) -> MissingModelError:
    if free:
        problem = (
            f"holds {len(free)} embedding matrices ({', '.join(tensor.name for tensor in free)});"
            " expected one"
        )
    else:
        problem = (
            f"holds no embedding matrix: of its weights, {len(square)} are [{SIDE}, {SIDE}] and all"
            " of these belong to the network"
        )
    return MissingModelError(
        f"The face swap model {path} {problem}.",
        code="face-swapper-matrix",
        hint=(
            "Use inswapper_128.onnx, or a model exported like it (ReSwapper with its emap saved)."
            f" See {PUBLISHER}. {LICENCE}"
        ),
    )


def _values(tensor: _Tensor, path: Path) -> np.ndarray:
    kind = _DTYPES.get(int(tensor.fields.get(_DATA_TYPE, 0)))
    stored = tensor.fields.get(_RAW_DATA)
    if stored is None and kind == _DTYPES[1]:
        stored = tensor.fields.get(_FLOAT_DATA)
    if (
        kind is None
        or not isinstance(stored, memoryview)
        or len(stored) != SIDE * SIDE * kind.itemsize
        or tensor.fields.get(_DATA_LOCATION)
    ):
        raise MissingModelError(
            f"The face swap model {path} keeps the values of its embedding matrix '{tensor.name}'"
            " elsewhere or in an unknown form; expected floating point numbers in the file"
            " itself.",
            code="face-swapper-values",
            hint="Save the model as one file, without external data.",
        )
    # A copy: the file closes.
    return np.frombuffer(stored, kind).reshape(SIDE, SIDE).astype(np.float32)


def _tensor(message: Value) -> _Tensor:
    dims: list[int] = []
    fields: dict[int, Value] = {}
    for number, value in _fields(message):
        if number != _DIMS:
            fields[number] = value
        elif isinstance(value, int):
            dims.append(value)
        else:  # packed
            dims.extend(_varints(value))
    name = fields.get(_NAME, memoryview(b""))
    return _Tensor("" if isinstance(name, int) else str(name, "utf-8"), tuple(dims), fields)


def _fields(message: Value) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message."""
    if isinstance(message, int):
        raise _DamagedError(f"a number {message} stands where a message belongs")
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _LENGTH:
            length, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise _DamagedError(f"field kind {kind} does not exist")
        if at + length > len(message):
            raise _DamagedError(
                f"a field of {length} bytes stands {len(message) - at} bytes before the end"
            )
        yield key >> 3, message[at : at + length]
        at += length


def _varints(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where the next field begins."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise _DamagedError("it ends within a number")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise _DamagedError("a number has no end")
