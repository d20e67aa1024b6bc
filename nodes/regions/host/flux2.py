"""Flux.2 with regions: the text's positions count from 0 in each text anew, and shorter texts are
filled up with zeros.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import PlanError
from ..lora_gates import Rows
from ..run import RegionRun
from .flux import FluxArguments
from .joint import JointModel, Passed
from .state import JointCall

LEAST_TEXT = 512  # tokens, as the host's extra_conds of Flux2
TEXT_AXIS = 3  # of the positions: the place of a token in its text
# Of reference pictures that are kept for later steps (FluxKVCache): they stand at another time than
# the picture, and leave the sequence after the first step.
_AT_TIME_ZERO = "index_timestep_zero"


class Flux2(JointModel):
    """The hooks of Flux.2. Three modulations serve all blocks; each is a vector for its rows.

    Encoders always give an attention mask, which the model reads only beside the size of the
    picture that it was made for.
    """

    arguments: ClassVar = ("x", "timestep", "context", *FluxArguments._fields)
    ignored: ClassVar = frozenset({"attention_mask"})
    places_texts: ClassVar = True
    spots: ClassVar = (
        ("double_stream_modulation_img.", Rows.IMAGE, True),
        ("double_stream_modulation_txt.", Rows.TEXT, True),
        ("single_stream_modulation.", Rows.JOINT, True),
        ("final_layer.adaLN_modulation.", Rows.IMAGE, True),
        ("single_blocks.", Rows.JOINT, False),
        (".img_", Rows.IMAGE, False),
        (".txt_", Rows.TEXT, False),
        ("final_layer.", Rows.IMAGE, False),
    )

    def tokens(self, length: int) -> int:
        return max(LEAST_TEXT, length)

    def person_text(self, text: Tensor, about: Mapping[str, object]) -> Tensor:
        if about.get("attention_mask_img_shape") is not None:
            raise _masked()
        return F.pad(text, (0, 0, self.tokens(text.shape[1]) - text.shape[1], 0))

    def options(self, options: dict, call: JointCall, run: RegionRun) -> dict:
        patches = options.get("patches", {})
        # First: what others make of the positions they make of these.
        own = [partial(_restarted, call.text_lengths, run), *patches.get("post_input", ())]
        return {**options, "patches": {**patches, "post_input": own}}

    def check(self, passed: Passed, network: nn.Module) -> None:
        super().check(passed, network)
        if passed.get("attention_mask") is not None:
            raise _masked()
        method = passed.get("ref_latents_method") or network.params.default_ref_method
        if passed.get("ref_latents") and method == _AT_TIME_ZERO:
            raise PlanError(
                "Reference pictures that are kept for later steps (Flux KV Cache) cannot be"
                " combined with regions.",
                code="regions-references",
                hint="Take Flux KV Cache out of this model's chain: the references then count in"
                " every step anew.",
            )


def _masked() -> PlanError:
    return PlanError(
        "A conditioning with an attention mask for its picture cannot be combined with regions.",
        code="regions-attention-mask",
        hint="Encode the text without an attention mask.",
    )


def _restarted(lengths: Sequence[int], run: RegionRun, given: dict) -> dict:
    """Return the host's inputs with the positions of each text's tokens from 0 on, as they are in
    a text alone.

    Shapes: txt_ids [B,T,4], T the sum of `lengths`.
    """
    run.is_placed = True
    ids = given["txt_ids"].clone()
    places = [torch.arange(length, device=ids.device, dtype=ids.dtype) for length in lengths]
    ids[..., TEXT_AXIS] = torch.cat(places)
    return {**given, "txt_ids": ids}
