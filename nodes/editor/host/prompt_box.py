"""The server's answers to the prompt editor.

The painted tree, what can be written, what something means, the plan in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...host.state import state_folder
from ...prompt import Diagnostic, parse
from ...prompt.kinds import Decimal, ValueProblem
from ...prompt.lexer import is_embedding_name
from ...prompt.source import Rewrite, Span
from ...tunes.file_search import Missing
from ...tunes.host.state import HostFiles, make_resolver
from ...tunes.names import alike, without_ending
from ...tunes.resolve import Resolver
from ...tunes.state import bindings_in
from ...tunes.tune import Tune
from ..completion import Option, complete
from ..describing import Description, describe
from ..lora_card import LoraCard
from ..painting import marks, part_title, parts
from ..stepping import Stride, step
from ..utf16 import Utf16
from . import loras
from .http import RequestError
from .tunes import newest, photo_address

MOST_NAMES = 200  # of one list; those that fit best
_NEWEST_TUNES = 1000
_NOT_IN_TAGS = set("<>:\r\n")
_DELTA = Decimal(0.001, 10)  # what the host's own setting can be, and more


def painted(text: str) -> dict[str, Any]:
    """Return the marks to paint and the diagnostics.

    Marks, parts and diagnostics, with offsets in UTF-16 code units.
    """
    document = parse(text)
    units = Utf16(text)
    return {
        "marks": [[one.kind, *units.span(one.span)] for one in marks(document)],
        "parts": [
            [one.number, part_title(one.number), *units.span(one.span)] for one in parts(document)
        ],
        "diagnostics": [diagnostic_entry(one, units) for one in document.diagnostics],
    }


def diagnostic_entry(found: Diagnostic, units: Utf16, bind_key: str = "") -> dict[str, Any]:
    """Return a diagnostic as the editor takes it; `bind_key` is what the sidebar would bind."""
    start, end = units.span(found.span)
    entry: dict[str, Any] = {
        "code": found.code,
        "severity": found.severity,
        "message": found.message,
        "hint": found.hint,
    }
    entry |= {"start": start, "end": end, "line": found.line, "column": found.column}
    return {**entry, "rewrite": _rewrite(found.rewrite, units), "bind": bind_key}


def _rewrite(offered: Rewrite | None, units: Utf16) -> dict[str, Any] | None:
    """Return the replacement of a stretch of the text, and the words that offer it."""
    if offered is None:
        return None
    start, end = units.span(offered.span)
    return {"start": start, "end": end, "text": offered.text, "label": offered.label}


def completions(text: str, offset: int, asked: bool) -> dict[str, Any]:
    """Return the options at `offset` (code units) with the stretch of text that they replace."""
    units = Utf16(text)
    at = units.points(offset)
    found = complete(text, at, asked=asked)
    typed = text[found.span.start : at]
    named = [one for kind in found.names for one in _best(typed, _names(kind, found.tail))]
    named = _with_cards(named, text)
    start, end = units.span(found.span)
    fields = ("label", "text", "kind", "detail", "help", "photo")
    return {
        "start": start,
        "end": end,
        "options": [
            {field: getattr(one, field) for field in fields} for one in (*found.options, *named)
        ],
    }


def _with_cards(options: list[Option], text: str) -> list[Option]:
    """Return the options with the picture of each LoRA's file, and behind a tag that is written
    whole the trigger words that the text does not have.
    """
    names, told = loras.beside(), []
    for one in options:
        found = loras.card(one.file, names) if one.file else LoraCard()
        missing = [word for word in found.words if word.casefold() not in text.casefold()]
        is_whole = one.text.endswith(">")
        written = f"{one.text} {', '.join(missing)}" if missing and is_whole else one.text
        photo = one.photo or loras.picture_address(one.file, found)
        detail = f"{one.detail}; {found.triggers}" if found.words else one.detail
        told.append(replace(one, text=written, photo=photo, detail=detail))
    return told


def _best(typed: str, options: Iterable[Option]) -> list[Option]:
    """Return the options that hold the typed characters in their order, at most MOST_NAMES.

    Beginnings first, then words inside.
    """
    wanted = typed.casefold()
    rated = [
        (rank, at, one)
        for at, one in enumerate(options)
        if (rank := _rank(wanted, one.label.casefold())) is not None
    ]
    return [one for _, _, one in sorted(rated, key=lambda each: each[:2])[:MOST_NAMES]]


def _rank(wanted: str, label: str) -> int | None:
    if label.startswith(wanted):
        return 0
    if wanted in label:
        return 1
    left = iter(label)
    return 2 if all(char in left for char in wanted) else None


def _names(kind: str, tail: str) -> Iterator[Option]:
    """The names that a tag of this kind can have: tunes first, then files."""
    if kind != "embedding":
        yield from _tune_names(kind, tail)
    if kind == "faceid":
        return
    folder = "loras" if kind == "lora" else "embeddings"
    for file in HostFiles().list(folder):
        name = without_ending(alike(file))
        if is_embedding_name(name) if kind == "embedding" else not _NOT_IN_TAGS & set(name):
            listed = file if kind == "lora" else ""
            yield Option(name, name + tail, kind, f"file in {folder}", file=listed)


def _tune_names(kind: str, tail: str) -> Iterator[Option]:
    stored = {str(tune.id): tune for tune in newest(_NEWEST_TUNES)}
    bound = bindings_in(state_folder()).tunes if kind == "lora" else {}
    for name, file in bound.items():
        tune = stored.get(name)
        yield Option(
            f"{name} {tune.title if tune else ''}".strip(),
            name + tail,
            kind,
            f"bound to {file}",
            file=file,
            photo=photo_address(tune) if tune else "",
        )
    for name, tune in stored.items():
        if name not in bound and (
            tune.is_photo_set
            if kind == "faceid"
            else tune.file is not None and tune.model_type != "faceid"
        ):
            detail = _photos(tune) if kind == "faceid" else f"tune of {tune.file}"
            yield Option(
                f"{name} {tune.title}", name + tail, kind, detail, photo=photo_address(tune)
            )


def _photos(tune: Tune) -> str:
    return "1 photo" if len(tune.orig_images) == 1 else f"{len(tune.orig_images)} photos"


def description(text: str, offset: int) -> dict[str, Any]:
    """Return the help at `offset` (code units), of a tag with the file or tune that it means here.

    An empty object for plain text.
    """
    units = Utf16(text)
    found = describe(text, units.points(offset))
    if found is None:
        return {}
    start, end = units.span(found.span)
    lines, photo = _meaning(found, make_resolver())
    return {"start": start, "end": end, "text": "\n".join([found.text, *lines]), "photo": photo}


def _meaning(found: Description, resolver: Resolver) -> tuple[list[str], str]:
    """Return the meaning of a tag, and the address of a picture of it."""
    if not found.kind:
        return [], ""
    looked_up = {
        "lora": resolver.lora,
        "faceid": resolver.faceid,
        "embedding": lambda name: resolver.locate("embedding", name, ("embeddings",)),
    }[found.kind](found.name)
    if isinstance(looked_up, Missing):
        return [looked_up.message, looked_up.hint], ""
    tune = getattr(looked_up, "tune", None)
    lines, picture = [f"File: {looked_up.file}"] if looked_up.file else [], ""
    if getattr(looked_up, "kind", "") == "lora" and looked_up.file:
        seems = resolver.lora_signs(looked_up.file).describe()
        lines += [f"Seems {seems}, by the names and sizes of its tensors."] if seems else []
        found_beside = loras.card(looked_up.file, loras.beside())
        lines += [f"Trigger words: {found_beside.triggers}"] if found_beside.words else []
        lines += [f"{name} cannot be read." for name in found_beside.unreadable]
        picture = loras.picture_address(looked_up.file, found_beside)
    return (
        [
            *lines,
            f"Tune {tune.id}: {tune.title}, {_photos(tune)}",
        ]
        if tune
        else lines
    ), (photo_address(tune) if tune else "") or picture


def next_value(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what takes the place of what is chosen, or stands at the cursor, a step up or down.

    An empty object where nothing there has a next value. `start` and `end` count code units,
    `delta` is the step of weights, as text.
    """
    text, units = asked["text"], Utf16(asked["text"])
    delta = _DELTA.read(asked["delta"])
    if isinstance(delta, ValueProblem):
        raise RequestError(f"delta: {delta.message}. {delta.hint}", code="bad-field")
    start, end = sorted((units.points(asked["start"]), units.points(asked["end"])))
    found = step(text, Span(start, end), Stride(delta, asked["up"]))
    if found is None:
        return {}
    start, end = units.span(found.span)
    return {"start": start, "end": end, "text": found.text}
