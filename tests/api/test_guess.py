"""A first guess at the files of the gallery's base tunes."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.api.guess import guessed

FLUX = {
    "diffusion_models": ["flux1-fill-dev.safetensors", "flux1-kontext-dev.safetensors", "sub/flux1-dev-fp8.safetensors", "flux1-dev.safetensors"],
    "text_encoders": ["t5xxl_fp8_e4m3fn.safetensors", "clip_g.safetensors", "clip_l.safetensors", "t5xxl_fp16.safetensors"],
    "vae": ["vae-ft-mse.safetensors", "ae.safetensors"],
}


@pytest.mark.parametrize(("base", "folders", "expected"), [
    ("690204", {"checkpoints": ["sdxl.safetensors", "realisticVisionV51_VAE.safetensors"]}, {"checkpoint": "realisticVisionV51_VAE.safetensors"}),
    ("690204", {"checkpoints": ["a\\Realistic_Vision_V5.1.safetensors"]}, {"checkpoint": "a/Realistic_Vision_V5.1.safetensors"}),
    ("690204", {"checkpoints": ["realisticVisionV51-inpainting.safetensors", "realisticVisionV60.safetensors"]}, {}), ("690204", {}, {}),
    ("1504944", FLUX, {"diffusion_model": "flux1-dev.safetensors", "clip_l": "clip_l.safetensors", "t5xxl": "t5xxl_fp16.safetensors",
                       "vae": "ae.safetensors", "outpaint_model": "flux1-fill-dev.safetensors"}),
    ("1504944", {**FLUX, "vae": [], "checkpoints": ["flux1-dev-fp8.safetensors"]}, {"checkpoint": "flux1-dev-fp8.safetensors"}),
    ("1504944", {"diffusion_models": ["flux1-schnell.safetensors"]}, {}), ("7", FLUX, {})])
def test_files_are_known_by_their_published_names(base: str, folders: dict[str, list[str]], expected: dict[str, str]) -> None:
    assert guessed(base, lambda folder: folders.get(folder, [])) == expected
