"""The size of the pictures that a prompt brings or names."""

from __future__ import annotations

import io
from pathlib import Path

import folder_paths
from PIL import Image, UnidentifiedImageError

from ....net.files import check_pixels
from ....prompt import ImageRef
from ...objects import PICTURES
from ..reading import AttributeReading


def input_pixels(reading: AttributeReading) -> int:
    """Return the number of the input image's pixels, 0 where there is none that can be read.

    Raises: ApiError for a picture of the input folder that is too large to be decoded.
    """
    counts = {key: _pixels(getattr(reading.request, key), key, reading) for key in PICTURES}
    return counts["input_image"]


def _pixels(named: ImageRef | None, key: str, reading: AttributeReading) -> int:
    if named is None or named.kind != "file":
        return 0
    try:
        content = reading.contents.get(named.value)
        source = Path(folder_paths.get_annotated_filepath(named.value))
        with Image.open(source if content is None else io.BytesIO(content)) as picture:
            size = picture.size
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return 0  # ComfyUI looks at the file itself, and says what is wrong with it
    check_pixels(size, key)
    return size[0] * size[1]
