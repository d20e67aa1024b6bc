"""The size of a picture as its camera held it, from its header."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from PIL import Image

_ORIENTATION = 0x0112  # of EXIF
_TURNED = range(5, 9)  # its values by which width and height change places


def upright_size(picture: Path | str | BinaryIO) -> tuple[int, int]:
    """Return width and height. Raises: OSError, SyntaxError or Image.DecompressionBombError."""
    with Image.open(picture) as opened:
        turned = opened.getexif().get(_ORIENTATION) in _TURNED
        return (opened.height, opened.width) if turned else opened.size
