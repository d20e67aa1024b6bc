"""The kind of each .onnx file in the folder of a face model pack, by its inputs and outputs.

Other files are reported with the folder where they belong, and do not stop the pack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .face import EMBEDDING_SIZE

DETECTOR, RECOGNISER = "detector", "recogniser"
_SWAPPER, _BESIDE = "face swapper", "landmarks or attributes"
# Of SCRFD: scores and boxes, with or without points, of three or five strides.
_DETECTOR_OUTPUTS = (6, 9, 10, 15)
_BESIDE_SIDES = (96, 192)  # input sides of the landmark and attribute networks, unused here


@dataclass(frozen=True)
class PackFiles:
    """The detector and the recogniser of a pack, None where there is none, and a line about each
    other file that is no part of a pack, or that cannot be read.
    """

    detector: Path | None
    recogniser: Path | None
    strays: tuple[str, ...]
    damaged: tuple[str, ...]


def sort_files(
    files: Sequence[Path], opened: Callable[[Path], Any], failures: tuple[type[Exception], ...]
) -> PackFiles:
    """Return which file is which, the first of a kind in the order of their names.

    `opened` gives a runtime's session of a file, or raises one of `failures`.
    Source: the shapes are those by which insightface's ModelRouter tells files apart, and the
    output of a recogniser: networks of another kind have inputs of the same shape.
    """
    found: dict[str, Path] = {}
    strays, damaged = [], []
    for path in files:
        size = path.stat().st_size
        if size == 0:
            damaged.append(f"{path.name} is empty (0 bytes).")
            continue
        try:
            kind = _kind(opened(path))
        except failures as error:
            reason = f"{type(error).__name__} {str(error)[:200]}"
            damaged.append(f"{path.name} ({size} bytes) cannot be read: {reason}")
            continue
        if kind in (DETECTOR, RECOGNISER) and kind not in found:
            found[kind] = path
        elif kind != _BESIDE:
            strays.append(_stray(path, kind, found))
    return PackFiles(found.get(DETECTOR), found.get(RECOGNISER), tuple(strays), tuple(damaged))


def _kind(session: Any) -> str:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = [one.shape for one in inputs]
    if len(inputs) == 1 and len(shapes[0]) == 4:
        if len(outputs) in _DETECTOR_OUTPUTS:
            return DETECTOR
        height, width = shapes[0][2:]
        if len(outputs) == 1 and height == width and isinstance(height, int):
            if height in _BESIDE_SIDES:
                return _BESIDE
            if height >= 112 and height % 16 == 0 and _is_embedding(outputs[0].shape):
                return RECOGNISER
    if sorted(map(len, shapes)) == [2, 4] and len(outputs) == 1:
        return _SWAPPER
    return f"model with {_sides_text(inputs)} in and {_sides_text(outputs)} out"


def _is_embedding(shape: Sequence[Any]) -> bool:
    """Return whether an output may be embeddings; a file need not state its shape."""
    return not shape or (
        len(shape) == 2 and (shape[1] == EMBEDDING_SIZE or not isinstance(shape[1], int))
    )


def _sides_text(sides: Sequence[Any]) -> str:
    return ", ".join(f"{one.name} {one.shape}" for one in sides[:2]) + (
        f" and {len(sides) - 2} more" if len(sides) > 2 else ""
    )


def _stray(path: Path, kind: str, found: dict[str, Path]) -> str:
    if kind in found:
        return (
            f"{path} was left out: it is a second {kind}, and {found[kind].name} is used. Keep one"
            " of them in the folder."
        )
    if kind == _SWAPPER:
        return (
            f"{path} was left out: it is a face swapper and no part of a face model pack. Move it"
            f" to {path.parents[2]}, where Astria Load Face Swapper lists it."
        )
    return (
        f"{path} was left out: it is neither detector nor recogniser but a {kind}. Move it to the"
        " folder of the node that uses it."
    )
