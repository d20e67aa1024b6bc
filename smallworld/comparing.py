"""What was read against what was drawn, word by word."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from . import words
from .reader import READABLE_PX, PersonRead, Reading
from .scene import Figure, Scene

HORIZON_PX = 3
_SMALL = ("skin", "clothes")
_LARGE = ("kind", "hair", "hat", "glasses", "pose", "identity")


def compared(reading: Reading, scene: Scene) -> Iterator[tuple[str, bool]]:
    """Yield for each thing that the scene shows its name, and whether it was read right.

    People are those whose heads were found where they were drawn; the details of heads that are too
    small to be read are left out, as is a place that people hide.
    """
    yield "count", len(reading.people) == len(scene.figures)
    yield "time", reading.time == scene.time
    if reading.place:
        yield "place", reading.place == scene.place
        yield "horizon", abs(reading.horizon - scene.horizon) <= HORIZON_PX
    for figure in scene.figures:
        person = _there(reading, figure)
        yield "found", person is not None
        if person is not None:
            is_large = figure.head_px >= READABLE_PX
            for name in (*_SMALL, *_LARGE) if is_large else _SMALL:
                yield name, getattr(person, name) == getattr(figure, name)


def _there(reading: Reading, figure: Figure) -> PersonRead | None:
    near = [
        person
        for person in reading.people
        if max(abs(person.x - figure.x), abs(person.y - figure.y)) < figure.head_px
    ]
    return near[0] if len(near) == 1 else None


def told(reading: Reading, scene: Scene) -> Iterator[tuple[str, bool]]:
    """Yield for each thing that a caption of the scene tells its name, and whether a picture that
    was painted from it shows it. People are compared from left to right; one that is not there is
    wrong in everything.
    """
    yield "count", len(reading.people) == len(scene.figures)
    yield "time", reading.time == scene.time
    if reading.place:
        yield "place", reading.place == scene.place
    figures = sorted(scene.figures, key=lambda one: one.x)
    for figure, person in itertools.zip_longest(figures, reading.people[: len(figures)]):
        is_large = figure.head_px >= READABLE_PX
        for name in (*_SMALL, *_LARGE[:-1]) if is_large else _SMALL:
            yield name, person is not None and getattr(person, name) == getattr(figure, name)


def scene_words(reading: Reading) -> frozenset[str]:
    """Return the words of captions for what a picture shows beside its people, and for how many
    they are.
    """
    when = () if reading.place == "room" else (reading.time,)
    count = words.COUNTS[len(reading.people)] if len(reading.people) < len(words.COUNTS) else ""
    return frozenset(filter(None, (reading.place, *when, count)))


def person_words(person: PersonRead) -> frozenset[str]:
    """Return the words of captions for what a person looks like."""
    found = [f"{person.skin} skin"]
    if person.kind:
        found += [person.kind, f"{person.clothes} {words.GARMENTS[person.kind]}"]
        found += [f"{person.hair} hair", person.pose]
        found += [f"{person.hat} hat" if person.hat else "no hat"]
        found += ["glasses" if person.glasses else "no glasses"]
    return frozenset(found)


def asked(text: str) -> frozenset[str]:
    """Return the words of a text that can be read off a picture: of its scene and of people."""
    parts = text.replace(" at ", ", ").split(", ")
    said = {part.strip().removeprefix("with ").split("ohwx ")[-1] for part in parts}
    return frozenset(said & READABLE)


READABLE = frozenset(
    [*words.PLACES, *words.TIMES, *words.COUNTS, *words.KINDS, *words.POSES]
    + [f"{hair} hair" for hair in words.HAIRS]
    + [f"{skin} skin" for skin in words.SKINS]
    + [f"{clothes} {one}" for clothes in words.CLOTHES for one in words.GARMENTS.values()]
    + [f"{hat} hat" for hat in (*words.HATS, "no")]
    + ["glasses", "no glasses"]
)
