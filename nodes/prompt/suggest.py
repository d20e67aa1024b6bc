"""A near miss -> the word that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 60


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice nearest to `word`, or None when none is near.

    Case, `-` and `_` do not count.
    """
    if not word or len(word) > _LONGEST:
        return None
    by_plain = {_plain(choice): choice for choice in choices}
    near = get_close_matches(_plain(word), by_plain, n=1, cutoff=0.65)
    return by_plain[near[0]] if near else None


def _plain(word: str) -> str:
    return word.casefold().replace("-", "_").replace(" ", "_")
