"""What FaceID on a UNet refuses, by name.

Wrong models, people, guiders, masks, and patches that drop tokens.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError, PlanError
from comfyui_astria.nodes.faceid.checkpoint import read_adapter
from comfyui_astria.nodes.faceid.errors import FaceIDError
from comfyui_astria.tests.faceid.adapters import somebody, tiny_file
from comfyui_astria.tests.faceid.faceid_support import (
    applied,
    calls_of,
    clip_vision,
    face,
    loaded,
    model_of,
    text,
    use,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model
from comfyui_astria.tests.regions.regional_support import denoised
from torch import Tensor


def raised_by(model: Any, **options: Any) -> FaceIDError | PlanError:
    with pytest.raises((FaceIDError, PlanError)) as raised:
        calls_of(model, "sd15", **options)
    return raised.value


def test_wrong_models_and_people_are_named() -> None:
    face_of = load("comfyui_astria.nodes.faceid.host.ip_adapter").IPAdapterFaceID
    cases = [
        (
            model_of("sdxl"),
            face(),
            "faceid-layers",
            "has 16 cross-attentions; the connected MODEL, SDXL, has 70",
        ),
        (
            model_of("sd15"),
            use(loaded("portrait", "sdxl"), somebody(1)),
            "faceid-layers",
            "70 cross-attentions; the connected MODEL, SD1.5, has 16",
        ),
        (tiny_model("flux"), face(), "faceid-family", "made for SD1.5 or SDXL"),
        (
            model_of("sd15"),
            use(loaded("faceid"), somebody(1, recogniser="antelopev2")),
            "faceid-recogniser",
            "read by antelopev2",
        ),
        (
            model_of("sd15"),
            face(start=0.5, end=0.5),
            "faceid-steps",
            "starts at 0.5 and ends at 0.5",
        ),
    ]
    for model, one, code, what in cases:
        with pytest.raises(FaceIDError) as raised:
            applied(model, (one, None))
        assert raised.value.code == code and what in str(raised.value) and raised.value.hint
    narrow = tiny_file("portrait", "sd15")
    narrow["ip_adapter"]["31.to_k_ip.weight"] = narrow["ip_adapter"]["31.to_v_ip.weight"] = (
        torch.ones(64, 64)
    )
    with pytest.raises(FaceIDError, match="makes 64 channels of 64 for mid_block"):
        applied(
            model_of("sd15"),
            (use(face_of(read_adapter(narrow, "narrow", "portrait")), somebody(1)), None),
        )


def test_a_clip_vision_model_of_another_size_is_named() -> None:
    adapter = loaded("plusv2").adapter
    wide = {**clip_vision().config, "hidden_size": 48}
    other = load("comfy.clip_vision").ClipVisionModel(wide)
    load("comfyui_astria.tests.testpack.weights").fill(other.model, seed=5)
    with pytest.raises(FaceIDError, match="gives 48 channels; the adapter 'plusv2 0' looks at 32"):
        load("comfyui_astria.nodes.faceid.host.ip_adapter").IPAdapterFaceID(
            adapter, other
        ).keys_values(somebody(1))


def test_a_guider_with_a_third_conditioning_is_named() -> None:
    model = applied(model_of("sd15"), (face(), None))

    def third(executor: Any, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        options = {**rest[-1], "cond_or_uncond": [2]}
        return executor(x, *rest[:-1], options, **named)

    guided = model_of("sd15").clone()
    guided.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "third", third
    )
    assert raised_by(applied(guided, (face(), None))).code == "faceid-guider"
    calls_of(model, "sd15")


def test_a_mask_on_a_part_of_the_picture_is_named() -> None:
    """The host runs a conditioning with an area on that part alone, where the mask would lie
    elsewhere.
    """
    conditioning = text("sd15", 1)
    conditioning[0][1]["area"] = (4, 6, 0, 0)
    for gate in (torch.ones(64, 96), None):
        model = applied(model_of("sd15"), (face(), gate))
        if gate is None:
            denoised(model, "sd15", conditioning, text("sd15", 2))
            continue
        with pytest.raises(PlanError, match="6 x 4 of 12 x 8 latent pixels") as raised:
            denoised(model, "sd15", conditioning, text("sd15", 2))
        assert raised.value.code == "faceid-part"


def test_merged_tokens_under_a_mask_are_named() -> None:
    def merge(
        normed: Tensor, keys: Tensor, values: Tensor, extra: dict
    ) -> tuple[Tensor, Tensor, Tensor]:
        return normed[:, ::2], keys, values

    model = applied(model_of("sd15"), (face(), torch.ones(64, 96)))
    model.set_model_attn2_patch(merge)
    assert "merges, tiles or drops tokens" in raised_by(model).hint


def test_a_mask_of_another_shape_than_the_picture_is_refused_and_not_stretched() -> None:
    node = load("comfyui_astria.nodes.faceid.nodes").AstriaApplyFaceID

    def sampled_under(mask: Tensor) -> None:
        use_of = (loaded("portrait"), somebody(1), 1.0, 0.0, 1.0)
        [model, told] = node.execute(model_of("sd15"), *use_of, mask=mask).result
        assert ("is empty" in told) is not bool(mask.any())
        calls_of(model, "sd15", size=(8, 12))

    for shape in ((64, 96), (128, 192), (60, 92)):  # any scale, and what the model pads
        sampled_under(torch.ones(1, *shape))
    sampled_under(torch.zeros(1, 64, 64))
    expected = "The mask of a FaceID has 64x64 px and a latent of 12x8 is drawn"
    with pytest.raises(ImageError, match=expected):
        sampled_under(torch.ones(1, 64, 64))
