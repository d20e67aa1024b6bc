"""Nodes of the first stage.

Noise and sampler that treat each image of a batch as its own request, and input fitting.
"""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..host.tensors import as_masks, as_pictures, crop_note, empty_note, ratio_note, with_alpha_of
from ..host.types import MAX_SIDE, FitType, notes_ui, seed_input, warnings_ui
from .batch import one_batch
from .fit import fit_image, fit_mask, keep_unmasked, restore_size
from .host.latents import encoded
from .host.sampling import STEP_NOISE, ImageNoise, make_sampler, shifted_by_size
from .sizes import size_note


class AstriaNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaNoise",
            display_name="Astria Noise",
            category="astria/sampling",
            description=(
                "Start noise in which image i of a batch is the image you get alone with seed + i."
            ),
            search_aliases=["random noise", "seed", "batch seed"],
            inputs=[seed_input()],
            outputs=[io.Noise.Output()],
        )

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        return io.NodeOutput(ImageNoise(seed))


class AstriaSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaSampler",
            display_name="Astria Sampler",
            category="astria/sampling",
            description=(
                "The host's sampler, with the random numbers of its steps drawn for each image by"
                " itself. Use it with Astria Noise."
            ),
            search_aliases=["ksampler select", "euler ancestral", "dpm++ sde"],
            inputs=[
                io.Combo.Input(
                    "sampler_name",
                    options=list(STEP_NOISE),
                    tooltip="The sampler of ComfyUI, such as euler or dpmpp_2m.",
                )
            ],
            outputs=[io.Sampler.Output()],
        )

    @classmethod
    def execute(cls, sampler_name: str) -> io.NodeOutput:
        return io.NodeOutput(make_sampler(sampler_name))


