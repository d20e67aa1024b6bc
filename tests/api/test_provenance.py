"""The mark of pictures that a model made, read back by Pillow and byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from comfyui_astria.nodes.api.pictures.provenance import marked
from comfyui_astria.nodes.errors import ImageError
from PIL import Image
from PIL.PngImagePlugin import PngInfo

SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def picture(mode: str = "RGB") -> Image.Image:
    sides = (37, 53, len(mode))
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, sides, np.uint8), mode)


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, kind, **options)
    return file.getvalue()


def source_type(content: bytes) -> str | None:
    info = Image.open(io.BytesIO(content)).info
    xmp = info.get("xmp") or info["XML:com.adobe.xmp"].encode()
    root = ElementTree.fromstring(xmp.decode())
    found = [one.get(SOURCE_TYPE) for one in root.iter() if one.get(SOURCE_TYPE)]
    assert len(found) == 1
    return found[0]


EXIF = Image.Exif()
EXIF[0x0112] = 6
TEXT = PngInfo()
TEXT.add_text("prompt", '{"1": {}}')
FILES = {
    "png": saved("PNG", pnginfo=TEXT),
    "png with alpha": saved("PNG", "RGBA"),
    "jpeg": saved("JPEG"),
    "jpeg with exif": saved("JPEG", exif=EXIF),
    "webp": saved("WEBP"),
    "webp, lossless, with alpha": saved("WEBP", "RGBA", lossless=True),
    "webp with exif": saved("WEBP", exif=EXIF),
}


@pytest.mark.parametrize("name", FILES)
def test_the_mark_is_read_back_and_the_picture_stays_to_the_bit(name: str) -> None:
    before = FILES[name]
    after = marked(before)
    assert source_type(after) == TRAINED
    was, now = (Image.open(io.BytesIO(one)) for one in (before, after))
    assert (now.mode, now.size, now.getexif()) == (was.mode, was.size, was.getexif())
    assert now.tobytes() == was.tobytes()
    assert now.info.get("prompt") == was.info.get("prompt")
    assert marked(after) == after


def test_the_containers_are_whole() -> None:
    """As their specifications say, for readers that are stricter than Pillow."""
    png = marked(FILES["png"])
    at, kinds = 8, []
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        (crc,) = struct.unpack(">I", png[at + 8 + length : at + 12 + length])
        assert crc == zlib.crc32(png[at + 4 : at + 8 + length])
        kinds.append(kind)
        at += 12 + length
    assert (kinds[:2], kinds[-1]) == ([b"IHDR", b"iTXt"], b"IEND")
    jpeg = marked(FILES["jpeg with exif"])
    assert jpeg.index(b"Exif\0\0") < jpeg.index(b"http://ns.adobe.com/xap/1.0/\0")
    webp = marked(FILES["webp, lossless, with alpha"])
    assert struct.unpack("<I", webp[4:8])[0] == len(webp) - 8
    assert (webp[12:16], webp[20]) == (b"VP8X", 0x14)
    assert webp.rindex(b"XMP ") > webp.index(b"VP8L")


def test_what_is_no_such_picture_is_refused() -> None:
    with pytest.raises(ImageError, match="no picture"):
        marked(b"\x89PNG\r\n\x1a\nno")
    with pytest.raises(ImageError, match="GIF"):
        marked(saved("GIF"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_xmp_of_another_program_stays_and_is_told(kind: str) -> None:
    xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp)
    options = {"pnginfo": text} if kind == "PNG" else {"xmp": xmp.encode()}
    with pytest.raises(ImageError, match="XMP of another program"):
        marked(saved(kind, **options))
