"""The ControlNet that is a patch of the model as what inpaints: it is shown the masked picture."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...control.modes import INPAINT_STRENGTH
from ...families.family import Family
from ...graph.graph import Value
from ...graph.sockets import NO_FILE
from ..build.plan_builder import PlanBuilder
from ..build.stage_list import Problem
from ..build.text import Encoded

_ROLE = "control_patch"
# The published names of one that is made for a family's distilled variant, or for its base.
_FUN = re.compile(r"fun.*control", re.IGNORECASE)
_DISTILLED = "turbo"
INPAINT_NODE = "AstriaZImageInpaint"


@dataclass(frozen=True)
class ShownPicture:
    """The pictures that are repainted where the mask is 1, and the ControlNet that sees them."""

    patch: Value
    pixels: Value
    mask: Value


def inpaint_patch(builder: PlanBuilder, family: Family) -> Value | None:
    """Return the bound ControlNet that sees a masked picture.

    None where none is bound, and where the bound one sees none, which is told.
    """
    file = builder.loaders.optional(_ROLE) if family.patched_controls else NO_FILE
    if file == NO_FILE:
        return None
    tell_other_variant(builder)
    if isinstance(file, str):
        takes = builder.resolver.takes_masked_picture(file)
        if not takes:
            _tell_takes_none(builder, family, file, is_readable=takes is not None)
            return None
    return builder.require_for_part(builder.loaders.model(_ROLE), f"Inpainting by {_ROLE}")


def tell_other_variant(builder: PlanBuilder) -> None:
    """Tell where the bound patch is made for another variant than the picture's model, by the names
    of both.
    """
    file, family = builder.loaders.optional(_ROLE), builder.family
    if not isinstance(file, str) or not _FUN.search(file):
        return
    is_distilled = _DISTILLED in file.lower()
    if is_distilled != (_DISTILLED in family.name):
        made_for = "Turbo" if is_distilled else "the base model"
        text = (
            f"The bound control_patch '{file}' is made for {made_for}, by its name, and this"
            f" picture is drawn by {family.title}: it may steer it badly."
        )
        hint = f"Bind the one for {family.title} as {family.branch}.control_patch."
        builder.tell(Problem("patch-of-variant", "warning", text, hint))


def add_shown_picture(
    builder: PlanBuilder,
    name: str,
    encoded: Encoded,
    shown: ShownPicture,
    strength: float = INPAINT_STRENGTH,
    control_map: Value | None = None,
) -> Encoded:
    """Add the ControlNet that sees the masked picture, and a map beside it, to the model."""
    control = {} if control_map is None else {"control_image": control_map}
    model = builder.graph.add(
        name,
        INPAINT_NODE,
        model=encoded.models.model,
        model_patch=shown.patch,
        vae=encoded.models.vae,
        pixels=shown.pixels,
        mask=shown.mask,
        strength=strength,
        **control,
    )
    return replace(encoded, models=replace(encoded.models, model=model))


def _tell_takes_none(builder: PlanBuilder, family: Family, file: str, *, is_readable: bool) -> None:
    why = (
        "takes no masked picture, by the sizes of its tensors"
        if is_readable
        else "is not read as a .safetensors file, so it is not known whether it takes a masked"
        " picture"
    )
    text = (
        f"The bound control_patch '{file}' {why}: {family.title} paints under a noise mask without"
        " it."
    )
    hint = "Bind one that takes it, as Z-Image's Fun ControlNet Union does from 2.0 on."
    builder.tell(Problem("patch-takes-no-mask", "info", text, hint))
