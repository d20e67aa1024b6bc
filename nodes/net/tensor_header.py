"""The header of a safetensors file: what its tensors are called, how large they are, where they
lie. The one reader of such headers, of files from strangers too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

# Checkpoints have some 5,000 tensors and 1 MB; what trainers write about themselves, and previews,
# can take a few MB more. The format itself allows 100 MB, whose reading takes minutes.
MAX_HEADER_BYTES = 25_000_000
MAX_TENSORS = 50_000
MAX_PARTS = 600_000  # brackets and commas: what a parser's time and memory go by
MAX_DIMENSIONS = 64
LENGTH_BYTES = 8  # of the number in front that says how long the header is
_KEPT = 64  # files whose headers are remembered
_METADATA = "__metadata__"
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}


class HeaderError(ValueError):
    """A file has no header of a safetensors file that can be used; says why, as part of a
    sentence.
    """


@dataclass(frozen=True)
class Header:
    """Shapes by the tensors' names; `data_bytes` is how much has to follow the header, `texts` what
    its writer says about it.
    """

    shapes: Mapping[str, tuple[int, ...]]
    length: int
    data_bytes: int
    texts: Mapping[str, str]


def tensor_shapes(path: Path) -> Mapping[str, tuple[int, ...]] | None:
    """Return the shape of each tensor of the file by its name; None for a file that is no readable
    safetensors file.
    """
    try:
        stat = path.stat()
        return _shapes(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, HeaderError):
        return None


def texts_of(path: Path, names: Iterable[str]) -> Mapping[str, str]:
    """Return what the file's writer says about it under these names, however long, as far as it
    does; nothing for a file that is no readable safetensors file.
    """
    try:
        with open(path, "rb") as file:
            texts = read_header(file, path.stat().st_size).texts
    except (OSError, HeaderError):
        return {}
    return {name: texts[name] for name in names if name in texts}


@lru_cache(maxsize=_KEPT)
def _shapes(path: Path, _written: int, size: int) -> Mapping[str, tuple[int, ...]]:
    with open(path, "rb") as file:
        return read_header(file, size).shapes


def read_header(file: BinaryIO, size: int) -> Header:
    """Return the header of a file of `size` bytes that is open at its beginning.

    The tensors lie one behind the other without gaps, each as large as its shape and type say;
    whether their numbers are there is not looked at.
    Raises: HeaderError. Source: https://huggingface.co/docs/safetensors, "Format".
    """
    start = file.read(LENGTH_BYTES)
    if len(start) < LENGTH_BYTES:
        raise HeaderError("it is shorter than the header of a .safetensors file")
    length = int.from_bytes(start, "little")
    if not 2 <= length <= size - LENGTH_BYTES:
        raise HeaderError(
            f"it begins with {start.hex(' ')!r}, which is no length of a .safetensors header"
        )
    if length > MAX_HEADER_BYTES:
        raise HeaderError(f"its header has {length} bytes; expected at most {MAX_HEADER_BYTES}")
    header = _parsed(file.read(length))
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or any(not isinstance(one, str) for one in metadata.values()):
        raise HeaderError(f"{_METADATA} of its header is no object of texts")
    if not header:
        raise HeaderError("it holds no tensors")
    if len(header) > MAX_TENSORS:
        raise HeaderError(f"it holds {len(header)} tensors; expected at most {MAX_TENSORS}")
    places = {name: _place(name, one) for name, one in header.items()}
    end = 0
    for name in sorted(places, key=lambda one: places[one]):
        if places[name][0] != end:
            raise HeaderError(f"its tensor {name[:80]!r} leaves a gap, or lies in another")
        end = places[name][1]
    shapes = {name: tuple(one["shape"]) for name, one in header.items()}
    return Header(shapes, length, end, metadata)


def _parsed(text: bytes) -> dict[str, Any]:
    parts = sum(map(text.count, (b"[", b"{", b",")))
    if parts > MAX_PARTS:
        raise HeaderError(f"its header has {parts} parts; expected at most {MAX_PARTS}")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_object)
    except HeaderError:
        raise
    except (ValueError, RecursionError):
        raise HeaderError("its header is not JSON") from None
    if not isinstance(header, dict):
        raise HeaderError("its header is no JSON object")
    return header


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise HeaderError("a name stands twice in its header")
    return found


def _place(name: str, tensor: object) -> tuple[int, int]:
    """Return where a tensor begins and ends. Raises: HeaderError."""
    called = f"its tensor {name[:80]!r}"
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise HeaderError(f"{called} is no entry of a tensor")
    shape, offsets, bits = tensor["shape"], tensor["data_offsets"], _BITS.get(str(tensor["dtype"]))
    if bits is None:
        raise HeaderError(f"{called} is of the type {str(tensor['dtype'])[:20]!r}, which none is")
    if not (_are_sizes(shape) and _are_sizes(offsets) and len(offsets) == 2):
        raise HeaderError(f"{called} has no shape, or no place")
    if (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits:
        raise HeaderError(
            f"{called} has {offsets[1] - offsets[0]} bytes, which its shape and type do not make"
        )
    return offsets[0], offsets[1]


def _are_sizes(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MAX_DIMENSIONS
        and all(type(one) is int and 0 <= one < 2**63 for one in values)
    )
