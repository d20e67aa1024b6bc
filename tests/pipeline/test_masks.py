"""Given and worded masks in the plan.

The padding of a fitted picture is no part of it, and what the flags say of masks.
"""

from __future__ import annotations

from comfyui_astria.nodes.graph.graph import Link

from .support import equipped, plan_text


def test_flags_change_a_given_mask_without_the_padding_of_its_picture() -> None:
    change = (
        plan_text("a cat --mask_invert --mask_dilate 10", image=True, mask=True)
        .graph.nodes["base.adjust_mask"]
        .inputs
    )
    assert (change["mask"], change["fit"]) == (Link("base.fit", 1), Link("base.fit", 2))


def test_words_are_looked_for_without_the_padding_of_the_picture() -> None:
    found = (
        equipped("a cat --mask_prompt face --mask_dilate 10%", image=True)
        .graph.nodes["base.mask"]
        .inputs
    )
    assert (found["image"], found["fit"]) == (Link("base.fit"), Link("base.fit", 2))
