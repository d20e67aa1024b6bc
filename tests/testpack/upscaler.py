"""A tiny ESRGAN x4, loaded as its file would be, with weights that repeat each pixel.

Pictures stay pictures.
"""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import torch
from spandrel import ImageModelDescriptor, ModelLoader

_FEATURES = 4
_GROWTH = 32  # fixed by the architecture


def nearest_x4() -> ImageModelDescriptor:
    """Return an UPSCALE_MODEL whose output repeats every pixel of an image with values 0..1 four
    times across and down.
    """
    state: dict[str, torch.Tensor] = {}
    _convolution(state, "conv_first", 3, _FEATURES, passes=True)
    for dense in range(1, 4):
        for layer in range(1, 6):
            out = _FEATURES if layer == 5 else _GROWTH
            _convolution(
                state,
                f"RRDB_trunk.0.RDB{dense}.conv{layer}",
                _FEATURES + (layer - 1) * _GROWTH,
                out,
                passes=False,
            )
    _convolution(state, "trunk_conv", _FEATURES, _FEATURES, passes=False)
    for name in ("upconv1", "upconv2", "HRconv"):
        _convolution(state, name, _FEATURES, _FEATURES, passes=True)
    _convolution(state, "conv_last", _FEATURES, 3, passes=True)
    model = ModelLoader().load_from_state_dict(state).eval()
    assert isinstance(model, ImageModelDescriptor)
    management = comfy.model_management
    # The host's loader adds the patcher; its upscale node goes by it.
    model.patcher = comfy.model_patcher.CoreModelPatcher(
        model.model,
        load_device=management.get_torch_device(),
        offload_device=management.unet_offload_device(),
    )
    return model


def _convolution(
    state: dict[str, torch.Tensor], name: str, channels_in: int, channels_out: int, *, passes: bool
) -> None:
    """A 3x3 convolution that passes the first channels on, or gives zero.

    The leaky ReLUs leave positive values as they are.
    """
    weight = torch.zeros(channels_out, channels_in, 3, 3)
    if passes:
        for channel in range(min(channels_in, channels_out)):
            weight[channel, channel, 1, 1] = 1.0
    state[f"{name}.weight"], state[f"{name}.bias"] = weight, torch.zeros(channels_out)
