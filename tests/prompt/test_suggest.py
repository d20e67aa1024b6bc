from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import FLAGS, did_you_mean


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("outpant", "outpaint"),
        ("Mask-Prompt", "mask_prompt"),
        ("mask_inverted", "mask_invert"),
        ("hires_denoise_strength", "hires_denoising_strength"),
        ("zebra", None),
        ("", None),
    ],
)
def test_the_nearest_choice_or_none(word: str, expected: str | None) -> None:
    assert did_you_mean(word, FLAGS) == expected
