"""Errors that no choice of model mends, found before any model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from ..families.family import FAMILIES, Family
from ..prompt import PromptRequest, Segment
from ..tunes.file_search import Missing
from ..tunes.resolve import Resolver
from .build.controls import controls_of
from .build.sources import Options, Sources
from .build.stage_list import Problem, raise_for
from .build.tags import resolve_text
from .build.text import negative_segments, prompt_segments
from .plan import Plan, draft
from .stages.people import people_problems, person_segments

Reasons = tuple[tuple[Problem, ...], tuple[Missing, ...]]


def check_before_models(
    request: PromptRequest,
    sources_for: Callable[[Family], Sources],
    resolver: Resolver,
    options: Options,
    found: Reasons = ((), ()),
) -> None:
    """Return when some family of models could run the request, as far as can be told.

    `found` is what speaks against it already.

    The family is read from the model, so the request is planned for each of them, and what keeps it
    from running on all is told.
    Raises: PlanError or MissingModelError listing every reason at once.
    """
    drafts = [draft(request, sources_for(family), resolver, options) for family in _able(request)]
    # What to do about it may be another thing on each family.
    problems = (*found[0], *_in_all((one.errors for one in drafts), lambda one: one.message))
    missing = (*found[1], *_in_all((one.missing for one in drafts), lambda one: one))
    # A request with errors is not written, so nothing was looked up for it.
    if any(drafted.errors for drafted in drafts):
        worded, absent = _text_reasons(
            _segments_of_stages(request, drafts[0]),
            resolver,
            are_skipped=options.missing_models == "skip",
        )
        problems, missing = (*problems, *worded), (*missing, *absent)
    raise_for(dict.fromkeys(problems), dict.fromkeys(missing))


def _able(request: PromptRequest) -> Sequence[Family]:
    """Return the families that can be steered as asked, all where none can: another's lack of a
    ControlNet must not hide what is wrong on every one that has it.
    """
    kinds = [control.kind for control in controls_of(request)]
    able = [one for one in FAMILIES.values() if all(map(one.takes_control, kinds))]
    return able or list(FAMILIES.values())


def check_text(request: PromptRequest, resolver: Resolver) -> None:
    """Return when the persons are not too many and every tag of scene and persons has its file.

    Raises: PlanError or MissingModelError listing every reason at once.
    """
    problems, missing = _text_reasons(_scene_and_persons(request), resolver, are_skipped=False)
    raise_for((*people_problems(request), *problems), missing)


def _in_all(lists: Iterable[tuple], what: Callable[[Any], Hashable]) -> tuple:
    """Return what stands in every list, by `what` it says, in the order and words of the first."""
    first, *others = lists
    said = [set(map(what, other)) for other in others]
    return tuple(one for one in first if all(what(one) in other for other in said))


# Positive and negative segments, and whether they tell of a person.
_StageSegments = tuple[Sequence[Segment], Sequence[Segment], bool]


def _segments_of_stages(request: PromptRequest, drafted: Plan) -> list[_StageSegments]:
    """Return the segments that the planned stages encode."""
    names = {stage.name for stage in drafted.stages}
    said = _scene_and_persons(request) if "base" in names else []
    if "outpaint" in names:
        segments = (
            prompt_segments(request)
            if request.outpaint_prompt is None
            else (request.outpaint_prompt,)
        )
        said.append((segments, negative_segments(request), False))
    return said


def _scene_and_persons(request: PromptRequest) -> list[_StageSegments]:
    persons = [(person.positive, person.negative, True) for person in person_segments(request)]
    return [(prompt_segments(request), negative_segments(request), False), *persons]


def _text_reasons(
    said: Iterable[_StageSegments], resolver: Resolver, *, are_skipped: bool
) -> Reasons:
    """Return what is wrong with the words; `are_skipped`: a face without photos is left out."""
    found = [
        resolve_text(positive, negative, resolver, use_lpw=True, of_person=of_person)
        for positive, negative, of_person in said
    ]
    problems = dict.fromkeys(problem for one in found for problem in one.problems)
    missing = [missing for one in found for missing in one.missing]
    if not are_skipped:
        missing += [absent for one in found for _, absent in one.faceless]
    return tuple(problems), tuple(dict.fromkeys(missing))
