"""segment-anything: the mask of what a box is around."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import MissingModelError
from .pictures import bytes_of
from .segmenter import Box

BOXES_AT_ONCE = 16
# What all published files have in common, and a file does not tell.
_MASK_TOKENS, _DECODER_DEPTH, _DECODER_HEADS = 3, 2, 8
_MEAN, _SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class BoxCutter:
    """segment-anything's predictor, the model loaded when it is first asked.

    Source: Kirillov et al., Segment Anything, 2023; one mask a box, as its predictor gives it.
    """

    def __init__(self, ready: Callable[[], nn.Module]) -> None:
        self._ready = ready

    @torch.no_grad()
    def __call__(self, image: Tensor, boxes: Sequence[Box]) -> Iterator[Tensor]:
        """Yield the mask of each box, bool [H,W] on the image's device.

        The picture [1,H,W,3] is looked at once.
        """
        from segment_anything import SamPredictor  # heavy: on first use

        model = self._ready()
        predictor = SamPredictor(model)
        predictor.set_image(bytes_of(image))
        placed = torch.tensor(boxes, device=next(model.parameters()).device)
        placed = predictor.transform.apply_boxes_torch(placed, tuple(image.shape[1:3]))
        for some in placed.split(BOXES_AT_ONCE):
            masks, _, _ = predictor.predict_torch(None, None, boxes=some, multimask_output=False)
            yield from masks[:, 0].to(image.device)


def build_sam(state: Mapping[str, Tensor], name: str) -> nn.Module:
    """Return the model of a state dict of segment-anything, its architecture read off the shapes.

    vit_b, vit_l, vit_h and their like.

    Raises: MissingModelError, naming `name`, when it is of another kind.
    """
    try:
        model = _network(state)
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise not_sam(name, str(error).splitlines()[0]) from error
    return model


def not_sam(name: str, reason: str) -> MissingModelError:
    """Return the error for a file that is no model of segment-anything."""
    return MissingModelError(
        f"{name} does not hold a model of segment-anything: {reason}",
        code="sam-file",
        hint="Take sam_vit_b_01ec64.pth, sam_vit_l_0b3195.pth or sam_vit_h_4b8939.pth.",
    )


def _network(state: Mapping[str, Tensor]) -> nn.Module:
    """Return the model of the state's shapes, without its weights.

    Raises: KeyError for a state that lacks what shapes are read off.
    """
    # Heavy: on first use.
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    sizes = _architecture(state)
    grid, patch, prompts = sizes.pop("grid"), sizes["patch_size"], sizes["out_chans"]
    mlp_dim = state["mask_decoder.transformer.layers.0.mlp.lin1.weight"].shape[0]
    hidden = state["mask_decoder.iou_prediction_head.layers.0.weight"].shape[0]
    encoder = ImageEncoderViT(
        **sizes, norm_layer=partial(nn.LayerNorm, eps=1e-6), qkv_bias=True, use_rel_pos=True
    )
    transformer = TwoWayTransformer(
        depth=_DECODER_DEPTH, embedding_dim=prompts, mlp_dim=mlp_dim, num_heads=_DECODER_HEADS
    )
    decoder = MaskDecoder(
        transformer_dim=prompts,
        transformer=transformer,
        num_multimask_outputs=_MASK_TOKENS,
        iou_head_hidden_dim=hidden,
    )
    channels = state["prompt_encoder.mask_downscaling.3.weight"].shape[0]
    prompt_encoder = PromptEncoder(
        prompts,
        image_embedding_size=(grid, grid),
        input_image_size=(grid * patch,) * 2,
        mask_in_chans=channels,
    )
    pixels = {"pixel_mean": list(_MEAN), "pixel_std": list(_SPREAD)}
    return Sam(encoder, prompt_encoder, decoder, **pixels)


def _architecture(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the sizes of the image encoder, and `grid`, how many patches its picture has on a
    side.
    """
    patches = state["image_encoder.patch_embed.proj.weight"]
    width, patch = patches.shape[0], patches.shape[-1]
    grid = state["image_encoder.pos_embed"].shape[1]
    depth = sum(
        name.startswith("image_encoder.blocks.") and name.endswith(".attn.rel_pos_h")
        for name in state
    )
    relative = [state[f"image_encoder.blocks.{block}.attn.rel_pos_h"] for block in range(depth)]
    # Relative positions span twice the window less one; of blocks that see the whole picture, twice
    # the grid.
    spans = [(len(positions) + 1) // 2 for positions in relative]
    return {
        "grid": grid,
        "img_size": grid * patch,
        "patch_size": patch,
        "embed_dim": width,
        "depth": depth,
        "num_heads": width // relative[0].shape[1],
        "mlp_ratio": state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / width,
        "out_chans": state["image_encoder.neck.0.weight"].shape[0],
        "window_size": next(span for span in (*spans, 0) if span != grid),
        "global_attn_indexes": [block for block, span in enumerate(spans) if span == grid],
    }
