"""Writes what was learned as files of the small world: `python dev.py learn export`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...devtools.console import DevError, say
from .face_files import save_faces
from .faceid import save_faceid
from .host import open_host
from .inpaint import save_inpaint
from .loop import asked, state_file
from .pose import save_pose
from .upscaler import save_upscaler

# Family -> (its state, the channels of its latents, encoders: name in the state, in the host, the
# host's table of tokens, whose ids the state holds under that name).
_CLIP_TABLE = "text_model.embeddings.token_embedding.weight"
STATES = {
    "sd15": ("unet", 4, (("clip", "clip_l", _CLIP_TABLE, "tokens"),)),
    "flux": (
        "flux",
        16,
        (
            ("clip", "clip_l", _CLIP_TABLE, "clip_tokens"),
            ("t5", "t5xxl", "shared.weight", "t5_tokens"),
        ),
    ),
}


def main(argv: Sequence[str]) -> None:
    """Write the files of the families and the face models that have learned something."""
    given = asked(argv, "export", 0)
    found = [
        family for family, about in STATES.items() if state_file(given.work, about[0]).exists()
    ]
    written = [
        *save_faces(given.work),
        *save_upscaler(given.work),
        *save_pose(given.work),
        *save_faceid(given.work),
        *save_inpaint(given.work),
    ]
    if not found and not written:
        raise DevError(f"Nothing is learned in {given.work}.", "Train first: dev.py learn unet.")
    for path in written:
        _tell(path)
    if not found:
        return
    open_host()
    from ..host.files import save

    for family in found:
        state = torch.load(state_file(given.work, STATES[family][0]), weights_only=False)
        if "spread" not in state:
            say(f"{family}: nothing learned since its state was restored from its file")
            continue
        for name, weights in exported(given.work, family).items():
            _tell(save(name, weights))


def _tell(path: Path) -> None:
    say(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")


def exported(work: Path, family: str) -> dict[str, dict[str, Tensor]]:
    """Return file -> weights of a family: its network with its encoders, and its autoencoder."""
    from ..host import files, models

    state_name, channels, encoders = STATES[family]
    state = torch.load(state_file(work, state_name), weights_only=False)
    weights = renamed(state["average"], f"{state_name}.", files.NETWORK)
    tokens = {}
    for own, name, table, ids in encoders:
        prefix = f"{files.ENCODERS}{name}.transformer."
        weights |= renamed(state["average"], f"{own}.", prefix)
        tokens[prefix + table] = state[ids]
    config = files.FAMILIES[family][0]()
    vae = torch.load(state_file(work, f"vae{channels}"), weights_only=False)["average"]
    scale = config.latent_format.scale_factor
    shift = getattr(config.latent_format, "shift_factor", 0.0)
    return {
        family: models.shortened(weights, tokens),
        f"vae{channels}": scaled(vae, 1 / (state["spread"] * scale), shift, state["mean"]),
    }


def scaled(
    vae: Mapping[str, Tensor], factor: Tensor, shift: float, mean: Tensor
) -> dict[str, Tensor]:
    """Return an autoencoder whose latents [C] are (z - mean) * factor + shift in place of z."""
    found = dict(vae)
    channels = len(factor)
    offset = shift - mean * factor
    both = torch.cat([factor, torch.ones(channels)])
    found["quant_conv.weight"] = vae["quant_conv.weight"] * both.view(-1, 1, 1, 1)
    spread = vae["quant_conv.bias"][channels:] + 2 * factor.log()
    found["quant_conv.bias"] = torch.cat(
        [vae["quant_conv.bias"][:channels] * factor + offset, spread]
    )
    weight = vae["post_quant_conv.weight"] / factor.view(1, -1, 1, 1)
    found["post_quant_conv.weight"] = weight
    found["post_quant_conv.bias"] = vae["post_quant_conv.bias"] - weight[:, :, 0, 0] @ offset
    return found


def renamed(weights: Mapping[str, Any], old: str, new: str) -> dict[str, Tensor]:
    """Return the weights whose names begin with `old`, which `new` stands for."""
    return {
        new + name.removeprefix(old): value
        for name, value in weights.items()
        if name.startswith(old)
    }
