"""The errors of the pack.

Each says what happened, the value, what was expected, where, and what to do next.
"""

from __future__ import annotations


class AstriaError(ValueError):
    """An error a person can act on.

    `message` says what happened, with the value and the place; `hint` the next action; `code` is
    stable for programs.
    """

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.code = code
        self.hint = hint


class PromptError(AstriaError):
    """The prompt text holds errors; `str()` lists all of them with line, column and caret."""


class MissingModelError(AstriaError):
    """A model file, tune or binding that the request needs is not there."""


class BindingsError(AstriaError):
    """The bindings file or a binding cannot be read; names file and line."""


class PlanError(AstriaError):
    """The request cannot be planned.

    A stage not built, inputs that contradict each other, or a node input the host refuses.
    """


class ImageError(AstriaError):
    """A picture or mask of a shape, size or value that cannot be used."""
