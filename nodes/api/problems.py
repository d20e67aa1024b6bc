"""What the API refuses, in ComfyUI's own error envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import AstriaError

Problem = Mapping[str, Any]


class ApiError(AstriaError):
    """A request that is refused. `status` is that of the answer; `problems` lists everything that is wrong, where there is more than one thing."""

    def __init__(self, message: str, *, code: str, hint: str = "", status: int = 422, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.problems = tuple(problems)


def envelope(error: AstriaError) -> dict[str, Any]:
    """Return the answer's body: `error` as ComfyUI's POST /prompt words its own, every problem in `extra_info`."""
    problems = getattr(error, "problems", ()) or (problem(error.code, error.message, error.hint),)
    told = {"type": error.code, "message": error.message, "details": error.hint, "extra_info": {"problems": [dict(one) for one in problems]}}
    return {"error": told, "node_errors": {}}


def problem(code: str, message: str, hint: str = "", field: str = "") -> Problem:
    """Return one entry of `problems`; `field` is the field of the request that it is about."""
    return {"code": code, "severity": "error", "message": message, "hint": hint, "field": field}
