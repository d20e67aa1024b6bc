"""BREAK persons in the plan: whose words and LoRAs act where."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.graph.ui_form import ui_workflow
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.pipeline.plan import Plan
from comfyui_astria.nodes.prompt import PromptRequest

from .support import (
    BINDINGS,
    controlnet_of,
    draft_text,
    equipped,
    plan_text,
    resolver,
    seed_prompt,
    store_with_photos,
)

TWO = (
    "a street BREAK film noir BREAK <lora:1533312:0.8> ohwx woman BREAK <lora:1558021:0.6>"
    " <lora:detail:0.3> ohwx man"
)


def test_the_seeds_two_people_each_with_their_own_lora() -> None:
    planned = plan_text(seed_prompt("multi_person"), "flux")
    nodes = planned.graph.nodes
    assert (
        nodes["base.positive"].inputs["text"]
        == "Dramatic 1940s film noir scene. Couple standing together aiming guns, wooden paneled"
        " background., ohwx woman with determined expression, retro updo hairstyle, bright red"
        " lipstick, black and yellow color-blocked dress, aiming revolver with right hand, ohwx man"
        " with serious face, grey fedora hat, brown suit with patterned tie, white shirt, aiming"
        " pistol with left hand"
    )
    assert (
        nodes["base.person_1_positive"]
        .inputs["text"]
        .startswith("ohwx woman with determined expression")
    )
    assert nodes["base.person_2_positive"].inputs["text"].startswith("ohwx man with serious face")
    assert nodes["base.person_1_lora_1"].inputs == {
        "lora_name": "my_wife.safetensors",
        "strength": 1.0,
    }
    assert nodes["base.person_2_lora_1"].inputs == {
        "lora_name": "my_husband.safetensors",
        "strength": 1.0,
    }
    assert (nodes["base.regions"].inputs["width"], nodes["base.regions"].inputs["height"]) == (
        1024,
        576,
    )
    assert planned.sampler_calls == 1, "all people in one pass"
    assert planned.settings.num_images == 4


def test_common_is_part_of_the_scene_and_of_every_person() -> None:
    nodes = plan_text(f"{TWO}\nnegative_prompt=text BREAK blurry BREAK hat").graph.nodes
    assert nodes["base.positive"].inputs["text"] == "a street, film noir"
    assert nodes["base.person_1_positive"].inputs["text"] == "ohwx woman, film noir"
    assert nodes["base.person_2_positive"].inputs["text"] == "ohwx man, film noir"
    assert nodes["base.negative"].inputs["text"] == "text, blurry"
    assert nodes["base.person_1_negative"].inputs["text"] == "hat, blurry"
    assert "negative" not in nodes["base.person_2"].inputs


def test_a_persons_lora_patches_their_text_encoder_and_never_the_shared_model() -> None:
    nodes = plan_text(TWO).graph.nodes
    loaders = {
        name: call.inputs for name, call in nodes.items() if call.class_type == "AstriaLoadLora"
    }
    assert {name: inputs["strength_model"] for name, inputs in loaders.items()} == {
        "base.person_1_text_lora_1": 0.0,
        "base.person_2_text_lora_1": 0.0,
        "base.person_2_text_lora_2": 0.0,
    }
    assert loaders["base.person_2_text_lora_2"]["strength_clip"] == 0.3
    assert nodes["base.person_2_positive"].inputs["clip"] == Link("base.person_2_text_lora_2", 1)
    assert nodes["base.regional"].inputs["model"] == Socket("model")
    assert nodes["base.person_2_lora_2"].inputs["loras"] == Link("base.person_2_lora_1")
    assert nodes["base.person_2"].inputs["persons"] == Link("base.person_1")
    assert nodes["base.guider"].inputs["model"] == Link("base.regional")


def test_a_lora_acts_where_its_segment_does() -> None:
    """One of the base prompt on the scene alone, one of the common prompt on everybody, and
    once.
    """
    text = (
        "<lora:detail:0.5> a street BREAK <lora:my_husband:0.7> film noir BREAK <lora:1533312:0.8>"
        " ohwx woman BREAK ohwx man"
    )
    nodes = plan_text(text).graph.nodes
    loaders = {
        name: call.inputs for name, call in nodes.items() if call.class_type == "AstriaLoadLora"
    }
    assert {
        name: (inputs["lora_name"], inputs["strength_model"], inputs["strength_clip"])
        for name, inputs in loaders.items()
    } == {
        "base.lora_1": ("my_husband.safetensors", 0.7, 0.7),
        "base.scene_text_lora_1": ("detail.safetensors", 0.0, 0.5),
        "base.person_1_text_lora_1": ("my_wife.safetensors", 0.0, 0.8),
    }
    assert {nodes[name].inputs["clip"] for name in ("base.positive", "base.negative")} == {
        Link("base.scene_text_lora_1", 1)
    }
    assert nodes["base.person_1_positive"].inputs["clip"] == Link("base.person_1_text_lora_1", 1)
    assert nodes["base.person_2_positive"].inputs["clip"] == Link("base.lora_1", 1)
    assert (
        loaders["base.person_1_text_lora_1"]["clip"]
        == loaders["base.scene_text_lora_1"]["clip"]
        == Link("base.lora_1", 1)
    )
    regional = nodes["base.regional"].inputs
    assert (regional["model"], regional["scene_loras"]) == (
        Link("base.lora_1"),
        Link("base.scene_lora_1"),
    )
    assert nodes["base.scene_lora_1"].inputs == {"lora_name": "detail.safetensors", "strength": 0.5}
    assert "loras" not in nodes["base.person_2"].inputs


def test_a_checkpoint_of_a_person_takes_the_common_lora_too() -> None:
    nodes = plan_text(
        "a street BREAK <lora:my_husband:0.7> film noir BREAK <lora:rv51:1> ohwx woman BREAK"
        " ohwx man"
    ).graph.nodes
    assert nodes["base.person_1_lora_1"].inputs["lora_name"] == "my_husband.safetensors"
    assert nodes["base.person_1_text_lora_1"].inputs["clip"] == Link(
        "models.person_checkpoint_1", 1
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_without_base_and_common_only_the_people_of_the_input_image_change(family: str) -> None:
    planned = plan_text(
        "BREAK\nBREAK ohwx woman <lora:1533312:1>\nBREAK ohwx man <lora:1558021:1>",
        family,
        image=True,
    )
    nodes = planned.graph.nodes
    assert planned.stages[0].invariant == "pixels outside the people bit-identical"
    assert nodes["base.regions"].inputs["image"] == Link("base.fit")
    assert nodes["base.keep_unmasked"].inputs["mask"] == Link("base.regions", 2)
    own_mask = plan_text("BREAK BREAK a BREAK b", family, image=True, mask=True).graph.nodes
    assert own_mask["base.keep_unmasked"].inputs["mask"] == Link("base.fit", 1)


IN_SEQUENCE = [name for name, one in FAMILIES.items() if one.text.in_sequence]
TWO_SAID = "ohwx woman, ohwx man"


@pytest.mark.parametrize("family", IN_SEQUENCE)
def test_without_a_pose_the_whole_pictures_text_says_who_stands_there(family: str) -> None:
    planned = plan_text(f"{TWO}\nhires_fix=true", family, upscale_model=True)
    nodes = planned.graph.nodes
    assert nodes["base.positive"].inputs["text"] == f"a street, film noir, {TWO_SAID}"
    heard = nodes["base.regional"].inputs
    assert (heard["scene_strength"], heard["scene_until"]) == (0.4, 0.3)
    assert heard["regions"] == Link("base.regions")
    assert heard["negative"] == Link("base.negative")
    # Behind it the scene is the scene again: a second sampling composes nothing.
    later = nodes["base.kept.regional"].inputs
    assert (later["scene_strength"], later["scene_until"]) == (0.0, 1.0)
    assert nodes["base.kept.positive"].inputs["text"] == "a street, film noir"
    [told] = [one for one in planned.problems if one.code == "people-in-scene-text"]
    assert "also says each person's words" in told.message
    assert "how many there are" in told.hint


@pytest.mark.parametrize(
    "base", ["Two friends in a park", "a couple, dancing", "3 people", "both of them at sea"]
)
def test_a_scene_that_says_how_many_there_are_is_not_asked_to(base: str) -> None:
    planned = plan_text(f"{base} BREAK BREAK a woman BREAK a man", "flux")
    [told] = [one for one in planned.problems if one.code == "people-in-scene-text"]
    assert not told.hint


@pytest.mark.parametrize("base", ["", "a street"])
@pytest.mark.parametrize("keeps_unmasked", [False, True])
@pytest.mark.parametrize("has_mask", [False, True])
def test_so_it_does_where_people_of_a_picture_are_painted_anew(
    base: str, keeps_unmasked: bool, has_mask: bool
) -> None:
    planned = plan_text(
        f"{base} BREAK BREAK a woman BREAK a man\nhires_fix=true",
        "flux",
        Options(keep_unmasked=keeps_unmasked),
        image=True,
        mask=has_mask,
        upscale_model=True,
        pose_controlnet=True,  # which poses nobody in a picture where no pose is asked for
    )
    nodes = planned.graph.nodes
    said = ", ".join(filter(None, [base, "a woman", "a man"]))
    assert nodes["base.positive"].inputs["text"] == said
    assert nodes["base.regional"].inputs["scene_strength"] == 0.4
    sampled = model_of(planned, "base")
    if sampled == Link("base.differential"):  # which blends along the mask's soft edge
        sampled = nodes["base.differential"].inputs["model"]
    assert sampled == Link("base.regional")
    assert nodes["base.kept.positive"].inputs["text"] == base
    assert [one.code for one in planned.problems].count("people-in-scene-text") == 1


def test_what_the_scene_says_already_is_not_said_again() -> None:
    planned = plan_text(
        "a woman and an old man BREAK BREAK an old man BREAK man BREAK a man", "flux"
    )
    text = planned.graph.nodes["base.positive"].inputs["text"]
    assert text == "a woman and an old man, a man"
    twins = plan_text("twins BREAK BREAK a man BREAK a man", "flux").graph.nodes
    assert twins["base.positive"].inputs["text"] == "twins, a man, a man"


def model_of(planned: Plan, sampling: str) -> Link:
    """The model by which a stage of a plan samples."""
    guider = planned.graph.nodes[f"{sampling}.guider"].inputs
    model = guider["model"]
    assert isinstance(model, Link)
    return model


def test_a_composition_is_sampled_once_and_only_where_nothing_else_composes() -> None:
    twice = plan_text(f"{TWO}\nhires_fix=true", "flux", upscale_model=True)
    assert model_of(twice, "base") == Link("base.regional")
    assert model_of(twice, "hires_fix") == Link("base.kept.regional")
    for planned in (
        plan_text(TWO),
        plan_text(TWO, "sdxl"),
        plan_text(TWO, "flux", pose_controlnet=True),
        plan_text(f"{TWO}\ncontrolnet=canny", "flux", image=True, controlnet=True),
        plan_text(TWO, "sd15", image=True),
        plan_text("a street, two people", "flux"),
    ):
        assert not [name for name in planned.graph.nodes if "kept" in name]


def test_the_constant_pose_steers_where_a_pose_controlnet_is_bound_and_otherwise_it_is_said() -> (
    None
):
    without = plan_text(TWO)
    assert [one.code for one in without.problems] == ["no-pose-controlnet"]
    assert "base.pose" not in without.graph.nodes
    bound = plan_text(
        TWO,
        bindings=f"{BINDINGS}[roles]\ncontrolnet_pose = pose.safetensors\n".replace(
            "[roles]\nupscaler = 4x.pth\n", ""
        ),
    )
    nodes = bound.graph.nodes
    assert nodes["models.controlnet_pose"].inputs["control_net_name"] == "pose.safetensors"
    assert nodes["base.pose"].inputs["image"] == Link("base.regions", 3)
    assert nodes["base.guider"].inputs["positive"] == Link("base.pose")
    connected = plan_text(TWO, pose_controlnet=True)
    assert controlnet_of(connected, "base.pose", "pose") == Socket("pose_controlnet")
    assert "base.pose" not in plan_text(TWO, image=True, pose_controlnet=True).graph.nodes


def test_people_that_cannot_be_planned_are_errors() -> None:
    nine = " BREAK ".join(["scene", "", *(f"person {n}" for n in range(9))])
    assert [one.code for one in draft_text(nine).errors] == ["too-many-persons"]
    with pytest.raises(PlanError, match=r"<lora:rv51> stands for the checkpoint"):
        plan_text("a <lora:rv51:1> BREAK BREAK woman BREAK man")
    with pytest.raises(
        PlanError, match=r"two checkpoints, 'rv51.safetensors' and 'sd15_inpaint.safetensors'"
    ):
        plan_text("a BREAK BREAK <lora:rv51:1> <lora:sd15_inpaint:1> woman BREAK man")


def test_a_person_may_be_a_checkpoint_with_loras_of_its_own() -> None:
    nodes = plan_text(
        "a BREAK BREAK <lora:rv51:1> <lora:detail:0.5> woman BREAK <lora:1558021:1> man BREAK"
        " <lora:rv51:1> girl"
    ).graph.nodes
    assert nodes["models.person_checkpoint_1"].inputs == {"ckpt_name": "rv51.safetensors"}
    assert nodes["base.person_1_text_lora_1"].inputs["clip"] == Link(
        "models.person_checkpoint_1", 1
    )
    assert nodes["base.person_1_positive"].inputs["clip"] == Link("base.person_1_text_lora_1", 1)
    first = nodes["base.person_1"].inputs
    assert (first["model"], first["loras"]) == (
        Link("models.person_checkpoint_1"),
        Link("base.person_1_lora_1"),
    )
    assert "model" not in nodes["base.person_2"].inputs
    assert nodes["base.person_2"].inputs["loras"] == Link("base.person_2_lora_1")
    assert nodes["base.person_3"].inputs["model"] == Link("models.person_checkpoint_1"), (
        "two persons share one load"
    )


def test_regions_move_onto_the_canvas_for_the_stages_that_draw_people_again() -> None:
    text = f"{TWO} --outpaint center --outpaint_width 1024 --outpaint_height 768"
    nodes = plan_text(f"{text}\nhires_fix=true").graph.nodes
    assert nodes["outpaint.people"].inputs == {
        "canvas": Link("outpaint.canvas", 2),
        "masks": Link("base.regions", 1),
    }
    assert nodes["outpaint.regions"].inputs["masks"] == Link("outpaint.people")
    assert nodes["hires_fix.regional"].inputs["regions"] == Link("outpaint.regions")
    assert nodes["hires_fix.regional"].inputs["persons"] == Link("base.person_2")
    assert "outpaint.regions" not in plan_text(text).graph.nodes


def test_every_missing_lora_of_every_person_is_named() -> None:
    drafted = draft_text("a BREAK BREAK <lora:91:1> woman BREAK <lora:92:1> man", options=Options())
    assert [one.key for one in drafted.missing] == ["91", "92"]


def test_the_nodes_of_each_person_are_titled_with_their_number() -> None:
    compiled = compile_request(
        PromptRequest.require(f"{TWO}\nnegative_prompt=a BREAK b BREAK hat"),
        resolver(),
        CompileOptions("690204"),
    )
    workflow = ui_workflow(compiled.graph, snapshot(), "")
    people = [
        node for node in workflow["nodes"] if "person" in node["properties"].get("astria_name", "")
    ]
    assert {
        node["properties"]["astria_name"].removeprefix("base."): node["title"] for node in people
    } == {
        "person_1_text_lora_1": "Person 1: LoRA of the text",
        "person_1_positive": "Person 1: prompt",
        "person_1_negative": "Person 1: negative prompt",
        "person_1_lora_1": "Person 1: LoRA",
        "person_1": "Person 1",
        "person_2_text_lora_1": "Person 2: LoRA of the text",
        "person_2_text_lora_2": "Person 2: LoRA of the text",
        "person_2_positive": "Person 2: prompt",
        "person_2_lora_1": "Person 2: LoRA",
        "person_2_lora_2": "Person 2: LoRA",
        "person_2": "Person 2",
    }


def test_a_persons_own_checkpoint_is_titled_too() -> None:
    request = PromptRequest.require("a BREAK BREAK <lora:rv51:1> woman")
    workflow = ui_workflow(
        compile_request(request, resolver(), CompileOptions("690204")).graph, snapshot(), ""
    )
    titles = {
        node["properties"].get("astria_name"): node.get("title") for node in workflow["nodes"]
    }
    assert titles["models.person_checkpoint_1"] == "Load a person's checkpoint"


def test_a_face_belongs_to_the_persons_whose_words_hold_it(tmp_path: Path) -> None:
    """One of the common prompt is everybody's, and nobody's in the scene.

    The base prompt describes nobody.
    """
    store = store_with_photos(tmp_path, 7)
    nodes = equipped(
        "a street BREAK <faceid:7:1> noir BREAK woman BREAK man", store=store
    ).graph.nodes
    assert [name for name, call in nodes.items() if call.class_type == "AstriaPersonFaceID"] == [
        "base.person_1_faceid_1",
        "base.person_2_faceid_1",
    ]
    assert not [name for name, call in nodes.items() if call.class_type == "AstriaApplyFaceID"]
    with pytest.raises(
        PlanError,
        match=(
            r"<faceid:7:1> stands in the base prompt, which describes the scene; no person has this"
            r" face\."
        ),
    ):
        equipped("<faceid:7:1> a street BREAK BREAK woman BREAK man", store=store)


def test_each_region_is_named_by_its_persons_words() -> None:
    nodes = plan_text(
        "a bar BREAK BREAK <lora:1533312:1> ohwx woman in a very long red coat BREAK (man:1.2)"
    ).graph.nodes
    assert nodes["base.regions"].inputs["names"] == "ohwx woman in a very … | (man:1.2)"


def test_of_two_weights_one_is_the_text_encoders() -> None:
    nodes = plan_text("<lora:detail:0.2:0.9> <lora:detail:1> a cat").graph.nodes
    loaded = nodes["base.lora_1"].inputs
    assert (loaded["strength_model"], loaded["strength_clip"]) == (1.9, 1.2)
    nodes = plan_text("a bar BREAK BREAK <lora:detail:0.2:0.9> woman").graph.nodes
    assert nodes["base.person_1_lora_1"].inputs["strength"] == 0.9
    assert nodes["base.person_1_text_lora_1"].inputs["strength_clip"] == 0.2
    scene = "<lora:detail:0.2:0.9> a bar BREAK BREAK woman"
    nodes = plan_text(scene).graph.nodes
    assert nodes["base.scene_lora_1"].inputs["strength"] == 0.9
    assert nodes["base.scene_text_lora_1"].inputs["strength_clip"] == 0.2


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("<lora:detail:1>, a cat, <lora:detail:1>, red", "a cat, red"),
        ("a cat, <lora:detail:1>", "a cat"),
        ("a cat, BREAK, film noir,", "a cat, film noir"),
        ("(<lora:detail:1>, a cat:1.2)", "(a cat:1.2)"),
        (", , a cat", "a cat"),
    ],
)
def test_no_comma_is_left_where_something_was_taken_out(text: str, encoded: str) -> None:
    assert plan_text(text).graph.nodes["base.positive"].inputs["text"] == encoded
