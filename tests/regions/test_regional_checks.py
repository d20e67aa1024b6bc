"""What a model with regions refuses and says, and that it leaves nothing behind."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError, ImageError, PlanError
from comfyui_astria.nodes.regions.layout import columns
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    model_of,
    sampled,
    with_people,
    with_regions,
)

FAMILIES = ("sd15", "sdxl", "flux")


def people(family: str = "sd15") -> list:
    return [text(family, seed) for seed in (1, 5, 6)]


def carrying(key: str, value: Any) -> list:
    conditioning = text("sd15", 5)
    conditioning[0][1][key] = value
    return conditioning


@pytest.mark.parametrize("family", FAMILIES)
def test_the_given_model_stays_as_it_was(family: str) -> None:
    model = model_of(family)
    before = denoised(model, family, text(family, 1))
    patched = with_regions(model, halves(), people(family), [text(family, 2)])
    assert not torch.equal(denoised(patched, family, text(family, 1)), before)
    assert torch.equal(denoised(model, family, text(family, 1)), before)
    assert model.wrappers == {} and model.model_options == {"transformer_options": {}}


def test_a_unet_that_another_pack_runs_by_its_own_code_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = model_of("sd15").model.diffusion_model
    monkeypatch.setattr(network, "forward", network._forward)
    patched = with_regions(model_of("sd15"), halves(), people(), [text("sd15", 2)])
    with pytest.raises(PlanError, match="knows no regions"):
        denoised(patched, "sd15", text("sd15", 1))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_interrupted_run_leaves_no_forward_behind(family: str) -> None:
    run, interrupted = RegionRun(), load("comfy.model_management").InterruptProcessingException
    seen = []

    def interrupt(out: torch.Tensor, extra: dict) -> torch.Tensor:
        seen.append(run.forward)
        raise interrupted

    patched = with_regions(model_of(family), halves(), people(family), [text(family, 2)], run)
    patched.set_model_attn2_output_patch(interrupt)
    patched.set_model_attn1_output_patch(interrupt)
    with pytest.raises(interrupted):
        denoised(patched, family, text(family, 1))
    assert seen[0].masks.shape == (3, 8, 12)
    torch.testing.assert_close(seen[0].masks.sum(0), torch.ones(8, 12))
    assert run.forward is None


@pytest.mark.parametrize(
    ("masks", "says"),
    [
        (halves()[:2], r"shape (2, 8, 12) for 3 texts; expected [3, height, width]"),
        (halves()[0], r"shape (8, 12) for 3 texts; expected [3, height, width]"),
        (
            halves() * 0.5,
            r"sum to 1 at every pixel; these have sums from 0.500 to 0.500, least value 0.000",
        ),
        (
            torch.stack([-torch.ones(4, 4), torch.ones(4, 4), torch.ones(4, 4)]),
            r"sums from 1.000 to 1.000, least value -1.000",
        ),
    ],
)
def test_masks_that_leave_a_pixel_without_its_text_are_refused(
    masks: torch.Tensor, says: str
) -> None:
    with pytest.raises(ImageError, match=re.escape(says)):
        with_regions(model_of("sd15"), masks, people(), [text("sd15", 2)])


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("area", (4, 4, 0, 0), "Regions say where"),
        ("mask", torch.ones(1, 8, 8), "Regions say where"),
        ("start_percent", 0.2, "all steps"),
        ("control", object(), "to the scene's conditioning"),
        ("hooks", object(), "Astria Person LoRA"),
    ],
)
def test_a_persons_conditioning_that_a_region_would_lose_is_refused(
    key: str, value: Any, hint: str
) -> None:
    positive = [text("sd15", 1), text("sd15", 5), carrying(key, value)]
    with pytest.raises(
        PlanError, match=f"(?s)positive conditioning of person 2 carries '{key}'.*{hint}"
    ):
        with_regions(model_of("sd15"), halves(), positive, [text("sd15", 2)])
    negative = [text("sd15", 2), carrying(key, value), text("sd15", 2)]
    with pytest.raises(
        PlanError, match=f"(?s)negative conditioning of person 1 carries '{key}'.*{hint}"
    ):
        with_regions(model_of("sd15"), halves(), people(), negative)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scenes_negative_may_be_anything_where_persons_have_none(family: str) -> None:
    """It is what the sampler is given: ControlNets and joined texts of it are not a person's."""
    positive, negative = text(family, 1), [*text(family, 2), *text(family, 8)]
    scene = positive, [[negative[0][0], {**negative[0][1], "control": object()}], negative[1]]
    patched = with_people(model_of(family), halves(), [Person(positive), Person(positive)], scene)
    plain = denoised(model_of(family), family, positive, negative, cfg=4.0)
    assert difference(denoised(patched, family, positive, negative, cfg=4.0), plain) < 1e-5
    assert difference(denoised(patched, family, positive, negative[:1], cfg=4.0), plain) > 1e-3


