"""The ControlNets that a request asks for."""

from __future__ import annotations

from dataclasses import dataclass

from ...prompt import PromptRequest


@dataclass(frozen=True)
class Control:
    """A ControlNet that the request asks for, and how strongly it steers where that is set."""

    kind: str
    weight: float | None
    said: str


def controls_of(request: PromptRequest) -> tuple[Control, ...]:
    """Return the ControlNets of `controlnet` and of --controlnets, in this order, each kind once.

    One without a weight of its own has that of controlnet_conditioning_scale.
    """
    scale = request.controlnet_conditioning_scale
    found: dict[str, Control] = {}
    if request.controlnet is not None:
        found[request.controlnet] = Control(
            request.controlnet, scale, f"controlnet={request.controlnet}"
        )
    weights = request.controlnet_weights or ()
    for index, kind in enumerate(request.controlnets or ()):
        weight = weights[index] if index < len(weights) else scale
        found[kind] = Control(kind, weight, f"--controlnets {kind}")
    return tuple(found.values())
