"""The names and sizes of a safetensors file's tensors, without their numbers."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

MOST_BYTES = 100_000_000  # of a header; the format's own bound
_LENGTH = 8  # bytes of the number in front that says how long the header is
_KEPT = 256  # files whose headers are remembered


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the shape of each tensor of the file by its name; None for a file that is no readable
    safetensors file.

    Source: https://huggingface.co/docs/safetensors, "Format".
    """
    try:
        stat = path.stat()
        return _shapes(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


@lru_cache(maxsize=_KEPT)
def _shapes(path: Path, _written: int, size: int) -> dict[str, tuple[int, ...]]:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        if not 2 <= length <= min(MOST_BYTES, size - _LENGTH):
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        header = json.loads(file.read(length))
    return {
        name: tuple(map(int, entry["shape"]))
        for name, entry in header.items()
        if name != "__metadata__"
    }
