"""The fields of a request: Rails brackets -> one nested value, and where attributes stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..net.problems import ApiError
from .limits import MAX_DEPTH, MAX_KEY, TextBudget, too_deep

LARGEST_INDEX = 500

_PROMPTS = "prompts_attributes"
_KEY = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Upload:
    """A file of a multipart request.

    `file_name` is what its sender calls it, and is never used as a path.
    """

    file_name: str
    content: bytes = field(repr=False)  # it may be large, and is in no message


def nested(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return what the pairs spell.

    `a[b]=1` is {"a": {"b": 1}}, `a[]=1&a[]=2` is {"a": [1, 2]}, `a[0][b]=1` is {"a": [{"b": 1}]}.

    In `a[][b]` a new item begins where its key comes again, as in Rails. A plain key given twice is
    an error: one of both would be lost.
    Raises: ApiError naming the key.
    """
    root: dict[str, Any] = {}
    budget = TextBudget()
    for key, value in pairs:
        budget.count()
        _put(root, _parts(key), value, key)
    return {key: _lists(value, key) for key, value in root.items()}


def _parts(key: str) -> list[str]:
    found = _KEY.fullmatch(key) if len(key) <= MAX_KEY else None
    if found is None:
        raise _bad(
            f"{_shown(key)} is no name of a field", "Write name, name[part] or name[part][]."
        )
    parts = [found[1], *_PART.findall(found[2])]
    if len(parts) > MAX_DEPTH:
        raise too_deep(len(parts), _shown(key))
    return parts


class _Items(list):
    """Items of `key[]`, a type of its own beside a list that was sent as one value."""


def _put(table: dict[str, Any], parts: list[str], value: Any, key: str) -> None:
    name, *rest = parts
    if not rest:
        if name in table:
            raise _bad(
                f"{_shown(key)} is given twice",
                "Keep one of both; a list is written with [] at its end.",
            )
        table[name] = value
    elif rest[0] == "":
        _append(_inside(table, name, _Items, key), rest[1:], value, key)
    else:
        _put(_inside(table, name, dict, key), rest, value, key)


def _append(items: _Items, rest: list[str], value: Any, key: str) -> None:
    if not rest:
        items.append(value)
        return
    if not items or not isinstance(items[-1], dict) or _has(items[-1], rest):
        items.append({})
    _put(items[-1], rest, value, key)


def _has(table: Any, parts: list[str]) -> bool:
    """Say whether the place that the parts name is taken; a list there takes more."""
    for part in parts:
        if part == "" or not isinstance(table, dict) or part not in table:
            return False
        table = table[part]
    return True


def _inside(table: dict[str, Any], name: str, kind: type, key: str) -> Any:
    found = table.setdefault(name, kind())
    if type(found) is not kind:
        raise _bad(
            f"{_shown(key)} is given as a value, a list and an object at once",
            "Write it in one way.",
        )
    return found


def _lists(value: Any, key: str) -> Any:
    """Return `value` with objects whose keys are all whole numbers as lists, in the order of the
    numbers.
    """
    if isinstance(value, _Items):
        return [_lists(one, key) for one in value]
    if not isinstance(value, dict):
        return value
    if value and all(part.isascii() and part.isdecimal() for part in value):
        numbers = {int(part) if len(part) < 9 else LARGEST_INDEX + 1: part for part in value}
        if max(numbers) > LARGEST_INDEX or len(numbers) != len(value):
            raise _bad(
                f"{_shown(key)} has an item number above {LARGEST_INDEX}, or one number twice"
            )
        return [_lists(value[numbers[number]], key) for number in sorted(numbers)]
    return {part: _lists(one, f"{key}[{part}]") for part, one in value.items()}


def wrapped(request: Mapping[str, Any], name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the attributes of an object, and the names of fields that stand beside them and are
    not read.

    The attributes are those inside `name` where it is sent as {"tune": {...}}, else the fields
    themselves. Prompts among them are a list, however they were numbered.
    """
    inside = request.get(name)
    if inside is None or (name == "prompt" and isinstance(inside, str)):
        return _with_list(request), ()
    if not isinstance(inside, dict):
        raise _bad(
            f"{name} is {_shown(str(inside))}; expected an object with its attributes",
            f"Write {name}[...], or JSON with an object.",
        )
    return _with_list(inside), tuple(key for key in request if key != name)


def _with_list(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes whose prompts JSON may number, {"0": {...}}, as forms and Rails do."""
    if isinstance(attributes.get(_PROMPTS), dict):
        return {**attributes, _PROMPTS: _lists(attributes[_PROMPTS], _PROMPTS)}
    return dict(attributes)


def prompt_attributes(request: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the attributes of one prompt as `wrapped` does.

    `tune[prompts_attributes][0][...]`, which the service's pages print, adds to them.
    """
    tune = request.get("tune")
    if not isinstance(tune, dict) or _PROMPTS not in tune:
        return wrapped(request, "prompt")
    listed = _with_list(tune)[_PROMPTS]
    if not (isinstance(listed, list) and len(listed) == 1 and isinstance(listed[0], dict)):
        raise _bad(
            "tune[prompts_attributes] is no list of one prompt",
            "Send one prompt at a time here; POST /tunes takes several with their tune.",
        )
    inside, beside = wrapped(
        {key: value for key, value in request.items() if key != "tune"}, "prompt"
    )
    if twice := sorted(inside.keys() & listed[0].keys()):
        raise _bad(
            f"{_shown(twice[0])} is given both as prompt[...] and as tune[prompts_attributes][...]",
            "Keep one of both.",
        )
    return {**inside, **listed[0]}, (
        *beside,
        *(f"tune[{key}]" for key in tune if key != _PROMPTS),
    )


def notices_of(beside: Iterable[str], name: str) -> list[str]:
    """Return the notices on fields that are not read, because they stand beside object `name`."""
    return [
        f"{_shown(key)} is not read: attributes stand inside {name}, as {name}[...]."
        for key in beside
    ]


def _bad(message: str, hint: str = "") -> ApiError:
    return ApiError(message, code="bad-field", hint=hint, status=400)


def _shown(key: str) -> str:
    return repr(key if len(key) <= 80 else f"{key[:77]}...")
