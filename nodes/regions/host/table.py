"""The hooks of each family."""

from __future__ import annotations

from collections.abc import Mapping

from comfy.model_patcher import ModelPatcher

from ...families.family import FAMILIES
from ...host.models import family_of
from .flux import Flux
from .flux2 import Flux2
from .hooks import ModelHooks
from .krea2 import Krea2
from .unet import Unet
from .zimage import ZImage

HOOKS: Mapping[str, ModelHooks] = {
    "sd15": Unet(),
    "sdxl": Unet(),
    "flux": Flux(FAMILIES["flux"]),
    "flux2": Flux2(FAMILIES["flux2"]),
    "flux2_klein_4b": Flux2(FAMILIES["flux2_klein_4b"]),
    "flux2_klein_9b": Flux2(FAMILIES["flux2_klein_9b"]),
    "zimage": ZImage(FAMILIES["zimage"]),
    "krea2": Krea2(FAMILIES["krea2"]),
}


def hooks_of(model: ModelPatcher) -> ModelHooks:
    """Return the hooks of a MODEL. Raises PlanError for a kind this pack does not plan for."""
    return HOOKS[family_of(model).branch]
