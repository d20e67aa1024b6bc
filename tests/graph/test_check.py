"""A plan held against node definitions.

Each kind of misfit is named, and every plan of every family fits the shipped ones.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.check import check_graph
from comfyui_astria.nodes.graph.definitions import from_object_info, snapshot
from comfyui_astria.nodes.graph.graph import Graph, Link, Socket

from ..pipeline.support import plan_text, seed_prompt

SAVE = {"filename_prefix": "x"}


def faults(graph: Graph) -> list[str]:
    with pytest.raises(PlanError) as caught:
        check_graph(graph, snapshot())
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "name", ["outpaint_only", "outpaint_text_to_image", "outpaint_second_person"]
)
def test_every_plan_fits_the_shipped_definitions(name: str, family: str) -> None:
    planned = plan_text(
        seed_prompt(name), family, image=name == "outpaint_only", upscale_model=True
    )
    check_graph(planned.graph, snapshot())
    check_graph(
        plan_text("a cat\nnum_images=2\nw=1000\nh=600", family, image=True, mask=True).graph,
        snapshot(),
    )


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        ({"width": 64, "height": 64}, "a (EmptyLatentImage): input 'batch_size' is missing"),
        (
            {"width": 64, "height": 64, "batch_size": 1, "depth": 3},
            "a (EmptyLatentImage): has no input 'depth'",
        ),
        (
            {"width": 8, "height": 64, "batch_size": 1},
            "a (EmptyLatentImage): input 'width' is 8, outside 16..16384",
        ),
        (
            {"width": "64", "height": 64, "batch_size": 1},
            "a (EmptyLatentImage): input 'width' takes INT, and '64' is not",
        ),
        (
            {"width": True, "height": 64, "batch_size": 1},
            "a (EmptyLatentImage): input 'width' takes INT, and True is not",
        ),
        (
            {"width": Socket("model"), "height": 64, "batch_size": 1},
            "a (EmptyLatentImage): input 'width' takes INT, and Socket(name='model') gives MODEL",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_node_input_value_and_expectation(
    inputs: dict, fault: str
) -> None:
    graph = Graph()
    graph.add("a", "EmptyLatentImage", **inputs)
    assert faults(graph) == [fault]


def test_every_fault_is_listed_at_once() -> None:
    graph = Graph()
    graph.add("a", "NoSuchNode")
    latent = graph.add("b", "EmptyLatentImage", width=64, height=64, batch_size=1)
    graph.add("c", "SaveImage", images=latent, **SAVE)
    graph.add("d", "SaveImage", images=Link(latent.node, 5), **SAVE)
    graph.add("e", "AstriaSampler", sampler_name="dpm_fast")
    graph.add("f", "SaveImage", images=3, **SAVE)
    assert faults(graph) == [
        "a: this ComfyUI has no node 'NoSuchNode'",
        "c (SaveImage): input 'images' takes IMAGE, and Link(node='b', slot=0) gives LATENT",
        "d (SaveImage): input 'images' takes IMAGE, and Link(node='b', slot=5) gives nothing",
        (
            "e (AstriaSampler): input 'sampler_name' is 'dpm_fast', not one of euler,"
            " euler_ancestral, dpmpp_2m, dpmpp_sde, lcm, res_multistep"
        ),
        "f (SaveImage): input 'images' takes a link of type IMAGE, and 3 is a constant",
    ]


def test_a_link_into_a_number_widget_is_fine() -> None:
    graph = Graph()
    info = {"Give": {"input": {"required": {}}, "output": ["INT"], "output_name": ["int"]}}
    give = graph.add("give", "Give")
    graph.add("a", "EmptyLatentImage", width=give, height=64, batch_size=1)
    check_graph(graph, {**snapshot(), **from_object_info(info)})
