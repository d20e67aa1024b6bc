"""The modes of union ControlNets by the kind of map, and the strengths their authors advise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

MapKind = Literal["pose", "canny", "tile", "qr", "depth", "lineart", "hed", "mlsd", "segroom"]
KINDS: tuple[MapKind, ...] = get_args(MapKind)


@dataclass(frozen=True)
class Union:
    """A ControlNet that knows several kinds of map.

    `numbers` are its authors' numbers by kind, `count` is how many modes the file at hand has.
    """

    numbers: Mapping[MapKind, int]
    count: int

    @property
    def known(self) -> tuple[str, ...]:
        """The kinds that it has a mode for."""
        return tuple(kind for kind, number in self.numbers.items() if number < self.count)

    def number(self, kind: MapKind) -> int | None:
        """Return its number for a kind; None where it has no mode for it."""
        return self.numbers[kind] if kind in self.known else None


# xinsir's controlnet-union-sdxl (https://github.com/xinsir6/ControlNetPlus). The ProMax file has
# all eight modes, the first one only six: no tile.
SDXL_NUMBERS: Mapping[MapKind, int] = {
    "pose": 0,
    "depth": 1,
    "hed": 2,
    "canny": 3,
    "lineart": 3,
    "mlsd": 3,
    "segroom": 5,
    "tile": 6,
}
# InstantX FLUX.1-dev-Controlnet-Union and Shakker-Labs' Union-Pro. Their blur (3), gray (5) and low
# quality (6) are no kinds of the language.
FLUX_NUMBERS: Mapping[MapKind, int] = {"canny": 0, "tile": 1, "depth": 2, "pose": 4}


@dataclass(frozen=True)
class Advice:
    """The authors' advice for a ControlNet: its strength, and the part of the sampling, 0..1, at
    which it ends.
    """

    strength: float
    end: float
    source: str


_PRO_2 = "advised by the authors of Flux's Union-Pro-2.0"
_PRO = "the most that the authors of Flux's Union-Pro advise"
_FLUX_ADVICE: Mapping[MapKind, Advice] = {
    "canny": Advice(0.7, 0.8, _PRO_2),
    "hed": Advice(0.7, 0.8, _PRO_2),  # their soft edges
    "depth": Advice(0.8, 0.8, _PRO_2),
    "pose": Advice(0.9, 0.65, _PRO_2),
}


def flux_advice(kind: MapKind) -> Advice:
    """Return the advice for a union ControlNet of Flux.

    Union-Pro-2.0 states it by kind; for all others Union-Pro's range, 0.3 to 0.8, counts.
    """
    return _FLUX_ADVICE.get(kind, Advice(0.8, 1.0, _PRO))


# Of Z-Image's Fun ControlNet Union 2.1, in its authors' examples of inpainting, turbo and base.
INPAINT_STRENGTH = 0.9
