"""A JSON body -> the object that it holds, measured before it is parsed.

A parser keeps the whole process waiting and takes up many times the text's size. So the strings are
stepped over first: what is outside them is counted, pictures are cut out and put back afterwards.
"""

from __future__ import annotations

import json
import math
import re
import secrets
from typing import Any

from ..net.problems import ApiError
from .limits import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_KEY,
    TextBudget,
    base64_bytes,
    holds_picture,
    too_deep,
    too_large,
)

_QUOTE, _BACKSLASH = b'"', b"\\"
_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_COLON = re.compile(rb"[ \t\r\n]*:")
_SHORT = 1000  # shorter ones are read where they stand
MAX_IMAGE_BYTES = 25_000_000  # of a picture, where the caller knows no other limit


def from_json(body: bytes | bytearray, image_bytes: int = MAX_IMAGE_BYTES) -> dict[str, Any]:
    """Return the object that a JSON body holds; its pictures have at most `image_bytes`.

    Raises: ApiError for anything else, for a name given twice, and beyond the limits.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    outside, text, pictures = _Strings(body, image_bytes).apart()
    _check(outside)
    try:
        value = strict_json(text.decode("utf-8"))
    except ApiError:
        raise
    except (ValueError, RecursionError) as error:
        raise _bad_json(f"the request is not JSON: {error}"[:300]) from error
    if not isinstance(value, dict):
        raise _bad_json(f"the request holds a JSON {type(value).__name__}; expected an object")
    return _with_pictures(value, pictures) if pictures else value


def strict_json(text: str) -> Any:
    """Return the value of a JSON text whose numbers JSON can say again: no NaN, nothing infinite.

    Raises: ValueError and RecursionError for anything else, ApiError for a name given twice.
    """
    return json.loads(
        text,
        parse_constant=_no_number,
        parse_int=_whole,
        parse_float=_decimal,
        object_pairs_hook=_object,
    )


class _Strings:
    """Steps from string to string of a JSON text."""

    def __init__(self, body: bytes | bytearray, image_bytes: int) -> None:
        self._body = body
        self._most = base64_bytes(image_bytes)
        self._mark = secrets.token_hex(8)  # no text of the request can hold it
        self._budget = TextBudget()
        self._key = ""

    def apart(self) -> tuple[bytes, bytes, dict[str, str]]:
        """Return the text outside the strings, the text without its pictures, and the pictures by
        their placeholders.
        """
        TextBudget().spend(self._body.count(_QUOTE))  # each is a step, and pictures hold none
        outside: list[bytes | bytearray] = []
        text: list[bytes | bytearray] = []
        pictures: dict[str, str] = {}
        position = 0
        while (start := self._body.find(_QUOTE, position)) >= 0:
            end = self._end(start + 1)
            between = self._body[position : start + 1]
            self._budget.spend(len(between))
            outside.append(between)
            text.append(between)
            mark = self._picture(start + 1, end, pictures)
            if mark is None:
                self._budget.spend(end - start)
                self._note_key(start + 1, end)
            text.append(self._body[start + 1 : end] if mark is None else mark.encode())
            outside.append(_QUOTE)
            text.append(_QUOTE)
            position = end + 1
        rest = self._body[position:]
        self._budget.spend(len(rest))
        return b"".join([*outside, rest]), b"".join([*text, rest]), pictures

    def _end(self, start: int) -> int:
        """Return where the string ends that begins at `start`: at a quote without a backslash of
        its own.
        """
        position = start
        while (end := self._body.find(_QUOTE, position)) >= 0:
            piece = self._body[position:end]
            if (len(piece) - len(piece.rstrip(_BACKSLASH))) % 2 == 0:
                return end
            position = end + 1
        raise _bad_json("the request is not JSON: a string in it has no end")

    def _picture(self, start: int, end: int, pictures: dict[str, str]) -> str | None:
        """Cut out the string of a picture; return its placeholder, None for others."""
        if end - start < _SHORT or not holds_picture(self._key):
            return None
        if end - start > self._most:
            raise too_large(
                f"{self._key} has {end - start} bytes of text; expected at most {self._most}",
                "The owner may raise max_image_mb in api.ini.",
            )
        try:
            picture = json.loads(self._body[start - 1 : end + 1].decode("utf-8"))
        except ValueError as error:
            raise _bad_json(f"the request is not JSON: {error}"[:300]) from error
        mark = f"{self._mark}-{len(pictures)}"
        pictures[mark] = picture
        return mark

    def _note_key(self, start: int, end: int) -> None:
        """Keep the string as the name of what follows where a colon comes behind it."""
        if _COLON.match(self._body, end + 1):
            self._key = self._body[start : min(end, start + MAX_KEY)].decode("utf-8", "replace")


def _check(outside: bytes) -> None:
    """Refuse too many values, and too deep ones, by the text outside the strings."""
    TextBudget().count(sum(map(outside.count, (b",", b"[", b"{"))))
    depth = deepest = 0
    for bracket in outside.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise too_deep(deepest, "the request")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if len(key) > MAX_KEY:
            text = f"{key[:77]!r}... is no name of a field: it has {len(key)} characters"
            raise _bad_field(text, f"Names have at most {MAX_KEY}.")
        if key in found:
            raise _bad_field(f"{key!r} is given twice", "Keep one of both.")
        found[key] = value
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits; expected at most {MAX_DIGITS}")
    return int(digits)


def _decimal(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is larger than any number")
    return number


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _with_pictures(value: Any, pictures: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _with_pictures(one, pictures) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_pictures(one, pictures) for one in value]
    return pictures.get(value, value) if isinstance(value, str) else value


def _bad_json(message: str) -> ApiError:
    return ApiError(message, code="bad-json", status=400)


def _bad_field(message: str, hint: str) -> ApiError:
    return ApiError(message, code="bad-field", hint=hint, status=400)
