"""Tags of LoRAs whose trigger words stand nowhere in the text that they act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...prompt import LoraTag, PromptRequest, Segment
from ...prompt.dialects.persons import telling_words, words_in
from ...tunes.file_search import Missing
from ...tunes.resolve import Resolver
from .stage_list import Problem


def trigger_problems(request: PromptRequest, resolver: Resolver) -> list[Problem]:
    """Return a note of each tag whose file names the words that call it, where the text has none of
    those that mean it alone: a person then looks like anybody.
    """
    found: dict[str, Problem] = {}
    for where, tags, heard in _acting(request):
        said = frozenset[str]().union(*(words_in(_words(segment)) for segment in heard))
        for tag in tags:
            phrase = _phrase_of(tag, resolver)
            telling = telling_words(phrase)
            if telling and not said.intersection(telling):
                found.setdefault(tag.name, _note(tag, phrase, telling, where))
    return list(found.values())


def _acting(
    request: PromptRequest,
) -> Iterator[tuple[str, Sequence[LoraTag], Sequence[Segment]]]:
    """Yield tags with where they stand, in words, and the texts that they act on."""
    whole = request.prompt
    if request.persons:
        yield "the base prompt", request.base.loras, (request.base,)
        yield "the common prompt", request.common.loras, whole
        for number, person in enumerate(request.persons, start=1):
            yield f"person {number}", person.loras, (person, request.common)
    else:
        for segment in whole:
            yield "the prompt", segment.loras, whole
    if request.outpaint_prompt is not None:
        own = request.outpaint_prompt
        yield "--outpaint_prompt", own.loras, (own,)


def _phrase_of(tag: LoraTag, resolver: Resolver) -> str:
    if tag.weight <= 0:
        return ""
    found = resolver.lora(tag.name)
    return "" if isinstance(found, Missing) else resolver.trigger_phrase(found)


def _words(segment: Segment) -> str:
    return " ".join(map(str, segment.pieces))


def _note(tag: LoraTag, phrase: str, telling: Sequence[str], where: str) -> Problem:
    text = (
        f"{tag} was trained on the words `{phrase}`, and the text of {where} does not say"
        f" {' or '.join(telling)}: what it learned may not show."
    )
    return Problem("trigger-unsaid", "info", text, f"Write `{phrase}` there.")
