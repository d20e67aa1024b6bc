"""A training as a graph of public nodes that this ComfyUI has."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import AstriaError, MissingModelError
from comfyui_astria.nodes.graph.check import check_graph
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.graph import Graph, Link, api_workflow
from comfyui_astria.nodes.graph.ui_form import ui_workflow
from comfyui_astria.nodes.pipeline.training_plan import TrainingPlan, training_plan
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.request import TrainingRequest

from .support import BINDINGS, EQUIPPED, FILES, resolver

SDXL = BINDINGS.replace("family = sd15", "family = sdxl")


def planned(bindings: str = BINDINGS, **changes) -> TrainingPlan:
    request = TrainingRequest(**{"tune_id": 7, "photos": 8, "name": "woman", **changes})
    plan = training_plan(request, resolver(bindings))
    check_graph(plan.graph, snapshot())
    return plan


def source(graph: Graph, name: str, *inputs: str) -> str:
    """The class of the node that is reached over these inputs."""
    for key in inputs:
        link = graph.nodes[name].inputs[key]
        assert isinstance(link, Link)
        name = link.node
    return graph.nodes[name].class_type


@pytest.mark.parametrize(
    ("bindings", "base", "sizes"),
    [(BINDINGS, "690204", "512"), (SDXL, "690204", "1024"), (BINDINGS, "1504944", "512, 768")],
)
def test_every_family_goes_from_photos_to_a_tune(bindings: str, base: str, sizes: str) -> None:
    plan = planned(bindings, base=base)
    nodes = plan.graph.nodes
    assert nodes["training.photos"].inputs["tune"] == "7"
    assert nodes["training.photos"].inputs["sizes"] == sizes
    assert source(plan.graph, "training.lora", "latents") == "VAEEncode"
    assert source(plan.graph, "training.lora", "latents", "pixels") == "AstriaTunePhotos"
    assert source(plan.graph, "output.tune", "lora") == "AstriaTrainLora"
    assert nodes["training.lora"].inputs["steps"] == plan.settings.steps
    assert set(api_workflow(plan.graph)) == set(nodes)
    shown = ui_workflow(plan.graph, snapshot(), "note")
    assert {node["type"] for node in shown["nodes"]} >= {"AstriaTrainLora", "AstriaSaveTune"}


def test_flux_learns_at_guidance_1_and_draws_its_samples_at_the_usual_one() -> None:
    graph = planned(base="1504944", preset="flux-lora-portrait").graph
    assert graph.nodes["training.positive_guidance"].inputs["guidance"] == 1.0
    assert graph.nodes["training.without_caption_guidance"].inputs["guidance"] == 1.0
    assert graph.nodes["training.samples_guidance"].inputs["guidance"] == 3.5


def test_without_face_analysis_crops_and_likeness_are_left_out_and_it_is_said() -> None:
    plan = planned(base="1504944", preset="flux-lora-portrait")
    assert plan.graph.nodes["training.photos"].inputs["face_crop"] is False
    assert any("without crops" in note for note in plan.notes)
    assert any("likeness is not measured" in note for note in plan.notes)
    equipped = planned(EQUIPPED, base="1504944", preset="flux-lora-portrait")
    assert equipped.graph.nodes["training.photos"].inputs["face_crop"] is True
    assert source(equipped.graph, "training.photos", "analysis") == "AstriaLoadFaceAnalysis"
    assert equipped.notes == ()


@pytest.mark.parametrize(
    "changes",
    [{"face_crop": True}, {"face_weight": 30}, {"training_face_correct": True}, {"masks": True}],
)
def test_what_is_asked_for_by_name_is_not_left_out(changes: dict) -> None:
    with pytest.raises(MissingModelError):
        planned(base="690204", **changes)
    planned(EQUIPPED, base="690204", **changes)


@pytest.mark.parametrize("base", ["690204", "1504944"])
def test_a_face_counts_once_unless_more_is_asked_for(base: str) -> None:
    assert planned(base=base).graph.nodes["training.photos"].inputs["face_weight"] == 1
    asked = planned(EQUIPPED, base=base, face_weight=30).graph
    assert asked.nodes["training.photos"].inputs["face_weight"] == 30
    assert source(asked, "training.photos", "analysis") == "AstriaLoadFaceAnalysis"


@pytest.mark.parametrize("base", ["690204", "1504944"])
def test_class_pictures_are_drawn_by_the_base_one_by_one(base: str) -> None:
    graph = planned(base=base, class_pictures=3).graph
    assert graph.nodes["class.latent"].inputs["batch_size"] == 3
    assert source(graph, "class.sampler", "latent_image") == "RebatchLatents"
    assert source(graph, "training.photos", "class_images") == "VAEDecode"
    assert graph.nodes["class.positive"].inputs["text"] == "photo of woman"


def test_a_checkpoint_gets_the_base_to_be_merged_into() -> None:
    graph = planned(base="690204", model_type="checkpoint").graph
    assert graph.nodes["output.tune"].inputs["model_type"] == "checkpoint"
    assert source(graph, "output.tune", "clip") == "CheckpointLoaderSimple"
    assert "clip" not in planned(base="690204").graph.nodes["output.tune"].inputs


@pytest.mark.parametrize(
    ("bindings", "said"),
    [
        (BINDINGS.replace("rv51.safetensors", "lcm_rv51.safetensors"), "was not found"),
        (BINDINGS.replace("[base 690204]", "[base 1]"), "not bound"),
    ],
)
def test_a_base_that_is_not_there_is_said(bindings: str, said: str) -> None:
    with pytest.raises(MissingModelError, match=said):
        planned(bindings, base="690204")


def test_schnell_and_foreign_files_are_refused_before_anything_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schnell = BINDINGS.replace("family = flux", "family = flux_schnell")
    with pytest.raises(TrainingError, match="distilled"):
        planned(schnell, base="1504944")
    monkeypatch.setitem(FILES, "diffusion_models", ["flux1-dev-Q8.gguf"])
    foreign = BINDINGS.replace("flux1-dev.safetensors", "flux1-dev-Q8.gguf")
    with pytest.raises(TrainingError, match="GGUF files are loaded by another pack"):
        planned(foreign, base="1504944")
    monkeypatch.setitem(FILES, "checkpoints", ["rv51-LCM.safetensors"])
    with pytest.raises(TrainingError, match=r"rv51-LCM\.safetensors is distilled"):
        planned(BINDINGS.replace("rv51.", "rv51-LCM."), base="690204")


def test_only_errors_of_the_pack_come_out() -> None:
    with pytest.raises(AstriaError):
        planned(base="none such")
