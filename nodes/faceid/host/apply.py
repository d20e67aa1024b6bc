"""FaceID adapters on a MODEL: who is to be recognised, how strongly, when and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...faces.identity import Identity
from ...host.models import family_of
from ...regions.run import RegionRun
from ..errors import FaceIDError
from ..ipadapter import Adapter, Features, identity_tokens, keys_values
from .unet import Place, UnetUse, apply_ip_adapters

# The recogniser in this many packs of insightface is the one that IP-Adapter FaceID learned faces from.
RECOGNISERS = ("buffalo_l", "buffalo_m")
CLIP_CROP = 224
MASKED = "astria_faceid_masked"  # on models with a face under a mask, which lies on the picture as a whole

Gate = int | Tensor | None


@dataclass(frozen=True, eq=False)
class FaceIDUse:
    """One person's face on a model: `faceid` is a loaded adapter, `identity` the person, `start` and `end` parts 0..1 of the steps."""

    faceid: Any
    identity: Identity
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0


class IPAdapterFaceID:
    """A loaded IP-Adapter FaceID. `clip_vision` is the host's CLIP_VISION, None for a kind that looks at the embedding only."""

    def __init__(self, adapter: Adapter, clip_vision: Any = None) -> None:
        self.adapter = adapter
        self.clip_vision = clip_vision
        self._made: WeakKeyDictionary[Identity, list[tuple[Tensor, Tensor]]] = WeakKeyDictionary()

    def keys_values(self, identity: Identity) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values [2,T,h] of the person and of nobody for each cross-attention, float32 on the CPU.

        Raises: FaceIDError for embeddings of a recogniser that the adapter does not know.
        """
        if identity.recogniser not in RECOGNISERS:
            raise FaceIDError(
                f"The faces of '{identity.title}' were read by {identity.recogniser}; "
                f"the adapter '{self.adapter.name}' knows those of {RECOGNISERS[0]}.",
                code="faceid-recogniser", hint=f"Load {RECOGNISERS[0]} in Astria Load Face Analysis, and connect it to the identity.")
        if identity not in self._made:
            with torch.inference_mode(False), torch.no_grad():
                features = self._features(identity) if self.adapter.kind.clip else None
                self._made[identity] = keys_values(self.adapter, identity_tokens(self.adapter, identity.embeddings, features))
        return self._made[identity]

    def _features(self, identity: Identity) -> Features:
        # Nothing is what CLIP sees as zeros, which is the mean colour of its pictures.
        nothing = torch.tensor(self.clip_vision.image_mean).expand(1, CLIP_CROP, CLIP_CROP, 3)
        encoded = self.clip_vision.encode_image(torch.cat([identity.crop(CLIP_CROP), nothing]))["penultimate_hidden_states"].float().cpu()
        if encoded.shape[-1] != self.adapter.clip_width:
            raise FaceIDError(
                f"The connected CLIP vision model gives {encoded.shape[-1]} channels; "
                f"the adapter '{self.adapter.name}' looks at {self.adapter.clip_width}.",
                code="faceid-clip-vision", hint="Load CLIP-ViT-H-14 (laion2B-s32B-b79K) from the clip_vision folder.")
        return Features(encoded[:-1], encoded[-1:])


def apply_person_faceids(model: ModelPatcher, faceids: Sequence[Sequence[FaceIDUse]], run: RegionRun) -> ModelPatcher:
    """Return a clone of the model on which the uses in faceids[i] act in region i + 1 while `run.forward` is set, and nowhere otherwise."""
    return apply_faceids(model, [(use, region) for region, uses in enumerate(faceids, 1) for use in uses], run)


def apply_faceids(model: ModelPatcher, uses: Sequence[tuple[FaceIDUse, Gate]], run: RegionRun | None = None) -> ModelPatcher:
    """Return a clone of the model that gives each use's face where its gate says: in a region of `run`, under a mask, or everywhere for None.

    Applied twice, both act. Uses of strength 0 do nothing at all.
    Shapes: a mask [B,H,W] or [H,W] float 0..1 of any size; mask i is that of image i.
    Raises: FaceIDError for an adapter of another family than the model, and for steps that end before they start.
    """
    for use, gate in uses:
        _check(use, gate, run)
    acting = [(use, gate) for use, gate in uses if use.strength != 0]
    flux = _is_flux(model, [use for use, _ in acting])
    if not acting:
        return model.clone()
    if flux:
        from .flux import apply_pulid

        patched = apply_pulid(model, acting, run)
    else:
        patched = apply_ip_adapters(model, [_of_unet(use, gate) for use, gate in acting], run)
    if any(isinstance(gate, Tensor) for _, gate in acting):
        patched.set_attachments(MASKED, True)
    return patched


def _is_flux(model: ModelPatcher, uses: Sequence[FaceIDUse]) -> bool:
    """Return whether the model is a Flux. Raises FaceIDError for adapters that are made for the other kind of model."""
    family = family_of(model)
    for adapter in (use.faceid for use in uses):
        unet = isinstance(adapter, IPAdapterFaceID)
        if unet and family.is_flux:
            raise FaceIDError(f"The connected MODEL is {family.title}; the adapter '{adapter.adapter.name}' is made for SD1.5 or SDXL.",
                              code="faceid-family", hint="Load a PuLID-FLUX file.")
        if not unet and not family.is_flux:
            raise FaceIDError(f"The connected MODEL is {family.title}; the adapter '{adapter.name}' is PuLID, made for Flux.",
                              code="faceid-family", hint="Load an IP-Adapter FaceID of the model's family.")
    return family.is_flux


def _of_unet(use: FaceIDUse, gate: Gate) -> UnetUse:
    if isinstance(gate, Tensor):
        gate = gate.detach().float().cpu().reshape(-1, *gate.shape[-2:])
    return UnetUse(use.faceid.adapter, use.faceid.keys_values(use.identity), use.strength, Place((use.start, use.end), gate))


def _check(use: FaceIDUse, gate: Gate, run: RegionRun | None) -> None:
    assert run is not None or not isinstance(gate, int), "a region is one of a run"
    if not 0 <= use.start < use.end <= 1:
        raise FaceIDError(f"The FaceID of '{use.identity.title}' starts at {use.start} and ends at {use.end}; expected 0 <= start < end <= 1.",
                          code="faceid-steps", hint="0 is the first step, 1 the last.")
