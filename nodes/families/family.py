"""All model families in one table, and what follows from their facts: samplers and sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from ..errors import PlanError
from . import flux, flux2, krea2, sd15, sdxl, zimage
from .facts import Family

__all__ = ["ASPECT_RATIOS", "FAMILIES", "SCHEDULERS", "Family", "family"]

_ROOMS = (sd15, sdxl, flux, flux2, zimage, krea2)
FAMILIES = {one.name: one for room in _ROOMS for one in room.FAMILIES}
# Families that LoRAs, ControlNets and adapters are made for.
BRANCHES = tuple(dict.fromkeys(one.branch for one in FAMILIES.values()))
# Those that a base can be. An inpainting model stands beside one.
BASES = tuple(one.name for one in FAMILIES.values() if not one.inpaint)

# What shows a person on a family that no adapter draws faces from photos on.
FACES_WITHOUT_ADAPTER = (
    "Use a LoRA of the person, with inpaint_faces=true for small faces, or face_swap=true with a"
    " tune of their photos."
)


def family(name: str) -> Family:
    """Return the family called `name`. Raises PlanError naming the known ones."""
    if name not in FAMILIES:
        raise PlanError(
            f"Model family '{name}' is not one of {', '.join(FAMILIES)}.", code="unknown-family"
        )
    return FAMILIES[name]


@dataclass(frozen=True)
class HostSampler:
    """The host's sampler and sigma schedule for one scheduler name of the service."""

    sampler: str
    schedule: str


# The service's names on the left; the host's samplers and schedules on the right. `tcd` is refused
# when the text is parsed.
SCHEDULERS = {
    "euler": HostSampler("euler", "normal"),
    "euler_a": HostSampler("euler_ancestral", "normal"),
    "dpm++2m_karras": HostSampler("dpmpp_2m", "karras"),
    "dpm++sde_karras": HostSampler("dpmpp_sde", "karras"),
    "dpm++2m": HostSampler("dpmpp_2m", "normal"),
    "dpm++sde": HostSampler("dpmpp_sde", "normal"),
    "lcm": HostSampler("lcm", "sgm_uniform"),
    "res_multistep": HostSampler("res_multistep", "simple"),
}


def host_sampler(scheduler: str, of: Family) -> HostSampler:
    """Return the host's sampler for a scheduler name, on the family's own schedule where it has
    one.
    """
    chosen = SCHEDULERS[scheduler]
    return HostSampler(chosen.sampler, of.schedule or chosen.schedule)


def is_one_of_several(of: Family) -> bool:
    """Say whether a model of this family is, to the host, that of others as well."""
    return sum(one.host == of.host for one in FAMILIES.values()) > 1


# Where a word begins in a name such as flux2Klein_9bBase.
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def variant_of(fitting: Sequence[Family], file: str) -> tuple[Family, str]:
    """Return which of several families a model is that may be any of them, by the name of its file,
    and why; "" where it can be one only.
    """
    if len(fitting) == 1:
        return fitting[0], ""
    name = PurePath(file.replace("\\", "/")).name
    words = _WORD_START.sub("_", name)
    assumed = next(one for one in fitting if not one.named)
    patterns = [(one, one.named) for one in fitting if one.named]
    for one, pattern in (*patterns, (assumed, assumed.also_named or "(?!)")):
        if re.search(pattern, words, re.IGNORECASE):
            return one, f"by the name of its file, {name}"
    others = " or ".join(one.title for one in fitting if one is not assumed)
    unsaid = f"its file's name, {name}," if name else "its file, which is not known,"
    told = "a base that names this file" if name else "the default base"
    return assumed, (
        f"assumed: neither the model nor {unsaid} tells it from {others}; in the bindings the"
        f" family of {told} does"
    )


def inpaint_model_of(branch: str) -> Family:
    """Return the family of a branch's inpainting models. Raises PlanError where it has none."""
    for one in FAMILIES.values():
        if one.branch == branch and one.inpaint:
            return one
    title = FAMILIES[branch].title
    raise PlanError(
        f"There is no inpainting model of {title}.",
        code="no-inpaint-model",
        hint=f"Take outpaint_model out of its base: {title} itself paints under a mask.",
    )


# width : height of the aspect ratios the service accepts in `ar` and `aspect_ratio`.
ASPECT_RATIOS = {
    "1:1": (1, 1),
    "portrait": (4, 5),
    "landscape": (5, 4),
    "16:9": (16, 9),
    "9:16": (9, 16),
    "21:9": (21, 9),
    "9:21": (9, 21),
    "3:2": (3, 2),
    "2:3": (2, 3),
    "5:4": (5, 4),
    "4:5": (4, 5),
    "4:3": (4, 3),
    "3:4": (3, 4),
}


def size_for_ratio(ratio: tuple[int, int], of: Family) -> tuple[int, int]:
    """Return the size of that ratio whose area is nearest the family's native square, in multiples
    of 64 pixels, of an eighth of a smaller native size than 512.
    """
    across, down = ratio
    scale = of.native_size / (across * down) ** 0.5
    step = min(64, of.native_size // 8)
    width, height = (max(1, round(side * scale / step)) * step for side in ratio)
    return width, height
