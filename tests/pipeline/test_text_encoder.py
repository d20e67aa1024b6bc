"""A loader of text encoders whose choice makes of the file what another family reads."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.pipeline.text_encoder import check_text_encoder


def check(family: str, type: object, loader: str = "CLIPLoader") -> None:
    """Check a text encoder that comes through two LoRAs."""
    nodes = {
        "1": {"class_type": loader, "inputs": {"clip_name": "qwen.safetensors", "type": type}},
        "2": {"class_type": "LoraLoader", "inputs": {"model": ["9", 0], "clip": ["1", 0]}},
        "3": {"class_type": "LoraLoader", "inputs": {"model": ["2", 0], "clip": ["2", 1]}},
    }
    check_text_encoder(nodes.__getitem__, ["3", 1], FAMILIES[family])


@pytest.mark.parametrize(
    ("family", "type"),
    [
        ("zimage_turbo", "flux2"),
        ("flux2_klein_4b", "stable_diffusion"),
        ("flux2_klein_9b_base", "lumina2"),
        ("krea2_turbo", "flux2"),
        ("krea2", "qwen_image"),
    ],
)
def test_a_choice_that_makes_another_encoder_is_refused(family: str, type: str) -> None:
    of = FAMILIES[family]
    with pytest.raises(
        PlanError, match=f"CLIPLoader with type '{type}', and .* {of.title}"
    ) as told:
        check(family, type)
    assert told.value.hint == f"Choose type {of.text.type} in CLIPLoader."


@pytest.mark.parametrize(
    ("family", "type"),
    [
        ("zimage", "stable_diffusion"),  # the host makes the same of it as of lumina2
        ("flux2", "stable_diffusion"),
        ("krea2", ["7", 0]),
        *((one.name, one.text.type) for one in FAMILIES.values()),
    ],
)
def test_what_works_or_cannot_be_seen_is_left_to_the_host(family: str, type: object) -> None:
    check(family, type)


def test_loaders_of_other_packs_are_left_to_the_host() -> None:
    check("krea2", "flux2", loader="CLIPLoaderGGUF")
