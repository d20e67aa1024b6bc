"""What a prompt masks, shown before anything is painted: a picture that needs the mask's nodes
only.
"""

from __future__ import annotations

from ..errors import PlanError
from ..graph.graph import Graph, Link, NodeCall
from ..graph.outputs import FitImageNode, outputs_of
from ..prompt import PromptRequest
from .build.stage_list import raise_for
from .plan import Plan

RED = 0xE02020
MASKS = ("base.mask", "base.adjust_mask")
_REGIONS, _FIT = "base.regions", "base.fit"
# The picture of a layout, which nothing in a plan takes.
_REGIONS_PREVIEW = 4


def with_mask_shown(request: PromptRequest, planned: Plan) -> tuple[Graph, Link]:
    """Return the nodes that show what the prompt masks, and the picture: red over what is
    repainted, or each person's region in a tint.

    Raises: PlanError, MissingModelError where the plan has no mask, or errors.
    """
    raise_for(planned.errors, ())
    graph = Graph(dict(planned.graph.nodes))
    found = next((name for name in MASKS if name in graph.nodes), None)
    if found is None and _is_given(graph):
        shown = _over_picture(graph, outputs_of(FitImageNode, Link(_FIT)).mask)
    elif found is not None:
        shown = _over_picture(graph, Link(found))
    elif _REGIONS in graph.nodes and {"image", "masks"} & graph.nodes[_REGIONS].inputs.keys():
        shown = Link(_REGIONS, _REGIONS_PREVIEW)
    else:
        raise_for((), planned.missing if request.mask_prompt else ())
        raise PlanError(
            "The prompt masks nothing: it has an effect on the whole picture.",
            code="no-mask",
            hint="Write --mask_prompt with words such as face, or connect a mask, and an image.",
        )
    return _needed(graph, shown), shown


def drawn_told(drawn_mask: str, graph: Graph) -> str:
    """Return what a report says of a mask drawn by hand, empty where there is none or it is in the
    plan.
    """
    if not drawn_mask.strip() or any(name in graph.nodes for name in MASKS):
        return ""
    return "drawn_mask has no effect: the prompt masks nothing that could be drawn over"


def _is_given(graph: Graph) -> bool:
    return _FIT in graph.nodes and "mask" in graph.nodes[_FIT].inputs


def _over_picture(graph: Graph, mask: Link) -> Link:
    """Add the picture with the mask in red, at half strength, without what was padded."""
    fit = outputs_of(FitImageNode, Link(_FIT))
    red = graph.add("mask.red", "EmptyImage", width=64, height=64, batch_size=1, color=RED)
    masked = graph.add(
        "mask.over",
        "ImageCompositeMasked",
        destination=fit.image,
        source=red,
        mask=mask,
        x=0,
        y=0,
        resize_source=True,
    )
    half = {"blend_factor": 0.5, "blend_mode": "normal"}
    mixed = graph.add("mask.mixed", "ImageBlend", image1=fit.image, image2=masked, **half)
    return graph.add("mask.shown", "AstriaRestoreSize", image=mixed, fit=fit.fit)


def _needed(graph: Graph, output: Link) -> Graph:
    """Return the nodes that the output comes from."""
    wanted = {output.node}
    kept: list[NodeCall] = []
    for name, call in reversed(graph.nodes.items()):
        if name in wanted:
            wanted |= {value.node for value in call.inputs.values() if isinstance(value, Link)}
            kept.append(call)
    return Graph({call.name: call for call in reversed(kept)})
