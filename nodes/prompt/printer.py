"""A request -> a text that reads back as that request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .catalog import FLAGS, PARAMETERS
from .dialects.infotext import begins_negative
from .images import ImageRef
from .lexer import BLANKS, QUOTES, Lexer, Scanner, is_plain
from .segment import Segment
from .source import Span

_IMAGE_KEYS = {"url": "{}_url", "file": "{}", "base64": "{}_base64"}


def printed(values: Mapping[str, object]) -> str:
    """Return the text that reads back as `values`.

    One segment a line, flags after the last one, then the parameters.
    """
    segments = values["prompt"]
    assert isinstance(segments, tuple), "a request holds a tuple of segments"
    given = [name for name in FLAGS if values[name] is not None]
    flags = [
        _flag(name, values[name])
        for name in sorted(given, key=lambda name: ends_closed(name, values[name]))
    ]
    lines = [str(segments[0]), *(f"BREAK {segment}".strip() for segment in segments[1:])]
    at = 0 if needs_guard(segments[0]) else -1
    # A text that starts like a parameter would open the block; flags before it keep it text.
    parts = [" ".join(flags), lines[at]] if at == 0 else [lines[at], " ".join(flags)]
    lines[at] = " ".join(part for part in parts if part)
    if begins_negative(Scanner(lines[0]), Span(0, len(lines[0]))):
        lines[0] = lines[0].replace(" ", "\n", 1)  # torn, it stays text
    return "\n".join([line for line in lines if line] + _block(values))


def needs_guard(base: Segment) -> bool:
    """Return whether the printed base prompt starts like a parameter of the block."""
    _, key = next(Lexer(Scanner(str(base))).lines())
    return key.of(str(base)) in PARAMETERS


def ends_closed(name: str, value: object) -> bool:
    """Return whether text behind the written flag would not be taken for its value.

    Such flags go last.
    """
    takes = FLAGS[name].takes
    return takes in ("nothing", "one") or (takes == "text" and in_quotes(str(value)) is not None)


def _flag(name: str, value: object) -> str:
    kind = FLAGS[name].kind
    if FLAGS[name].takes == "nothing":
        return f"--{name}"
    if FLAGS[name].takes == "words":
        assert isinstance(value, tuple), "a request holds lists as tuples"
        return f"--{name} " + " ".join(word(kind.show(each)) for each in value)
    if FLAGS[name].takes == "text":
        text = str(value)
        return f"--{name} {in_quotes(text) or text}"
    return f"--{name} {word(kind.show(value))}"


def word(text: str) -> str:
    """Return `text` as one word of a flag's value, in quotes where it would not be read as one
    without.
    """
    return text if is_plain_word(text) else in_quotes(text) or text


def is_plain_word(text: str) -> bool:
    return (
        bool(text)
        and text[0] not in QUOTES
        and not any(char in BLANKS for char in text)
        and is_plain(text)
    )


def in_quotes(text: str) -> str | None:
    """Return `text` in quotes that it does not close itself, None when both kinds would."""
    for quote in QUOTES:
        quoted = f"{quote}{text}{quote}"
        if Lexer(Scanner(quoted)).closing_quote(0, len(quoted)) == len(quoted) - 1:
            return quoted
    return None


def _block(values: Mapping[str, object]) -> list[str]:
    lines = [
        f"{key}={_value(key, values[spec.target])}"
        for key, spec in PARAMETERS.items()
        if _is_said_by(key, values[spec.target])
    ]
    unknown = values["unknown"]
    assert isinstance(unknown, Sequence), "a request holds a tuple of unknown parameters"
    if unknown and not lines:
        lines.append("num_images=")  # an unknown key alone would not open the block
    return lines + [f"{key}={text}" for key, text in unknown]


def _is_said_by(key: str, value: object) -> bool:
    if isinstance(value, ImageRef):
        return key == _IMAGE_KEYS[value.kind].format(PARAMETERS[key].target)
    return value is not None and value != ()


def _value(key: str, value: object) -> str:
    if key == "negative_prompt":
        assert isinstance(value, tuple), "a request holds a tuple of segments"
        return " BREAK ".join(map(str, value)).strip()
    return PARAMETERS[key].kind.show(value)
