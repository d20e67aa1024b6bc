"""What is asked of a training: presets, steps, and values that cannot be."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.presets import PRESETS, SERVICE_PRESETS, preset_of
from comfyui_astria.nodes.training.request import TrainingRequest, settle_training


def request(**changes) -> TrainingRequest:
    return TrainingRequest(**{"tune_id": 7, "photos": 8, "name": "woman", **changes})


@pytest.mark.parametrize(
    ("branch", "preset", "photos", "steps"),
    [
        ("flux", "flux-lora-portrait", 4, 300),
        ("flux", "flux-lora-fast", 12, 324),
        ("flux", "flux-lora-focus", 20, 540),
        ("flux", None, 16, 1600),
        ("sd15", None, 4, 500),
        ("sd15", None, 20, 2000),
        ("sdxl", None, 8, 800),
    ],
)
def test_steps_follow_from_preset_and_photos(
    branch: str, preset: str | None, photos: int, steps: int
) -> None:
    settings = settle_training(request(preset=preset, photos=photos), branch)
    assert settings.steps == steps
    assert settle_training(request(preset=preset, photos=photos, steps=40), branch).steps == 40


def test_every_preset_names_its_source_and_the_services_are_there() -> None:
    assert all(preset.source and preset.rank == 16 for preset in PRESETS.values())
    assert set(SERVICE_PRESETS) <= set(PRESETS)
    assert preset_of("flux", "flux-lora-portrait").face_crop


def test_the_token_is_the_familys_own_unless_given() -> None:
    assert settle_training(request(), "sd15").token == "sks"
    assert settle_training(request(), "flux").token == "ohwx"
    assert settle_training(request(token="zwx"), "sd15").token == "zwx"


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"photos": 3}, "training-photos", "3 photos; expected 4 to 20"),
        ({"photos": 21}, "training-photos", "21 photos"),
        ({"name": ""}, "training-name", "name ''"),
        ({"name": "a, b"}, "training-name", "a, b"),
        ({"name": "woman --tiled_upscale"}, "training-name", "--tiled_upscale"),
        ({"name": "a" * 51}, "training-name", "aaa"),
        ({"token": "Woman"}, "training-token", "means nothing yet"),
        ({"token": "two words"}, "training-token", "two words"),
        ({"token": "BREAK"}, "training-token", "not BREAK"),
        ({"name": "man BREAK woman"}, "training-name", "not BREAK"),
        ({"token": "<lora:1:1>"}, "training-token", "one word"),
        ({"model_type": "faceid"}, "training-model-type", "lora, pti, checkpoint"),
        ({"steps": 0}, "training-number", "1 to 10000"),
        ({"seed": -1}, "training-number", "seed -1"),
        ({"sizes_px": (500,)}, "training-size", "multiple of 64"),
        ({"tune_id": 0}, "training-tune", "tune_id 0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_value(changes: dict, code: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said) as refused:
        request(**changes)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("branch", "changes", "said"),
    [
        ("sd15", {"preset": "flux-lora-fast"}, "is for Flux.1 dev, and the base is SD1.5"),
        ("flux", {"preset": "portrait"}, "flux-lora-portrait"),
        ("flux", {"model_type": "checkpoint"}, "whole checkpoints are made of SD1.5 only"),
        ("sdxl", {"model_type": "checkpoint"}, "SDXL"),
    ],
)
def test_what_the_family_cannot_be_is_refused(branch: str, changes: dict, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        settle_training(request(**changes), branch)


def test_pti_is_said_to_be_a_lora_alone() -> None:
    settings = settle_training(request(model_type="pti"), "flux")
    assert settings.kind == "lora"
    assert "no text embedding" in settings.notes[0]
