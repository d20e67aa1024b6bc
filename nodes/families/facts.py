"""What a model family is: the fields of its facts, in words that say what each means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from ..rounding import ceil_div

LEAST_CFG = 1.0  # no guidance, in ComfyUI's numbers


class Guidance(Enum):
    """How a model is guided.

    CFG: `cfg_scale` is classifier-free guidance, and a negative text counts. DISTILLED: `cfg_scale`
    is written into the conditioning, true CFG stays 1, a negative text does not count. NONE: it
    takes no guidance, and neither counts.
    """

    CFG = "cfg"
    DISTILLED = "distilled"
    NONE = "none"


@dataclass(frozen=True)
class HostModel:
    """How the host knows the model: a class of its supported models, with items of its
    configuration that must be equal.
    """

    config: str
    unet: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Latent:
    """The latent that a model paints.

    `cell_px` is the side of a latent cell in pixels, `patch` that of a token in cells, `empty` the
    host's node that makes an empty one. `is_video`: its VAE is one for videos, which takes the
    pictures of a batch for the frames of one. `padded`: the model pads the image to a multiple of
    so many tokens.
    """

    channels: int
    cell_px: int = 8
    patch: int = 1
    empty: str = "EmptyLatentImage"
    is_video: bool = False
    padded: int = 1

    def padding(self, width_px: int, height_px: int) -> int:
        """Return how many tokens of padding stand behind those of a picture of that size."""
        side_px = self.cell_px * self.patch
        tokens = ceil_div(width_px, side_px) * ceil_div(height_px, side_px)
        return -tokens % self.padded


@dataclass(frozen=True)
class TextEncoder:
    """How the text gets in.

    `loader` and `type` are the host's node for single files of text encoders and its choice there,
    `files` the fields of a base that name them, () where a family comes in checkpoints only.
    `types` is a pattern of the choices there that make of its file what the family reads, "" where
    all do. `width` is that of the vectors that it reads tokens as, which embeddings must have, 0
    where they are not looked at. `weights`: `(word:1.2)` counts. `in_sequence`: text tokens stand
    in one sequence with the image's.
    """

    loader: str
    type: str
    files: tuple[str, ...] = ()
    width: int = 0
    weights: bool = True
    in_sequence: bool = False
    types: str = ""


@dataclass(frozen=True)
class Published:
    """A file of the hub: the model folder that it belongs in, its name there, its repository and
    the path in it, and its licence, "" where it is not known. `is_gated`: its repository gives it
    only to who accepted the licence there.
    """

    folder: str
    name: str
    repository: str
    path: str
    licence: str = ""
    is_gated: bool = False

    @property
    def address(self) -> str:
        return f"https://huggingface.co/{self.repository}/resolve/main/{self.path}"


# How names of files go on behind a model's own: numbers that its weights are stored in.
PRECISION = r"[-_. ]?(?:bf16|fp16|fp32|fp8|fp4|nvfp4|mxfp8|int8|int4|scaled|e4m3|e5m2|i?q\d).*"


@dataclass(frozen=True)
class Family:
    """One kind of base model.

    `variant_of` is the family that ids, LoRAs, roles and defaults go by, where it is not its own.
    `named` is a pattern in the names of its files, in words parted by `_`, where its MODEL is also
    that of others; the one of them without it is assumed where no name says, and `also_named` is a
    pattern in names that say so. `source` says whose the defaults are, `files`
    are those that it is published in: its model, then what goes with it.
    `schedule` is the noise schedule that every sampler runs on, "" for the one of the scheduler's
    name; `is_shifted_by_size`: its noise levels go by the picture's size and the steps. `inpaint`
    models take the masked picture as extra input channels (SD inpaint, Flux Fill); others get a
    noise mask. `identity` is the kind of adapter that draws a face from photos, and `controls`
    whose numbers union ControlNets know kinds by; both "" for none. `patched_controls` are the
    kinds of its ControlNet that is a patch of the model, () for none. `is_trained`: a LoRA of it
    can be trained here. `has_lcm`: latent consistency models of it exist.
    """

    name: str
    title: str
    host: HostModel
    latent: Latent
    text: TextEncoder
    native_size: int
    multiple: int
    steps: int
    cfg: float
    scheduler: str
    schedule: str = ""
    is_shifted_by_size: bool = False
    guidance: Guidance = Guidance.CFG
    variant_of: str = ""
    inpaint: bool = False
    identity: Literal["ip-adapter", "pulid", ""] = ""
    controls: Literal["sdxl", "flux", ""] = ""
    patched_controls: tuple[str, ...] = ()
    source: str = ""
    named: str = ""
    also_named: str = ""
    files: tuple[Published, ...] = ()
    is_trained: bool = False
    has_lcm: bool = False

    @property
    def branch(self) -> str:
        """The base family that ids, LoRAs and defaults go by."""
        return self.variant_of or self.name

    @property
    def takes_guidance(self) -> bool:
        """Whether `cfg_scale` acts on it."""
        return self.guidance is not Guidance.NONE

    @property
    def takes_negative(self) -> bool:
        """Whether a negative text can count."""
        return self.guidance is Guidance.CFG

    @property
    def is_distilled(self) -> bool:
        """Whether `cfg_scale` is written into the conditioning."""
        return self.guidance is Guidance.DISTILLED

    @property
    def published(self) -> Mapping[str, Published]:
        """Fields of a base -> the files that it is published in, none where it is in no such."""
        return dict(zip(("diffusion_model", *self.text.files, "vae"), self.files, strict=False))

    def takes_control(self, kind: str) -> bool:
        """Say whether a ControlNet of a kind can steer it."""
        return bool(self.controls) or kind in self.patched_controls

    def true_cfg(self, cfg_scale: float) -> float:
        """Return the classifier-free guidance that a sampler gets, at least 1.

        Below 1 diffusers paints by the text alone, and the pages of models
        that want no guidance say 0 (StableDiffusionXLPipeline.do_classifier_free_guidance). ComfyUI
        does so at 1, and at 0 paints the negative text alone.
        """
        return max(cfg_scale, LEAST_CFG) if self.takes_negative else LEAST_CFG

    @property
    def most_px(self) -> int:
        """The area up to which it paints well: a UNet below twice its side, transformers up to it
        (Flux.2: 4 megapixels).
        """
        return 4 * self.native_size**2 - (0 if self.text.in_sequence else 1)

    def scaled_px(self, px: int) -> int:
        """Return a width that suits pictures of 512 pixels and more at its native size."""
        return px * min(self.native_size, 512) // 512
