"""Settings of another program put into a request, after everything of this language was read."""

from __future__ import annotations

from collections.abc import Mapping

from ..catalog import PARAMETERS, is_unset
from ..kinds import tidy
from ..reader import Foreign, PromptReading, ValuePlace
from ..source import LINE_END, Rewrite, Span, quoted
from .infotext import unquoted
from .settings import LeftOut, Taken, translate

_MOST_NAMED = 12


def settle(reading: PromptReading) -> None:
    """Fill what the text or the fields do not say themselves, and say what was taken as what.

    What is given in this language wins over what is given in another.
    """
    if not reading.foreign:
        return
    own: dict[str, str] = {}
    said: list[str] = []
    left: list[LeftOut] = []
    for found in reading.foreign:
        if any(not segment.is_empty for segment in found.negative):
            _take_negative(reading, found, own, said, left)
    settings = [pair[:2] for found in reading.foreign for pair in found.settings]
    for one in translate(settings):
        if isinstance(one, LeftOut):
            left.append(one)
        else:
            _take(reading, one, own, said, left)
    _tell(reading, own, said, left)


def _take_negative(
    reading: PromptReading,
    found: Foreign,
    own: dict[str, str],
    said: list[str],
    left: list[LeftOut],
) -> None:
    has_errors = found.place.report.has_errors
    built = () if has_errors else tuple(segment.build() for segment in found.negative)
    if len(built) == 1 and is_unset(str(built[0])):
        left.append(LeftOut(found.place.label, ""))
        return
    if "negative" in reading.places or "negative_prompt" in own:
        hint = "negative_prompt= or another negative prompt is given as well, and counts."
        left.append(LeftOut(found.place.label, "", hint, found.place.span))
        return
    if has_errors:
        reading.put("negative", None, found.place)
        return
    reading.put("negative", built, found.place)
    own["negative_prompt"] = " BREAK ".join(map(str, built)).strip()
    said.append(f"{found.place.label} as negative_prompt=")


def _take(
    reading: PromptReading, one: Taken, own: dict[str, str], said: list[str], left: list[LeftOut]
) -> None:
    place = reading.foreign[-1].place
    values = {name: PARAMETERS[name].kind.read(text) for name, text in one.own.items()}
    sizes = {"w", "h", "ar", "aspect_ratio"}
    rivals = sizes if set(values) & sizes else set(values)
    there = rivals & set(reading.places)
    given = sorted(name for name in there if name not in own or name in values)
    if given:
        if any(reading.values.get(name) != value for name, value in values.items()):
            hint = f"{' and '.join(f'{name}=' for name in given)} is given as well, and counts."
            left.append(LeftOut(one.keys[0], "x".join(one.own.values()), hint))
        return
    for name, value in values.items():
        reading.put(name, value, ValuePlace(place.report, place.span, f"{name}="))
    own.update(one.own)
    said.append(f"{' and '.join(one.keys)} as {_shown(one.own)}")


def _shown(own: Mapping[str, str]) -> str:
    return " and ".join(f"{name}={text}" for name, text in own.items())


def _tell(
    reading: PromptReading, own: Mapping[str, str], said: list[str], left: list[LeftOut]
) -> None:
    found = reading.foreign
    report, span = found[0].place.report, found[0].place.span
    rewrite = None if report.has_errors else _rewritten(found, own)
    quiet = [one.key for one in left if not one.hint]
    read = f"are read: {', '.join(said)}" if said else "stand here, and none is read"
    left_out = f"; left out: {_listed(quiet)}" if quiet else ""
    is_wordless = "negative_prompt" in own and not any(one.pieces() for one in reading.prompt)
    left_out += "; the prompt itself has no words" if is_wordless else ""
    report.add(
        "foreign-settings",
        "warning" if is_wordless else "info",
        span,
        f"settings of another program {read}{left_out}",
        "Write them as key=value to be rid of this note; the editor offers to.",
        rewrite,
    )
    hints: dict[str, list[LeftOut]] = {}
    for one in left:
        if one.hint:
            hints.setdefault(one.hint, []).append(one)
    places: dict[tuple[str, str], Span] = {}
    for key, value, place in (setting for one in found for setting in one.settings):
        places.setdefault((key, ""), place)
        places.setdefault((key, unquoted(value)), place)
    for hint, those in hints.items():
        shown = _listed([f"{one.key}: {one.value}".removesuffix(": ") for one in those])
        first = those[0]
        named = first.span or places.get((first.key, first.value))
        at = named or places.get((first.key, ""), span)
        verb = "is" if len(those) == 1 else "are"
        report.add("foreign-left-out", "warning", at, f"{shown} {verb} left out", hint)


def _listed(names: list[str]) -> str:
    shown = [quoted(tidy(name)) for name in names[:_MOST_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _rewritten(found: list[Foreign], own: Mapping[str, str]) -> Rewrite:
    """Return the whole text with the settings as parameters of the language.

    Flags and tags that stand in a negative prompt belong to the prompt: they go behind its text.
    """
    source = found[0].place.report.source
    block = found[0].block_start
    kept, at = [], 0
    for one in found:
        kept.append(source[at : one.place.span.start])
        at = one.place.span.end
    moved = [text for one in found for text in one.moved]
    body = "".join([*kept, source[at:block]]).strip()
    lines = [" ".join(filter(None, (body, *moved)))]
    lines += [f"{name}={own[name]}" for name in PARAMETERS if name in own]
    lines += [LINE_END.sub("\n", source[block:]).strip()]
    text = "\n".join(filter(None, lines))
    return Rewrite(Span(0, len(source)), text, "Write as key=value")
