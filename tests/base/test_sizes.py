"""What is said of sizes at which a model paints poorly."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.base.sizes import size_note
from comfyui_astria.nodes.families.family import FAMILIES

BELOW = "and its model paints well below about"


@pytest.mark.parametrize(
    ("family", "size", "told"),
    [
        ("sd15", (512, 512), ""),
        ("sd15", (768, 1024), ""),
        ("sd15", (1024, 1024), f"{BELOW} 1024x1024"),
        ("sd15", (4032, 3024), f"{BELOW} 1024x1024"),
        ("sd15", (64, 64), ""),
        ("sdxl", (640, 1536), ""),
        ("sdxl", (2048, 2048), f"{BELOW} 2048x2048"),
        ("flux", (320, 320), ""),
        ("flux", (1920, 1088), ""),
        ("flux2", (2048, 2048), ""),
        ("flux2", (2048, 2064), f"{BELOW} 2048x2048"),
        ("zimage_turbo", (4000, 4000), f"{BELOW} 2048x2048"),
    ],
)
def test_a_size_that_a_family_paints_poorly_is_told(
    family: str, size: tuple[int, int], told: str
) -> None:
    of = FAMILIES[family]
    note = size_note(*size, of.most_px)
    assert told in note
    assert note.startswith(f"The picture is painted at {size[0]}x{size[1]}") == bool(told)


def test_without_bounds_nothing_is_told() -> None:
    assert not size_note(9000, 9000, 0)
