"""A person where none is read: in the scene's part of a prompt, or in what all share.

With one BREAK too few the first person is the common prompt: their LoRA acts on everybody, their
words are everybody's, and one person fewer is painted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..reader import ValuePlace
from ..segment import SegmentBuilder
from ..source import quoted
from .persons import WORDS_OF_ONE, names_somebody

_WORD = re.compile(r"[^\W_]+")
_HINT = (
    "Write the scene, BREAK, what all persons share or nothing, BREAK, the first person, BREAK, the"
    " second, and so on."
)


def notice_missing_break(prompt: Sequence[SegmentBuilder], place: ValuePlace) -> None:
    """Report a part before the persons that reads as one more of them.

    `place` is that of the first BREAK. A warning where a word for one person says so, else a note:
    a name, and a word of another language, may as well be a word of the scene.
    """
    base, common, *persons = prompt
    if not persons:
        message = _without_persons(base, common)
    else:
        message = _in_common(common, persons) or _in_scene(base, persons)
    if message is not None:
        is_sure = bool(_ones(common) or _ones(base))
        severity = "warning" if is_sure else "info"
        place.report.add("missing-break", severity, place.span, message, _HINT)


def _without_persons(base: SegmentBuilder, common: SegmentBuilder) -> str | None:
    """Return what is told of two people, each with a tag, whom a single BREAK parts."""
    if not all(_tags(one) and names_somebody(_words(one)) for one in (base, common)):
        return None
    return (
        "a single BREAK begins no person: both parts are the whole picture's, and so are"
        f" {_tags(base)} and {_tags(common)}"
    )


def _in_common(common: SegmentBuilder, persons: Sequence[SegmentBuilder]) -> str | None:
    """Return what is told of a common prompt that reads as one more person."""
    words, tags = _words(common), _tags(common)
    are_faces = common.faceids and any(person.faceids for person in persons)
    is_shared = len(persons) > 1 and not (tags and all(_tags(person) for person in persons))
    is_named = names_somebody(words) and not is_shared
    if not (are_faces or is_named or _differs(common, persons)):
        return None
    whose = "the only person" if len(persons) == 1 else f"each of the {len(persons)} persons"
    more = f", and {tags} acts on everybody" if tags else ""
    said = " is the common prompt: it is said of the scene and of "
    return f"{quoted(words or tags)}{said}{whose}{more}"


def _in_scene(base: SegmentBuilder, persons: Sequence[SegmentBuilder]) -> str | None:
    """Return what is told of a scene with a LoRA and a word for one who is none of the persons."""
    theirs = set().union(*map(_ones, persons))
    if not (base.loras and theirs and _ones(base) and theirs.isdisjoint(_ones(base))):
        return None
    return (
        f"{quoted(_words(base))} is the scene and no person: {_tags(base)} acts where no person"
        " stands"
    )


def _differs(common: SegmentBuilder, persons: Sequence[SegmentBuilder]) -> bool:
    """Say whether a word for one person stands in the common prompt, and others in the persons':
    what all of them share, such as `woman`, is written once with reason.
    """
    ones = _ones(common)
    return bool(ones) and any(_ones(person) and _ones(person) != ones for person in persons)


def _ones(part: SegmentBuilder) -> set[str]:
    """Return the words for one person in a part."""
    return WORDS_OF_ONE.intersection(_WORD.findall(_words(part).casefold()))


def _words(part: SegmentBuilder) -> str:
    return "".join(map(str, part.pieces()))


def _tags(part: SegmentBuilder) -> str:
    return " ".join(map(str, (*part.loras, *part.faceids)))
