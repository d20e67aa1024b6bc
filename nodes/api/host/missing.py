"""The problems that keep a request from running, those of tags with their place in the text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...net.problems import Problem, problem
from ...pipeline.compiling import CompileOptions, sources_of
from ...pipeline.plan import draft
from ...prompt import Node, parse
from ...prompt.source import Report
from ...tunes.file_search import Missing
from ...tunes.resolve import Resolver
from .guess import likely_roles
from .reading import TEXTS, AttributeReading

# Kind of a tag -> `what` of the Missing that it gives.
_WHAT = {"lora": "LoRA", "faceid": "FaceID photo set", "": "embedding"}
# What and key of a Missing -> the place of the first tag that asks for it.
Tags = Mapping[tuple[str, str], Mapping[str, Any]]


def tags_of(attributes: Mapping[str, Any]) -> Tags:
    """Return the tags in the texts among the attributes as they were sent, each with field, line,
    column and offsets.
    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for field in (*TEXTS, "negative_prompt"):
        text = attributes.get(field)
        if isinstance(text, str):
            report = Report(text)
            for node, kind, name in _tags(parse(text).children, text):
                line, column = report.position(node.span.start)
                place = {
                    "field": field,
                    "line": line,
                    "column": column,
                    "start": node.span.start,
                    "end": node.span.end,
                }
                found.setdefault((_WHAT[kind], name), place)
    return found


def _tags(nodes: Iterable[Node], text: str) -> Iterator[tuple[Node, str, str]]:
    for node in nodes:
        name, kind = node.child("name"), node.child("tag-kind")
        if node.kind == "tag" and name is not None:
            yield node, kind.span.of(text) if kind else "", name.span.of(text)
        yield from _tags(node.children, text)


def reasons(
    reading: AttributeReading, tags: Tags, resolver: Resolver, options: CompileOptions | None
) -> list[Problem]:
    """Return the problems that keep the request from running, beside those noted already.

    No base (`options` None) is.

    Planning ends at the first stage with an error, and leaves out what it was not given: the tags
    of the text are then looked up by themselves.
    """
    found: list[Problem] = []
    absent: list[Missing] = []
    is_planned = False
    if reading.request is not None and options is not None:
        sources = sources_of(reading.request, resolver, options)
        if isinstance(sources, Missing):
            found.append(problem("missing-base", sources.message, sources.hint))
        else:
            drafted = draft(reading.request, sources, resolver, options.options)
            # Without the attribute at fault the rest may contradict itself: no fault of the client.
            found += [
                problem(one.code, one.message, one.hint)
                for one in drafted.errors
                if reading.is_whole
            ]
            absent += [
                one for one in drafted.missing if not likely_roles([one.key], sources.family.branch)
            ]
            is_planned = reading.is_whole and not drafted.errors
    if not is_planned:
        absent += _absent_tags(tags, resolver)
    return [
        *found,
        *(
            {**problem("missing-model", one.message, one.hint), **tags.get((one.what, one.key), {})}
            for one in dict.fromkeys(absent)
        ),
    ]


def _absent_tags(tags: Tags, resolver: Resolver) -> Iterator[Missing]:
    for what, name in tags:
        if what == "LoRA":
            found = resolver.lora(name)
        elif what == "embedding":
            found = resolver.locate("embedding", name, ("embeddings",))
        else:
            found = resolver.faceid(name)
        if isinstance(found, Missing):
            yield found
