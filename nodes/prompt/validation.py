"""Refuses values of a request that the language could not say, so that every request has a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import PromptError
from .catalog import FLAGS, PARAMETERS, Flag, is_unset
from .images import ImageKind, ImageRef
from .kinds import Line, ValueKind, accepts, tidy
from .lexer import QUOTES, is_key, is_plain
from .printer import ends_closed, in_quotes, is_plain_word, needs_guard
from .relations import findings
from .segment import Segment
from .weights import MOST_WEIGHT, weigh


def check(values: Mapping[str, Any]) -> None:
    """Raise PromptError, naming field and value, when a value, or values together, could not be
    written in the language.
    """
    _check_segments(values)
    for name, spec in PARAMETERS.items():
        if spec.target == name:
            _check_value(name, values[name], spec.kind)
    for name in FLAGS:
        _check_flag(name, values[name])
    _check_unknown(values["unknown"])
    given = {name: value for name, value in values.items() if value is not None}
    for finding in findings(given, given):
        if finding.severity == "error":
            raise PromptError(finding.message, code=finding.code, hint=finding.hint)


def _refuse(name: str, value: object, expected: str) -> PromptError:
    return PromptError(
        f"{name}={value!r} is not a value of a request",
        code="bad-value",
        hint=f"Expected {expected}.",
    )


def _check_segments(values: Mapping[str, Any]) -> None:
    for name, least in (("prompt", 1), ("negative", 0)):
        segments = values[name]
        if (
            not isinstance(segments, tuple)
            or len(segments) < least
            or not all(isinstance(each, Segment) for each in segments)
        ):
            raise _refuse(name, segments, f"a tuple of {least} or more segments")
    outpaint = values["outpaint_prompt"]
    for segment in (
        *values["prompt"],
        *values["negative"],
        *([outpaint] if isinstance(outpaint, Segment) else []),
    ):
        if values["use_lpw"] is not False and weigh(segment.pieces).extreme:
            raise _refuse(
                "prompt", segment.text, f"weights from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}"
            )
    prompt, negative = values["prompt"], values["negative"]
    if needs_guard(prompt[0]) and not any(
        values[name] is not None and ends_closed(name, values[name]) for name in FLAGS
    ):
        raise _refuse("prompt", prompt[0].text, "a text that does not start like a parameter")
    if any(segment.loras or segment.faceids for segment in negative):
        raise _refuse("negative", negative, "segments of text and embeddings, without other tags")
    if len(negative) == 1 and is_unset(negative[0].text):
        raise _refuse("negative", negative, "() for a negative prompt that is not set")


def _check_value(name: str, value: object, kind: ValueKind) -> None:
    if name == "negative_prompt" or value is None:
        return
    if isinstance(kind, ImageKind):
        kind = ImageKind(is_base64=isinstance(value, ImageRef) and value.kind == "base64")
    if not accepts(kind, value) or is_unset(kind.show(value)):
        raise _refuse(name, value, f"None or {kind.expected}")


def _check_flag(name: str, value: object) -> None:
    flag = FLAGS[name]
    if value is None:
        return
    if flag.takes == "nothing":
        is_valid = value is True
    elif flag.takes == "words":
        is_valid = (
            isinstance(value, tuple) and bool(value) and all(_is_word(flag, each) for each in value)
        )
    elif name == "outpaint_prompt":
        is_valid = isinstance(value, Segment) and not value.is_empty and _is_text(str(value))
    elif flag.takes == "text":
        is_valid = isinstance(value, str) and accepts(flag.kind, value) and _is_text(value)
    else:
        is_valid = _is_word(flag, value)
    if not is_valid:
        words = {
            "nothing": "None or True",
            "words": f"None or a tuple; each is {flag.kind.expected}",
            "text": "None or text that can stand in quotes",
        }
        raise _refuse(name, value, words.get(flag.takes, f"None or {flag.kind.expected}"))


def _is_word(flag: Flag, value: object) -> bool:
    if not accepts(flag.kind, value):
        return False
    text = flag.kind.show(value)
    return not isinstance(flag.kind, Line) or is_plain_word(text) or bool(text and in_quotes(text))


def _is_text(text: str) -> bool:
    """Return whether the text of a flag can be written.

    In quotes, or bare to the end of the line.
    """
    return bool(text) and (
        in_quotes(text) is not None or (text[0] not in QUOTES and is_plain(text))
    )


def _check_unknown(unknown: object) -> None:
    pairs = unknown if isinstance(unknown, tuple) else ()
    for pair in pairs:
        key, text = pair if isinstance(pair, tuple) and len(pair) == 2 else ("", "")
        if not (
            isinstance(key, str)
            and is_key(key)
            and key not in PARAMETERS
            and isinstance(text, str)
            and text == tidy(text)
        ):
            raise _refuse("unknown", pair, "(key, text) with a key that no parameter has")
    if pairs != unknown:
        raise _refuse("unknown", unknown, "a tuple of (key, text)")
