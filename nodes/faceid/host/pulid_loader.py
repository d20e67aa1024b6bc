"""PuLID's files as models that the host loads and unloads, and identities as the tokens that Flux
sees.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_management as management
import comfy.ops
import torch
from comfy.model_patcher import CoreModelPatcher, ModelPatcher
from torch import Tensor, nn

from ...errors import MissingModelError
from ...faces.face import EMBEDDING_SIZE
from ...faces.identity import Identity
from ...host.weight_files import UnreadableWeights, read_weights
from ..bisenet import PARTS, parser_of
from ..errors import FaceIDError
from ..eva_clip import vision_of
from ..pulid import cross_attentions_of, encoder_of
from ..pulid_prepare import CROP, features_only, for_vision
from ..pulid_weights import NetworkWeights

RECOGNISER = "antelopev2"
PULID = "a PuLID-FLUX adapter"
EVA = "the vision model EVA02-CLIP-L-336"
PARSING = "the face parsing model BiSeNet"


@dataclass(frozen=True, eq=False)
class PulidModel:
    """A PuLID-FLUX adapter with the two models that read photos for it.

    All are the host's to load; nothing is on the GPU before it is used.
    """

    name: str
    blocks: ModelPatcher
    encoder: ModelPatcher
    vision: ModelPatcher
    parser: ModelPatcher
    _known: MutableMapping[Identity, Tensor] = field(default_factory=WeakKeyDictionary, repr=False)

    def tokens(self, identity: Identity) -> Tensor:
        """Return a person's tokens and the unconditional ones, [2,T,C] float32 on the CPU.

        Several photos are encoded each by itself and their tokens averaged, so they cost a step no
        more than one.
        Raises: FaceIDError where the identity's vectors are not of the recogniser that PuLID was
        trained with.
        """
        if identity.recogniser != RECOGNISER:
            message = (
                f"The identity '{identity.title}' was recognised with {identity.recogniser}; PuLID"
                f" reads faces of {RECOGNISER} only."
            )
            hint = (
                f"Load the face analysis pack {RECOGNISER} in Astria Load Face Analysis for this"
                " identity."
            )
            raise FaceIDError(message, code="pulid-recogniser", hint=hint)
        if identity not in self._known:
            self._known[identity] = self._encoded(identity)
        return self._known[identity]

    @torch.no_grad()
    def _encoded(self, identity: Identity) -> Tensor:
        management.load_models_gpu([self.parser, self.vision, self.encoder])
        device = self.encoder.load_device
        tokens = []
        # One by one, to save memory.
        for crop, vector in zip(identity.ffhq(CROP), identity.embeddings, strict=True):
            features = features_only(crop[None].to(device), self.parser.model)
            seen, states = self.vision.model(for_vision(features, self.vision.model))
            face = torch.cat([vector[None].to(device), seen], 1)
            tokens.append(self.encoder.model(face, states))
        no_face = torch.zeros_like(face)
        no_states = [torch.zeros_like(state) for state in states]
        unconditional = self.encoder.model(no_face, no_states)
        person = torch.cat(tokens).mean(0, keepdim=True)
        return torch.cat([person, unconditional]).cpu()


def load_pulid(path: str, eva_path: str | None, parsing_path: str | None) -> PulidModel:
    """Return the adapter in `path` with the vision and face parsing models that it reads photos
    with.

    Weights stay in the dtype of their files; the host casts them as it uses them.
    Raises: MissingModelError where a file is not given; FaceIDError naming the keys where one is
    damaged or something else.
    """
    _require(
        eva_path,
        EVA,
        "EVA02_CLIP_L_336_psz14_s6B.pt, from huggingface.co/QuanSun/EVA-CLIP",
        "clip_vision",
    )
    _require(
        parsing_path,
        PARSING,
        "parsing_bisenet.pth, from github.com/xinntao/facexlib/releases",
        "facedetection",
    )
    pulid = _read(path, PULID)
    _check_kind(pulid)
    encoder, blocks = _model(encoder_of, pulid), _model(cross_attentions_of, pulid)
    vision = _model(vision_of, _read(eva_path, EVA))
    _check_fit(encoder.model, vision.model, eva_path)
    return PulidModel(Path(path).name, blocks, encoder, vision, load_parser(parsing_path))


def load_parser(path: str) -> ModelPatcher:
    """Return the face parsing model in `path`, a bisenet.FaceParser, as the host loads it.

    Raises: FaceIDError naming the keys where the file is damaged or something else.
    """
    parsing = _read(path, PARSING)
    parser = _model(parser_of, parsing)
    if parser.model.parts != PARTS:
        parsing.fail([f"{parser.model.parts} parts of a face, expected {PARTS}"])
    return parser


def _require(path: str | None, title: str, file: str, folder: str) -> None:
    if path is None:
        message = f"PuLID needs {title} beside the adapter, and none is chosen."
        hint = (
            f"Put {file}, into ComfyUI's models/{folder} folder, and choose it in Astria Load"
            " FaceID."
        )
        raise MissingModelError(message, code="pulid-needs", hint=hint)


def _read(path: str, title: str) -> NetworkWeights:
    """Return the tensors of a file."""
    try:
        tensors, _ = read_weights(path)
    except UnreadableWeights as error:
        raise FaceIDError(
            f"The file {path}, meant as {title}, cannot be read: {error}",
            code="pulid-file",
            hint="Download it again.",
        ) from error
    if not isinstance(tensors, dict):
        raise FaceIDError(
            f"The file {path}, meant as {title}, holds a {type(tensors).__name__} and no table of"
            " weights.",
            code="pulid-file",
        )
    return NetworkWeights(
        {str(key): tensor for key, tensor in tensors.items() if isinstance(tensor, Tensor)},
        title,
        path,
    )


def _check_kind(weights: NetworkWeights) -> None:
    if not any(key.startswith(("pulid_ca.", "pulid_encoder.")) for key in weights.tensors):
        kind = (
            "a PuLID of SDXL"
            if any(key.startswith("id_adapter") for key in weights.tensors)
            else "something else"
        )
        message = (
            f"The file {weights.path} is {kind}, not {PULID}: it has no keys that start with"
            " 'pulid_ca.'."
        )
        hint = "Use pulid_flux_v0.9.1.safetensors, from huggingface.co/guozinan/PuLID."
        raise FaceIDError(message, code="pulid-kind", hint=hint)


def _check_fit(encoder: nn.Module, vision: nn.Module, eva_path: str) -> None:
    face, states = encoder.channels
    seen, width = vision.channels
    if (face, states) != (EMBEDDING_SIZE + seen, width):
        message = (
            f"The vision model {eva_path} does not fit the adapter: it gives vectors of {seen}"
            f" channels and states of {width}, expected {face - EMBEDDING_SIZE} and {states}."
        )
        raise FaceIDError(message, code="pulid-fit", hint="Choose EVA02_CLIP_L_336_psz14_s6B.pt.")


def _model(
    make: Callable[[NetworkWeights, Any], nn.Module], weights: NetworkWeights
) -> ModelPatcher:
    network = make(weights, comfy.ops.manual_cast)
    return CoreModelPatcher(
        network,
        load_device=management.get_torch_device(),
        offload_device=management.unet_offload_device(),
    )
