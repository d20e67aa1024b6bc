"""The workflow file: numbers that agree, every input and value in the editor's order, and a layout
without overlaps.
"""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from comfyui_astria.devtools.listed_files import ListedFiles
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.dynamic_prompts import words_apart
from comfyui_astria.nodes.graph.graph import Graph, Link, NodeCall
from comfyui_astria.nodes.graph.layout import COLUMN_HEIGHT, TITLE_HEIGHT, layout
from comfyui_astria.nodes.graph.node_form import widget_values
from comfyui_astria.nodes.graph.ui_form import ui_workflow
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import (
    Compiled,
    CompileOptions,
    compile_request,
    workflow_of,
)
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.tests.pipeline.support import resolver, seed_prompt

BASE = "[base 690204]\nfamily = sd15\ncheckpoint = rv.safetensors"
SEEDS = ("outpaint_only", "outpaint_text_to_image", "outpaint_second_person")
TEXTS = {name: seed_prompt(name) for name in SEEDS} | {
    "four_images": "a cat\nnum_images=4\nnegative_prompt=dog\nw=504\nh=504",
    "two_loras": (
        "<lora:1533312:1> <lora:1795721:0.5> a cat --outpaint center --outpaint_width 900"
        " --outpaint_height 900"
    ),
    "inpaint": "a cat\ninput_image=photo.png\nmask_image=mask.png",
}
CASES = [(name, base) for name in TEXTS for base in ("690204", "1504944")]


