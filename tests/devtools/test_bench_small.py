"""The small models of `dev.py bench regions` stand for the published ones: what a person costs is
as large a part of their steps.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from comfyui_astria.tests.regions.comfy_inprocess import load

# Of each family the block that most of its layers are, and what of it is not run for every token.
BLOCKS = {"flux2": "single_blocks.0.", "zimage": "layers.0.", "krea2": "blocks.0."}
ONCE = "adaLN_modulation"
FAMILIES = tuple(BLOCKS)


def full_and_small(family: str) -> tuple[Any, Any]:
    models, small = (load(f"comfyui_astria.bench.{name}") for name in ("_models", "_small"))
    return getattr(models, family.upper()), getattr(small, f"{family.upper()}_SMALL")


def image_tokens(setup: Any) -> int:
    families = load("comfyui_astria.nodes.families.family").FAMILIES
    return (setup.side // families[setup.family].latent.patch) ** 2


def weights(setup: Any, *starts: str) -> int:
    """Return how many numbers the linear layers hold whose names begin so."""
    shapes = load("comfyui_astria.bench._models").shapes_of(setup)
    return sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if name.startswith(starts) and len(shape) == 2 and ONCE not in name
    )


def attention_share(setup: Any) -> float:
    """Return the part of a block's products that its attention takes."""
    tokens = image_tokens(setup) + setup.tokens
    width = setup.config.get("hidden_size") or setup.config.get("dim") or setup.config["features"]
    scores_and_sums = 2 * tokens * width
    return scores_and_sums / (weights(setup, BLOCKS[setup.family]) + scores_and_sums)


def edge_share(setup: Any, people: int) -> float:
    """Return how many more pixels' tokens are computed than there are, as a part of these."""
    masks = load("comfyui_astria.bench.regions")._masks(setup, people)
    run, attention = (load(f"comfyui_astria.nodes.regions.{name}") for name in ("run", "attention"))
    side = math.isqrt(image_tokens(setup))
    grid = run.averaged(run.on_latent(masks, setup.side, setup.side), side, side)
    parts = attention.shares(grid.flatten(1)).parts
    return sum(len(part.index) for part in parts) / side**2 - 1


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_and_text_take_as_much_of_a_step_as_in_full_size(family: str) -> None:
    full, small = full_and_small(family)
    assert attention_share(small) == pytest.approx(attention_share(full), rel=0.03)
    beside = [setup.tokens / image_tokens(setup) for setup in (small, full)]
    assert beside[0] == pytest.approx(beside[1], rel=0.06)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("people", [1, 2, 3, 4])
def test_soft_edges_take_as_much_of_the_picture_as_in_full_size(family: str, people: int) -> None:
    full, small = full_and_small(family)
    assert edge_share(small, people) == pytest.approx(edge_share(full, people), rel=0.07)


def test_a_token_of_text_costs_as_much_more_than_one_of_the_image_as_in_full_size() -> None:
    def more(setup: Any) -> float:
        """A token's text is a stack of twelve layers until the refiners."""
        stacked = 12 * weights(setup, "txtfusion.layerwise_blocks.")
        alone = weights(setup, "txtfusion.refiner_blocks.", "txtmlp.")
        return (stacked + alone) / weights(setup, "blocks.")

    full, small = full_and_small("krea2")
    assert more(full) == pytest.approx(0.19, abs=0.01)
    assert more(small) == pytest.approx(more(full), abs=0.02)
