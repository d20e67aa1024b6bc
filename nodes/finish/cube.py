"""Colour tables in `.cube` files, as editing programs write them.

one-dimensional curves and three-dimensional tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import AstriaError

SIZES = {"LUT_1D_SIZE": (2, 65536), "LUT_3D_SIZE": (2, 256)}
BOUNDS = {"DOMAIN_MIN": 3, "DOMAIN_MAX": 3, "LUT_1D_INPUT_RANGE": 2, "LUT_3D_INPUT_RANGE": 2}
_EXPORT_AGAIN = "Export the LUT again as a plain 1D or 3D .cube file."


@dataclass(frozen=True, eq=False)
class Cube:
    """A colour table: [n,3] for one curve a channel, [n,n,n,3] with blue, green, red as its axes.

    The domain is what its ends stand for.
    """

    table: Tensor
    least: Tensor
    most: Tensor


def apply_cube(colours: Tensor, cube: Cube) -> Tensor:
    """Return display values [...,3] looked up in the table, linear (1D) or trilinear (3D) between
    its entries, cut off to 0..1.
    """
    least, most = cube.least.to(colours), cube.most.to(colours)
    place = ((colours - least) / (most - least)).clamp(0, 1)
    table = cube.table.to(colours)
    if table.ndim == 2:
        position = place * (len(table) - 1)
        below = position.floor().long().clamp(max=len(table) - 2)
        channel = torch.arange(3, device=colours.device).expand(below.shape)
        return torch.lerp(table[below, channel], table[below + 1, channel], position - below).clamp(
            0, 1
        )
    # The sampler's x, y, z are the last, middle and first axis: red, green, blue.
    grid = (place * 2 - 1).reshape(1, 1, 1, -1, 3)
    found = F.grid_sample(
        table.movedim(-1, 0)[None], grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return found.reshape(3, -1).T.reshape(colours.shape).clamp(0, 1)


def read_cube(path: Path) -> Cube:
    """Return the table of a file.

    Raises AstriaError naming file and line for one that is damaged or of another kind.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        reader = _CubeReader(path)
        for number, line in enumerate(lines, 1):
            reader.take(number, line.strip())
    return reader.cube()


@dataclass
class _CubeReader:
    """Takes a file line by line.

    Keywords first, then one line of three numbers for each entry of the table.
    """

    path: Path
    size: int = 0
    kind: Literal["", "LUT_1D_SIZE", "LUT_3D_SIZE"] = ""
    bounds: dict[str, list[float]] = field(default_factory=dict)
    rows: list[list[float]] = field(default_factory=list)
    line: int = 0

    def take(self, number: int, line: str) -> None:
        self.line = number
        words = line.split()
        if not words or line.startswith("#") or words[0] == "TITLE":
            return
        if words[0] in SIZES:
            self._take_size(words)
        elif words[0] in BOUNDS:
            self.bounds[words[0]] = self._numbers(words[1:], BOUNDS[words[0]], f"after {words[0]}")
        else:
            self._take_row(line, words)

    def _take_size(self, words: Sequence[str]) -> None:
        least, most = SIZES[words[0]]
        if self.kind:
            self._fail(
                f"{words[0]} after {self.kind}; expected one table",
                "Files with a shaper and a table are not read. " + _EXPORT_AGAIN,
            )
        [size] = self._numbers(words[1:], 1, f"after {words[0]}")
        if size != int(size) or not least <= size <= most:
            self._fail(f"{words[0]} is {size:g}; expected a whole number from {least} to {most}")
        self.kind, self.size = words[0], int(size)

    def _take_row(self, line: str, words: Sequence[str]) -> None:
        if not self.kind:
            self._fail(
                f"'{line[:60]}' before LUT_1D_SIZE or LUT_3D_SIZE; expected the table's size first"
            )
        if len(self.rows) == self._expected():
            self._fail(f"more than the {self._expected()} entries of {self.kind} {self.size}")
        self.rows.append(self._numbers(words, 3, "for an entry of the table"))

    def _expected(self) -> int:
        return self.size**3 if self.kind == "LUT_3D_SIZE" else self.size

    def _numbers(self, words: Sequence[str], count: int, where: str) -> list[float]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != count or not all(map(math.isfinite, values)):
            self._fail(
                f"'{' '.join(words)[:60]}'; expected {count} number{'s' * (count > 1)} {where}"
            )
        return values

    def _fail(self, what: str, hint: str = _EXPORT_AGAIN) -> None:
        raise AstriaError(
            f"The colour table {self.path.name}, line {self.line}: {what} (in {self.path.parent}).",
            code="bad-lut",
            hint=hint,
        )

    def cube(self) -> Cube:
        if not self.kind or len(self.rows) != self._expected():
            wanted = (
                f"{self._expected()} for {self.kind} {self.size}"
                if self.kind
                else "LUT_1D_SIZE or LUT_3D_SIZE"
            )
            self._fail(f"the file ends after {len(self.rows)} entries; expected {wanted}")
        low, high = self.bounds.get(self.kind.replace("_SIZE", "_INPUT_RANGE"), [0.0, 1.0])
        least = self.bounds.get("DOMAIN_MIN", [low] * 3)
        most = self.bounds.get("DOMAIN_MAX", [high] * 3)
        if not all(one < other for one, other in zip(least, most, strict=True)):
            self._fail(
                f"the domain from {least} to {most} is empty; expected each maximum above its"
                " minimum"
            )
        table = torch.tensor(self.rows)
        if self.kind == "LUT_3D_SIZE":
            table = table.reshape(self.size, self.size, self.size, 3)  # red runs fastest
        return Cube(table, torch.tensor(least), torch.tensor(most))
