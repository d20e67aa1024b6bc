"""Other programs' names of parameters, and their flags -> what to write in this language."""

from __future__ import annotations

import re

from ..catalog import FLAGS, PARAMETERS
from ..kinds import ValueProblem
from ..suggest import did_you_mean
from .samplers import is_sampler, is_schedule

SIZE = "w= and h="
NEGATIVE = "negative prompt"

# Written as one word, or in words as on the line of a picture's settings. Names that the language
# itself knows are not here.
ALIASES: dict[str, str] = {
    **dict.fromkeys(("width", "image width", "image w"), "w"),
    **dict.fromkeys(("height", "image height", "image h"), "h"),
    **dict.fromkeys(("size", "resolution", "image size", "dimensions"), SIZE),
    **dict.fromkeys(("cfg", "guidance", "guidance scale", "cfg guidance", "txtcfg"), "cfg_scale"),
    **dict.fromkeys(("distilled cfg scale", "distilled cfg", "flux guidance"), "cfg_scale"),
    **dict.fromkeys(("sampler", "sampler name", "sampling method", "sample method"), "scheduler"),
    **dict.fromkeys(("sampling steps", "num inference steps", "inference steps"), "steps"),
    **dict.fromkeys(("noise seed", "rand seed", "random seed"), "seed"),
    **dict.fromkeys(
        ("negative", "neg", "neg prompt", "uc", "undesired content"), "negative_prompt"
    ),
    **dict.fromkeys(("denoise", "denoising", "denoise strength", "strength"), "denoising_strength"),
    **dict.fromkeys(("batch size", "batch count", "num outputs", "n iter"), "num_images"),
    **dict.fromkeys(("number of images", "image number", "images"), "num_images"),
    **dict.fromkeys(("aspect", "ratio", "aspect ratios"), "aspect_ratio"),
    **dict.fromkeys(("init image", "image", "image url", "reference image"), "input_image"),
    **dict.fromkeys(("mask", "mask url"), "mask_image"),
    **dict.fromkeys(("upscale", "super res"), "super_resolution"),
    **dict.fromkeys(("hires", "highres fix", "enable hr"), "hires_fix"),
    **dict.fromkeys(("restore faces", "face restore", "face restoration"), "face_correct"),
}
# Flags of Midjourney, and those that programs on a command line take: -> what to do here.
FLAGS_ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(("ar", "aspect"), "Write aspect_ratio=16:9 on a line of its own, below."),
    "no": "Write negative_prompt=... on a line of its own, below the text.",
    **dict.fromkeys(("cref", "cw"), "Write <faceid:ID:1.0> with the id of a set of photos."),
    "iw": "Write denoising_strength=0.5 on a line of its own, below the text.",
    **dict.fromkeys(
        (
            *("v", "version", "niji", "stylize", "s", "chaos", "c", "weird", "tile", "mode"),
            *("quality", "q", "repeat", "r", "stop", "raw", "fast", "turbo", "relax", "draft"),
            *("sref", "sw", "sv", "profile", "p", "personalize", "exp", "oref", "ow", "hd", "test"),
            *("testp", "creative", "stealth", "public", "uplight", "upbeta", "motion"),
        ),
        "Nothing here does that: take it out with its value.",
    ),
}
# In pixels. Two sides below the first are a paper format in inches; one side alone below the second
# is the height of a person.
_SMALLEST_SIDE = 64
_SMALLEST_DEFAULT = 256
_WORDS = re.compile(r"[\s_]+")


def plain(key: str) -> str:
    """Return a key in small letters, its words parted by blanks."""
    return _WORDS.sub(" ", key).strip().casefold()


_OWN = {plain(key): key for key in PARAMETERS}


def own_key(key: str) -> str | None:
    """Return the parameter that another program's key means, `w= and h=` for a size.

    None for one that nothing here has, and for near misses.
    """
    words = plain(key)
    return _OWN.get(words) or ALIASES.get(words)


def key_to_write(key: str) -> str | None:
    """Return `NAME=` for a key of another program or a near miss, None where none is near."""
    own = own_key(key) or did_you_mean(key, PARAMETERS)
    if own is None or own == SIZE:
        return own
    return f"{own}="


def flag_for_key(key: str) -> str | None:
    """Return what to write where a key is a flag, or nearly one; None where it is nearer to a
    parameter, or to nothing.
    """
    near = None if own_key(key) else did_you_mean(key, [*PARAMETERS, *FLAGS])
    if near not in FLAGS:
        return None
    return f"Did you mean the flag --{near}? Write it in the text, without =."


def is_value_of(own: str, text: str) -> bool:
    """Say whether a text could be meant as a value of the parameter."""
    if own == SIZE:
        size = size_of(text)
        return size is not None and min(map(int, size)) >= _SMALLEST_SIDE
    if own == "negative_prompt":
        return bool(text)
    if own in ("backend_version", "prompt_expansion", "input_image", "mask_image"):
        return False  # they take any text, so prose would pass
    if own in ("w", "h"):
        return text.isdecimal() and len(text) < 6 and int(text) >= _SMALLEST_DEFAULT
    value = PARAMETERS[own].kind.read(text)
    if own == "scheduler":
        return not isinstance(value, ValueProblem) or is_sampler(text) or is_schedule(text)
    return not isinstance(value, ValueProblem) or (
        value.code != "bad-number" and text[:1].isdigit()
    )


def size_of(text: str) -> tuple[str, str] | None:
    """Return width and height of a size as it is written elsewhere: `512x768`, `(512, 768)`."""
    found = _SIZE.fullmatch(text.strip())
    return (found.group(1), found.group(2)) if found else None


_SIZE = re.compile(r"[(\[]?\s*(\d{1,6})\s*(?:[x\u00d7*,]|by)\s*(\d{1,6})\s*[)\]]?", re.IGNORECASE)


def flag_to_write(name: str) -> str | None:
    """Return what to write for a flag that other programs have, None for one that none has."""
    known = FLAGS_ELSEWHERE.get(name.casefold())
    if known is not None:
        return known
    own = own_key(name.replace("-", "_"))
    if own is None:
        return None
    written = own if own == SIZE else f"{own}="
    return f"Parameters have no dashes: write {written} on a line of its own, below the text."
