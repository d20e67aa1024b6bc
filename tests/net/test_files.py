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
    check_safetensors,
    from_base64,
    picture_name,
    put_whole,
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
        (b"hello", "it begins with '68 65 6c 6c 6f'"),
    ],
)
def test_another_kind_of_file_is_named_with_what_to_do(content: bytes, named: str) -> None:
    with pytest.raises(ApiError, match=named) as refused:
        picture_name(content, "photo 1", LARGEST)
    assert refused.value.message.startswith("photo 1 is refused: ")
    assert "save another kind as JPEG or PNG first" in refused.value.hint


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
