"""Input pictures, masks and sizes in a plan.

Where they come from, how they are fitted, what is refused.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from comfyui_astria.nodes.errors import PlanError, PromptError
from comfyui_astria.nodes.families.family import ASPECT_RATIOS, FAMILIES, family, size_for_ratio
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import draft
from comfyui_astria.nodes.prompt import ImageRef, PromptRequest

from .support import draft_text, plan_text, resolver, sources


def test_an_input_image_makes_img2img_at_its_own_size() -> None:
    planned = plan_text("a cat\nnum_images=3", "flux", image=True)
    assert planned.settings.denoise == 0.8
    fit = planned.graph.nodes["base.fit"].inputs
    assert (fit["image"], fit["width"], fit["height"], fit["multiple"]) == (
        Socket("image"),
        0,
        0,
        16,
    )
    assert planned.graph.nodes["base.repeat"].inputs["amount"] == 3
    assert planned.output == Link("base.restore_size")


@pytest.mark.parametrize(
    ("name", "node"), [("sd15_inpaint", "InpaintModelConditioning"), ("sd15", "SetLatentNoiseMask")]
)
def test_a_mask_makes_inpainting_that_keeps_the_rest(name: str, node: str) -> None:
    planned = plan_text("a cat", name, image=True, mask=True)
    classes = [call.class_type for call in planned.graph.nodes.values()]
    assert node in classes
    assert classes[-2:] == ["AstriaMaskedComposite", "AstriaRestoreSize"]


def test_sdxl_with_a_mask_carries_the_documented_warning() -> None:
    assert [one.code for one in plan_text("a cat", "sdxl", image=True, mask=True).problems] == [
        "sdxl-inpainting"
    ]
    assert plan_text("a cat", "sdxl", image=True).problems == ()


def test_input_images_named_in_the_prompt() -> None:
    nodes = plan_text("a cat\ninput_image=street.png").graph.nodes
    assert nodes["input.image"].inputs["image"] == "street.png"
    assert nodes["base.fit"].inputs["image"] == Link("input.image")
    with pytest.raises(PlanError, match=r"web address.*Connect the image"):
        plan_text("a cat\ninput_image_url=https://example.com/a.png")
    drafted = draft_text("a cat\ninput_image_url=https://example.com/a.png")
    assert [stage.kind for stage in drafted.stages] == ["img2img"], "explained as it was meant"
    overruled = plan_text("a cat\ninput_image_url=https://example.com/a.png", image=True)
    assert [one.code for one in overruled.problems] == ["picture-overruled"]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../b.png", "C:\\x.png"])
def test_input_image_names_never_leave_the_input_folder(name: str) -> None:
    with pytest.raises(PromptError, match="not the name of a file in ComfyUI's input folder"):
        draft_text(f"a cat\ninput_image={name}")
    by_hand = replace(PromptRequest.require("a cat"), input_image=ImageRef("file", "street.png"))
    object.__setattr__(by_hand.input_image, "value", name)  # past the request's own check
    assert "picture-name" in [
        one.code for one in draft(by_hand, sources("sd15"), resolver(), Options()).errors
    ]


def test_zero_strength_without_an_image_is_an_error() -> None:
    with pytest.raises(PlanError, match="denoising_strength=0 keeps the input image"):
        plan_text("a cat\ndenoising_strength=0")


def test_a_mask_without_an_image_is_an_error() -> None:
    with pytest.raises(PlanError, match="mask is given without an input image"):
        plan_text("a cat", mask=True)


def test_zero_strength_alone_gives_the_input_image_back() -> None:
    planned = plan_text("\ndenoising_strength=0\nw=512\nh=512", image=True)
    assert planned.sampler_calls == 0
    assert [call.class_type for call in planned.graph.nodes.values()] == ["AstriaFitImage"]


@pytest.mark.parametrize("name", FAMILIES)
def test_aspect_ratios_keep_the_native_area_and_the_ratio(name: str) -> None:
    native = family(name).native_size
    for ratio, (across, down) in ASPECT_RATIOS.items():
        width, height = size_for_ratio((across, down), family(name))
        assert width % 64 == height % 64 == 0, ratio
        assert abs(width * height / native**2 - 1) < 0.15, ratio
        assert abs(width / height / (across / down) - 1) < 0.16, ratio


def test_a_size_that_flux_cannot_sample_is_padded_and_cropped_back() -> None:
    nodes = plan_text("a cat\nw=1000\nh=600", "flux").graph.nodes
    assert (nodes["base.latent"].inputs["width"], nodes["base.latent"].inputs["height"]) == (
        1008,
        608,
    )
    assert (nodes["base.crop"].inputs["width"], nodes["base.crop"].inputs["height"]) == (1000, 600)
    assert "base.crop" not in plan_text("a cat\nw=1000\nh=600", "sd15").graph.nodes


def test_the_smallest_size_is_rendered_at_the_hosts_least_and_cropped() -> None:
    for name in ("sd15", "flux"):
        nodes = plan_text("a cat\nw=8\nh=24", name).graph.nodes
        assert nodes["base.latent"].inputs["width"] == 16
        assert (nodes["base.crop"].inputs["width"], nodes["base.crop"].inputs["height"]) == (8, 24)


def test_masks_are_repeated_as_their_images_are() -> None:
    nodes = plan_text("a cat\nnum_images=2", image=True, mask=True).graph.nodes
    assert (
        nodes["base.repeat_mask_picture"].inputs["amount"]
        == nodes["base.repeat"].inputs["amount"]
        == 2
    )
    assert nodes["base.mask_picture"].inputs["mask"] == Link("base.fit", 1)
    assert (
        nodes["base.noise_mask"].inputs["mask"]
        == nodes["base.keep_unmasked"].inputs["mask"]
        == Link("base.repeat_mask")
    )
    assert plan_text("a cat", image=True, mask=True).graph.nodes["base.noise_mask"].inputs[
        "mask"
    ] == Link("base.fit", 1)


def test_a_strength_near_zero_is_refused_since_the_host_would_count_for_hours() -> None:
    with pytest.raises(PlanError, match=r"denoising_strength=1e-06 is too small.*0\.01 or more"):
        plan_text("a cat\ndenoising_strength=0.000001", image=True)
    assert plan_text("a cat\ndenoising_strength=0.01", image=True).problems == ()


def test_a_strength_without_an_image_is_said_to_have_no_effect() -> None:
    assert [one.code for one in plan_text("a cat\ndenoising_strength=0.5").problems] == [
        "no-effect"
    ]
