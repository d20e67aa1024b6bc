"""Settings of another program -> parameters of the language, and what has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..catalog import PARAMETERS, SCHEDULERS
from ..kinds import ValueProblem
from ..source import Span
from .infotext import unquoted
from .keys import SIZE, plain, size_of
from .samplers import is_sampler, scheduler_of

# They describe the file or the program; no picture comes out differently for them, or the models
# are the artist's to connect.
_BOOKKEEPING = frozenset(
    (
        *("version", "app", "user", "parser", "backend", "pipeline", "operations", "created date"),
        *("model", "model hash", "model name", "base model", "base model hash", "vae", "vae hash"),
        *("stable diffusion model", "lora hashes", "loras", "lora", "ti hashes", "hashes", "rng"),
        *("metadata scheme", "civitai resources", "civitai metadata", "batch size", "batch pos"),
        *("batch count", "template", "negative template", "performance", "image number"),
        *("number of images", "fooocus v2 expansion"),
    )
)
_SIMPLE = {
    "steps": "steps",
    "sampling steps": "steps",
    "seed": "seed",
}
_SIDES = {"w": "width", "h": "height"}
_LONGEST_SHOWN = 60
_GUIDANCE = ("distilled cfg scale", "cfg scale", "guidance scale", "cfg", "guidance")


@dataclass(frozen=True, slots=True)
class Taken:
    """Settings that were read, their keys as written, as parameters of the language."""

    keys: tuple[str, ...]
    own: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A setting that was not read. `hint` says what to do; empty where nothing need be done.

    `span` is its place, where key and value do not tell it.
    """

    key: str
    value: str
    hint: str = ""
    span: Span | None = None


def translate(settings: Sequence[tuple[str, str]]) -> Iterator[Taken | LeftOut]:
    """Yield what each (key, value) becomes; each is in one answer, with those it goes with."""
    given: dict[str, tuple[str, str]] = {}
    for key, value in settings:
        words = _SIDES.get(plain(key), plain(key))
        if words in given:
            yield LeftOut(key, value, "It is given twice: the first one counts.")
        else:
            given[words] = key, unquoted(value)
    yield from _numbers(given)
    yield from _size(given)
    yield from _sampler(given)
    yield from _denoising(given)
    for words, (key, value) in given.items():
        yield LeftOut(key, value, _why_left_out(words, value))


def how_to_write(own: str, key: str, value: str) -> str:
    """Return what to write for one setting: with its value, where the parameter takes it."""
    place = "on a line of its own, below the text."
    if own in ("w", "h"):
        is_taken = not isinstance(PARAMETERS[own].kind.read(value), ValueProblem)
        side = f"{own}={value}" if is_taken else f"{own}= with {PARAMETERS[own].kind.expected}"
        return f"Write {side}, and {'h' if own == 'w' else 'w'}= with it, each {place}"
    if own in (SIZE, "scheduler"):
        found = [one.own for one in translate([(key, value)]) if isinstance(one, Taken)]
        if found:
            written = " and ".join(f"{name}={text}" for name, text in found[0].items())
            return f"Write {written}{', each' if own == SIZE else ''} {place}"
    if own == SIZE:
        return f"Write w= and h= with {PARAMETERS['w'].kind.expected}, each {place}"
    kind = PARAMETERS[own].kind
    if isinstance(kind.read(value), ValueProblem):
        return f"Write {own}= with {kind.expected} {place}"
    shown = f"{own}={value}"
    return f"Write {shown if len(shown) < _LONGEST_SHOWN else own + '='} {place}"


def _numbers(given: dict[str, tuple[str, str]]) -> Iterator[Taken | LeftOut]:
    for words, own in _SIMPLE.items():
        if words == "seed" and given.get(words, ("", ""))[1] == "-1":
            yield LeftOut(*given.pop(words))  # any seed, as when none is set
        elif words in given:
            yield _checked((given.pop(words),), {own: None})
    guidance = [given.pop(words) for words in _GUIDANCE if words in given]
    for one in guidance[:1]:
        yield _checked((one,), {"cfg_scale": None})
    for key, value in guidance[1:]:
        # Beside a distilled guidance the other number is the true CFG of Flux, which is 1 here.
        hint = "" if value in ("1", "1.0") else f"{guidance[0][0]} is taken for cfg_scale."
        yield LeftOut(key, value, hint)


