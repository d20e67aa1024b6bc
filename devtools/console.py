"""How the developer tools speak: one readable line per step, and errors that say what to do."""

from __future__ import annotations


class DevError(Exception):
    """Something a person has to act on; `str()` is what happened, then what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message}\n  {hint}")


def say(text: str) -> None:
    """Print one line at once, so that it stands before the output of a program that is started
    next.
    """
    print(text, flush=True)
