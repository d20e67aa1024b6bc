"""Masks in words, the second sampling, faces and finishing in the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.graph import Link
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import draft
from comfyui_astria.nodes.prompt import PromptRequest

from .support import (
    EQUIPPED,
    draft_text,
    equipped,
    plan_text,
    resolver,
    seed_prompt,
    sources,
    store_with_photos,
)

# -- masks


def test_the_seeds_masked_portrait() -> None:
    planned = equipped(seed_prompt("masked_portrait"), image=True)
    nodes = planned.graph.nodes
    mask = nodes["base.mask"].inputs
    assert (mask["image"], mask["segmenter"]) == (Link("base.fit"), Link("models.segmenter"))
    assert (
        mask["mask_prompt"],
        mask["mask_negative"],
        mask["mask_invert"],
        mask["mask_dilate"],
    ) == ("foreground", "clothes", True, "-20")
    assert nodes["models.segmenter"].inputs["sam3"] == "sam3.safetensors"
    assert nodes["models.segmenter"].inputs["clipseg"] == "none"
    assert (
        nodes["base.noise_mask"].inputs["mask"]
        == nodes["base.keep_unmasked"].inputs["mask"]
        == Link("base.mask")
    )
    assert nodes["base.control_pose"].inputs["image"] == Link("base.pose_map")
    assert nodes["hires_fix.sigmas"].inputs["denoise"] == 0.2
    assert nodes["super_resolution.upscale"].inputs["factor"] == 2.0, (
        "hires fix gave the first doubling"
    )
    assert nodes["face_correct.restore"].inputs["image"] == Link("super_resolution.upscale")
    assert planned.output == Link("face_correct.restore")


def test_masks_of_a_batch_repeat_with_their_pictures() -> None:
    nodes = equipped("a cat --mask_prompt face\nnum_images=2", image=True).graph.nodes
    assert nodes["base.mask_picture"].inputs["mask"] == Link("base.mask")
    assert nodes["base.keep_unmasked"].inputs["mask"] == Link("base.repeat_mask")


def test_flags_change_a_given_mask_and_words_give_way_to_it() -> None:
    planned = plan_text(
        "a cat --mask_prompt face --mask_invert --mask_dilate 5%", image=True, mask=True
    )
    change = planned.graph.nodes["base.adjust_mask"].inputs
    assert (change["mask"], change["invert"], change["dilate"]) == (Link("base.fit", 1), True, "5%")
    assert [one.code for one in planned.problems] == ["mask-overruled"]
    assert "base.mask" not in planned.graph.nodes


def test_phrases_stay_together() -> None:
    text = 'a room --mask_prompt "red door" window'
    assert (
        equipped(text, image=True).graph.nodes["base.mask"].inputs["mask_prompt"]
        == '"red door" window'
    )


def test_words_need_a_picture_and_a_model() -> None:
    assert [one.code for one in draft_text("a --mask_prompt face").errors] == ["mask-without-image"]
    with pytest.raises(
        MissingModelError, match="no model that turns words into masks is connected or bound"
    ):
        plan_text("a --mask_prompt face", image=True)


def test_a_bound_file_that_is_not_there_is_told_and_never_passed_over(tmp_path: Path) -> None:
    bindings = EQUIPPED.replace("[defaults]", "clipseg = rd64\n[defaults]").replace(
        "eva_clip = eva.pt", "eva_clip = lost.pt"
    )
    assert [
        one.key for one in draft_text("a --mask_prompt face", bindings=bindings, image=True).missing
    ] == ["clipseg"]
    request = PromptRequest.require("<faceid:7:1> woman")
    drafted = draft(
        request, sources("flux"), resolver(bindings, store_with_photos(tmp_path, 7)), Options()
    )
    assert [one.key for one in drafted.missing] == ["eva_clip"]


def test_sdxl_with_words_for_a_mask_carries_the_documented_warning() -> None:
    assert [one.code for one in equipped("a --mask_prompt face", "sdxl", image=True).problems] == [
        "sdxl-inpainting"
    ]


# -- hires fix, tiles, super-resolution


@pytest.mark.parametrize("family", FAMILIES)
def test_hires_fix_samples_the_doubled_picture_with_what_the_first_pass_was_told(
    family: str,
) -> None:
    planned = plan_text("<lora:detail:1> a cat\nhires_fix=true", family)
    nodes = planned.graph.nodes
    assert nodes["hires_fix.upscale"].inputs == {
        "image": Link("base.decode"),
        "upscale_model": Link("models.upscaler"),
        "factor": 2.0,
    }
    assert nodes["hires_fix.fit"].inputs["multiple"] == FAMILIES[family].multiple
    assert nodes["hires_fix.sigmas"].inputs["denoise"] == 0.4
    for stage in ("base", "hires_fix"):
        model = nodes[f"{stage}.guider"].inputs["model"]
        if FAMILIES[family].is_shifted_by_size:
            assert model == Link(f"{stage}.shift")
            model = nodes[f"{stage}.shift"].inputs["model"]
        assert model == Link("base.lora_1")
    assert planned.sampler_calls == 2
    assert [stage.name for stage in planned.stages] == ["base", "hires_fix", "super_resolution"]


def test_hires_fix_of_an_inpainting_starts_from_the_plain_conditionings() -> None:
    nodes = plan_text("a cat\nhires_fix=true", "sd15_inpaint", image=True, mask=True).graph.nodes
    assert nodes["hires_fix.inpaint"].inputs["positive"] == Link("base.positive"), (
        "not those that hold the small masked picture"
    )


def test_what_the_mask_left_alone_can_be_kept_through_hires_fix() -> None:
    kept = plan_text(
        "a cat\nhires_fix=true", image=True, mask=True, options=Options(keep_unmasked=True)
    ).graph.nodes
    assert kept["hires_fix.mask_picture"].inputs["mask"] == Link("base.fit", 1)
    assert kept["hires_fix.mask_size"].inputs["fit"] == Link("base.fit", 2)
    composite = kept["hires_fix.keep_unmasked"].inputs
    assert (composite["original"], composite["mask"]) == (
        Link("hires_fix.upscale"),
        Link("hires_fix.mask"),
    )
    assert (
        "hires_fix.keep_unmasked"
        not in plan_text("a cat\nhires_fix=true", image=True, mask=True).graph.nodes
    )


def test_hires_fix_after_outpainting_is_told_of_both_areas() -> None:
    text = (
        "<lora:detail:1> a cat --outpaint center --outpaint_width 768 --outpaint_height 768"
        " --outpaint_prompt fields\nhires_fix=true"
    )
    nodes = plan_text(text).graph.nodes
    assert nodes["hires_fix.positive"].inputs["text"] == "a cat, fields"
    assert nodes["hires_fix.guider"].inputs["model"] == Link("base.lora_1"), "the LoRA counts once"


def test_tiled_upscales() -> None:
    first = plan_text("a cat --tiled_upscale --only_upscale", "sdxl", image=True)
    assert [stage.name for stage in first.stages] == ["hires_fix"]
    tiles = first.graph.nodes["hires_fix.tiles"].inputs
    assert (tiles["tile_size"], tiles["overlap"]) == (1024, 128)
    assert first.graph.nodes["hires_fix.guider"].inputs["cfg"] == 7.0
    second = equipped(
        "a cat --tiled_upscale_v2 --hires_cfg_scale 5 --resemblance 0.9", image=True
    ).graph.nodes
    control = second["hires_fix.control_tile"].inputs
    assert (control["strength"], control["image"]) == (0.9, Link("hires_fix.fit"))
    assert second["hires_fix.guider"].inputs["cfg"] == 5.0
    assert second["hires_fix.guider"].inputs["model"] == Link("hires_fix.tiles")
    flux = equipped("a cat --tiled_upscale_v2", "flux").graph.nodes
    assert flux["hires_fix.tile_guidance"].inputs["guidance"] == 5.5
    photo = equipped("a cat --tiled_upscale_v2 --only_upscale", "flux", image=True).graph.nodes
    assert (
        photo["hires_fix.tile_guidance"].inputs["conditioning"]
        != photo["hires_fix.guidance"].inputs["conditioning"]
    )


def test_only_upscale_enlarges_the_input_and_samples_nothing() -> None:
    planned = plan_text("--only_upscale", image=True)
    assert [stage.name for stage in planned.stages] == ["super_resolution"]
    assert planned.sampler_calls == 0
    assert planned.graph.nodes["super_resolution.upscale"].inputs["factor"] == 4.0
    assert [one.code for one in draft_text("--only_upscale").errors] == ["no-input-image"]


def test_a_skipped_hires_fix_leaves_no_half_of_the_enlargement() -> None:
    planned = plan_text("a\nhires_fix=true", bindings="", options=Options(missing_models="skip"))
    assert [stage.name for stage in planned.stages] == ["base"]
    assert [one.code for one in planned.problems] == ["stage-skipped", "stage-skipped"]


# -- FaceID and faces


# -- finishing


def test_finishing_in_the_pipelines_order() -> None:
    planned = equipped("a cat --remove_background\nfilm_grain=true\ncolor_grading=Ektar\nseed=5")
    nodes = planned.graph.nodes
    assert [stage.name for stage in planned.stages] == [
        "base",
        "color_grading",
        "film_grain",
        "remove_background",
    ]
    assert nodes["color_grading.grade"].inputs["look"] == "Ektar"
    assert nodes["film_grain.grain"].inputs["image"] == Link("color_grading.grade")
    assert nodes["film_grain.grain"].inputs["seed"] == 5
    assert nodes["remove_background.remove"].inputs["background_model"] == Link(
        "models.background_removal"
    )
    assert planned.output == Link("remove_background.remove")


def test_a_style_frames_the_text_of_the_scene_and_of_every_person() -> None:
    nodes = plan_text(
        "a street, BREAK BREAK ohwx woman.\nstyle=Cinematic\nnegative_prompt=text"
    ).graph.nodes
    scene = nodes["base.positive"].inputs["text"]
    person = nodes["base.person_1_positive"].inputs["text"]
    assert scene.replace("a street", "ohwx woman") == person != "ohwx woman."
    assert nodes["base.negative"].inputs["text"].startswith("text, ")
    assert ",," not in scene
    assert "{" not in scene
