"""Facts that the planner needs of a running ComfyUI.

The family of a model, and the definitions of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from comfy.supported_models_base import BASE
from comfy_extras.nodes_model_advanced import LCM

import nodes as host_nodes

from ..errors import PlanError
from ..families.family import FAMILIES, Family, variant_of
from ..families.few_steps import few_steps_of, is_named_lcm
from ..graph.definitions import NodeDefinition, from_object_info

Decide = Callable[[Sequence[Family], str], tuple[Family, str]]


def family_of(model) -> Family:
    """Return the family of a MODEL. Raises PlanError for a kind this pack does not plan for."""
    return variant_of_model(model)[0]


def variant_of_model(model, decide: Decide = variant_of) -> tuple[Family, str]:
    """Return the family of a MODEL, and what tells it from others of the same kind, "" where there
    are none. `decide` is given those and the path of its file.

    Raises: PlanError for a kind this pack does not plan for.
    """
    config = model.model.model_config
    found = fitting(config)
    if found:
        return decide(found, _path_of(model))
    known = ", ".join(family.title for family in FAMILIES.values())
    raise PlanError(
        f"The connected MODEL is a {type(config).__name__} with"
        f" {config.unet_config.get('in_channels')} input channels; this"
        f" pack plans for {known}.",
        code="unknown-model",
        hint="Connect a model of one of these families.",
    )


def may_take_negative(model) -> bool:
    """Say whether a negative text can count on a MODEL, as far as the MODEL tells."""
    return any(one.takes_negative for one in fitting(model.model.model_config))


def fitting(config: BASE) -> list[Family]:
    """Return the families that a configuration of the host may be, by its own class before those
    that it is derived from.
    """
    for kind in type(config).__mro__:
        of_kind = [one for one in FAMILIES.values() if one.host.config == kind.__name__]
        those = [
            one
            for one in of_kind
            if all(config.unet_config.get(key) == value for key, value in one.host.unet.items())
        ]
        if those:
            return those
    return []


def _path_of(model) -> str:
    """Return the path of that file, "" where it is not known."""
    # How the host loads it again, its path first.
    loaded = model.cached_patcher_init
    path = loaded[1][0] if loaded is not None and loaded[1] else None
    return path if isinstance(path, str) else ""


def file_of(model) -> str:
    """Return the name of the file that the host loaded a MODEL from, "" where it is not known."""
    return Path(_path_of(model)).name


def lcm_of(model) -> str:
    """Return the sign that a MODEL is an LCM: its file, or the sampling that was set for it.

    Empty where nothing does.
    """
    if isinstance(model.get_model_object("model_sampling"), LCM):
        return "the model's sampling is set to lcm"
    name = file_of(model)
    return name if is_named_lcm(name) else ""


def few_steps_sign(model) -> str:
    """Return the sign that a MODEL is distilled to few steps, "" where nothing shows it."""
    name = file_of(model)
    return lcm_of(model) or (name if few_steps_of(name) else "")


def live_definitions(class_types: Iterable[str]) -> dict[str, NodeDefinition]:
    """Return the definitions of those node classes that this ComfyUI has, in its own words."""
    known = {
        name: host_nodes.NODE_CLASS_MAPPINGS[name]
        for name in class_types
        if name in host_nodes.NODE_CLASS_MAPPINGS
    }
    return from_object_info(
        {name: _object_info(name, node_class) for name, node_class in known.items()}
    )


def _object_info(name: str, node_class) -> dict:
    """Return the node's `/object_info` entry, as far as definitions need it."""
    if hasattr(node_class, "GET_NODE_INFO_V1"):
        return node_class.GET_NODE_INFO_V1()
    inputs = node_class.INPUT_TYPES()
    return {
        "input": inputs,
        "output": node_class.RETURN_TYPES,
        "output_name": getattr(node_class, "RETURN_NAMES", node_class.RETURN_TYPES),
        "display_name": host_nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
    }
