"""The API's refusals, in ComfyUI's own error envelope."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import AstriaError

Problem = Mapping[str, Any]


class ApiError(AstriaError):
    """A request that is refused.

    `status` is that of the answer; `problems` lists everything that is wrong, where there is more
    than one thing.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str = "",
        status: int = 422,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.problems = tuple(problems)


def envelope(error: AstriaError) -> dict[str, Any]:
    """Return the answer's body.

    `error` as ComfyUI's POST /prompt words its own, every problem in `extra_info`. `message` says
    it in one line, hint included, for programs that show one text.
    """
    listed = [dict(one) for one in _problems_of(error)]
    details = {
        "type": error.code,
        "message": error.message,
        "details": error.hint,
        "extra_info": {"problems": listed},
    }
    return {"message": _in_one_line(error), "error": details, "node_errors": {}}


def _in_one_line(error: AstriaError) -> str:
    lines = [line.strip().rstrip(".") for line in error.message.splitlines()]
    sentence = "; ".join(line for line in lines if line)
    return " ".join(filter(None, (f"{sentence}.", *error.hint.split())))


def _problems_of(error: AstriaError) -> Sequence[Problem]:
    return getattr(error, "problems", ()) or (problem(error.code, error.message, error.hint),)


def problem(code: str, message: str, hint: str = "", field: str = "") -> Problem:
    """Return one entry of `problems`; `field` is the field of the request that it is about."""
    return {"code": code, "severity": "error", "message": message, "hint": hint, "field": field}


class Problems:
    """Collects what is wrong with a request, so that one answer lists all of it."""

    def __init__(self) -> None:
        self._errors: list[ApiError] = []
        self._found: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._errors)

    def are_about(self, field: str) -> bool:
        """Say whether something noted is about a field of the request."""
        return any(one["field"] == field for one in self._found)

    @contextlib.contextmanager
    def noting(self, field: str = "") -> Iterator[None]:
        """Note an ApiError of the block in place of raising it.

        `field` is the field of the request that the block is about.
        """
        try:
            yield
        except ApiError as error:
            self.note(error, field)

    def note(self, error: ApiError, field: str = "") -> None:
        """Note an error; problems of its own that name a field are about a part of `field`."""
        self._errors.append(error)
        for one in _problems_of(error):
            inner = one["field"]
            self._found.append(
                {**one, "field": f"{field}[{inner}]" if field and inner else field or inner}
            )

    def refuse(self, also: Sequence[Problem] = ()) -> None:
        """Raise ApiError with everything that was noted, and `also`.

        Its status is that of the first error. Return where nothing was noted.
        """
        if not self._errors:
            return
        first, found = self._errors[0], [*self._found, *also]
        messages = [*(one.message for one in self._errors), *(one["message"] for one in also)]
        hint = (
            first.hint
            if len(found) == 1
            else "extra_info lists every problem, with its place where it has one."
        )
        raise ApiError(
            "\n".join(messages), code=first.code, hint=hint, status=first.status, problems=found
        )
