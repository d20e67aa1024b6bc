"""The host's AutoencoderKL with weights that are set, not random.

Encoding averages 8x8 pixels, decoding repeats them.

Latent channels 0 to 2 hold red, green and blue, the others zero. What a stage leaves alone
therefore looks like the picture. Where a family's cells are of 16x16 pixels (Flux.2), each holds
its four averages in channels of its own, as the family's own VAE packs them.
"""

from __future__ import annotations

import comfy.latent_formats
import comfy.model_patcher
import comfy.sd
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL

# The last layers of encoder and decoder are GroupNorm, swish, convolution; GroupNorm would take
# level and contrast away. Each colour has a group of four channels x, -x, K, -K instead: their mean
# is 0 and their spread K/sqrt(2) whatever x is (to 1/K^2), and swish(y) - swish(-y) = y exactly. K
# is large against |x| <= 1 and small enough for float32.
_CONSTANT = 100.0
AVERAGED_PX = 8
_GROUPS = 32
_GROUP = 4
_WIDE = _GROUPS * _GROUP


def faithful_vae(latent_format: comfy.latent_formats.LatentFormat) -> comfy.sd.VAE:
    """Return a VAE for that latent format.

    A picture with values -1..1 becomes a model input with values -1..1.
    """
    packed = (latent_format.spacial_downscale_ratio // AVERAGED_PX) ** 2
    channels = latent_format.latent_channels // packed
    # No layers between first and last but the middle ones, at an eighth of the sides: at the
    # picture's own size they would take most of a test's time. The decoder counts one more.
    encoder = {
        "double_z": True,
        "z_channels": channels,
        "resolution": 256,
        "in_channels": 3,
        "out_ch": 3,
        "ch": _WIDE,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 0,
        "resamp_with_conv": False,
        "attn_resolutions": [],
        "dropout": 0.0,
        "batch_norm_latent": packed > 1,
    }
    decoder = {**encoder, "num_res_blocks": -1}
    params = {"ddconfig": encoder, "decoder_ddconfig": decoder, "embed_dim": channels}
    weights = _weights(
        AutoencoderKL(**params),
        1.0 / latent_format.scale_factor,
        getattr(latent_format, "shift_factor", 0.0),
    )
    vae = comfy.sd.VAE(sd=weights, config={"params": params})
    for part in (vae.first_stage_model.encoder, vae.first_stage_model.decoder):
        # With weights of nought it changes nothing, at a cost that grows as the area squared.
        part.mid.attn_1 = torch.nn.Identity()
    vae.latent_channels = latent_format.latent_channels
    vae.downscale_ratio = vae.upscale_ratio = latent_format.spacial_downscale_ratio
    if latent_format.latent_dimensions == 3:
        _make_video(vae)
    return vae


class _Frames(torch.nn.Module):
    """Videos [B,3,T,H,W] -> latents of every fourth frame and back, as the video VAEs of the host
    count them.
    """

    def __init__(self, pictures: torch.nn.Module) -> None:
        super().__init__()
        self.pictures = pictures

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        kept = video[:, :, ::4]
        latents = self.pictures.encode(kept.transpose(1, 2).flatten(0, 1))
        return latents.unflatten(0, (len(video), -1)).transpose(1, 2)

    def decode(self, latents: torch.Tensor, **_options: object) -> torch.Tensor:
        frames = self.pictures.decode(latents.transpose(1, 2).flatten(0, 1))
        few = frames.unflatten(0, (len(latents), -1)).transpose(1, 2)
        return few.repeat_interleave(4, 2)[:, :, 3:]


def _make_video(vae: comfy.sd.VAE) -> None:
    """Let the VAE take the pictures of a batch for frames of one video, as the host's do."""
    vae.first_stage_model = _Frames(vae.first_stage_model)
    devices = {"load_device": vae.device, "offload_device": vae.patcher.offload_device}
    vae.patcher = comfy.model_patcher.CoreModelPatcher(vae.first_stage_model, **devices)
    vae.latent_dim = 3
    vae.upscale_ratio = (lambda frames: max(0, frames * 4 - 3), 8, 8)
    vae.downscale_ratio = (lambda frames: (frames + 3) // 4, 8, 8)


def _weights(model: AutoencoderKL, scale: float, shift: float) -> dict[str, torch.Tensor]:
    """Return the state of the faithful VAE: latent = scale * colour + shift."""
    state = {name: torch.zeros(value.shape) for name, value in model.state_dict().items()}
    for name, value in state.items():
        if (".norm" in name and name.endswith("weight")) or name == "bn.running_var":
            value.fill_(1.0)
    _open(state, "encoder.conv_in", 1.0, 0.0)
    _close(state, "encoder.conv_out", scale, shift)
    _open(state, "decoder.conv_in", 1.0 / scale, shift)
    _close(state, "decoder.conv_out", 1.0, 0.0)
    for name in ("quant_conv.weight", "post_quant_conv.weight"):
        state[name].copy_(torch.eye(state[name].shape[0])[:, :, None, None])
    return state


def _open(state: dict[str, torch.Tensor], name: str, gain: float, shift: float) -> None:
    """First layer: colour c becomes gain * (c - shift) and its negative, beside the constants of
    its group.
    """
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    for colour in range(3):
        first = colour * _GROUP
        weight[first, colour, 1, 1], weight[first + 1, colour, 1, 1] = gain, -gain
        bias[first] = -gain * shift
        bias[first + 1] = gain * shift
        bias[first + 2] = _CONSTANT
        bias[first + 3] = -_CONSTANT


def _close(state: dict[str, torch.Tensor], name: str, gain: float, shift: float) -> None:
    """Last layer: gain * colour + shift out of the normalised group."""
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    undo = gain * _CONSTANT / 2**0.5
    for colour in range(3):
        first = colour * _GROUP
        weight[colour, first, 1, 1], weight[colour, first + 1, 1, 1] = undo, -undo
        bias[colour] = shift
