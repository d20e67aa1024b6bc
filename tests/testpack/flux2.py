"""Tiny Flux.2 models: dev, which is told its guidance, and klein, which is not.

The text encoders are the host's own classes, a few layers deep and narrow. Dev's reads klein's
vocabulary, since Mistral's comes with its weights.
"""

from __future__ import annotations

from typing import Any

import comfy.sd
import comfy.supported_models as supported
import comfy.supported_models_base as supported_base
import torch
from comfy.sd1_clip import SD1Tokenizer
from comfy.text_encoders import flux

_WIDTH = 16  # of the text encoders; the model is given three of their layers side by side
_MODEL = {
    "image_model": "flux2",
    "in_channels": 128,
    "out_channels": 128,
    "patch_size": 1,
    "vec_in_dim": None,
    "context_in_dim": 3 * _WIDTH,
    "hidden_size": 64,
    "num_heads": 2,
    "depth": 2,
    "depth_single_blocks": 2,
    "axes_dim": [8, 8, 8, 8],  # hidden_size / num_heads must be their sum
    "mlp_ratio": 3.0,
    "theta": 2000,
    "txt_ids_dims": [3],
    "global_modulation": True,
    "mlp_silu_act": True,
    "qkv_bias": False,
    "ops_bias": False,
    "default_ref_method": "index",
    "ref_index_scale": 10.0,
}
_ENCODER = {
    "hidden_size": _WIDTH,
    "intermediate_size": 2 * _WIDTH,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 3,
    "vocab_size": 151936,
}
_TAPS = [0, 1, 2]


# The width of the text by which klein's two kinds are told apart. A tiny model has it by name only.
KLEIN_4B_TEXT, KLEIN_9B_TEXT = 7680, 12288


def flux2_dev() -> supported_base.BASE:
    return supported.Flux2({**_MODEL, "guidance_embed": True})


def flux2_klein(text_width: int) -> supported_base.BASE:
    return _Klein(text_width)


class _Klein(supported.Flux2):
    def __init__(self, text_width: int) -> None:
        super().__init__({**_MODEL, "guidance_embed": False})
        self._text_width = text_width

    def get_model(self, *args: Any, **named: Any) -> Any:
        model = super().get_model(*args, **named)
        self.unet_config["context_in_dim"] = self._text_width
        return model


def flux2_clip(config: supported_base.BASE) -> comfy.sd.CLIP:
    """Return the text encoder of dev, or of klein."""
    is_dev = config.unet_config["guidance_embed"]
    name = "mistral3_24b" if is_dev else "qwen3_4b"
    options: dict[str, Any] = {"dtype": torch.float32, f"{name}_model_config": _ENCODER}
    encoder = flux.flux2_te() if is_dev else flux.klein_te(model_type=name)
    tokenizer = _DevTokenizer if is_dev else flux.KleinTokenizer
    clip = comfy.sd.CLIP(supported_base.ClipTarget(tokenizer, encoder), model_options=options)
    tapped = getattr(clip.cond_stage_model, name)
    tapped.layer = _TAPS
    tapped.options_default = (_TAPS, *tapped.options_default[1:])
    return clip


class _Words(flux.Qwen3Tokenizer):
    """Qwen's words as Mistral's tokenizer gives its own: as many as there are, behind a start."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        super().__init__(embedding_directory, tokenizer_data or {})
        self.min_length = 1
        self.pad_left = True
        self.start_token = 1
        self.disable_weights = True


class _DevTokenizer(flux.Flux2Tokenizer):
    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        SD1Tokenizer.__init__(
            self,
            embedding_directory=embedding_directory,
            tokenizer_data=tokenizer_data or {},
            name="mistral3_24b",
            tokenizer=_Words,
        )
        self.llama_template = "[INST]{}[/INST]"
