"""Lines of a report on the persons of a request: words, tags, and where each stands."""

from __future__ import annotations

from ..graph.graph import Graph, Link, Value
from ..prompt import PromptRequest

_MOST_WORDS = 80


def people_lines(request: PromptRequest, graph: Graph) -> list[str]:
    """Return a line for each person of the request: words, LoRA and FaceID tags, and place.

    The place is that of the plan's graph; a plan that could not be written gives none.
    """
    count = len(request.persons)
    lines = []
    for number, person in enumerate(request.persons, start=1):
        tags = " ".join(map(str, (*person.loras, *person.faceids)))
        parts = [_short(person.text) or "without words", tags or "no LoRA or FaceID of their own"]
        if checkpoint := _checkpoint(graph, number):
            parts.append(f"drawn with the checkpoint {checkpoint}")
        where = _where(graph, number, count)
        lines.append(f"person {number}: " + "; ".join(filter(None, (*parts, where))))
    return lines


def _short(words: str) -> str:
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS].rsplit(' ', 1)[0]} …"


def _where(graph: Graph, number: int, count: int) -> str:
    regions = next(
        (call for call in graph.nodes.values() if call.class_type == "AstriaRegions"), None
    )
    if regions is None:
        return ""
    masks = regions.inputs.get("masks")
    if masks is not None and _is_found(graph, masks):
        return f"stands where person {number} from the left is found in the input image"
    if masks is not None:
        return f"stands in mask {number} of person_masks"
    if "pose_image" in regions.inputs:
        return f"stands where figure {number} from the left of the pose picture is"
    return f"stands in column {number} of {count} from the left, all equally wide"


def _checkpoint(graph: Graph, number: int) -> str:
    """Return the file of a person's own model, "" where the picture's draws them."""
    node = graph.nodes.get(f"base.person_{number}")
    model = node.inputs.get("model") if node is not None else None
    loader = graph.nodes[model.node] if isinstance(model, Link) else None
    is_own = loader is not None and loader.class_type == "CheckpointLoaderSimple"
    return str(loader.inputs["ckpt_name"]) if is_own else ""


def _is_found(graph: Graph, masks: Value) -> bool:
    return isinstance(masks, Link) and graph.nodes[masks.node].class_type == "AstriaFindPeople"
