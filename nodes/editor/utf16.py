"""Offsets as browsers count them: in UTF-16 code units, two for a character such as an emoji."""

from __future__ import annotations

from bisect import bisect_left

from ..prompt.source import Span

_LARGEST_OF_ONE_UNIT = 0xFFFF


class Utf16:
    """Turns offsets into one text from code points into UTF-16 code units and back."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self._wide = [at for at, char in enumerate(text) if ord(char) > _LARGEST_OF_ONE_UNIT]
        self._wide_units = [at + before for before, at in enumerate(self._wide)]

    def units(self, offset: int) -> int:
        """Return the number of code units before the code point `offset`."""
        return offset + bisect_left(self._wide, offset)

    def span(self, span: Span) -> tuple[int, int]:
        return self.units(span.start), self.units(span.end)

    def points(self, units: int) -> int:
        """Return the number of code points before `units`, at most all of the text.

        Inside a character means before it.
        """
        before = bisect_left(self._wide_units, units)
        if before and self._wide_units[before - 1] + 1 == units:
            return self._wide[before - 1]
        return min(self._length, max(0, units - before))