@pytest.fixture(params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> tuple[Compiled, dict]:
    """A compiled graph of SD1.5 or Flux and its workflow file."""
    name, base = request.param
    asked = PromptRequest.require(TEXTS[name])
    image = "photo.png" if name == "outpaint_only" else None
    compiled = compile_request(
        asked, resolver(), CompileOptions(base, image, options=Options(seed=5))
    )
    return compiled, workflow_of(asked, compiled, snapshot(), "ui")


def nodes_by_name(workflow: dict) -> dict[str, dict]:
    return {
        node["properties"]["astria_name"]: node
        for node in workflow["nodes"]
        if node["type"] != "MarkdownNote"
    }


def test_ids_are_unique_and_the_last_ones_are_named(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    ids = [node["id"] for node in workflow["nodes"]]
    links = [link[0] for link in workflow["links"]]
    assert sorted(set(ids)) == sorted(ids)
    assert sorted(set(links)) == sorted(links)
    assert (workflow["last_node_id"], workflow["last_link_id"]) == (max(ids), max(links))


def test_the_link_table_and_the_nodes_agree(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for number, source, source_slot, target, target_slot, kind in workflow["links"]:
        output, entry = nodes[source]["outputs"][source_slot], nodes[target]["inputs"][target_slot]
        assert number in output["links"]
        assert entry["link"] == number
        assert output["type"] == entry["type"] == kind
    named = [
        link
        for node in workflow["nodes"]
        for output in node["outputs"]
        for link in output["links"] or ()
    ]
    taken = [
        entry["link"]
        for node in workflow["nodes"]
        for entry in node["inputs"]
        if entry["link"] is not None
    ]
    assert sorted(named) == sorted(taken) == [link[0] for link in workflow["links"]]


def test_the_links_are_those_of_the_graph(case: tuple[Compiled, dict]) -> None:
    compiled, workflow = case
    names = {node["id"]: name for name, node in nodes_by_name(workflow).items()}
    inputs = {node["id"]: [entry["name"] for entry in node["inputs"]] for node in workflow["nodes"]}
    written = {
        (names[target], inputs[target][slot]): Link(names[source], out)
        for _, source, out, target, slot, _ in workflow["links"]
    }
    graph = compiled.graph.nodes.values()
    assert written == {
        (call.name, key): value
        for call in graph
        for key, value in call.inputs.items()
        if isinstance(value, Link)
    }


def test_every_input_and_output_of_a_definition_is_present(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    for node in nodes_by_name(workflow).values():
        definition = snapshot()[node["type"]]
        assert {entry["name"] for entry in node["inputs"]} == set(definition.inputs)
        assert [(output["name"], output["type"]) for output in node["outputs"]] == list(
            definition.outputs
        )
        sockets = ["widget" in entry for entry in node["inputs"]]
        assert sockets == sorted(sockets)  # sockets first, then widgets


def test_widget_values_stand_in_the_editors_order(case: tuple[Compiled, dict]) -> None:
    compiled, workflow = case
    for name, node in nodes_by_name(workflow).items():
        call = compiled.graph.nodes[name]
        expected = []
        for key, entry in snapshot()[call.class_type].inputs.items():
            if entry.is_widget:
                expected.append(call.inputs[key])
                expected += ["fixed"] if key == "seed" else []
        expected += ["image"] if call.class_type.startswith("LoadImage") else []
        assert node["widgets_values"] == expected


def test_a_linked_widget_keeps_its_place_in_the_values() -> None:
    call = NodeCall(
        "base.latent",
        "EmptyLatentImage",
        {"width": Link("input.size"), "height": 640, "batch_size": 2},
    )
    assert widget_values(call, snapshot()["EmptyLatentImage"]) == [512, 640, 2]


def test_words_of_their_own_are_titled_after_the_prompt_they_go_into() -> None:
    graph = Graph()
    clip = graph.add(
        "models.text_encoders",
        "CLIPLoader",
        clip_name="clip_l.safetensors",
        type="flux",
        device="default",
    )
    graph.add("base.positive", "CLIPTextEncode", clip=clip, text="{a|b}")
    nodes = nodes_by_name(ui_workflow(words_apart(graph), snapshot(), ""))
    assert nodes["base.positive_words"]["title"] == "Positive prompt: words"
    assert nodes["base.positive_words"]["widgets_values"] == ["{a|b}"]


def test_a_workflow_holds_no_node_without_effect(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    ends = [
        node["type"]
        for node in nodes_by_name(workflow).values()
        if not any(output["links"] for output in node["outputs"])
    ]
    assert ends == ["SaveImage"]


def test_prompts_are_titled(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    titled = {
        name: node.get("title")
        for name, node in nodes_by_name(workflow).items()
        if node["type"] == "CLIPTextEncode"
    }
    assert titled == {
        name: "Positive prompt" if name.endswith("positive") else "Negative prompt"
        for name in titled
    }
    assert "Positive prompt" in titled.values()


Rectangle = tuple[float, float, float, float]


def rectangle(node: dict) -> Rectangle:
    """Left, top, right, bottom of a node with its title bar."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_HEIGHT, x + width, y + height


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def group_rectangle(group: dict) -> Rectangle:
    x, y, width, height = group["bounding"]
    return x, y, x + width, y + height


def test_no_node_lies_over_another(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    pairs = combinations(workflow["nodes"], 2)
    assert [
        (one["type"], other["type"])
        for one, other in pairs
        if overlap(rectangle(one), rectangle(other))
    ] == []


def test_groups_enclose_the_nodes_of_their_stage_and_no_other(case: tuple[Compiled, dict]) -> None:
    compiled, workflow = case
    stages = list(dict.fromkeys(call.stage for call in compiled.graph.nodes.values()))
    assert len(workflow["groups"]) == len(stages)
    for stage, group in zip(stages, workflow["groups"], strict=True):
        left, top, right, bottom = group_rectangle(group)
        for name, node in nodes_by_name(workflow).items():
            box = rectangle(node)
            if name.partition(".")[0] == stage:
                assert left < box[0] and top < box[1] and box[2] < right and box[3] < bottom
            else:
                assert not overlap((left, top, right, bottom), box)


def test_stages_stand_from_left_to_right(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    groups = [group_rectangle(group) for group in workflow["groups"]]
    assert all(one[2] < other[0] for one, other in pairwise(groups))
    [note] = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    assert rectangle(note)[2] < groups[0][0]


def test_links_never_run_to_the_left(case: tuple[Compiled, dict]) -> None:
    _, workflow = case
    at = {node["id"]: node["pos"] for node in workflow["nodes"]}
    for _, source, _, target, _, _ in workflow["links"]:
        assert at[source][0] <= at[target][0]


def test_a_layout_is_compact(case: tuple[Compiled, dict]) -> None:
    """Fits a wide screen at 40 per cent, where words can still be read."""
    compiled, _ = case
    boxes = layout(compiled.graph, snapshot()).boxes.values()
    assert max(box.y + box.height for box in boxes) - min(box.y for box in boxes) <= COLUMN_HEIGHT
    assert max(box.x + box.width for box in boxes) - min(box.x for box in boxes) <= 4000


def test_the_button_that_uploads_a_mask_comes_behind_its_channel() -> None:
    call = NodeCall("input.mask", "LoadImageMask", {"image": "mask.png", "channel": "red"})
    assert widget_values(call, snapshot()["LoadImageMask"]) == ["mask.png", "red", "image"]


def test_a_loader_offers_the_published_files_it_names() -> None:
    graph = Graph()
    graph.add(
        "models.text_encoders",
        "DualCLIPLoader",
        clip_name1="clip_l.safetensors",
        clip_name2="mine.safetensors",
        type="flux",
        device="default",
    )
    [encoders, _] = ui_workflow(graph, snapshot(), "")["nodes"]
    [offered] = encoders["properties"]["models"]
    assert (offered["name"], offered["directory"]) == ("clip_l.safetensors", "text_encoders")
    assert offered["url"].endswith("/clip_l.safetensors")


def test_the_note_says_nothing_of_the_sender_s_machine() -> None:
    text = "<faceid:7:0.5> a cat\nsuper_resolution=true\nface_correct=true\nw=512\nh=512"
    options = CompileOptions("690204", options=Options(seed=5, missing_models="skip"))
    asked = PromptRequest.require(text)
    compiled = compile_request(
        asked,
        Resolver(
            Bindings.parse(BASE, "a test"), None, ListedFiles({"checkpoints": ["rv.safetensors"]})
        ),
        options,
    )
    [note] = [
        node
        for node in workflow_of(asked, compiled, snapshot(), "ui")["nodes"]
        if node["type"] == "MarkdownNote"
    ]
    told = note["widgets_values"][0].partition("### Good to know")[2]
    assert (
        "- Stage super_resolution is skipped: its model was missing when this was compiled." in told
    )
    left_out = "- <faceid:7:0.5> is left out: its model was missing when this was compiled."
    assert left_out in told
    assert "bind" not in told
    assert "models/" not in told
