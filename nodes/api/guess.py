"""Which of the files present a base tune of the service's gallery most likely stands for, by the names under which they are published."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class _Wanted:
    """A field of a base: the model folder of its file, and what its name has in it, or has not."""

    folder: str
    name: re.Pattern[str]
    without: re.Pattern[str] = re.compile(r"(?!)")
    is_needed: bool = True


def _like(folder: str, name: str, without: str = "(?!)", is_needed: bool = True) -> _Wanted:
    return _Wanted(folder, re.compile(name, re.IGNORECASE), re.compile(without, re.IGNORECASE), is_needed)


_OTHER_FLUX = r"fill|kontext|redux|canny|depth|schnell|krea"
_FLUX_DEV = r"(^|[/_-])flux[._-]?1?[._-]?dev|^flux1-dev"
# Base -> the ways to load it, the first whole one counts.
_BASES: Mapping[str, Sequence[Mapping[str, _Wanted]]] = {
    "690204": ({"checkpoint": _like("checkpoints", r"realistic[ ._-]?vision.*5[._-]?1", r"inpaint")},),
    "1504944": (
        {
            "diffusion_model": _like("diffusion_models", _FLUX_DEV, _OTHER_FLUX),
            "clip_l": _like("text_encoders", r"(^|/)clip_l"),
            "t5xxl": _like("text_encoders", r"(^|/)t5[._-]?xxl"),
            "vae": _like("vae", r"(^|/)(flux[._-]?)?(ae|vae)\.(safetensors|sft)$|flux.*vae"),
            "outpaint_model": _like("diffusion_models", r"flux.*fill", is_needed=False),
        },
        {"checkpoint": _like("checkpoints", _FLUX_DEV, _OTHER_FLUX)},
    ),
}


def guessed(base: str, files: Callable[[str], Sequence[str]]) -> Mapping[str, str]:
    """Return field -> file for a base of the gallery, empty where a needed file is not there; `files` lists a model folder."""
    for way in _BASES.get(base, ()):
        found = {field: _best(wanted, files(wanted.folder)) for field, wanted in way.items()}
        if all(found[field] for field, wanted in way.items() if wanted.is_needed):
            return {field: name for field, name in found.items() if name}
    return {}


def _best(wanted: _Wanted, names: Sequence[str]) -> str:
    """Return the plainest name that fits: variants have longer ones."""
    portable = [name.replace("\\", "/") for name in names]
    fitting = [name for name in portable if wanted.name.search(name) and not wanted.without.search(name)]
    return min(fitting, key=lambda name: (len(name), name), default="")
