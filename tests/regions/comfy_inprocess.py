"""ComfyUI's modules and the tiny models inside the test process, on the CPU.

Nothing of the host is imported before a test asks.
"""

from __future__ import annotations

import functools
import gc
import importlib
import sys
import warnings
from types import ModuleType
from typing import Any

import torch

from ...devtools.environment import current

_KLEIN = ("flux2_klein_4b", "flux2_klein_9b")
LATENT_CHANNELS = {
    "sd15": 4,
    "sdxl": 4,
    "flux": 16,
    "zimage": 16,
    **dict.fromkeys(("flux2", *_KLEIN), 128),
    "krea2": 16,
}
TEXT_WIDTH = {
    "sd15": 64,
    "sdxl": 160,
    "flux": 48,
    "zimage": 32,
    **dict.fromkeys(("flux2", *_KLEIN), 48),
    "krea2": 384,
}
POOLED_WIDTH = {"sd15": 64, "sdxl": 96, "flux": 64}  # others take no pooled text
# Latents that are videos of one frame.
VIDEOS = {"krea2"}
GIVE_MASKS = {"zimage"}  # encoders that return the attention mask, which the model does not read


@functools.cache
def load(name: str) -> ModuleType:
    """Return a module of ComfyUI, or one of the pack that imports it."""
    _open()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the host's own, which are not what is tested
        return importlib.import_module(name)


@functools.cache
def _open() -> None:
    """Let this process import ComfyUI.

    It reads sys.argv at its first import, so the device is chosen here.
    """
    sys.path.insert(0, str(current().comfyui))
    torch.set_num_threads(1)  # the models are so small that threads would only wait for one another
    arguments, sys.argv = sys.argv, ["main.py", "--cpu"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("comfy.options").enable_args_parsing()
            importlib.import_module("comfy.sample")
    finally:
        sys.argv = arguments
    gc.freeze()  # hundreds of thousands of objects that stay: no collection looks at them again


def forget_models() -> None:
    """Unload what the host holds in this process.

    The garbage collector may take a patched model while the model under it lives on in a cache; the
    host trips over the entry that is left.
    """
    if (management := sys.modules.get("comfy.model_management")) is not None:
        management.unload_all_models()
        management.current_loaded_models.clear()


def tiny_model(
    family: str,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    compute: torch.dtype | None = None,
) -> Any:
    """Return a new MODEL of `family` with random weights of `seed`, stored as `dtype`.

    `compute` where that is not what it computes in.
    """
    config = load("comfyui_astria.tests.testpack.families").FAMILIES[family]()
    config.set_inference_dtype(dtype, compute)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    load("comfyui_astria.tests.testpack.weights").fill(model.diffusion_model, seed=seed)
    return load("comfy.model_patcher").CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


def latent_sides(family: str) -> tuple[int, ...]:
    """Return the sides of a latent between the batch and its height."""
    frames = (1,) if family in VIDEOS else ()
    return LATENT_CHANNELS[family], *frames


def text(family: str, seed: int, tokens: int = 8) -> list:
    """Return a conditioning of random text."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(1, tokens, TEXT_WIDTH[family], generator=generator)
    width = POOLED_WIDTH.get(family)
    pooled = None if width is None else torch.randn(1, width, generator=generator)
    about = {"pooled_output": pooled}
    if family in GIVE_MASKS:
        about["attention_mask"] = torch.ones(1, tokens, dtype=torch.long)
    return [[embedding, about]]


def sample(
    model: Any, family: str, size: tuple[int, int], cfg: float = 1.0, batch: int = 1
) -> torch.Tensor:
    """Return the latent after 2 euler steps at `size` (height, width) in latent pixels.

    The noise of image i is that of every batch's image i.
    """
    comfy_sample = load("comfy.sample")
    latent = torch.zeros(batch, *latent_sides(family), *size)
    noise = torch.cat(
        [
            torch.randn(1, *latent.shape[1:], generator=torch.Generator().manual_seed(3 + image))
            for image in range(batch)
        ]
    )
    return comfy_sample.sample(
        model,
        noise,
        2,
        cfg,
        "euler",
        "simple",
        text(family, 1),
        text(family, 2),
        latent,
        disable_pbar=True,
    )
