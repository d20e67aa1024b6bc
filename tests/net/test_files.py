"""Files that a request brings."""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
import zlib
from pathlib import Path

import pytest
from comfyui_astria.nodes.net.files import (
    MAX_PIXELS,
    MAX_SCANS,
    check_safetensors,
    from_base64,
    jpeg_scans,
    picture_name,
    put_whole,
    webp_size,
)
from comfyui_astria.nodes.net.problems import ApiError
from PIL import Image

LARGEST = 1_000_000


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (10, 20, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("kind", "ending"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_pictures_are_named_by_their_content(kind: str, ending: str) -> None:
    content = encoded(kind)
    name = picture_name(content, "photo", LARGEST)
    assert name == picture_name(content, "photo", LARGEST)
    assert name.endswith(f".{ending}")
    assert len(name) == 64 + 1 + len(ending)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"\0\0\0\x24ftypheic\0\0\0\0mif1heic", "it is a HEIC picture, as Apple's phones"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "it is a HEIC picture"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "it is an AVIF picture"),
        (encoded("TIFF"), "it is a TIFF"),
        (encoded("GIF"), "it is a GIF"),
        (encoded("BMP"), "it is a BMP"),
        (b"\n<!DOCTYPE html><html>", "it is a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is an SVG drawing"),
        (b"hello", "it is no picture of a known kind"),
    ],
)
def test_another_kind_of_file_is_named_with_what_to_do(content: bytes, named: str) -> None:
    with pytest.raises(ApiError, match=named) as refused:
        picture_name(content, "photo 1", LARGEST)
    assert refused.value.message.startswith("photo 1 is refused: ")
    assert "save another kind as JPEG or PNG first" in refused.value.hint


def webp_of(width: int, height: int) -> bytes:
    """The beginning of a WebP of that size, which is all that says so."""
    data = b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + bytes(5)
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def scanned(scans: int) -> bytes:
    """A JPEG whose last scan comes so often."""
    whole = encoded("JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * (scans - jpeg_scans(whole, scans)) + whole[-2:]


def test_a_jpeg_of_many_scans_is_told_from_one_with_other_data_behind_it() -> None:
    assert jpeg_scans(scanned(MAX_SCANS), 1000) == MAX_SCANS
    film = encoded("JPEG") + b"\xff\xda\x00\x02" * 500
    assert jpeg_scans(film, 1000) == 1
    assert picture_name(film, "photo", LARGEST).endswith(".jpg")


@pytest.mark.parametrize(
    "options",
    [{}, {"lossless": True}, {"exif": Image.Exif().tobytes()}, {"icc_profile": b"x" * 200}],
)
def test_the_size_of_a_webp_is_read_from_its_header(options: dict) -> None:
    assert webp_size(encoded("WEBP", **options)) == (8, 6)
    assert webp_size(ANIMATED) == (8, 6)
    assert webp_size(encoded("PNG")) is None


ANIMATED = encoded("WEBP", save_all=True, append_images=[Image.new("RGB", (8, 6))])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a JPEG"),
        (b"GIF89a" + bytes(100), "expected a JPEG"),
        (encoded("GIF"), "expected a JPEG"),
        (encoded("TIFF"), "expected a JPEG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "expected a JPEG"),
        (pickle.dumps({"a": 1}), "expected a JPEG"),
        (b"%PDF-1.4", "expected a JPEG"),
        (encoded("PNG")[:50], "cannot be decoded"),
        (encoded("JPEG")[:300], "cannot be decoded"),
        (png_of(8, 6, b"\0"), "cannot be decoded"),
        (png_of(30_000, 30_000), "pixels|expected a JPEG"),
        (png_of(10_000, MAX_PIXELS // 10_000 + 1), "pixels"),
        (webp_of(16384, 16384), "it has 16384x16384 pixels"),
        (scanned(MAX_SCANS + 1), "more than 100 scans"),
        (ANIMATED, "frames"),
        (encoded("PNG", save_all=True, append_images=[Image.new("RGB", (8, 6))]), "frames"),
        (bytes(LARGEST + 1), "at most"),
    ],
)
def test_what_is_no_single_picture_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        picture_name(content, "photo 3", LARGEST)
    assert refused.value.message.startswith("photo 3 is refused")
    assert refused.value.status in (413, 422)


def test_base64_in_both_alphabets() -> None:
    content = bytes(range(256))
    for text in (
        base64.b64encode(content).decode(),
        base64.urlsafe_b64encode(content).decode().rstrip("="),
    ):
        assert from_base64(text, "x", LARGEST) == content
    for text in ("a", "%%%", "é"):
        with pytest.raises(ApiError, match="not base64"):
            from_base64(text, "x", LARGEST)
    with pytest.raises(ApiError, match="more than 10 bytes"):
        from_base64("A" * 100, "x", 10)


def weights(header: object, data: bytes = bytes(8)) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + data


def entry(**other: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **other}


WHOLE = weights(
    {"__metadata__": {"a": "b"}, "w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
)


def test_a_whole_safetensors_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(WHOLE)
    check_safetensors(path, "it")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04" + bytes(100),
        pickle.dumps({"a": [1]}),
        WHOLE[:-1],
        WHOLE + b"x",
        weights({}),
        weights([1]),
        weights(b"{"),
        weights(b"[" * 50_000),
        weights({"w": 1}),
        weights({"w": {"data_offsets": [8, 0]}}),
        weights({"w": {"data_offsets": [0, True]}}),
        weights({"w": entry(dtype="F16")}),
        weights({"w": entry(shape=[3])}),
        weights({"w": entry(shape=[2, -1, -1])}),
        weights({"w": entry(dtype="PICKLE")}),
        weights({"w": entry(data_offsets=[8, 16])}, bytes(16)),
        weights({"w": entry(), "v": entry()}),
        weights({"w": entry(), "v": entry(data_offsets=[4, 12])}, bytes(12)),
        weights({"w": entry(), "v": entry(data_offsets=[12, 20])}, bytes(20)),
        weights({"w": {**entry(), "code": "x"}}),
        weights({"w": entry(), "__metadata__": {"a": 1}}),
        weights(b'{"w": ' + json.dumps(entry()).encode() + b', "w": {}}'),
        weights(b"[" * 26_000_000),
        weights(b'{"w": [' + b"[]," * 300_000 + b"[]]}"),
        struct.pack("<Q", 2**63) + bytes(100),
    ],
)
def test_what_could_hold_code_or_is_cut_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(ApiError, match="it is refused") as refused:
        check_safetensors(path, "it")
    assert "safetensors" in refused.value.hint


def test_a_file_appears_as_a_whole_and_once(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.png"
    assert put_whole(path, b"abc") is True
    assert put_whole(path, b"abc") is False
    assert [one.name for one in path.parent.iterdir()] == ["a.png"]
    assert path.read_bytes() == b"abc"
