"""The mark by which pictures say that a trained model made them: IPTC's Digital Source Type, as
XMP.

IPTC Photo Metadata Standard 2023.1, "Digital Source Type"; XMP Specification Part 3, "Storage in
files", for PNG, JPEG and WebP. The picture itself stays to the bit.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from ...errors import ImageError

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{TRAINED_ALGORITHMIC_MEDIA}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = 33  # signature and IHDR
_PNG_KEYWORD = b"XML:com.adobe.xmp"
_JPEG = b"\xff\xd8"
_JPEG_KEYWORD = b"http://ns.adobe.com/xap/1.0/\0"
_HAS_XMP, _HAS_ALPHA = 0x04, 0x10  # flags of WebP's VP8X


def marked(content: bytes) -> bytes:
    """Return a PNG, JPEG or WebP file with the mark; one that has it already as it is.

    Raises: ImageError for any other file, and for one with other XMP, which stays its writer's.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            kind, size = picture.format, picture.size
            own = [picture.info.get(key) for key in ("xmp", _PNG_KEYWORD.decode())]
            has_alpha = picture.mode in ("RGBA", "LA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError("it is no picture that can be read", code="bad-picture") from error
    if kind not in ("PNG", "JPEG", "WEBP"):
        raise ImageError(f"it is {kind}; expected PNG, JPEG or WebP", code="bad-picture")
    if any(own):
        if TRAINED_ALGORITHMIC_MEDIA in str(own):
            return content
        raise ImageError("it has XMP of another program, which is left as it is", code="own-xmp")
    if kind == "PNG":
        return content[:_PNG_HEADER] + _png_chunk() + content[_PNG_HEADER:]
    if kind == "JPEG":
        at = _behind_first_segments(content)
        return content[:at] + _jpeg_segment() + content[at:]
    return _webp(content, size, has_alpha)


def _png_chunk() -> bytes:
    body = b"iTXt" + _PNG_KEYWORD + b"\0\0\0\0\0" + XMP
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _jpeg_segment() -> bytes:
    body = _JPEG_KEYWORD + XMP
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _behind_first_segments(content: bytes) -> int:
    """Return where XMP stands in a JPEG: behind JFIF and Exif, which have to come first."""
    at = len(_JPEG)
    while content[at : at + 2] in (b"\xff\xe0", b"\xff\xe1"):
        at += 2 + struct.unpack(">H", content[at + 2 : at + 4])[0]
    return at


def _webp(content: bytes, size: tuple[int, int], has_alpha: bool) -> bytes:
    chunks = dict(_webp_chunks(content))
    flags = _HAS_ALPHA if has_alpha else 0
    header = chunks.pop(b"VP8X", bytes([flags, 0, 0, 0]) + b"".join(_less_one(one) for one in size))
    header = bytes([header[0] | _HAS_XMP]) + header[1:]
    parts = {b"VP8X": header, **chunks, b"XMP ": XMP}
    body = b"WEBP" + b"".join(_webp_chunk(name, part) for name, part in parts.items())
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _less_one(side: int) -> bytes:
    return struct.pack("<I", side - 1)[:3]


def _webp_chunk(name: bytes, part: bytes) -> bytes:
    return name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2)


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(content):
        (length,) = struct.unpack("<I", content[at + 4 : at + 8])
        yield content[at : at + 4], content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
