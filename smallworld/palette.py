"""Colours compared as people see them: CIE L*a*b*, D65."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .words import Colour

_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return sRGB [...,3] of 0..255 as L*a*b*."""
    linear = np.asarray(rgb, float) / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ.T / _WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def distances(seen: np.ndarray, colours: Mapping[str, Colour]) -> dict[str, float]:
    """Return how far an L*a*b* colour [3] lies from each named one."""
    return {
        name: float(np.linalg.norm(seen - lab(np.array(colour))))
        for name, colour in colours.items()
    }


def nearest(seen: np.ndarray, colours: Mapping[str, Colour]) -> str:
    """Return the name of the colour that lies nearest."""
    found = distances(seen, colours)
    return min(found, key=found.__getitem__)
