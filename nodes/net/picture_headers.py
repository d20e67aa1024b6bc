"""What a picture's file says of itself, read before a decoder takes memory or time for it."""

from __future__ import annotations

import re

# A marker of a JPEG (ITU-T T.81, annex B), those apart that stand inside a scan's data.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_SCAN, _END = b"\xda", b"\xd9"


def jpeg_scans(content: bytes, most: int) -> int:
    """Return how many scans a JPEG has, counted to one above `most`."""
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
