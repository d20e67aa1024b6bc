"""The mode of a union ControlNet, chosen by the kind of map and by the model at hand."""

from __future__ import annotations

from comfy.cldm.cldm import ControlNet as UNetControl
from comfy.controlnet import ControlBase
from comfy.ldm.flux.controlnet import ControlNetFlux

from ..modes import FLUX_NUMBERS, SDXL_NUMBERS, MapKind, Union

_MODE = "control_type"  # the host's name of the argument that the ControlNet's network reads


def with_mode(control_net: ControlBase, kind: MapKind) -> tuple[ControlBase, str]:
    """Return a copy of the ControlNet with the mode for this kind of map, and a note on it.

    One without modes is returned as it is: made for a single kind, or a union without mode
    embedding (Flux's Union-Pro-2.0). A mode that was set before stays.
    """
    union = _union_of(control_net)
    if union is None:
        return control_net, ""
    number = union.number(kind)
    modes = [] if number is None else [number]
    if _MODE in control_net.extra_args:
        kept = control_net.extra_args[_MODE]
        return control_net, "" if kept == modes else _kept_note(kind, kept, modes, union)
    copy = control_net.copy()
    copy.set_extra_arg(_MODE, modes)
    return copy, _lacking_note(kind, union) if number is None else ""


def _union_of(control_net: ControlBase) -> Union | None:
    network = getattr(control_net, "control_model", None)
    if isinstance(network, ControlNetFlux) and network.controlnet_mode_embedder is not None:
        return Union(FLUX_NUMBERS, network.num_union_modes)
    if isinstance(network, UNetControl) and network.control_add_embedding is not None:
        return Union(SDXL_NUMBERS, network.num_control_type)
    return None


def _lacking_note(kind: MapKind, union: Union) -> str:
    return (
        f"The union ControlNet has no mode for {kind} and steers by its map without one; its"
        f" {union.count} modes are for {', '.join(union.known)}. Connect or bind a ControlNet made"
        f" for {kind} (role controlnet_{kind})."
    )


def _kept_note(kind: MapKind, kept: list[int], modes: list[int], union: Union) -> str:
    before = f"mode {kept[0]}" if kept else "no mode"
    meant = f"its number for {kind} is {modes[0]}" if modes else f"it has no mode for {kind}"
    also = [name for name, number in union.numbers.items() if [number] == kept]
    named = f" ({', '.join(also)})" if also else ""
    return (
        f"The union ControlNet comes with {before}{named} set, which stays; {meant}. Take the Set"
        " Union ControlNet Type node before it away to have the mode set by the kind."
    )
