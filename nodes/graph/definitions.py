"""What node classes take and give.

The host's own answer in `object_info` form, or the snapshot for work without a host.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

SNAPSHOT = Path(__file__).with_name("node_definitions.json")

# Combos that list the user's files: what they hold differs from machine to machine.
FILE_INPUTS = frozenset(
    {
        "ckpt_name",
        "unet_name",
        "clip_name",
        "clip_name1",
        "clip_name2",
        "vae_name",
        "lora_name",
        "control_net_name",
        "model_name",
        "name",
        "image",
    }
    | {"bg_removal_name", "background_removal", "sam3", "grounding_dino", "sam", "clipseg", "look"}
    | {"pack", "swapper_name", "faceid_name", "eva_clip", "face_parsing"}
)

DYNAMIC_CHOICE = "COMFY_DYNAMICCOMBO_V3"
# Values that live in a widget of the editor; everything else is a socket.
WIDGET_TYPES = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"})


@dataclass(frozen=True)
class InputDefinition:
    """One input: `kind` is its type, COMBO for a choice.

    `choices` is None where they are files of the machine.
    """

    name: str
    kind: str
    required: bool
    options: Mapping[str, object]
    choices: tuple[object, ...] | None = None
    # There only while the choice it belongs to has one value: `output.normalization`.
    is_nested: bool = False

    @property
    def is_widget(self) -> bool:
        return self.kind in WIDGET_TYPES and not self.options.get("forceInput")


@dataclass(frozen=True)
class NodeDefinition:
    """The inputs in the editor's order and the outputs of a node class."""

    class_type: str
    title: str
    inputs: Mapping[str, InputDefinition]
    outputs: tuple[tuple[str, str], ...]  # (name, type)

    def present_in(self, given: Container[str]) -> list[InputDefinition]:
        """Return the inputs that a node of this class shows.

        Nested ones only where they are given.
        """
        return [
            entry for entry in self.inputs.values() if not entry.is_nested or entry.name in given
        ]


Definitions = Mapping[str, NodeDefinition]


def from_object_info(info: Mapping[str, Mapping]) -> dict[str, NodeDefinition]:
    """Return the definitions in an `/object_info` answer (all of it or a part)."""
    return {class_type: _node(class_type, entry) for class_type, entry in info.items()}


@cache
def snapshot() -> Definitions:
    """Return the definitions shipped with the pack, for planning and compiling without ComfyUI."""
    return from_object_info(json.loads(SNAPSHOT.read_text(encoding="utf-8")))


def _node(class_type: str, entry: Mapping) -> NodeDefinition:
    inputs = {}
    for group in ("required", "optional"):
        members = entry["input"].get(group, {})
        order = entry.get("input_order", {}).get(group) or list(members)
        for name in order:
            inputs |= {one.name: one for one in _inputs(name, members[name], group == "required")}
    outputs = tuple(
        zip(entry["output_name"], (_kind(kind) for kind in entry["output"]), strict=True)
    )
    return NodeDefinition(class_type, entry.get("display_name") or class_type, inputs, outputs)


def _inputs(name: str, spec: list, required: bool) -> list[InputDefinition]:
    """Return the definition of an input.

    Of a choice with inputs of its own also theirs, those of every value together.
    """
    if spec[0] != DYNAMIC_CHOICE:
        return [_input(name, spec, required)]
    values = spec[1]["options"]
    found = [
        InputDefinition(
            name,
            "COMBO",
            required,
            {"default": values[0]["key"]},
            tuple(value["key"] for value in values),
        )
    ]
    nested = {
        key: inner
        for value in values
        for group in value["inputs"].values()
        for key, inner in group.items()
    }
    return found + [
        replace(_input(f"{name}.{key}", inner, False), is_nested=True)
        for key, inner in nested.items()
    ]


def _input(name: str, spec: list, required: bool) -> InputDefinition:
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    # Older nodes write a choice as a bare list, newer ones as COMBO with options.
    choices = spec[0] if isinstance(spec[0], list) else options.get("options")
    kind = _kind(spec[0])
    if kind != "COMBO" or name in FILE_INPUTS or choices is None:
        return InputDefinition(name, kind, required, options)
    return InputDefinition(name, kind, required, options, tuple(choices))


def _kind(spec: object) -> str:
    return "COMBO" if isinstance(spec, list) else str(spec)
