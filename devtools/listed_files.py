"""Model files that exist in name only, for compiling workflows that other people's files will
fill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class ListedFiles:
    """The files in `names`, by model folder."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._names = names

    def list(self, folder: str) -> Sequence[str]:
        return self._names.get(folder, ())

    def roots(self, folder: str) -> Sequence[str]:
        return (f"models/{folder}",)
