"""FaceID, face inpainting, face swap and correction in a plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.graph.check import check_graph
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.notes import with_notes
from comfyui_astria.nodes.pipeline.plan import draft
from comfyui_astria.nodes.prompt import PromptRequest

from .support import EQUIPPED, equipped, resolver, sources, store_with_photos


def test_faceid_of_one_person_acts_on_the_whole_picture(tmp_path: Path) -> None:
    planned = equipped("<faceid:7:0.8> woman trekking", store=store_with_photos(tmp_path, 7))
    nodes = planned.graph.nodes
    assert nodes["models.identity_1"].inputs == {
        "analysis": Link("models.face_analysis"),
        "tune": "7",
        "min_face_px": 64,
        "no_face": "error",
    }
    use = nodes["base.faceid_1"].inputs
    assert (use["model"], use["faceid"], use["identity"], use["strength"]) == (
        Socket("model"),
        Link("models.faceid"),
        Link("models.identity_1"),
        0.8,
    )
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
    bindings = EQUIPPED.replace("eva_clip = eva.pt\n", "").replace(
        "face_parsing = parsing_bisenet.pth\n", ""
    )
    request = PromptRequest.require("<faceid:7:1> woman")
    bound = resolver(bindings, store_with_photos(tmp_path, 7))
    [lost] = draft(request, sources("flux"), bound, Options()).missing
    assert "no eva_clip is bound" in lost.message and "no face_parsing is bound" in lost.message
    assert not draft(request, sources("sd15"), bound, Options()).missing


def test_what_faceid_plus_reads_photos_by_is_told_before_a_run(tmp_path: Path) -> None:
    bindings = EQUIPPED.replace("clip_vision = vit_h.safetensors\n", "")
    bound = resolver(bindings, store_with_photos(tmp_path, 7))
    [lost] = draft(
        PromptRequest.require("<faceid:7:1> woman"), sources("sd15"), bound, Options()
    ).missing
    assert "no clip_vision is bound (IP-Adapter FaceID Plus: CLIP-ViT-H)" in lost.message
    assert not draft(
        PromptRequest.require("<faceid:7:1> woman --faceid_portrait"),
        sources("sd15"),
        bound,
        Options(),
    ).missing


@pytest.mark.parametrize(
    "text", ["<faceid:7:10> woman", "a street BREAK BREAK <faceid:7:10> woman"]
)
def test_the_strongest_face_that_a_prompt_may_ask_for_fits_the_node(
    tmp_path: Path, text: str
) -> None:
    check_graph(equipped(text, store=store_with_photos(tmp_path, 7)).graph, snapshot())


def test_faceid_portrait_takes_the_portrait_adapter(tmp_path: Path) -> None:
    nodes = equipped(
        "<faceid:7:1> woman --faceid_portrait", store=store_with_photos(tmp_path, 7)
    ).graph.nodes
    assert (
        nodes["models.faceid_portrait"].inputs["faceid_name"]
        == "ip-adapter-faceid-portrait_sd15.bin"
    )
    assert nodes["base.faceid_1"].inputs["faceid"] == Link("models.faceid_portrait")


def test_two_people_each_keep_their_own_face(tmp_path: Path) -> None:
    text = "a street BREAK BREAK <faceid:7:1> woman BREAK <faceid:8:0.9> man"
    nodes = equipped(text, store=store_with_photos(tmp_path, 7, 8)).graph.nodes
    assert nodes["base.person_1"].inputs["faceids"] == Link("base.person_1_faceid_1")
    assert nodes["base.person_2_faceid_1"].inputs["identity"] == Link("models.identity_2")
    assert nodes["base.person_2_faceid_1"].inputs["strength"] == 0.9
    assert not [name for name, call in nodes.items() if call.class_type == "AstriaApplyFaceID"]


def test_face_inpainting_draws_each_face_with_its_own_person() -> None:
    planned = equipped(
        "<lora:my_wife:1> a street BREAK <lora:detail:1> noir BREAK ohwx woman BREAK ohwx"
        " man\ninpaint_faces=true",
        "sdxl",
    )
    nodes = planned.graph.nodes
    faces = nodes["inpaint_faces.faces"].inputs
    assert (
        faces["image"]
        == nodes["inpaint_faces.detect"].inputs["image"]
        == Link("super_resolution.upscale")
    )
    assert faces["model"] == Link("base.lora_1"), "without regions: a crop holds one face"
    assert (faces["persons"], faces["regions"], faces["scene_loras"]) == (
        Link("base.person_2"),
        Link("base.regions"),
        Link("base.scene_lora_1"),
    )
    assert (faces["cfg"], faces["face_size"]) == (7.0, 1024)
    assert (
        equipped("a\ninpaint_faces=true", "flux").graph.nodes["inpaint_faces.faces"].inputs["cfg"]
        == 1.0
    )


def test_of_a_crowd_the_largest_faces_are_drawn_anew_and_explain_says_so(tmp_path: Path) -> None:
    planned = equipped(
        "<faceid:7:1> woman\ninpaint_faces=true\nface_swap=true\nface_correct=true",
        store=store_with_photos(tmp_path, 7),
    )
    limits = {
        stage: (
            planned.graph.nodes[f"{stage}.detect"].inputs["max_faces"],
            planned.graph.nodes[f"{stage}.detect"].inputs["min_size"],
        )
        for stage in ("inpaint_faces", "face_swap", "face_correct")
    }
    assert limits == {
        "inpaint_faces": (8, 0.02),
        "face_swap": (0, 0.0),
        "face_correct": (0, 0.0),
    }
    told = {setting.key: setting.value for setting in planned.settings.explained}
    assert told["inpaint_faces.max_faces"] == 8 and told["inpaint_faces.min_size"] == 0.02
    assert "inpaint_faces.max_faces" not in {
        setting.key for setting in equipped("woman").settings.explained
    }


def test_a_bound_face_parsing_model_keeps_hair_and_hands_in_swap_and_correction(
    tmp_path: Path,
) -> None:
    text = "<faceid:7:1> woman\nface_swap=true\nface_correct=true"
    store = store_with_photos(tmp_path, 7)
    request = PromptRequest.require(text)
    for bindings, file in (
        (EQUIPPED, "parsing_bisenet.pth"),
        (EQUIPPED.replace("face_parsing = parsing_bisenet.pth\n", ""), "none"),
    ):
        drafted = draft(request, sources("sd15"), resolver(bindings, store), Options())
        assert not drafted.missing
        nodes = drafted.graph.nodes
        assert nodes["face_swap.swap"].inputs["face_parsing"] == file
        assert nodes["face_correct.restore"].inputs["face_parsing"] == file
    lost = EQUIPPED.replace("parsing_bisenet.pth", "gone.pth")
    [missing] = draft(request, sources("sd15"), resolver(lost, store), Options()).missing
    assert "gone.pth" in missing.message
    skipping = draft(
        request, sources("sd15"), resolver(lost, store), Options(missing_models="skip")
    )
    assert skipping.graph.nodes["face_swap.swap"].inputs["face_parsing"] == "none"
    assert any("What keeps hair, hands and glasses" in one.message for one in skipping.problems)


def test_faces_of_a_picture_that_is_not_painted_take_the_prompt() -> None:
    nodes = equipped("ohwx woman\ninpaint_faces=true\ndenoising_strength=0", image=True).graph.nodes
    assert nodes["inpaint_faces.positive"].inputs["text"] == "ohwx woman"
    assert nodes["inpaint_faces.faces"].inputs["positive"] == Link("inpaint_faces.positive")


def test_face_swap_takes_the_photos_of_each_persons_tune(tmp_path: Path) -> None:
    store = store_with_photos(tmp_path, 7, 8, file="detail.safetensors")
    planned = equipped(
        "a BREAK BREAK <lora:7:1> woman BREAK <lora:8:1> man\nface_swap=true", store=store
    )
    nodes = planned.graph.nodes
    assert nodes["models.identity_1"].inputs["tune"] == "7"
    assert nodes["face_swap.identity_2"].inputs == {
        "identity": Link("models.identity_2"),
        "identities": Link("face_swap.identity_1"),
    }
    swap = nodes["face_swap.swap"].inputs
    assert (swap["identities"], swap["regions"]) == (
        Link("face_swap.identity_2"),
        Link("base.regions"),
    )
    with pytest.raises(MissingModelError, match=r"Person 2 of the prompt has no tune with photos"):
        equipped("a BREAK BREAK <lora:7:1> woman BREAK man\nface_swap=true", store=store)


@pytest.mark.parametrize("family", ["sd15", "zimage_turbo"])
@pytest.mark.parametrize("other", ["", "BREAK <faceid:7:1> man"])
def test_photos_that_are_not_there_are_told_once_by_a_swap(
    tmp_path: Path, family: str, other: str
) -> None:
    text = f"a BREAK BREAK <faceid:9:1> woman {other}\nface_swap=true"
    store = store_with_photos(tmp_path, 7)
    request = PromptRequest.require(text)
    lost = draft(request, sources(family), resolver(EQUIPPED, store), Options()).missing
    assert [one.message for one in lost] == ["FaceID photo set '9' is not in the tunes database."]
    skipped = draft(request, sources(family), resolver(EQUIPPED, store), SKIP)
    stages = [one.message for one in skipped.problems if one.code == "stage-skipped"]
    assert len(stages) == (0 if other else 1)


def test_faceid_swap_and_correct_of_the_seed(tmp_path: Path) -> None:
    text = (
        "<faceid:7:1.0> woman trekking in the"
        " alps\nsuper_resolution=true\nface_correct=true\nface_swap=true"
    )
    planned = equipped(text, "flux", store=store_with_photos(tmp_path, 7))
    assert [stage.name for stage in planned.stages] == [
        "base",
        "super_resolution",
        "face_swap",
        "face_correct",
    ]
    nodes = planned.graph.nodes
    assert nodes["face_swap.identity_1"].inputs["identity"] == Link("models.identity_2"), (
        "the swapper knows faces by another recogniser"
    )
    assert nodes["models.identity_2"].inputs["analysis"] == Link("models.face_analysis")
    assert nodes["face_correct.restore"].inputs["image"] == Link("face_swap.swap")


@pytest.mark.parametrize(
    ("family", "tag", "found_by"),
    [
        ("flux", "<faceid:7:1>", "models.face_analysis_pulid"),
        ("flux", "", "models.face_analysis"),
        ("sd15", "<faceid:7:1>", "models.face_analysis"),
    ],
)
def test_faces_are_found_by_the_pack_that_reads_the_persons_photos(
    tmp_path: Path, family: str, tag: str, found_by: str
) -> None:
    """Else likeness could not tell whose they are.

    The swap's photos are buffalo_l's on every family.
    """
    text = f"two people BREAK BREAK {tag} ohwx woman BREAK sks man\ninpaint_faces=true"
    nodes = equipped(text, family, store=store_with_photos(tmp_path, 7)).graph.nodes
    assert nodes["inpaint_faces.detect"].inputs["analysis"] == Link(found_by)


SKIP = Options(missing_models="skip")
NO_UPSCALER = EQUIPPED.replace("upscaler = 4x.pth\n", "")


@pytest.mark.parametrize("hires", ["", "\nhires_fix=true"])
def test_faces_are_drawn_in_the_picture_as_it_is_where_nothing_enlarges_it(hires: str) -> None:
    text = f"ohwx woman\nw=512\nh=768\ninpaint_faces=true\nface_correct=true{hires}"
    planned = draft(PromptRequest.require(text), sources("sd15"), resolver(NO_UPSCALER), SKIP)
    faces = planned.graph.nodes["inpaint_faces.faces"].inputs
    assert faces["image"] == Link("base.decode")
    assert planned.output == Link("face_correct.restore")
    assert [(stage.name, stage.size) for stage in planned.stages] == [
        ("base", "512x768"),
        ("inpaint_faces", "512x768"),
        ("face_correct", "512x768"),
    ], "no stage has the size that was skipped"
    [told] = [one.message for one in planned.problems if one.code == "faces-not-enlarged"]
    assert told.startswith("inpaint_faces draws the faces in the picture as it is")


def test_what_follows_a_skipped_second_sampling_has_the_size_it_has() -> None:
    area = "--outpaint center --outpaint_width 1024 --outpaint_height 1024"
    text = f"a {area}\nw=512\nh=768\nhires_fix=true\nfilm_grain=true"
    planned = draft(PromptRequest.require(text), sources("sd15"), resolver(NO_UPSCALER), SKIP)
    assert [(stage.name, stage.size) for stage in planned.stages] == [
        ("base", "512x768"),
        ("outpaint", "1024x1024"),
        ("film_grain", "1024x1024"),
    ]


def test_without_an_upscaler_the_error_says_that_faces_can_do_without() -> None:
    asked = "ohwx woman\ninpaint_faces=true"
    [lost] = draft(
        PromptRequest.require(asked), sources("sd15"), resolver(NO_UPSCALER), Options()
    ).missing
    assert lost.message.startswith("no upscaler is bound")
    assert "Or set missing_models to skip: faces are then drawn in the picture" in lost.hint
    [lost] = draft(
        PromptRequest.require("a\nsuper_resolution=true"),
        sources("sd15"),
        resolver(NO_UPSCALER),
        Options(),
    ).missing
    assert "faces" not in lost.hint


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
@pytest.mark.parametrize(
    "text", ["<faceid:9:0.8> ohwx woman", "a street BREAK BREAK <faceid:9:0.8> ohwx woman"]
)
def test_a_faceid_without_photos_follows_missing_models(
    tmp_path: Path, family: str, text: str
) -> None:
    request, store = PromptRequest.require(text), store_with_photos(tmp_path, 7)
    absent = "FaceID photo set '9' is not in the tunes database."
    stopped = draft(request, sources(family), resolver(EQUIPPED, store), Options())
    assert [one.message for one in stopped.missing] == [absent]
    planned = draft(request, sources(family), resolver(EQUIPPED, store), SKIP)
    assert not planned.missing and not planned.errors
    assert not [name for name in planned.graph.nodes if "faceid" in name or "identity" in name]
    told = [one.message for one in planned.problems if one.code == "part-skipped"]
    assert told == [f"<faceid:9:0.8> is left out: {absent}"]


def test_only_the_faceid_without_photos_is_left_out(tmp_path: Path) -> None:
    text = "a street BREAK BREAK <faceid:9:1> ohwx woman BREAK <faceid:7:1> ohwx man"
    nodes = equipped(text, store=store_with_photos(tmp_path, 7), options=SKIP).graph.nodes
    assert "base.person_1_faceid_1" not in nodes
    assert nodes["base.person_2"].inputs["faceids"] == Link("base.person_2_faceid_1")


def test_photos_that_turn_out_to_show_no_face_follow_missing_models_as_well(
    tmp_path: Path,
) -> None:
    """Whether they do is known to the node alone, when it runs."""
    store = store_with_photos(tmp_path, 7)
    planned = equipped("<faceid:7:1> woman", store=store, options=SKIP)
    assert planned.graph.nodes["models.identity_1"].inputs["no_face"] == "skip"
    check_graph(planned.graph, snapshot())
    kept = equipped("<faceid:7:1> woman", store=store)
    assert kept.graph.nodes["models.identity_1"].inputs["no_face"] == "error", "by default"


def test_what_nodes_tell_stands_behind_the_report_in_their_order(tmp_path: Path) -> None:
    text = "<faceid:7:1> woman\ninpaint_faces=true\nface_swap=true"
    graph = equipped(text, store=store_with_photos(tmp_path, 7)).graph
    whole = with_notes(graph, snapshot(), "The report.")
    assert isinstance(whole, Link)
    told, at = [], whole
    while isinstance(at, Link):
        inputs = graph.nodes[at.node].inputs
        told.append(inputs["note"])
        at = inputs["report"]
    assert at == "The report."
    assert told[::-1] == [
        Link("models.face_analysis", 1),
        Link("models.identity_1", 1),
        Link("base.faceid_1", 1),
        Link("inpaint_faces.detect", 4),
        Link("inpaint_faces.faces", 3),
        Link("face_swap.detect", 4),
        Link("face_swap.swap", 2),
    ]


def test_a_plan_in_which_no_node_tells_anything_has_its_report_as_it_is() -> None:
    graph = equipped("a cat").graph
    before = dict(graph.nodes)
    assert with_notes(graph, snapshot(), "The report.") == "The report."
    assert graph.nodes == before