class AstriaFlux2Shift(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        side = {"default": 1024, "min": 16, "max": MAX_SIDE}
        return io.Schema(
            node_id="AstriaFlux2Shift",
            display_name="Astria Flux.2 Shift",
            category="astria/sampling",
            description=(
                "Gives a Flux.2 model the noise levels for the picture's size and the steps, for"
                " any scheduler node behind it, with any denoise."
            ),
            search_aliases=["flux2 scheduler", "model sampling flux", "mu"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A Flux.2 model.",
                ),
                io.Int.Input("width", **side, tooltip="Of what is sampled, in pixels."),
                io.Int.Input(
                    "height",
                    **side,
                    tooltip="Height of the picture in pixels.",
                ),
                io.Int.Input(
                    "steps",
                    default=20,
                    min=1,
                    max=10000,
                    tooltip="Sampling steps.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, width: int, height: int, steps: int) -> io.NodeOutput:
        return io.NodeOutput(shifted_by_size(model, width, height, steps))


class AstriaEncodeImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaEncodeImages",
            display_name="Astria Encode Images",
            category="astria/sampling",
            description=(
                "VAE Encode in which every picture of a batch is a picture by itself, also with the"
                " VAE of a video model, which takes a batch for the frames of one video."
            ),
            search_aliases=["vae encode", "set latent noise mask", "krea 2", "qwen image"],
            inputs=[
                io.Image.Input("pixels", tooltip="The picture, or a batch of pictures."),
                io.Vae.Input("vae", tooltip="The VAE that belongs to the model."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="1 is repainted. One for all pictures, or one for each.",
                ),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, pixels, vae, mask=None) -> io.NodeOutput:
        masks = None if mask is None else as_masks(mask)
        return io.NodeOutput(encoded(vae, as_pictures(pixels), masks))


class AstriaFitImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        side = {"default": 0, "min": 0, "max": MAX_SIDE}
        return io.Schema(
            node_id="AstriaFitImage",
            display_name="Astria Fit Image",
            category="astria/image",
            description=(
                "Brings an input image to a size (scaled to cover it, cropped about the centre) and"
                " pads it to the model's multiple."
            ),
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                io.Int.Input(
                    "width",
                    **side,
                    tooltip="0 keeps the image's own size; give both sides or neither.",
                ),
                io.Int.Input(
                    "height",
                    **side,
                    tooltip="Height in pixels.",
                ),
                io.Int.Input(
                    "multiple",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="8 for SD1.5 and SDXL, 16 for Flux, 1 for no padding.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "One, or one for each image. Moved with the image; padding is never"
                        " repainted."
                    ),
                ),
                io.Int.Input(
                    "most_px",
                    default=0,
                    min=0,
                    max=MAX_SIDE**2,
                    optional=True,
                    advanced=True,
                    tooltip="Area in pixels above which the model paints poorly; 0 for none.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="The fitted mask, one for each image; all zero when none is connected.",
                ),
                FitType.Output(display_name="fit", tooltip="For Astria Restore Size."),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, image, width: int, height: int, multiple: int, mask=None, most_px=0
    ) -> io.NodeOutput:
        image = as_pictures(image)
        fitted, fit = fit_image(image, width, height, multiple)
        cropped = crop_note(image, width, height)
        notes = [size_note(fit.width, fit.height, most_px)]
        if mask is None:
            moved = fitted.new_zeros(fitted.shape[:3])
        else:
            mask = as_masks(mask)
            notes += [empty_note(mask), ratio_note(mask, image.shape[2], image.shape[1])]
            moved = fit_mask(mask, image, width, height, multiple)
        notes = [note for note in notes if note]
        text = "\n".join(filter(None, [cropped, *notes]))
        return io.NodeOutput(fitted, moved, fit, text, ui=notes_ui(cropped, *notes, warnings=notes))


class AstriaFitMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        side = {"default": 0, "min": 0, "max": MAX_SIDE}
        return io.Schema(
            node_id="AstriaFitMasks",
            display_name="Astria Fit Masks",
            category="astria/image",
            description=(
                "Moves any number of masks the way Astria Fit Image moves their picture, such as"
                " one mask for each person."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The picture before it was fitted."),
                io.Mask.Input(
                    "masks",
                    tooltip="The masks to move along, such as one for each person.",
                ),
                io.Int.Input("width", **side, tooltip="As in Astria Fit Image."),
                io.Int.Input(
                    "height",
                    **side,
                    tooltip="Height in pixels.",
                ),
                io.Int.Input(
                    "multiple",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="Sides are padded to a multiple of this: 8 for SD, 16 for Flux.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="masks"),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, image, masks, width: int, height: int, multiple: int) -> io.NodeOutput:
        image, masks = as_pictures(image), as_masks(masks)
        each = image[:1].expand(len(masks), -1, -1, -1)
        note = ratio_note(masks, image.shape[2], image.shape[1])
        moved = fit_mask(masks, each, width, height, multiple)
        return io.NodeOutput(moved, note, ui=warnings_ui(note))


class AstriaRestoreSize(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaRestoreSize",
            display_name="Astria Restore Size",
            category="astria/image",
            description="Cuts off the padding that Astria Fit Image added.",
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture whose padding is cut off.",
                ),
                FitType.Input(
                    "fit",
                    tooltip="From the Astria Fit Image that padded it.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image, fit) -> io.NodeOutput:
        return io.NodeOutput(restore_size(as_pictures(image), fit))


class AstriaMaskedComposite(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaMaskedComposite",
            display_name="Astria Masked Composite",
            category="astria/image",
            description=(
                "The painted image where the mask is above 0, the exact pixels of the original"
                " everywhere else."
            ),
            inputs=[
                io.Image.Input(
                    "painted",
                    tooltip="The picture after painting.",
                ),
                io.Image.Input(
                    "original",
                    tooltip="The picture before it, of the same size.",
                ),
                io.Mask.Input(
                    "mask",
                    tooltip="Where it is above 0 the painted picture is seen.",
                ),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, painted, original, mask) -> io.NodeOutput:
        original = as_pictures(original)
        painted = with_alpha_of(as_pictures(painted), original)
        return io.NodeOutput(keep_unmasked(painted, original, as_masks(mask)))


class AstriaOneBatch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaOneBatch",
            display_name="Astria One Batch",
            category="astria/image",
            description=(
                "A list of pictures, or of masks, as one batch. Astria Generate takes its pictures"
                " through it."
            ),
            search_aliases=["list to batch", "image list"],
            is_input_list=True,
            inputs=[
                io.MultiType.Input(
                    "pictures", types=[io.Image, io.Mask], tooltip="All of one size."
                ),
                io.MultiType.Input(
                    "more",
                    types=[io.Image, io.Mask],
                    optional=True,
                    tooltip="What comes behind them, of the same size.",
                ),
            ],
            outputs=[io.AnyType.Output(display_name="batch")],
        )

    @classmethod
    def execute(cls, pictures, more=()) -> io.NodeOutput:
        pictures = [*pictures, *more]
        if len({one.shape[1:] for one in pictures}) > 1:
            pictures = [_alike(one) for one in pictures]
        return io.NodeOutput(one_batch(pictures))


def _alike(one: torch.Tensor) -> torch.Tensor:
    """Return a picture as [B,H,W,3], a mask as [B,H,W], whichever a list holds.

    Raises: ImageError for any other shape.
    """
    is_picture = one.shape[-1] in (1, 3, 4) and one.ndim in (3, 4)
    if is_picture and not (one.ndim == 4 and one.shape[1] == 1):
        return as_pictures(one)[..., :3]
    return as_masks(one)


NODES = [
    AstriaNoise,
    AstriaSampler,
    AstriaFlux2Shift,
    AstriaEncodeImages,
    AstriaFitImage,
    AstriaFitMasks,
    AstriaRestoreSize,
    AstriaMaskedComposite,
    AstriaOneBatch,
]
