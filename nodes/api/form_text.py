"""A form in one text (application/x-www-form-urlencoded) -> its pairs, measured on the way."""

from __future__ import annotations

import re
import urllib.parse

from .limits import MAX_KEY, TextBudget, base64_bytes, holds_picture, too_large

# What base64 is escaped to, turned back at once: undone one by one, each costs a piece of its own.
_ESCAPES = (
    (b"2B", b"+"),
    (b"2b", b"+"),
    (b"2F", b"/"),
    (b"2f", b"/"),
    (b"3D", b"="),
    (b"3d", b"="),
)
_LONG, _MOST_OTHER = 10_000, 100  # beside those a picture's text has next to no escapes
_LAST_NAME = re.compile(r"([^\[\]]+)\]?(?:\[\d*\])*$")


def last_name(key: str) -> str:
    """Return the attribute that a name in brackets ends with, e.g. `images` of `tune[images][]`."""
    # The end alone: the time of the search grows with the square of the length, and longer names
    # are refused.
    found = _LAST_NAME.search(key[-MAX_KEY:])
    return found[1] if found else key


def form_pairs(content: bytes | bytearray, image_bytes: int) -> list[tuple[str, str]]:
    """Return the names and values of a form; its pictures have at most `image_bytes`.

    Raises: ApiError beyond the limits, ValueError for what is no form of UTF-8 text.
    """
    budget = TextBudget()
    budget.count(content.count(b"&") + 1)
    pairs = []
    for number, one in enumerate(content.split(b"&"), 1):
        key, equals, value = one.partition(b"=")
        if not equals:
            raise ValueError(f"field {number} has no '='")
        budget.spend(len(key))
        name = _plain(bytes(key))
        if holds_picture(last_name(name)):
            pairs.append((name, _picture(bytes(value), name, base64_bytes(image_bytes))))
        else:
            budget.spend(len(value))
            pairs.append((name, _plain(bytes(value))))
    return pairs


def _picture(value: bytes, name: str, most: int) -> str:
    """Return a value that may be a picture, what base64 is escaped to turned back at once."""
    if len(value) > most:
        raise too_large(
            f"{name[:100]} has {len(value)} bytes of text; expected at most {most}",
            "The owner may raise max_image_mb in api.ini.",
        )
    value = value.replace(b"+", b" ")
    for digits, plain in _ESCAPES:
        value = value.replace(b"%" + digits, plain)
    if len(value) > _LONG and value.count(b"%") > _MOST_OTHER:
        raise ValueError(f"{name[:100]} is no picture in base64")
    return _unescaped(value)


def _plain(text: bytes) -> str:
    return _unescaped(text.replace(b"+", b" "))


def _unescaped(text: bytes) -> str:
    return urllib.parse.unquote_to_bytes(text).decode("utf-8")
