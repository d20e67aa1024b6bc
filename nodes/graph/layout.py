"""Where a workflow's nodes stand.

A group for each stage from left to right, short columns inside it, no node over another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .definitions import Definitions, InputDefinition, NodeDefinition
from .graph import Graph, Link, NodeCall

NODE_WIDTH = 320
COLUMN_GAP = 50
TITLE_HEIGHT = 30  # the title bar stands above the box
ROW_GAP = 25
COLUMN_HEIGHT = 1000
GROUP_PADDING = 25
GROUP_TITLE = 50
TOP = 100

STAGE_TITLES = {
    "models": "Models",
    "input": "Input image",
    "generate": "Paste a prompt",
    "tune": "Person",
    "training": "Training",
    "base": "Picture",
    "outpaint": "Outpaint",
    "hires_fix": "Hires fix",
    "super_resolution": "Super-resolution",
    "inpaint_faces": "Face inpainting",
    "face_swap": "Face swap",
    "face_correct": "Face correction",
    "color_grading": "Colour grading",
    "film_grain": "Film grain",
    "remove_background": "Background removed",
    "output": "Result",
}
# Room for what a node shows inside: a picture, a drawing of its numbers, a report, and in
# AstriaGenerate the prompt, which people read and edit.
_CONTENT_HEIGHTS = {
    **dict.fromkeys(("LoadImage", "LoadImageMask", "SaveImage"), 300),
    **{"AstriaOutpaintCanvas": 180, "AstriaRegions": 240},
    **dict.fromkeys(("AstriaPromptMask", "AstriaAdjustMask", "AstriaFindPeople"), 200),
    **{"AstriaGenerate": 480, "AstriaModels": 260, "PreviewAny": 260},
}
_WIDTHS = {"AstriaGenerate": 560, "AstriaRegions": 420}


@dataclass(frozen=True)
class Box:
    """A node's place and size; the title bar is above `y`."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class GraphLayout:
    """A box for each node by name, and the groups as a workflow file holds them."""

    boxes: Mapping[str, Box]
    groups: Sequence[dict]


def layout(graph: Graph, definitions: Definitions) -> GraphLayout:
    """Return the places of the graph's nodes.

    Stages in their order, each in as few and as even columns as it needs.
    """
    boxes: dict[str, Box] = {}
    groups = []
    heights = {
        call.name: _height(call, definitions[call.class_type]) for call in graph.nodes.values()
    }
    x = 0
    for stage in dict.fromkeys(call.stage for call in graph.nodes.values()):
        calls = [call for call in graph.nodes.values() if call.stage == stage]
        columns = _columns(_layers(calls), heights)
        left, lowest = x, TOP
        for column in columns:
            y = TOP
            for name in column:
                boxes[name] = Box(x, y, _width(graph.nodes[name]), heights[name])
                y += heights[name] + TITLE_HEIGHT + ROW_GAP
            lowest = max(lowest, y - TITLE_HEIGHT - ROW_GAP)
            x += max(boxes[name].width for name in column) + COLUMN_GAP
        groups.append(_group(stage, left, x - COLUMN_GAP, lowest))
        x += 2 * GROUP_PADDING
    return GraphLayout(boxes, groups)


def _group(stage: str, left: int, right: int, lowest: int) -> dict:
    top = TOP - TITLE_HEIGHT - GROUP_TITLE
    bounding = [
        left - GROUP_PADDING,
        top,
        right - left + 2 * GROUP_PADDING,
        lowest - top + GROUP_PADDING,
    ]
    return {
        "title": STAGE_TITLES.get(stage, stage),
        "bounding": bounding,
        "color": "#3f789e",
        "font_size": 24,
        "flags": {},
    }


def _layers(calls: Sequence[NodeCall]) -> list[list[str]]:
    """Return the names of a stage's nodes in layers, each node just before the first one that takes
    from it.
    """
    takers: dict[str, list[str]] = {call.name: [] for call in calls}
    for call in calls:
        for value in call.inputs.values():
            if isinstance(value, Link) and value.node in takers:
                takers[value.node].append(call.name)
    # Distance from the stage's end; calls stand after what they take from, so the way back meets
    # takers first.
    distance: dict[str, int] = {}
    for call in reversed(calls):
        distance[call.name] = max((distance[name] + 1 for name in takers[call.name]), default=0)
    return [
        [call.name for call in calls if distance[call.name] == step]
        for step in range(max(distance.values()), -1, -1)
    ]


def _columns(layers: Sequence[Sequence[str]], heights: Mapping[str, int]) -> list[list[str]]:
    """Return layers stacked into columns.

    As few as COLUMN_HEIGHT allows, and the tallest of them as short as that number allows.
    """
    fewest = len(_stacked(layers, heights, COLUMN_HEIGHT))
    limit = COLUMN_HEIGHT
    while len(_stacked(layers, heights, limit - ROW_GAP)) == fewest and limit > ROW_GAP:
        limit -= ROW_GAP
    return _stacked(layers, heights, limit)


def _stacked(
    layers: Sequence[Sequence[str]], heights: Mapping[str, int], limit: int
) -> list[list[str]]:
    columns: list[list[str]] = []
    for layer in layers:
        if columns and _column_height([*columns[-1], *layer], heights) <= limit:
            columns[-1] += layer
        else:
            columns.append(list(layer))
    # Inside a column the order in which the plan names them reads best: prompt beside prompt.
    order = {name: place for place, name in enumerate(heights)}
    return [sorted(column, key=order.__getitem__) for column in columns]


def _column_height(names: Sequence[str], heights: Mapping[str, int]) -> int:
    return sum(heights[name] for name in names) + (len(names) - 1) * (TITLE_HEIGHT + ROW_GAP)


def _width(call: NodeCall) -> int:
    return _WIDTHS.get(call.class_type, NODE_WIDTH)


def _height(call: NodeCall, definition: NodeDefinition) -> int:
    """Return a height that holds the node's content whichever way the editor draws its nodes.

    With Vue, a badge stands below.
    """
    present = definition.present_in(call.inputs)
    widgets = [entry for entry in present if entry.is_widget]
    sockets = len(present) - len(widgets)
    rows = 20 * max(sockets, len(definition.outputs), 1) + sum(map(_widget_height, widgets))
    return rows + 50 + _CONTENT_HEIGHTS.get(call.class_type, 0)


def _widget_height(entry: InputDefinition) -> int:
    if entry.options.get("multiline"):
        return 130
    if entry.kind == "STRING":
        return 36  # a box to type in is taller than a slider or a choice
    # The editor adds a row below: the seed's control, or the button for choosing a file.
    return (
        56
        if entry.options.get("control_after_generate") or entry.options.get("image_upload")
        else 28
    )
