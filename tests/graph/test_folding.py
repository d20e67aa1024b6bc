"""Many nodes as few boxes: stages become the editor's subgraphs, and mean what they meant."""

from __future__ import annotations

from itertools import combinations

import pytest
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.folding import MAX_BOXES, folded
from comfyui_astria.nodes.graph.graph import Graph, Link
from comfyui_astria.nodes.graph.ui_form import ui_workflow
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.graph.test_ui_form import overlap, rectangle
from comfyui_astria.tests.graph.unfolding import every_node, links_of, subgraphs_of
from comfyui_astria.tests.pipeline.support import resolver

SHORT = "a cat\nw=512\nh=512"
LONG = "a cat\nnegative_prompt=dog\nw=512\nh=512\nsuper_resolution=true\nhires_fix=true"
PEOPLE = (
    "a street BREAK BREAK woman BREAK man --outpaint center --outpaint_width 1536"
    " --outpaint_height 576\nw=1024\nh=576"
)


def compiled(text: str) -> Graph:
    options = CompileOptions("690204", options=Options(seed=5))
    return compile_request(PromptRequest.require(text), resolver(), options).graph


def workflow(text: str) -> dict:
    return ui_workflow(compiled(text), snapshot(), "what it is", is_folded=True)


@pytest.mark.parametrize("text", [SHORT, LONG, PEOPLE])
def test_a_folded_workflow_is_seen_at_once_and_means_the_same(text: str) -> None:
    graph, file = compiled(text), workflow(text)
    assert len(file["nodes"]) <= MAX_BOXES
    assert links_of(file) == {
        (call.name, key): (value.node, value.slot)
        for call in graph.nodes.values()
        for key, value in call.inputs.items()
        if isinstance(value, Link)
    }
    ids = [node["id"] for node in every_node(file)]
    assert sorted(set(ids)) == sorted(ids)
    assert file["last_node_id"] == max(ids)
    links = [link[0] for link in file["links"]]
    links += [link["id"] for one in subgraphs_of(file) for link in one["links"]]
    assert sorted(links) == list(range(1, file["last_link_id"] + 1))


def test_a_workflow_of_few_nodes_stays_as_it_is() -> None:
    graph = compiled(SHORT)
    assert len(graph.nodes) < MAX_BOXES
    assert folded(graph, snapshot()).graph == graph
    assert "definitions" not in workflow(SHORT)


def test_stages_are_named_and_hold_their_nodes() -> None:
    file = workflow(LONG)
    assert [one["name"] for one in subgraphs_of(file)] == ["Picture", "Hires fix"]
    for one in subgraphs_of(file):
        stages = {node["properties"]["astria_name"].partition(".")[0] for node in one["nodes"]}
        assert len(stages) == 1
    titles = [node["title"] for node in file["nodes"] if node["type"] in of_subgraphs(file)]
    assert titles == ["Picture", "Hires fix"]
    assert [group["title"] for group in file["groups"]] == ["Models", "Super-resolution", "Result"]


def of_subgraphs(file: dict) -> set[str]:
    return {one["id"] for one in subgraphs_of(file)}


def test_texts_and_the_seed_stand_on_the_box_in_the_order_of_a_prompt() -> None:
    boxes = {node.get("title"): node for node in workflow(PEOPLE)["nodes"]}
    shown = [one for one in boxes["Picture"]["inputs"] if "widget" in one]
    labels = ["Positive prompt", "Person 1: prompt", "Person 2: prompt", "Negative prompt", "seed"]
    assert [one["label"] for one in shown] == labels
    assert boxes["Picture"]["widgets_values"] == ["a street", "woman", "man", "", 5]


def test_a_negative_prompt_without_effect_does_not_stand_on_the_box() -> None:
    options = CompileOptions("1504944", options=Options(seed=5))
    text = "a street BREAK BREAK woman BREAK man\nw=1024\nh=576\nhires_fix=true"
    graph = compile_request(PromptRequest.require(text), resolver(), options).graph
    file = ui_workflow(graph, snapshot(), "", is_folded=True)
    [picture] = [node for node in file["nodes"] if node.get("title") == "Picture"]
    assert "Negative prompt" not in [one.get("label") for one in picture["inputs"]]


def test_many_models_become_one_box_with_their_files() -> None:
    graph = Graph()
    loaded = graph.add("models.checkpoint", "CheckpointLoaderSimple", ckpt_name="a.safetensors")
    helpers = [
        graph.add(f"models.upscaler_{number}", "UpscaleModelLoader", model_name=f"{number}.pth")
        for number in range(MAX_BOXES)
    ]
    picture: Link = graph.add("input.image", "LoadImage", image="a.png")
    for number, one in enumerate(helpers):
        picture = graph.add(
            f"s{number}.up", "AstriaSuperResolution", image=picture, upscale_model=one, factor=2.0
        )
    file = ui_workflow(graph, snapshot(), "", is_folded=True)
    [further] = subgraphs_of(file)
    assert further["name"] == "Further models"
    assert loaded.node in {node["properties"].get("astria_name") for node in file["nodes"]}
    [box] = [node for node in file["nodes"] if node["type"] == further["id"]]
    assert box["widgets_values"] == [f"{number}.pth" for number in range(MAX_BOXES)]
    assert next(one["label"] for one in box["inputs"]) == "upscaler 0"


def test_no_node_of_a_subgraph_lies_over_another() -> None:
    for text in (LONG, PEOPLE):
        for one in subgraphs_of(workflow(text)):
            pairs = combinations(one["nodes"], 2)
            assert not any(overlap(rectangle(a), rectangle(b)) for a, b in pairs)


def test_subgraphs_of_other_content_have_other_names() -> None:
    """The editor knows a subgraph by its id, in all workflows that are open."""
    assert of_subgraphs(workflow(LONG)) == of_subgraphs(workflow(LONG))
    assert not of_subgraphs(workflow(LONG)) & of_subgraphs(workflow(PEOPLE))
