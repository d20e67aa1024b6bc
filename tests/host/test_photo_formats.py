"""A photo is the same person, pixel for pixel, through Load Image, the sidebar and the API."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from comfyui_astria.nodes.faces.photos import read_photo
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, saved
from comfyui_astria.tests.testpack.face_models import astronaut
from PIL import Image


def photo() -> Image.Image:
    return Image.fromarray(astronaut()).resize((160, 96))


def written(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def grey_16() -> bytes:
    levels = numpy.asarray(photo().convert("L")).astype(numpy.uint16) * 256
    return written(Image.fromarray(levels), "PNG")


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return written(photo(), "JPEG", exif=exif, quality=95)


FORMATS: dict[str, Callable[[], bytes]] = {
    "grey16.png": grey_16,
    "grey.png": lambda: written(photo().convert("L"), "PNG"),
    "bits.png": lambda: written(photo().convert("1"), "PNG"),
    "palette.png": lambda: written(photo().convert("P"), "PNG"),
    "clear_palette.png": lambda: written(photo().convert("P"), "PNG", transparency=5),
    "grey_alpha.png": lambda: written(photo().convert("LA"), "PNG"),
    "alpha.png": lambda: written(photo().convert("RGBA"), "PNG"),
    "cmyk.jpg": lambda: written(photo().convert("CMYK"), "JPEG", quality=95),
    "grey.jpg": lambda: written(photo().convert("L"), "JPEG", quality=95),
    "turned.jpg": turned,
    "photo.webp": lambda: written(photo(), "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_photo_is_read_as_load_image_reads_it(host: LiveHost, tmp_path: Path, name: str) -> None:
    content = FORMATS[name]()
    (tmp_path / name).write_bytes(content)
    host.client.upload_image(content, f"format_{name}")
    graph = {
        "photo": node("LoadImage", image=f"format_{name}"),
        "save": node("SaveImage", images=["photo", 0], filename_prefix="format"),
    }
    theirs = saved(host, host.client.run(graph))[0].astype(int)
    ours = read_photo(tmp_path / name).astype(int)
    assert ours.shape == theirs.shape
    # The host's decoder takes other roundings, and smooths the colours of a JPEG between pixels.
    assert numpy.abs(ours - theirs).mean() < 2.5
    assert numpy.abs(ours - theirs).max() < (4 if name != "turned.jpg" else 60)
