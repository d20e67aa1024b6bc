"""The bounds on a request's text, in whatever way it is sent.

Counted before anything reads it: what is refused has cost next to nothing.
"""

from __future__ import annotations

from ..net.problems import ApiError

MAX_FIELDS = 2000  # a tune with 50 prompts of 30 attributes each stays below
MAX_DEPTH = 8  # tune, prompts_attributes, its number and an attribute are four
MAX_KEY = 200  # characters of one name
MAX_DIGITS = 20  # of a whole number; the largest that means anything is 2^52
# Of everything but files and pictures. A prompt has some 2,000 characters, so that even a tune with
# fifty of them has a tenth of it; the work that it makes is a few milliseconds.
MAX_TEXT_BYTES = 1 << 20
# Attributes that may hold a picture as base64 text, which is bounded as a picture.
_PICTURES = frozenset(("images", "file", "input_image", "mask_image"))
_BASE64 = "_base64"


def holds_picture(name: str) -> bool:
    """Say whether the attribute of this name, brackets aside, may be a picture in base64."""
    return name in _PICTURES or name.endswith(_BASE64)


def base64_bytes(image_bytes: int) -> int:
    """Return the most characters of base64 for so many bytes; JSON may write `/` as two."""
    return image_bytes * 3 // 2 + 100


class TextBudget:
    """Counts fields, and the bytes outside files and pictures."""

    def __init__(self) -> None:
        self._bytes = 0
        self._fields = 0

    def spend(self, size: int) -> None:
        """Count text. Raises: ApiError, 413, above the limit."""
        self._bytes += size
        if self._bytes > MAX_TEXT_BYTES:
            raise too_large(
                f"the request has more than {MAX_TEXT_BYTES} bytes of text",
                "Send pictures as files, or as base64 in the attributes for pictures.",
            )

    def count(self, fields: int = 1) -> None:
        """Count fields. Raises: ApiError, 413, above the limit."""
        self._fields += fields
        if self._fields > MAX_FIELDS:
            raise too_large(
                f"the request has {self._fields} fields or more; expected at most {MAX_FIELDS}",
                "Send fewer at once.",
            )


def too_deep(depth: int, what: str) -> ApiError:
    return ApiError(
        f"{what} is nested {depth} deep; expected at most {MAX_DEPTH}",
        code="bad-field",
        hint="Write attributes directly inside their tune or prompt.",
    )


def too_large(message: str, hint: str) -> ApiError:
    return ApiError(message, code="too-large", hint=hint, status=413)
