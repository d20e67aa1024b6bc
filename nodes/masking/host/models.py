"""Models that find words in pictures, in the host's hands.

Read on first use, moved to the GPU and away by its memory management.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import comfy.bg_removal_model
import comfy.model_management
import comfy.sd
import comfy.utils
import torch
import torch.nn.functional as F
from comfy.bg_removal_model import BackgroundRemovalModel
from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP
from comfy_extras.nodes_sam3 import _refine_mask
from torch import Tensor, nn

from ...errors import MissingModelError
from ...host.loading import load_whole
from ...host.weight_files import UnreadableWeights, read_weights
from ..sam import build_sam, not_sam
from ..segmenter import SUBJECT_WORDS, Found, Instance, found_things

SAM3_SIDE = 1008
REFINEMENTS = 2  # of each mask, the default of the host's node
_SAM3_KINDS = ("SAM3", "SAM31")


class OnDemand:
    """A torch module that is built when first called for, and stands on the GPU when it is
    returned.
    """

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        self._build = build
        self._patcher: ModelPatcher | None = None

    def __call__(self) -> nn.Module:
        management = comfy.model_management
        if self._patcher is None:
            # In a module of its own: the host notes its device on the model, and other libraries'
            # models do not let it.
            holder = nn.ModuleList([self._build().eval().requires_grad_(False)])
            # Not the host's own kind of patcher, which streams weights through the host's own
            # layers.
            self._patcher = ModelPatcher(
                holder,
                load_device=management.get_torch_device(),
                offload_device=management.unet_offload_device(),
            )
        load_whole(self._patcher)
        return self._patcher.model[0]


class BackgroundRemover:
    """The host's background removal: subject and background, nothing else.

    `model` returns a BACKGROUND_REMOVAL.
    """

    def __init__(self, model: Callable[[], BackgroundRemovalModel]) -> None:
        self._model = model

    def __str__(self) -> str:
        return "background removal"

    def takes(self, word: str) -> bool:
        return word in SUBJECT_WORDS

    @torch.no_grad()
    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        subject = self._model().encode_image(image)[0].float().to(image.device)
        maps = {word: 1 - subject if word == "background" else subject for word in words}
        return {
            word: Found(scores, str(self), float(scores.amax())) for word, scores in maps.items()
        }


class Sam3:
    """The host's SAM3: everything a word names, each thing by itself.

    `models` returns its MODEL and CLIP.

    The picture goes through the vision trunk once for all words, where the host's own node runs it
    for each; detection and the refinement of each mask then are the same.
    """

    def __init__(self, models: Callable[[], tuple[ModelPatcher, CLIP]]) -> None:
        self._models = models
        # Of a batch each picture asks for the same words: kept, text encoder and model need not
        # take turns on the GPU.
        self._texts: dict[str, tuple[Tensor, Tensor]] = {}

    def __str__(self) -> str:
        return "SAM3"

    def takes(self, word: str) -> bool:
        return word not in SUBJECT_WORDS

    @torch.no_grad()
    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        model, clip = self._models()
        self._texts = {word: self._texts.get(word) or _encoded(clip, word) for word in words}
        comfy.model_management.load_model_gpu(model)
        device, dtype = model.load_device, model.model.get_dtype()
        network = model.model.diffusion_model
        detector = network.detector
        frame = comfy.utils.common_upscale(
            image.movedim(-1, 1), SAM3_SIDE, SAM3_SIDE, "bilinear", crop="disabled"
        ).to(device, dtype)
        trunk = detector.backbone["vision_backbone"].trunk(frame)
        resizer = detector.backbone["language_backbone"]["resizer"]
        found = {}
        for word, (embedding, mask) in self._texts.items():
            result = detector.forward_from_trunk(
                trunk, resizer(embedding.to(device, dtype)), mask.to(device)
            )
            found[word] = _things(network, result, image, threshold)
        return found


def _encoded(clip: CLIP, word: str) -> tuple[Tensor, Tensor]:
    """Return embedding and mask of a word's tokens."""
    # SAM3's tokenizer takes `hat:3` for a number of hats.
    [[embedding, extra]] = clip.encode_from_tokens_scheduled(clip.tokenize(word.replace(":", " ")))
    mask = extra.get("attention_mask")
    return embedding, torch.ones(embedding.shape[:2], dtype=torch.int64) if mask is None else mask


def _things(
    network: nn.Module, result: dict[str, Tensor], image: Tensor, threshold: float
) -> Found:
    """Return every detection of one word above the threshold, surest first, its mask refined."""
    height, width = image.shape[1:3]
    scores = result["scores"][0].float().sigmoid().cpu()
    boxes = result["boxes"][0] * result["boxes"].new_tensor([width, height] * 2)

    def refined(index: int) -> Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        mask = F.interpolate(
            result["masks"][:, index : index + 1],
            size=(height, width),
            mode="bilinear",
            align_corners=False,
        )[0, 0]
        place = mask.device, mask.dtype, REFINEMENTS
        return _refine_mask(network, image[0], mask, boxes[index], height, width, *place)[0]

    things = (
        Instance(
            (refined(index) > 0).to(image.device),
            tuple(boxes[index].float().tolist()),
            float(scores[index]),
        )
        for index in scores.argsort(descending=True).tolist()
        if scores[index] > threshold
    )
    return found_things(things, image, "SAM3", best=float(scores.max()))


def load_background(path: Path) -> BackgroundRemovalModel:
    """Return the host's BACKGROUND_REMOVAL of a file.

    Raises: MissingModelError when the file holds something else.
    """
    model = comfy.bg_removal_model.load(str(path))
    if model is None:
        raise MissingModelError(
            f"{path} does not hold a background-removal model that ComfyUI knows.",
            code="background-file",
            hint="Take birefnet.safetensors from https://huggingface.co/Comfy-Org/BiRefNet.",
        )
    return model


def load_sam3(path: Path) -> tuple[ModelPatcher, CLIP]:
    """Return MODEL and CLIP of a SAM3 checkpoint.

    Raises: MissingModelError when the file holds something else.
    """
    model, clip, *_ = comfy.sd.load_checkpoint_guess_config(
        str(path), output_vae=False, output_clip=True
    )
    return checked_sam3(model, clip, str(path))


def checked_sam3(model: ModelPatcher, clip: CLIP | None, place: str) -> tuple[ModelPatcher, CLIP]:
    """Return both. Raises: MissingModelError when the MODEL is not SAM3 or there is no CLIP."""
    kind = model.model.model_config.unet_config.get(
        "image_model", type(model.model.model_config).__name__
    )
    if kind not in _SAM3_KINDS or clip is None:
        raise MissingModelError(
            f"{place} is {kind} {'without' if clip is None else 'with'} its text encoder; expected"
            " SAM3 with it.",
            code="sam3-file",
            hint=(
                "Take sam3.1_multiplex_fp16.safetensors from"
                " https://huggingface.co/Comfy-Org/sam3.1."
            ),
        )
    return model, clip


def read_sam(path: Path) -> nn.Module:
    """Return the model of a file of segment-anything.

    Raises: MissingModelError when the file holds something else, or cannot be read.
    """
    try:
        state, _ = read_weights(str(path))
    except UnreadableWeights as error:
        raise not_sam(str(path), str(error)) from error
    return build_sam(state, str(path))
