"""Flux.1 with regions: positions of all text tokens are 0, so texts need nothing of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, NamedTuple

from comfy.ldm.flux.layers import DoubleStreamBlock
from torch import Tensor, nn

from ..lora_gates import BlockSizes, Rows
from ..lora_hooks import Hooks as LoraHooks
from .joint import JointModel


class FluxArguments(NamedTuple):
    """The host's arguments of Flux.forward behind x, timestep and context."""

    y: Tensor | None
    guidance: Tensor | None
    ref_latents: Sequence[Tensor] | None
    control: dict | None
    transformer_options: dict


class Flux(JointModel):
    """The hooks of Flux.1. Its modulation is a vector that the block adds to every row."""

    arguments: ClassVar = ("x", "timestep", "context", *FluxArguments._fields)
    spots: ClassVar = (
        ("img_mod.", Rows.IMAGE, True),
        ("txt_mod.", Rows.TEXT, True),
        (".modulation.", Rows.JOINT, True),
        ("final_layer.adaLN_modulation.", Rows.IMAGE, True),
        ("single_blocks.", Rows.JOINT, False),
        (".img_", Rows.IMAGE, False),
        (".txt_", Rows.TEXT, False),
        ("final_layer.", Rows.IMAGE, False),
    )

    def watch(self, hooks: LoraHooks, network: nn.Module, sizes: BlockSizes) -> None:
        for module in network.modules():
            if isinstance(module, DoubleStreamBlock):
                hooks.watch(module, partial(_see_block, sizes))


def _see_block(
    sizes: BlockSizes, img: Tensor, txt: Tensor, *_args: object, **_kwargs: object
) -> None:
    sizes.image_tokens = img.shape[1]
    sizes.text_tokens = txt.shape[1]
