"""Models and LoRAs that were distilled to few steps, recognised by the names of their files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

# A word of its own (lcm-lora-sdv1-5), or capitals beside small letters (sdxlLCM, LCMv2 but not
# falcMan).
_LCM = re.compile(r"(?<![A-Za-z])[Ll][Cc][Mm](?=v\d|[^a-z]|$)|LCM(?![A-Z])")
# How many steps, where that is few: a count of the steps that a file was trained in is larger.
_STEPS = re.compile(r"(?<!\d)([1-9]|1[0-6])[-_. ]?steps?(?![a-z0-9])", re.IGNORECASE)
# ByteDance's Hyper-SD, Distribution Matching Distillation, trajectory and phased consistency.
_METHODS = r"hyper[-_. ]?(?:sd|flux|xl)|(?<![a-z])(?:dmd2?|tcd|pcm)(?![a-z])"
_MODEL = re.compile(rf"{_METHODS}|lightning|(?<!de)(?<!de[-_. ])turbo", re.IGNORECASE)
# Beside the name of a model: LoRAs of a lightning or of a car are called so too.
_LORA = re.compile(
    rf"{_METHODS}|(?:sd|xl|flux(?:\.?1)?)[-_. ]?(?:dev)?[-_. ]?(?:lightning|turbo)",
    re.IGNORECASE,
)
# Those that were distilled to be guided as ordinary models are.
_GUIDED = re.compile(r"(?<![a-z])(?:normal)?cfg(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class FewSteps:
    """What the name of a file says of how it wants to be sampled: in so many steps, 0 where it does
    not say, and whether it takes the guidance of ordinary models.
    """

    steps: int
    is_guided: bool
    is_lcm: bool


def is_named_lcm(file: str) -> bool:
    """Say whether the name of a file, without its folders, says that it is an LCM."""
    return _LCM.search(_name_of(file)) is not None


def few_steps_of(file: str, *, is_lora: bool = False) -> FewSteps | None:
    """Return what the name of a file, without its folders, says of few steps; None where it says
    nothing of them.
    """
    name = _name_of(file)
    steps, is_lcm = _STEPS.search(name), is_named_lcm(name)
    if not (steps or is_lcm or (_LORA if is_lora else _MODEL).search(name)):
        return None
    return FewSteps(int(steps[1]) if steps else 0, _GUIDED.search(name) is not None, is_lcm)


def _name_of(file: str) -> str:
    return PurePath(file.replace("\\", "/")).name
