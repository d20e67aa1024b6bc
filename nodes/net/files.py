"""Files that come with a request, checked by their content.

Pictures that the host may open, and weights that hold no code.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import os
import re
import struct
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from .decoding import room_for
from .problems import ApiError
from .tensor_header import LENGTH_BYTES, HeaderError, read_header

# As the picture's header says, before anything is decoded: what the cameras of telephones take at
# most (8192x6144), 0.6 GB as the numbers that ComfyUI's Load Image makes of it, and twice that
# while it does.
MAX_PIXELS = 8192 * 6144
# Of a JPEG: each goes over the whole picture once more, and a small file could have thousands.
MAX_SCANS = 100
FORMATS = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
# MPO, several JPEGs in one file as phones write it, is read by JPEG's plugin.
READ = ("JPEG", "PNG", "WEBP")
# What Pillow's decoders raise on damaged files.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
)
_HEIC = "a HEIC picture, as Apple's phones take them"
# Brands of ISO media files (ISO/IEC 23008-12, annex B; AVIF 1.1), and how other kinds begin, in
# small letters.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), _HEIC),
    **dict.fromkeys((b"mif1", b"msf1"), _HEIC),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF picture"),
}
_MAGIC = (
    (b"gif8", "a GIF"),
    (b"bm", "a BMP"),
    (b"ii*\0", "a TIFF, or a camera's raw picture"),
    (b"mm\0*", "a TIFF, or a camera's raw picture"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cjxl ", "a JPEG XL"),
    (b"8bps", "a Photoshop file"),
    (b"%pdf", "a PDF"),
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
)
_OTHER_KIND = "Send one JPEG, PNG or WebP picture; save another kind as JPEG or PNG first."
# A marker of a JPEG (ITU-T T.81, annex B), those apart that stand inside a scan's data.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END = b"\xda", b"\xd9"
INPUT_FOLDER = "astria"  # below ComfyUI's input folder


def picture_name(content: bytes, what: str, most_bytes: int) -> str:
    """Return the name under which a picture is kept: its hash, and the ending of its format.

    Raises: ApiError for what is no whole JPEG, PNG or WebP of one frame and bounded size. All of it
    is decoded once.
    """
    if len(content) > most_bytes:
        raise _bad(what, f"it has {len(content)} bytes; expected at most {most_bytes}", status=413)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of damaged metadata, which is not used
            check_pixels(webp_size(content) or (0, 0), what)
            Image.init()  # formats can only be named once their plugins are there
            with Image.open(io.BytesIO(content), formats=READ) as picture:
                kind, size = picture.format or "", picture.size
                check_pixels(size, what)
                if kind in ("JPEG", "MPO") and jpeg_scans(content, MAX_SCANS) > MAX_SCANS:
                    raise _bad(what, f"it has more than {MAX_SCANS} scans")
                # Every frame would become a picture of a batch.
                if kind != "MPO" and getattr(picture, "n_frames", 1) != 1:
                    raise _bad(what, f"it has {picture.n_frames} frames; expected one")
                with room_for(size[0] * size[1]):
                    picture.load()
                    picture.close()
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _bad(what, f"{_looks_like(content)}; expected a JPEG, PNG or WebP picture") from error
    except _DAMAGED as error:
        raise _bad(what, f"it cannot be decoded: {error}"[:300]) from error
    return f"{hashlib.sha256(content).hexdigest()}.{FORMATS[kind]}"


def check_pixels(size: tuple[int, int], what: str) -> None:
    """Check that a picture of this width and height is not too large to be decoded.

    Raises: ApiError.
    """
    if size[0] * size[1] > MAX_PIXELS:
        text = f"it has {size[0]}x{size[1]} pixels; expected at most {MAX_PIXELS}"
        raise _bad(what, text, hint="Send it scaled down.")


def _looks_like(content: bytes) -> str:
    """Return the kind of a file that is not read, in words, by its first bytes."""
    brand = content[8:12] if content[4:8] == b"ftyp" else b""
    if brand in _BRANDS:
        return f"it is {_BRANDS[brand]}"
    start = content[:16].lstrip().lower()
    kind = next((name for magic, name in _MAGIC if start.startswith(magic)), None)
    return f"it is {kind}" if kind else "it is no picture of a known kind"


def jpeg_scans(content: bytes, most: int) -> int:
    """Return the number of scans of a JPEG, counted to one above `most`."""
    position, scans = 2, 0
    while scans <= most and (marker := _MARKER.search(content, position)):
        if marker[1] == _END:
            break
        scans += marker[1] == _START_OF_SCAN
        end = marker.end()
        position = end + int.from_bytes(content[end : end + 2], "big")
    return scans


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP, None for what is none.

    Pillow takes the memory of the whole canvas as it opens one.
    Source: RFC 9649, sections 2.4 to 2.7.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return None
    kind, data = content[12:16], content[20:30]
    if kind == b"VP8X":
        return _whole(data[4:7]) + 1, _whole(data[7:10]) + 1
    if kind == b"VP8L":
        bits = _whole(data[1:5])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return _whole(data[6:8]) & 0x3FFF, _whole(data[8:10]) & 0x3FFF
    return None


def _whole(data: bytes) -> int:
    return int.from_bytes(data, "little")


def from_base64(text: str, what: str, most_bytes: int) -> bytes:
    """Return the bytes that `text` holds in base64, the URL-safe alphabet included.

    Raises: ApiError.
    """
    packed = text.rstrip("=").replace("-", "+").replace("_", "/")
    if len(packed) > most_bytes * 4 // 3 + 4:
        raise _bad(what, f"it has more than {most_bytes} bytes", status=413)
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(what, f"it is not base64: {error}") from error


def check_safetensors(path: Path, what: str) -> None:
    """Check that the file is a whole .safetensors file: tensors and text, nothing that runs.

    Raises: ApiError otherwise.
    """
    total = path.stat().st_size
    try:
        with open(path, "rb") as file:
            header = read_header(file, total)
        if header.data_bytes != total - LENGTH_BYTES - header.length:
            raise HeaderError("its tensors do not fill the file")
    except HeaderError as error:
        hint = (
            "Send the weights as .safetensors; other kinds of model files can hold programs and are"
            " not taken."
        )
        text = f"{what} is refused: {error}"
        raise ApiError(text, code="bad-model-file", hint=hint) from error


def put_whole(path: Path, content: bytes) -> bool:
    """Write a file that appears as a whole; say whether it is new.

    A file of a hash's name is what it should be already.
    """
    if path.exists():
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _bad(what: str, problem: str, status: int = 422, hint: str = _OTHER_KIND) -> ApiError:
    text = f"{what} is refused: {problem}"
    return ApiError(text, code="bad-picture", hint=hint, status=status)
