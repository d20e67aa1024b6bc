"""Masks in words, the second sampling, faces and finishing in the plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.check import check_graph
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import draft
from comfyui_astria.nodes.prompt import PromptRequest

from .support import EQUIPPED, draft_text, equipped, plan_text, resolver, seed_prompt, sources, store_with_photos

# -- masks ----------------------------------------------------------------------------------------------------------------


def test_the_seeds_masked_portrait() -> None:
    planned = equipped(seed_prompt("masked_portrait"), image=True)
    nodes = planned.graph.nodes
    mask = nodes["base.mask"].inputs
    assert (mask["image"], mask["segmenter"]) == (Link("base.fit"), Link("models.segmenter"))
    assert (mask["mask_prompt"], mask["mask_negative"], mask["mask_invert"], mask["mask_dilate"]) == ("foreground", "clothes", True, "-20")
    assert nodes["models.segmenter"].inputs["sam3"] == "sam3.safetensors"
    assert nodes["models.segmenter"].inputs["clipseg"] == "none"
    assert nodes["base.noise_mask"].inputs["mask"] == nodes["base.keep_unmasked"].inputs["mask"] == Link("base.mask")
    assert nodes["base.control_pose"].inputs["image"] == Link("base.pose_map")
    assert nodes["hires_fix.sigmas"].inputs["denoise"] == 0.2
    assert nodes["super_resolution.upscale"].inputs["factor"] == 2.0, "hires fix gave the first doubling"
    assert nodes["face_correct.restore"].inputs["image"] == Link("super_resolution.upscale")
    assert planned.output == Link("face_correct.restore")


def test_masks_of_a_batch_repeat_with_their_pictures() -> None:
    nodes = equipped("a cat --mask_prompt face\nnum_images=2", image=True).graph.nodes
    assert nodes["base.mask_picture"].inputs["mask"] == Link("base.mask")
    assert nodes["base.keep_unmasked"].inputs["mask"] == Link("base.repeat_mask")


def test_flags_change_a_given_mask_and_words_give_way_to_it() -> None:
    planned = plan_text("a cat --mask_prompt face --mask_invert --mask_dilate 5%", image=True, mask=True)
    change = planned.graph.nodes["base.adjust_mask"].inputs
    assert (change["mask"], change["invert"], change["dilate"]) == (Link("base.fit", 1), True, "5%")
    assert [one.code for one in planned.problems] == ["mask-overruled"]
    assert "base.mask" not in planned.graph.nodes


def test_phrases_stay_together() -> None:
    text = 'a room --mask_prompt "red door" window'
    assert equipped(text, image=True).graph.nodes["base.mask"].inputs["mask_prompt"] == '"red door" window'


def test_words_need_a_picture_and_a_model() -> None:
    assert [one.code for one in draft_text("a --mask_prompt face").errors] == ["mask-without-image"]
    with pytest.raises(MissingModelError, match="no model that turns words into masks is connected or bound"):
        plan_text("a --mask_prompt face", image=True)


def test_a_bound_file_that_is_not_there_is_told_and_never_passed_over(tmp_path: Path) -> None:
    bindings = EQUIPPED.replace("[defaults]", "clipseg = rd64\n[defaults]").replace("eva_clip = eva.pt", "eva_clip = lost.pt")
    assert [one.key for one in draft_text("a --mask_prompt face", bindings=bindings, image=True).missing] == ["clipseg"]
    request = PromptRequest.require("<faceid:7:1> woman")
    drafted = draft(request, sources("flux"), resolver(bindings, store_with_photos(tmp_path, 7)), Options())
    assert [one.key for one in drafted.missing] == ["eva_clip"]


def test_sdxl_with_words_for_a_mask_carries_the_documented_warning() -> None:
    assert [one.code for one in equipped("a --mask_prompt face", "sdxl", image=True).problems] == ["sdxl-inpainting"]


# -- hires fix, tiles, super-resolution ------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_hires_fix_samples_the_doubled_picture_with_what_the_first_pass_was_told(family: str) -> None:
    planned = plan_text("<lora:detail:1> a cat\nhires_fix=true", family)
    nodes = planned.graph.nodes
    assert nodes["hires_fix.upscale"].inputs == {"image": Link("base.decode"), "upscale_model": Link("models.upscaler"), "factor": 2.0}
    assert nodes["hires_fix.fit"].inputs["multiple"] == FAMILIES[family].multiple
    assert nodes["hires_fix.sigmas"].inputs["denoise"] == 0.4
    assert nodes["hires_fix.guider"].inputs["model"] == nodes["base.guider"].inputs["model"] == Link("base.lora_1")
    assert planned.sampler_calls == 2
    assert [stage.name for stage in planned.stages] == ["base", "hires_fix", "super_resolution"]


def test_hires_fix_of_an_inpainting_starts_from_the_plain_conditionings() -> None:
    nodes = plan_text("a cat\nhires_fix=true", "sd15_inpaint", image=True, mask=True).graph.nodes
    assert nodes["hires_fix.guider"].inputs["positive"] == Link("base.positive"), "not those that hold the small masked picture"


def test_what_the_mask_left_alone_can_be_kept_through_hires_fix() -> None:
    kept = plan_text("a cat\nhires_fix=true", image=True, mask=True, options=Options(keep_unmasked=True)).graph.nodes
    assert kept["hires_fix.mask_picture"].inputs["mask"] == Link("base.fit", 1)
    assert kept["hires_fix.mask_size"].inputs["fit"] == Link("base.fit", 2)
    composite = kept["hires_fix.keep_unmasked"].inputs
    assert (composite["original"], composite["mask"]) == (Link("hires_fix.upscale"), Link("hires_fix.mask"))
    assert "hires_fix.keep_unmasked" not in plan_text("a cat\nhires_fix=true", image=True, mask=True).graph.nodes


def test_hires_fix_after_outpainting_is_told_of_both_areas() -> None:
    text = "<lora:detail:1> a cat --outpaint center --outpaint_width 768 --outpaint_height 768 --outpaint_prompt fields\nhires_fix=true"
    nodes = plan_text(text).graph.nodes
    assert nodes["hires_fix.positive"].inputs["text"] == "a cat, fields"
    assert nodes["hires_fix.guider"].inputs["model"] == Link("base.lora_1"), "the LoRA counts once"


def test_tiled_upscales() -> None:
    first = plan_text("a cat --tiled_upscale --only_upscale", "sdxl", image=True)
    assert [stage.name for stage in first.stages] == ["hires_fix"]
    tiles = first.graph.nodes["hires_fix.tiles"].inputs
    assert (tiles["tile_size"], tiles["overlap"]) == (1024, 128)
    assert first.graph.nodes["hires_fix.guider"].inputs["cfg"] == 7.0
    second = equipped("a cat --tiled_upscale_v2 --hires_cfg_scale 5 --resemblance 0.9", image=True).graph.nodes
    control = second["hires_fix.control_tile"].inputs
    assert (control["strength"], control["image"]) == (0.9, Link("hires_fix.fit"))
    assert second["hires_fix.guider"].inputs["cfg"] == 5.0
    assert second["hires_fix.guider"].inputs["model"] == Link("hires_fix.tiles")
    flux = equipped("a cat --tiled_upscale_v2", "flux").graph.nodes
    assert flux["hires_fix.tile_guidance"].inputs["guidance"] == 5.5
    photo = equipped("a cat --tiled_upscale_v2 --only_upscale", "flux", image=True).graph.nodes
    assert photo["hires_fix.tile_guidance"].inputs["conditioning"] != photo["hires_fix.guidance"].inputs["conditioning"]


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


# -- FaceID and faces --------------------------------------------------------------------------------------------------------


def test_faceid_of_one_person_acts_on_the_whole_picture(tmp_path: Path) -> None:
    planned = equipped("<faceid:7:0.8> woman trekking", store=store_with_photos(tmp_path, 7))
    nodes = planned.graph.nodes
    assert nodes["models.identity_1"].inputs == {"analysis": Link("models.face_analysis"), "tune": "7"}
    use = nodes["base.faceid_1"].inputs
    assert (use["model"], use["faceid"], use["identity"], use["strength"]) == (Socket("model"), Link("models.faceid"), Link("models.identity_1"), 0.8)
    assert nodes["models.faceid"].inputs["faceid_name"] == "ip-adapter-faceid-plusv2_sd15.bin"
    assert nodes["models.faceid"].inputs["clip_vision"] == Link("models.clip_vision")
    assert nodes["base.guider"].inputs["model"] == Link("base.faceid_1")
    assert planned.settings.cfg == 3.0, "the documented cfg_scale with FaceID"
    assert nodes["base.positive"].inputs["text"] == "woman trekking"


def test_faceid_on_flux_is_pulid_with_the_recogniser_it_was_trained_with(tmp_path: Path) -> None:
    planned = equipped("<faceid:7:1> woman", "flux", store=store_with_photos(tmp_path, 7))
    nodes = planned.graph.nodes
    assert nodes["models.faceid"].inputs["faceid_name"] == "pulid_flux_v0.9.1.safetensors"
    assert nodes["models.faceid"].inputs["eva_clip"] == "eva.pt"
    assert nodes["models.face_analysis_pulid"].inputs["pack"] == "antelopev2"
    assert planned.settings.cfg == 3.5


def test_what_pulid_reads_photos_by_is_told_before_a_run(tmp_path: Path) -> None:
    bindings = EQUIPPED.replace("eva_clip = eva.pt\n", "").replace("face_parsing = parsing_bisenet.pth\n", "")
    request = PromptRequest.require("<faceid:7:1> woman")
    bound = resolver(bindings, store_with_photos(tmp_path, 7))
    [lost] = draft(request, sources("flux"), bound, Options()).missing
    assert "no eva_clip is bound" in lost.message and "no face_parsing is bound" in lost.message
    assert not draft(request, sources("sd15"), bound, Options()).missing


def test_what_faceid_plus_reads_photos_by_is_told_before_a_run(tmp_path: Path) -> None:
    bindings = EQUIPPED.replace("clip_vision = vit_h.safetensors\n", "")
    bound = resolver(bindings, store_with_photos(tmp_path, 7))
    [lost] = draft(PromptRequest.require("<faceid:7:1> woman"), sources("sd15"), bound, Options()).missing
    assert "no clip_vision is bound (IP-Adapter FaceID Plus: CLIP-ViT-H)" in lost.message
    assert not draft(PromptRequest.require("<faceid:7:1> woman --faceid_portrait"), sources("sd15"), bound, Options()).missing


@pytest.mark.parametrize("text", ["<faceid:7:10> woman", "a street BREAK BREAK <faceid:7:10> woman"])
def test_the_strongest_face_that_a_prompt_may_ask_for_fits_the_node(tmp_path: Path, text: str) -> None:
    check_graph(equipped(text, store=store_with_photos(tmp_path, 7)).graph, snapshot())


def test_faceid_portrait_takes_the_portrait_adapter(tmp_path: Path) -> None:
    nodes = equipped("<faceid:7:1> woman --faceid_portrait", store=store_with_photos(tmp_path, 7)).graph.nodes
    assert nodes["models.faceid_portrait"].inputs["faceid_name"] == "ip-adapter-faceid-portrait_sd15.bin"
    assert nodes["base.faceid_1"].inputs["faceid"] == Link("models.faceid_portrait")


def test_two_people_each_keep_their_own_face(tmp_path: Path) -> None:
    text = "a street BREAK BREAK <faceid:7:1> woman BREAK <faceid:8:0.9> man"
    nodes = equipped(text, store=store_with_photos(tmp_path, 7, 8)).graph.nodes
    assert nodes["base.person_1"].inputs["faceids"] == Link("base.person_1_faceid_1")
    assert nodes["base.person_2_faceid_1"].inputs["identity"] == Link("models.identity_2")
    assert nodes["base.person_2_faceid_1"].inputs["strength"] == 0.9
    assert not [name for name, call in nodes.items() if call.class_type == "AstriaApplyFaceID"]


def test_face_inpainting_draws_each_face_with_its_own_person() -> None:
    planned = equipped("<lora:my_wife:1> a street BREAK <lora:detail:1> noir BREAK ohwx woman BREAK ohwx man\ninpaint_faces=true", "sdxl")
    nodes = planned.graph.nodes
    faces = nodes["inpaint_faces.faces"].inputs
    assert faces["image"] == nodes["inpaint_faces.detect"].inputs["image"] == Link("super_resolution.upscale")
    assert faces["model"] == Link("base.lora_1"), "without regions: a crop holds one face"
    assert (faces["persons"], faces["regions"], faces["scene_loras"]) == (Link("base.person_2"), Link("base.regions"), Link("base.scene_lora_1"))
    assert (faces["cfg"], faces["face_size"]) == (7.0, 1024)
    assert equipped("a\ninpaint_faces=true", "flux").graph.nodes["inpaint_faces.faces"].inputs["cfg"] == 1.0


def test_faces_of_a_picture_that_is_not_painted_take_the_prompt() -> None:
    nodes = equipped("ohwx woman\ninpaint_faces=true\ndenoising_strength=0", image=True).graph.nodes
    assert nodes["inpaint_faces.positive"].inputs["text"] == "ohwx woman"
    assert nodes["inpaint_faces.faces"].inputs["positive"] == Link("inpaint_faces.positive")


def test_face_swap_takes_the_photos_of_each_persons_tune(tmp_path: Path) -> None:
    store = store_with_photos(tmp_path, 7, 8, file="detail.safetensors")
    planned = equipped("a BREAK BREAK <lora:7:1> woman BREAK <lora:8:1> man\nface_swap=true", store=store)
    nodes = planned.graph.nodes
    assert nodes["models.identity_1"].inputs["tune"] == "7"
    assert nodes["face_swap.identity_2"].inputs == {"identity": Link("models.identity_2"), "identities": Link("face_swap.identity_1")}
    swap = nodes["face_swap.swap"].inputs
    assert (swap["identities"], swap["regions"]) == (Link("face_swap.identity_2"), Link("base.regions"))
    with pytest.raises(MissingModelError, match=r"Person 2 of the prompt has no tune with photos"):
        equipped("a BREAK BREAK <lora:7:1> woman BREAK man\nface_swap=true", store=store)


def test_faceid_swap_and_correct_of_the_seed(tmp_path: Path) -> None:
    text = "<faceid:7:1.0> woman trekking in the alps\nsuper_resolution=true\nface_correct=true\nface_swap=true"
    planned = equipped(text, "flux", store=store_with_photos(tmp_path, 7))
    assert [stage.name for stage in planned.stages] == ["base", "super_resolution", "face_swap", "face_correct"]
    nodes = planned.graph.nodes
    assert nodes["face_swap.identity_1"].inputs["identity"] == Link("models.identity_2"), "the swapper knows faces by another recogniser"
    assert nodes["models.identity_2"].inputs["analysis"] == Link("models.face_analysis")
    assert nodes["face_correct.restore"].inputs["image"] == Link("face_swap.swap")


# -- finishing -------------------------------------------------------------------------------------------------------------


def test_finishing_in_the_pipelines_order() -> None:
    planned = equipped("a cat --remove_background\nfilm_grain=true\ncolor_grading=Ektar\nseed=5")
    nodes = planned.graph.nodes
    assert [stage.name for stage in planned.stages] == ["base", "color_grading", "film_grain", "remove_background"]
    assert nodes["color_grading.grade"].inputs["look"] == "Ektar"
    assert nodes["film_grain.grain"].inputs["image"] == Link("color_grading.grade")
    assert nodes["film_grain.grain"].inputs["seed"] == 5
    assert nodes["remove_background.remove"].inputs["background_model"] == Link("models.background_removal")
    assert planned.output == Link("remove_background.remove")


def test_a_style_frames_the_text_of_the_scene_and_of_every_person() -> None:
    nodes = plan_text("a street, BREAK BREAK ohwx woman.\nstyle=Cinematic\nnegative_prompt=text").graph.nodes
    scene, person = nodes["base.positive"].inputs["text"], nodes["base.person_1_positive"].inputs["text"]
    assert scene.replace("a street", "ohwx woman") == person != "ohwx woman."
    assert nodes["base.negative"].inputs["text"].startswith("text, ")
    assert ",," not in scene
    assert "{" not in scene


@pytest.mark.parametrize(("family", "tag", "found_by"), [
    ("flux", "<faceid:7:1>", "models.face_analysis_pulid"), ("flux", "", "models.face_analysis"), ("sd15", "<faceid:7:1>", "models.face_analysis")])
def test_faces_are_found_by_the_pack_that_reads_the_persons_photos(tmp_path: Path, family: str, tag: str, found_by: str) -> None:
    """Else likeness could not tell whose they are. The swap's photos are buffalo_l's on every family."""
    text = f"two people BREAK BREAK {tag} ohwx woman BREAK sks man\ninpaint_faces=true"
    nodes = equipped(text, family, store=store_with_photos(tmp_path, 7)).graph.nodes
    assert nodes["inpaint_faces.detect"].inputs["analysis"] == Link(found_by)
