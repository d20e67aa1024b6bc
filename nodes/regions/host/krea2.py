"""Krea 2 with regions: positions of all text tokens are 0, so texts need nothing of their own.

Each token comes as a stack of an encoder's layers. A transformer of the model's own first mixes the
layers of each token, then the tokens of the text, before text and image stand in one sequence.
"""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from ..lora_gates import Rows
from .joint import Attended, JointModel


class Krea2(JointModel):
    """The hooks of Krea 2.

    The blocks take its time's projection by row; the embedding before that goes into the last layer
    too, which does not. It reads no attention mask.
    """

    arguments: ClassVar = (
        "x",
        "timesteps",
        "context",
        "attention_mask",
        "ref_latents",
        "transformer_options",
    )
    ignored: ClassVar = frozenset({"attention_mask"})
    takes_references: ClassVar = False
    spots: ClassVar = (
        ("tmlp.", Rows.WHOLE, False),
        ("tproj.", Rows.JOINT, True),
        ("txtfusion.layerwise_blocks.", Rows.TEXT_ITEMS, False),
        ("txtfusion.projector", Rows.TEXT_STACKS, False),
        ("txtfusion.", Rows.TEXT, False),
        ("txtmlp.", Rows.TEXT, False),
        (".first", Rows.IMAGE, False),
        (".blocks.", Rows.JOINT, False),
        (".last.", Rows.JOINT, False),
    )

    def first_attentions(self, network: nn.Module) -> tuple[Attended, ...]:
        fusion = network.txtfusion
        layers = (Attended.OTHER,) * len(fusion.layerwise_blocks)
        return layers + (Attended.TEXT,) * len(fusion.refiner_blocks)
