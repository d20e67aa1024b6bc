"""What a family's model needs so that it can be drawn with regions: the places where it takes hold
of the host's network, and the meaning of the rows in its layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..lora_gates import BlockSizes, Rows, Spot
from ..lora_hooks import Hooks as LoraHooks
from .state import Regions

REGIONS_KEY = "astria_regions"


class ModelHooks:
    """The hooks of one family's model.

    `spots`: part of a layer's name, its rows, and whether its input is a vector that the block adds
    to every row; the first that fits counts, and where none does the layer works on the picture as
    a whole. `unread`: endings of layers whose numbers the host reads without running them, so that
    nothing can be added to their output. `ignored`: what encoders put into a conditioning and this
    model does not read.
    """

    spots: ClassVar[tuple[tuple[str, Rows, bool], ...]] = ()
    unread: ClassVar[tuple[str, ...]] = ()
    ignored: ClassVar[frozenset[str]] = frozenset()

    def attach(self, patched: ModelPatcher, regions: Regions) -> None:
        """Give the clone `patched` the regions' attention."""
        raise NotImplementedError

    def person_text(self, text: Tensor, about: Mapping[str, object]) -> Tensor:
        """Return a person's text [B,T,C] as the host hands the scene's to the model."""
        return text

    def spot(self, path: str, module: nn.Module) -> Spot:
        """Return the layer at `path` with the meaning of its rows."""
        if hasattr(module, "kernel_size") or isinstance(module, nn.GroupNorm):
            return Spot(path, Rows.CONVOLUTION)
        for part, rows, vector in self.spots:
            if part in path:
                return Spot(path, rows, vector)
        return Spot(path, Rows.WHOLE)

    def watch(self, hooks: LoraHooks, network: nn.Module, sizes: BlockSizes) -> None:
        """Have the blocks of the network write their sizes into `sizes` while they run."""
