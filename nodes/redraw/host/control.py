"""What steers a whole picture, for faces that are cut out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...errors import PlanError
from ...host.model_patches import steering_patch
from ..crop import FaceCrop, cut_hint


def check_steering(model: ModelPatcher) -> None:
    """Check that no patch of the model lays a control picture over whatever is drawn.

    Raises: PlanError naming it.
    """
    patch = steering_patch(model.model_options["transformer_options"])
    if patch:
        raise PlanError(
            f"This model carries a ControlNet as a patch ({patch}), whose picture is that of the"
            " whole picture; a face is drawn by itself, and would get all of it.",
            code="faces-control-patch",
            hint=(
                "Connect the model from before the node that applies it, such as Z-Image Fun"
                " ControlNet."
            ),
        )


class FaceControlNets:
    """ControlNets with a hint for the whole picture -> copies with each face's part of the hint,
    each copied once.
    """

    def __init__(self, crops: Sequence[FaceCrop], size: tuple[int, int]) -> None:
        self._crops = crops
        self._size = size
        self._made: dict[int, Any] = {}

    def __call__(self, control: Any) -> Any:
        if id(control) not in self._made:
            self._made[id(control)] = self._of_faces(control)
        return self._made[id(control)]

    def _of_faces(self, control: Any) -> Any:
        options = {
            "vae": control.vae,
            "extra_concat": [self._cut(hint) for hint in control.extra_concat_orig],
        }
        made = control.copy().set_cond_hint(
            self._cut(control.cond_hint_original),
            control.strength,
            control.timestep_percent_range,
            **options,
        )
        if control.previous_controlnet is not None:
            made.set_previous_controlnet(self(control.previous_controlnet))
        return made

    def _cut(self, hint: Tensor) -> Tensor:
        return torch.cat([cut_hint(hint, crop, self._size) for crop in self._crops])
