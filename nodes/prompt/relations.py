"""Conflicts between values of one request, and values without effect, as far as the text tells."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from .catalog import FLAGS, PARAMETERS
from .source import Severity


@dataclass(frozen=True, slots=True)
class RequestFinding:
    """A diagnostic without a place: `about` names the value of the request that it is about."""

    code: str
    severity: Severity
    about: str
    message: str
    hint: str


def findings(values: Mapping[str, object], given: Collection[str]) -> Iterator[RequestFinding]:
    """Yield the findings about `values`.

    `given` also names values that were given but cannot be read.
    """
    yield from _super_resolution(values, given)
    yield from _outpainting(given)
    yield from _size(values, given)
    yield from _controlnets(values, given)
    yield from _without_effect(given)


def _super_resolution(
    values: Mapping[str, object], given: Collection[str]
) -> Iterator[RequestFinding]:
    is_off = values.get("super_resolution") is False
    is_unset = "super_resolution" not in given
    if values.get("hires_fix") is True and is_off:
        hint = "Set super_resolution=true, or hires_fix=false."
        yield RequestFinding(
            "conflict",
            "error",
            "hires_fix",
            "hires_fix=true needs super_resolution, which is false",
            hint,
        )
    elif values.get("hires_fix") is True and is_unset:
        yield RequestFinding(
            "implied",
            "info",
            "hires_fix",
            "hires_fix=true turns super_resolution on",
            "Write super_resolution=true to say so.",
        )
    if values.get("inpaint_faces") is True and (is_off or is_unset):
        hint = "Write super_resolution=true to say so."
        yield RequestFinding(
            "implied", "info", "inpaint_faces", "inpaint_faces=true turns super_resolution on", hint
        )


def _outpainting(given: Collection[str]) -> Iterator[RequestFinding]:
    parts = ("outpaint_width", "outpaint_height", "outpaint_prompt")
    if "outpaint" in given:
        missing = [f"--{name} PIXELS" for name in parts[:2] if name not in given]
        if missing:
            message = f"--outpaint needs {' and '.join(missing)}"
            yield RequestFinding(
                "needs-flag",
                "error",
                "outpaint",
                message,
                "Give the new canvas a width and a height.",
            )
    for name in parts:
        if name in given and "outpaint" not in given:
            hint = (
                "Say where the source image sits on the new canvas, for example --outpaint center."
            )
            yield RequestFinding(
                "needs-flag", "error", name, f"--{name} needs --outpaint ANCHOR", hint
            )


def _size(values: Mapping[str, object], given: Collection[str]) -> Iterator[RequestFinding]:
    for one, other in (("w", "h"), ("h", "w")):
        if one in given and other not in given:
            hint = f"Set {other} as well, or leave both empty."
            yield RequestFinding(
                "needs-parameter", "error", one, f"{one}= is set without {other}=", hint
            )
    is_sized = "w" in given and "h" in given
    for name in ("ar", "aspect_ratio"):
        if name in given and is_sized:
            yield RequestFinding(
                "no-effect", "info", name, f"{name}= has no effect, since w and h are set", ""
            )
    both = "ar" in values and "aspect_ratio" in values
    if both and not is_sized and values["ar"] != values["aspect_ratio"]:
        yield RequestFinding(
            "no-effect", "info", "ar", "ar= has no effect, since aspect_ratio is set", ""
        )


def _controlnets(values: Mapping[str, object], given: Collection[str]) -> Iterator[RequestFinding]:
    if "controlnet_weights" not in values or (
        "controlnets" in given and "controlnets" not in values
    ):
        return
    weights, names = (values.get(name, ()) for name in ("controlnet_weights", "controlnets"))
    assert isinstance(weights, tuple) and isinstance(names, tuple), (
        "lists of the language are tuples"
    )
    if len(weights) > len(names):
        message = f"--controlnet_weights holds {len(weights)}, and --controlnets names {len(names)}"
        yield RequestFinding(
            "too-many-weights",
            "error",
            "controlnet_weights",
            message,
            "Give each ControlNet at most one weight.",
        )


def _without_effect(given: Collection[str]) -> Iterator[RequestFinding]:
    for name, flag in FLAGS.items():
        if name in given and not flag.has_effect:
            yield RequestFinding(
                "no-effect", "info", name, f"--{name} is recognised, and has no effect here", ""
            )
    for name, parameter in PARAMETERS.items():
        if name in given and not parameter.has_effect:
            yield RequestFinding(
                "no-effect", "info", name, f"{name}= is recognised, and has no effect here", ""
            )
