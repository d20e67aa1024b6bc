"""What of the scene's conditioning steers the model of a person, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.regions.comfy_inprocess import LATENT_CHANNELS, load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    base_of,
    denoised,
    difference,
    halves,
    in_picture,
    model_of,
    noise_of,
    person_everywhere,
    sampled,
    with_people,
)
from torch import Tensor


def controlled(conditioning: list, seen: list) -> list:
    """Return a conditioning with a ControlNet that adds to the middle of a UNet and notes the text
    it is given.
    """

    class Control(load("comfy.controlnet").ControlBase):
        def get_control(
            self, x: Tensor, t: Tensor, cond: dict, batched: int, options: dict
        ) -> dict:
            seen.append(cond["c_crossattn"])
            return {"input": [], "middle": [torch.full((x.shape[0], 1, 1, 1), 3.0)], "output": []}

    return [
        [
            conditioning[0][0],
            {**conditioning[0][1], "control": Control(), "control_apply_to_uncond": True},
        ]
    ]


def test_the_scenes_controlnet_steers_the_persons_model_too() -> None:
    own, positive, scene, seen = model_of("sd15", seed=7), text("sd15", 5), text("sd15", 1), []
    patched = with_people(model_of("sd15"), person_everywhere(), [Person(positive, model=own)])
    steered = sampled(patched, "sd15", controlled(scene, seen), text("sd15", 2))
    alone = sampled(own, "sd15", controlled(positive, []), text("sd15", 2))
    assert difference(steered, alone) < 1e-5
    assert difference(sampled(own, "sd15", positive, text("sd15", 2)), alone) > 1e-3
    # It reads the words of the picture that it steers, as beside persons with a LoRA.
    assert seen
    assert all(any(torch.equal(row, scene[0][0][0]) for row in one) for one in seen)


@pytest.mark.parametrize(
    ("family", "owns"),
    [
        ("sd15_inpaint", "sd15_inpaint"),
        ("sd15_inpaint", "sd15"),
        ("sd15", "sd15_inpaint"),
        ("flux_fill", "flux_fill"),
    ],
)
def test_inpainting_shows_each_model_what_it_can_see(family: str, owns: str) -> None:
    base, own, branch = model_of(family), model_of(owns, seed=7), base_of(family)
    picture = torch.randn(
        1, LATENT_CHANNELS[branch], 8, 12, generator=torch.Generator().manual_seed(9)
    )
    mask = torch.zeros(1, 1, 64, 96)
    mask[..., 20:60, 30:90] = 1

    def shown(seed: int) -> list:
        conditioning = text(branch, seed)
        conditioning[0][1] |= {"concat_latent_image": picture, "concat_mask": mask}
        return conditioning

    patched = with_people(
        base, person_everywhere(), [Person(text(branch, 5), text(branch, 6), model=own)]
    )
    inpainted = sampled(patched, branch, shown(1), shown(2), noise_mask=mask)
    said = in_picture(shown(5), shown(1)), in_picture(shown(6), shown(2))
    alone = sampled(own, branch, *said, noise_mask=mask)
    assert difference(inpainted, alone) < 1e-5


def test_inpaint_models_see_the_samplers_mask_and_picture_where_the_conditioning_has_none() -> None:
    own, mask = model_of("sd15_inpaint", seed=7), torch.zeros(1, 1, 8, 12)
    mask[..., 2:6, 3:9] = 1
    picture = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(9))

    def painted(model: Any, positive: list, negative: list) -> Tensor:
        return load("comfy.sample").sample(
            model,
            noise_of("sd15"),
            2,
            4.0,
            "euler",
            "simple",
            positive,
            negative,
            picture,
            noise_mask=mask,
            disable_pbar=True,
            seed=0,
        )

    patched = with_people(
        model_of("sd15_inpaint"),
        person_everywhere(),
        [Person(text("sd15", 5), text("sd15", 6), model=own)],
    )
    alone = painted(own, text("sd15", 5), text("sd15", 6))
    assert difference(painted(patched, text("sd15", 1), text("sd15", 2)), alone) < 1e-5


def test_a_person_that_comes_out_as_nothing_leaves_the_others_whole() -> None:
    own = model_of("sd15", seed=7).clone()
    own.set_model_unet_function_wrapper(
        lambda apply, given: torch.full_like(given["input"], float("nan"))
    )
    people = [Person(text("sd15", 5)), Person(text("sd15", 6), model=own)]
    result = denoised(with_people(model_of("sd15"), halves(), people), "sd15", text("sd15", 1))
    assert result[..., :6].isfinite().all() and result[..., 6:].isnan().all()


def test_hooks_of_the_scene_stay_with_the_scenes_model() -> None:
    base, own = model_of("sd15"), model_of("sd15", seed=7)
    hooked = text("sd15", 1)
    hooked[0][1] |= {"hooks": load("comfy.hooks").create_hook_lora(whole_file(base), 1.0, 1.0)}
    hooked[0][1] |= {"cross_attn_controlnet": torch.zeros(1, 8, 64)}
    masks = halves()
    people = [Person(text("sd15", 5)), Person(text("sd15", 6), model=own)]
    result = denoised(with_people(base, masks, people), "sd15", hooked, cfg=4.0)
    plain = [Person(text("sd15", 5)), Person(text("sd15", 6))]
    by_own = denoised(with_people(own, masks, plain), "sd15", text("sd15", 1), cfg=4.0)
    assert difference(result[..., 6:], by_own[..., 6:]) < 1e-5
    unhooked = denoised(with_people(base, masks, people), "sd15", text("sd15", 1), cfg=4.0)
    assert difference(result[..., :6], unhooked[..., :6]) > 1e-2


def guided(seed: int, guidance: float) -> list:
    conditioning = text("flux", seed)
    conditioning[0][1]["guidance"] = guidance
    return conditioning


def test_flux_guidance_is_the_scenes_unless_the_person_has_its_own() -> None:
    own, negative = model_of("flux", seed=7), text("flux", 2)

    def drawn(person: list) -> Tensor:
        return denoised(
            with_people(
                model_of("flux"), person_everywhere(), [Person(person, negative, model=own)]
            ),
            "flux",
            guided(1, 9.0),
            negative,
        )

    def alone(guidance: float) -> Tensor:
        said = in_picture(guided(5, guidance), text("flux", 1))
        return denoised(own, "flux", said, negative)

    assert difference(drawn(text("flux", 5)), alone(9.0)) < 1e-5
    assert difference(drawn(guided(5, 2.0)), alone(2.0)) < 1e-5
    assert difference(drawn(guided(5, 2.0)), drawn(text("flux", 5))) > 1e-5
