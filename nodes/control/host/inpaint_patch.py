"""Z-Image's Fun ControlNet as what inpaints: the host's patch, shown the masked picture."""

from __future__ import annotations

import comfy.utils
import torch
import torch.nn.functional as F
from comfy.latent_formats import Flux
from comfy.ldm.lumina.controlnet import ZImage_Control
from comfy.model_patcher import ModelPatcher
from comfy_extras.nodes_model_patch import ZImageControlPatch
from torch import Tensor

from ...errors import PlanError
from ...host.models import family_of
from ..masked import Masked

_HIDDEN = 0.5  # middle grey, 0 to the VAE


class InpaintPatch(ZImageControlPatch):
    """The host's patch with what the ControlNet was trained to inpaint by.

    The host's own encodes a grey picture where there is no map, goes by soft masks as they are, and
    keeps one row for each picture, which are fewer than the model's with guidance.
    Source: aigc-apps/VideoX-Fun, scripts/z_image_fun/train_control.py and
    videox_fun/pipeline/pipeline_z_image_control.py.
    """

    def __init__(self, model_patch: ModelPatcher, vae, masked: Masked, strength: float) -> None:
        self._masked = masked
        self._rows = max(len(masked.pixels), len(masked.mask))
        super().__init__(model_patch, vae, None, strength, inpaint_image=masked.pixels)

    def encode_latent_cond(self, control_image=None, inpaint_image=None) -> Tensor:
        """Return what the ControlNet sees, a row for each of the model's: [map, kept, picture].

        `inpaint_image` are the pixels at the size of what is drawn. 1 = kept.
        """
        assert inpaint_image is not None, "a patch that inpaints has a picture"
        size = inpaint_image.shape[1:3]
        repaint = self._masked.repaint_at(size).to(inpaint_image.device)
        shown = self._latent(torch.where(repaint[..., None], _HIDDEN, inpaint_image))
        cells = F.interpolate(repaint[:, None].to(shown), shown.shape[-2:], mode="nearest")
        # Where there is no map the latent itself is 0, as in a tenth of the training.
        control = self._masked.control_at(size)
        seen = torch.zeros_like(shown) if control is None else self._latent(control)
        parts = (
            comfy.utils.repeat_to_batch_size(part, self._rows)
            for part in (seen, 1.0 - cells, shown)
        )
        return torch.cat(list(parts), 1)

    def _latent(self, pictures: Tensor) -> Tensor:
        return Flux().process_in(self.vae.encode(pictures))

    def __call__(self, kwargs):
        # The host puts positive and negative rows of all pictures one behind the other.
        self._rows = len(kwargs["x"])
        self.encoded_image = comfy.utils.repeat_to_batch_size(self.encoded_image, self._rows)
        return super().__call__(kwargs)


def inpainting(
    model: ModelPatcher, model_patch: ModelPatcher, vae, masked: Masked, strength: float
) -> ModelPatcher:
    """Return a clone that sees the masked picture through its ControlNet.

    Raises: PlanError for a model whose ControlNet is no patch, and for a patch that takes no masked
    picture; ImageError for pictures of a size that the model cannot draw.
    """
    family = family_of(model)
    if not family.patched_controls:
        raise PlanError(
            f"The connected MODEL is {family.title}, which has no ControlNet that patches the"
            " model; expected Z-Image.",
            code="patch-family",
            hint="Take Astria Z-Image Inpaint out of this model's chain.",
        )
    if not isinstance(model_patch.model, ZImage_Control) or not model_patch.model.additional_in_dim:
        raise PlanError(
            f"The connected model_patch, a {type(model_patch.model).__name__}, takes no masked"
            " picture; expected Z-Image's Fun ControlNet Union 2.0 or later.",
            code="patch-takes-no-mask",
            hint="Load such a file with Load Model Patch, or take this node out of the chain.",
        )
    masked.check(family.multiple)
    patched, patch = model.clone(), InpaintPatch(model_patch, vae, masked, strength)
    patched.set_model_noise_refiner_patch(patch)
    patched.set_model_double_block_patch(patch)
    return patched
