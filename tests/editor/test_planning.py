"""The family of a model by the header of its file alone: the numbers are not there at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from comfyui_astria.tests.regions.comfy_inprocess import load

SD15: Mapping[str, Any] = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "num_res_blocks": [2, 2, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
    "channel_mult": [1, 2, 4, 4],
    "use_linear_in_transformer": False,
    "context_dim": 768,
    "num_heads": 8,
    "use_spatial_transformer": True,
    "legacy": False,
}


def header_of(path: Path, **changed: Any) -> Path:
    """Write the header of a checkpoint with such a UNet, and nothing behind it."""
    kind = load("comfy.ldm.modules.diffusionmodules.openaimodel").UNetModel
    unet = kind(
        **{**SD15, **changed}, device="meta", operations=load("comfy.ops").disable_weight_init
    )
    header, at = {}, 0
    for name, tensor in unet.state_dict().items():
        end = at + 2 * math.prod(tensor.shape)
        entry = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [at, end]}
        header[f"model.diffusion_model.{name}"] = entry
        at = end
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


@pytest.mark.parametrize(("channels", "family"), [(4, "sd15"), (9, "sd15_inpaint")])
def test_a_checkpoint_is_told_by_names_and_sizes(
    tmp_path: Path, channels: int, family: str
) -> None:
    planning = load("comfyui_astria.nodes.editor.host.planning")
    file = header_of(tmp_path / "x.safetensors", in_channels=channels)
    assert [one.name for one in planning._families_of_file(file, 0)] == [family]


def test_what_is_no_model_has_no_family(tmp_path: Path) -> None:
    planning = load("comfyui_astria.nodes.editor.host.planning")
    (tmp_path / "x.safetensors").write_bytes(b"\x10")
    assert planning._families_of_file(tmp_path / "x.safetensors", 0) == ()
