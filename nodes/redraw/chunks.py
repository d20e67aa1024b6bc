"""Faces in chunks that are drawn together: of one kind, and no more than fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from ..rounding import ceil_div

Item = TypeVar("Item")


def grouped(items: Sequence[Item], kind: Callable[[Item], Hashable]) -> list[list[int]]:
    """Return the places of the items of each kind, kinds in the order of their first item."""
    groups: dict[Hashable, list[int]] = {}
    for place, item in enumerate(items):
        groups.setdefault(kind(item), []).append(place)
    return list(groups.values())


def cut_up(places: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the places in as few chunks as there can be of at most `most`, of equal size as far as
    they can be.
    """
    count = ceil_div(len(places), most)
    for chunk in range(count):
        yield list(places[chunk * len(places) // count : (chunk + 1) * len(places) // count])


def largest_batch(required: Callable[[int], float], free: float, most: int) -> int:
    """Return the number of items, `most` at most, that fit `free` bytes by the estimate `required`.

    One where not even one does.
    """
    return max((count for count in range(1, most + 1) if required(count) <= free), default=1)
