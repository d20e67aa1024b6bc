"""`{{eye_color}}` in prompts, and the characteristics of tunes that fill it.

Two braces and a name: blanks inside do not count, and three braces are text, as everywhere.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...net.problems import ApiError, Problem, problem
from ...prompt import PromptRequest
from ...prompt.lexer import is_plain
from ...prompt.source import Report

TEXTS = ("text", "prompt", "negative_prompt")  # the attributes that may hold placeholders
MAX_CHARACTERISTICS = 100
MAX_VALUE = 1000
MAX_TEXTS = 100_000
MAX_ALL = 10_000  # characters of all: every list of tunes holds them
MAX_JSON = 2 * MAX_ALL
MOST_PROBLEMS = 200  # that are listed of one text: the list is for people
_KEY = r"[^\W\d][\w-]{0,63}"
_PLACEHOLDER = re.compile(r"(?<!\{)\{\{[ \t]*(" + _KEY + r")[ \t]*\}\}(?!\})")
_HINT = 'Send tune[characteristics][eye_color]=green eyes, or JSON: {"eye_color": "green eyes"}.'


def characteristics_of(given: Any) -> dict[str, str]:
    """Return characteristics as they are stored: names and their words, those without any left out.

    Takes an object, or JSON with one. Raises: ApiError for anything else.
    """
    if given in (None, ""):
        return {}
    if isinstance(given, str):
        try:
            given = json.loads(given[:MAX_JSON])
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, dict) or len(given) > MAX_CHARACTERISTICS:
        text = f"characteristics is no object of at most {MAX_CHARACTERISTICS} texts"
        raise ApiError(text, code="bad-characteristics", hint=_HINT)
    words = {str(key): _words(str(key), value) for key, value in given.items()}
    length = sum(len(key) + len(value) for key, value in words.items())
    if length > MAX_ALL:
        text = f"characteristics have {length} characters; expected at most {MAX_ALL}"
        raise ApiError(text, code="bad-characteristics", hint=_HINT)
    return {key: value for key, value in words.items() if value}


def _words(key: str, value: Any) -> str:
    shown = f"characteristics[{key[:64]}]"
    if not re.fullmatch(_KEY, key):
        text = f"{shown}: a name is a letter or _, then letters, digits, _ and -, at most 64"
        raise ApiError(text, code="bad-characteristics", hint=_HINT)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str) or len(value) > MAX_VALUE:
        text = f"{shown} is no text of at most {MAX_VALUE} characters"
        raise ApiError(text, code="bad-characteristics", hint=_HINT)
    words = value.strip()
    if not all(one.isprintable() for one in words) or "{" in words or not is_plain(words):
        text = f"{shown} is {words[:80]!r}; expected plain words on one line"
        hint = "Leave out tags, flags, BREAK, braces and line breaks: they belong into the prompt."
        raise ApiError(text, code="bad-characteristics", hint=hint)
    if words and not _stays_text(words):
        text = f"{shown} is {words[:80]!r}, which at a line's beginning is no text, but parameters"
        hint = "Leave out num_images=8, Steps: 20 and the like: they belong into the prompt."
        raise ApiError(text, code="bad-characteristics", hint=hint)
    return words


def _stays_text(words: str) -> bool:
    """Say whether words are text on a line of their own, too: no parameter, no pasted settings."""
    request, _ = PromptRequest.from_text(f"x\n{words}")
    return request is not None and request == PromptRequest(prompt=request.prompt)


def has_placeholders(attributes: Mapping[str, Any]) -> bool:
    """Say whether a text among the attributes of a prompt has placeholders.

    Texts that are refused for their length have none: filled they would be longer still.
    """
    texts = [text for _, text in _texts(attributes)]
    return sum(map(len, texts)) <= MAX_TEXTS and any(map(_PLACEHOLDER.search, texts))


def asks_for(attributes: Mapping[str, Any], name: str) -> bool:
    """Say whether a text among the attributes has the placeholder `name`."""
    return any(name in _PLACEHOLDER.findall(text) for _, text in _texts(attributes))


def _texts(attributes: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return [(key, attributes[key]) for key in TEXTS if isinstance(attributes.get(key), str)]


@dataclass(frozen=True)
class Filling:
    """A text whose placeholders are filled.

    `places` holds, of each, where it began and ended in the text as it was sent, and where what
    stands for it begins and ends in `text`.
    """

    sent: str
    text: str
    places: tuple[tuple[int, int, int, int], ...]

    def back(self, start: int, end: int) -> tuple[int, int]:
        """Return the place in the sent text of a place in the filled one.

        Within what was filled in it is the whole placeholder.
        """
        return self._back(start, at_end=False), self._back(end, at_end=True)

    def _back(self, offset: int, *, at_end: bool) -> int:
        shift = 0
        for sent_start, sent_end, start, end in self.places:
            # An end belongs to the place before it, a start to the place after it.
            if offset < start or (at_end and offset == start):
                break
            if offset < end or (at_end and offset == end):
                return sent_end if at_end else sent_start
            shift = sent_end - end
        return offset + shift

    def describe(self, one: Problem) -> Problem:
        """Return a problem about the filled text with its place in the sent one."""
        if "start" not in one:
            return one
        start, end = self.back(one["start"], one["end"])
        line, column = Report(self.sent).position(start)
        return {**one, "start": start, "end": end, "line": line, "column": column}


def fill(
    attributes: Mapping[str, Any], values: Mapping[str, str], owner: str
) -> tuple[dict[str, Any], dict[str, Filling]]:
    """Return the attributes of a prompt with their placeholders filled, and the texts that changed.

    `owner` says in errors whose values they are. Raises: ApiError with the place of each
    placeholder that has none.
    """
    fillings: dict[str, Filling] = {}
    absent: list[Problem] = []
    for key, text in _texts(attributes):
        absent += _absent(key, text, values, owner)
        if _PLACEHOLDER.search(text):
            fillings[key] = _filled(text, values)
    if absent:
        messages = "\n".join(one["message"] for one in absent)
        raise ApiError(
            messages, code="empty-placeholder", hint=absent[0]["hint"], problems=tuple(absent)
        )
    return {**attributes, **{key: one.text for key, one in fillings.items()}}, fillings


def _filled(text: str, values: Mapping[str, str]) -> Filling:
    pieces, places, at, length = [], [], 0, 0
    for found in _PLACEHOLDER.finditer(text):
        before, value = text[at : found.start()], values.get(found[1], "")
        start = length + len(before)
        places.append((found.start(), found.end(), start, start + len(value)))
        pieces += [before, value]
        at, length = found.end(), start + len(value)
    return Filling(text, "".join([*pieces, text[at:]]), tuple(places))


def prefixed(filling: Filling | None, text: str, prefix: str) -> Filling:
    """Return the filling of a text, if any, with `prefix` before what it gives."""
    length, sent = len(prefix), filling.sent if filling else text
    places = filling.places if filling else ()
    moved = ((*place[:2], place[2] + length, place[3] + length) for place in places)
    return Filling(sent, prefix + text, ((0, 0, 0, length), *moved))


def _absent(key: str, text: str, values: Mapping[str, str], owner: str) -> list[Problem]:
    report = Report(text)
    found: list[Problem] = []
    empty = (one for one in _PLACEHOLDER.finditer(text) if one[1] not in values)
    for one in itertools.islice(empty, MOST_PROBLEMS):
        line, column = report.position(one.start())
        place = {"line": line, "column": column, "start": one.start(), "end": one.end()}
        message = f"{key}, line {line}, column {column}: {one[0]} has no value: {owner}"
        hint = f"Known: {', '.join(values) or 'none'}. The tune's characteristics say more."
        found.append({**problem("empty-placeholder", message, hint, key), **place})
    return found


def filled_back(error: ApiError, fillings: Mapping[str, Filling]) -> ApiError:
    """Return an error about filled attributes with its places in the texts as they were sent."""
    problems = [
        fillings[one["field"]].describe(one) if one["field"] in fillings else one
        for one in error.problems
    ]
    return ApiError(
        error.message,
        code=error.code,
        hint=error.hint,
        status=error.status,
        problems=problems,
    )


def with_tag(text: str, tag: str) -> str:
    """Return a prompt's text with a tune's tag before it."""
    return f"{tag} {text}" if tag else text
