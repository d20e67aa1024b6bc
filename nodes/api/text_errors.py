"""The error for a request with mistakes in the text of a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from ..net.problems import ApiError, problem
from ..prompt import Diagnostic

_PLACES = ("field", "line", "column")


def text_error(errors: Sequence[Diagnostic]) -> ApiError:
    """Return the error that tells each with its field, line, column and offsets."""
    problems = [
        {
            **problem(one.code, one.message, one.hint),
            **{key: getattr(one, key) for key in _PLACES},
            "start": one.span.start,
            "end": one.span.end,
        }
        for one in errors
    ]
    message = "\n".join(_sentences(one) for one in errors)
    return ApiError(
        message,
        code=errors[0].code,
        hint="The problems in extra_info name field, line, column and offsets.",
        problems=problems,
    )


def _sentences(one: Diagnostic) -> str:
    """Return message and hint as sentences that follow each other."""
    ends = one.message.endswith((".", "!", "?"))
    return f"{one.message}{'' if ends or not one.hint else '.'} {one.hint}".strip()