def test_error_a_picture_of_another_shape_than_the_regions() -> None:
    """By the node, as it is sampled: a latent of 8x12 is of 64x96 px, not of 96x64."""
    node = load("comfyui_astria.nodes.people.nodes").AstriaRegionalPrompt
    persons = [Person(text("sd15", seed)) for seed in (5, 6)]

    def drawn(width: int, height: int) -> torch.Tensor:
        layout = columns(2, width, height, softness_px=0)
        scene = text("sd15", 1), text("sd15", 2)
        model = node.execute(model_of("sd15"), layout, persons, *scene, 0.0, False).result[0]
        return sampled(model, "sd15", *scene, steps=1)

    assert drawn(96, 64).shape[-2:] == (8, 12)
    with pytest.raises(ImageError, match="The regions are laid out for 64x96 px and a latent of"):
        drawn(64, 96)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_isolation_that_changes_nothing_is_told(family: str) -> None:
    """A UNet's pixels meet their own person's text alone, isolated or not."""
    node = load("comfyui_astria.nodes.people.nodes").AstriaRegionalPrompt
    persons = [Person(text(family, seed)) for seed in (5, 6)]
    layout, scene = columns(2, 64, 48, softness_px=8), (text(family, 1), text(family, 2))

    def drawn(*, isolation: bool) -> tuple[torch.Tensor, str]:
        model, *_, info = node.execute(
            model_of(family), layout, persons, *scene, 0.2, isolation
        ).result
        return sampled(model, family, *scene, steps=2), info

    (as_it_is, plain), (isolated, told) = drawn(isolation=False), drawn(isolation=True)
    assert "isolation" not in plain
    assert ("isolation changes nothing on" in told) == torch.equal(as_it_is, isolated)
    assert torch.equal(as_it_is, isolated) == (family != "flux")


def test_texts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PlanError, match="person 1 has 2 parts; expected one"):
        with_regions(
            model_of("sd15"),
            halves(),
            [text("sd15", 1), text("sd15", 5) * 2, text("sd15", 6)],
            [text("sd15", 2)],
        )
    with pytest.raises(PlanError, match=re.escape("different encoders: [64, 160] channels")):
        with_regions(
            model_of("sd15"),
            halves(),
            [text("sd15", 1), text("sdxl", 5), text("sd15", 6)],
            [text("sd15", 2)],
        )
    with pytest.raises(PlanError, match="2 negative texts for 3 regions"):
        with_regions(model_of("sd15"), halves(), people(), [text("sd15", 2)] * 2)
    with pytest.raises(PlanError, match=re.escape("scene_strength is 1.5; expected 0 to 1")):
        with_regions(model_of("sd15"), halves(), people(), [text("sd15", 2)], scene_strength=1.5)


def test_regions_are_applied_once() -> None:
    patched = with_regions(model_of("sd15"), halves(), people(), [text("sd15", 2)])
    with pytest.raises(PlanError, match=r"(?s)already has regions.*before the first"):
        with_regions(patched, halves(), people(), [text("sd15", 2)])


def test_another_kind_of_model_is_refused() -> None:
    supported, patcher = load("comfy.supported_models"), load("comfy.model_patcher")
    config = supported.SD15({"in_channels": 7})
    config.unet_config["disable_unet_model_creation"] = True
    model = load("comfy.model_base").BaseModel(config)
    other = patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))
    with pytest.raises(AstriaError, match="SD15 with 7 input channels"):
        with_regions(other, halves(), people(), [text("sd15", 2)])


@pytest.mark.parametrize("family", FAMILIES)
def test_an_area_of_the_picture_is_refused_when_it_runs(family: str) -> None:
    """The sampler's own conditioning comes from another socket, so it is seen only then."""
    patched = with_regions(model_of(family), halves(), people(family), [text(family, 2)])
    scene = text(family, 1)
    scene[0][1]["area"] = (4, 4, 0, 0)
    with pytest.raises(PlanError, match=r"(?s)area of the picture.*ConditioningSetArea"):
        denoised(patched, family, scene)


def test_a_guider_with_a_third_conditioning_is_refused() -> None:
    patched = with_regions(model_of("sd15"), halves(), people(), [text("sd15", 2)])
    guider = load("comfy_extras.nodes_custom_sampler").Guider_DualCFG(patched)
    guider.set_cfg(5.0, 3.0)
    guider.set_conds(text("sd15", 1), text("sd15", 3), text("sd15", 2))
    sampler, noise = load("comfy.samplers").sampler_object("euler"), torch.randn(1, 4, 8, 12)
    with pytest.raises(PlanError, match=r"(?s)more than a positive and a negative.*CFGGuider"):
        guider.sample(
            noise,
            torch.zeros_like(noise),
            sampler,
            torch.tensor([10.0, 0.0]),
            disable_pbar=True,
            seed=0,
        )