def _size(given: dict[str, tuple[str, str]]) -> Iterator[Taken | LeftOut]:
    for words in ("size", "resolution"):
        if words in given and (size := size_of(given[words][1])):
            yield _checked((given.pop(words),), {"w": size[0], "h": size[1]})
            break
    sides = [given.pop(words) for words in ("width", "height") if words in given]
    if len(sides) == 2:
        yield _checked(sides, {"w": sides[0][1], "h": sides[1][1]})
    for key, value in sides if len(sides) == 1 else ():
        yield LeftOut(key, value, "It is one side of two: write w= and h=.")


def _sampler(given: dict[str, tuple[str, str]]) -> Iterator[Taken | LeftOut]:
    sampler = given.pop("sampler", None) or given.pop("sampler name", None)
    schedule = given.pop("schedule type", None)
    if "scheduler" in given and sampler and not schedule:
        schedule = given.pop("scheduler")
    elif "scheduler" in given and not sampler and is_sampler(given["scheduler"][1]):
        sampler = given.pop("scheduler")
    if sampler is None:
        if schedule is not None:
            yield LeftOut(*schedule, f"Write scheduler= with one of {', '.join(SCHEDULERS)}.")
        return
    own, is_exact = scheduler_of(sampler[1], schedule[1] if schedule else "")
    hint = f"Nothing here is just that: scheduler= takes {', '.join(SCHEDULERS)}."
    if own is None:
        yield LeftOut(*sampler, hint)
        if schedule is not None:
            yield LeftOut(*schedule)
        return
    said = [sampler[0], *([schedule[0]] if schedule and is_exact else [])]
    yield Taken(tuple(said), {"scheduler": own})
    if not is_exact:
        yield LeftOut(
            *(schedule or sampler),
            f"scheduler={own} runs on its own noise schedule, on Flux on simple.",
        )


def _denoising(given: dict[str, tuple[str, str]]) -> Iterator[Taken | LeftOut]:
    hires = [words for words in given if words.startswith("hires")]
    strength = given.pop("denoising strength", None)
    if strength and not hires:
        yield _checked((strength,), {"denoising_strength": None})
        return
    flag = f" and --hires_denoising_strength {strength[1]}" if strength else ""
    hint = (
        f"For a second pass write hires_fix=true{flag}; super_resolution, four times the size,"
        " comes with it."
    )
    if strength:
        yield LeftOut(*strength, hint)
    for words in hires:
        yield LeftOut(*given.pop(words), hint)


def _checked(said: Sequence[tuple[str, str]], own: Mapping[str, str | None]) -> Taken | LeftOut:
    """Return the setting as taken, where its values are values of the parameters."""
    key, value = said[0]
    values = {name: text or value for name, text in own.items()}
    for name, text in values.items():
        read = PARAMETERS[name].kind.read(text)
        if isinstance(read, ValueProblem):
            return LeftOut(key, value, f"{name}= cannot hold it. {read.hint}")
    return Taken(tuple(one for one, _ in said), values)


def _why_left_out(words: str, value: str) -> str:
    if words in _BOOKKEEPING or words.endswith(" hash") or (words, value) == ("clip skip", "1"):
        return ""
    if words == "clip skip":
        return (
            f"Put CLIP Set Last Layer with stop_at_clip_layer -{value} between the loader and clip."
        )
    if words == "face restoration":
        return "Write face_correct=true."
    if words in ("style", "styles"):
        return (
            f"Write style= with one of {PARAMETERS['style'].kind.expected.removeprefix('one of ')}."
        )
    return "No parameter here has it."
