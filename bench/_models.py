"""Models in full width with random weights, their texts and LoRAs, and what a step of them
takes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import torch

RANK = 16
# Of UNets, Flux and Flux.2, Z-Image, Krea 2: what a layer's name holds that is in a block.
_BLOCKS = (".transformer_blocks.", ".double_blocks.", ".single_blocks.", ".layers.", ".blocks.")


@dataclass(frozen=True)
class Setup:
    """A model, the picture and texts that it is run with, and how often.

    `rounds` of runs of some steps, the first of which prepares.

    `side` and `channels` are those of the latent, `width` and `pooled` the text's, 0 for a family
    without pooled text. `most` is the budget, in plain steps by number of people. `has_loras`:
    each person wears one, which costs a narrow model far more of a step than a wide one.
    `filled_to`: what texts are filled up to in place of the family's own, 0 for that.
    """

    name: str
    family: str
    config: Mapping[str, Any]
    side: int
    channels: int
    tokens: int
    width: int
    pooled: int
    most: Mapping[int, float]
    rounds: int = 5
    # The host's ratios are far from any budget and take long; its hooks keep a copy of the weights
    # for each person.
    hosts_rounds: int = 1
    steps: int = 3
    least_gb: int = 0  # of GPU memory, so that the host loads the whole model
    dtype: torch.dtype = torch.float32
    has_loras: bool = True
    softness_px: int = 32
    filled_to: int = 0

    @property
    def latent_sides(self) -> tuple[int, ...]:
        """The sides of its latent behind the channels; a video's is of one frame."""
        from comfyui_astria.nodes.families.family import FAMILIES

        frames = (1,) if FAMILIES[self.family].latent.is_video else ()
        return (*frames, self.side, self.side)


def token_ratio(setup: Setup, people: int) -> float | None:
    """Return the tokens of a step with so many people beside the scene, against a plain step's;
    None where text and image stand in no common sequence.
    """
    from comfyui_astria.nodes.families.family import FAMILIES

    family = FAMILIES[setup.family]
    if not family.text.in_sequence:
        return None
    image = (setup.side // family.latent.patch) ** 2
    return (image + (people + 1) * setup.tokens) / (image + setup.tokens)


UNET_MOST = {2: 1.08, 3: 1.12, 4: 1.15}
SD15 = Setup(
    "SD1.5",
    "sd15",
    {"model_channels": 320, "context_dim": 768},
    side=32,
    channels=4,
    tokens=77,
    width=768,
    pooled=768,
    most=UNET_MOST,
)
DEPTHS = {
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
}
_SDXL_CONFIG = {
    "model_channels": 320,
    "context_dim": 2048,
    "adm_in_channels": 2816,
    "num_head_channels": 64,
    **DEPTHS,
}
SDXL = Setup(
    "SDXL",
    "sdxl",
    _SDXL_CONFIG,
    side=128,
    channels=4,
    tokens=77,
    width=2048,
    pooled=1280,
    most=UNET_MOST,
    dtype=torch.float16,
    least_gb=12,
)
_FLUX_CONFIG = {
    "hidden_size": 3072,
    "num_heads": 24,
    "depth": 19,
    "depth_single_blocks": 38,
    "context_in_dim": 4096,
    "vec_in_dim": 768,
}
FLUX = Setup(
    "Flux.1 dev",
    "flux",
    _FLUX_CONFIG,
    side=128,
    channels=16,
    tokens=256,
    width=4096,
    pooled=768,
    most={2: 1.15, 3: 1.22, 4: 1.30},
    hosts_rounds=0,
    dtype=torch.bfloat16,
    least_gb=36,
)
FLUX_BLOCKS = replace(
    FLUX,
    name="Flux blocks",
    config={**_FLUX_CONFIG, "depth": 1, "depth_single_blocks": 1},
    rounds=1,
    steps=2,
    dtype=torch.float32,
)


FLUX2_CONFIG = {
    "hidden_size": 6144,
    "num_heads": 48,
    "axes_dim": [32, 32, 32, 32],
    "depth": 8,
    "depth_single_blocks": 48,
    "context_in_dim": 15360,
}
FLUX2 = Setup(
    "Flux.2 dev",
    "flux2",
    FLUX2_CONFIG,
    side=64,
    channels=128,
    tokens=512,
    width=15360,
    pooled=0,
    most={},
    hosts_rounds=0,
    dtype=torch.bfloat16,
    least_gb=80,
)
_ZIMAGE_CONFIG = {"dim": 3840, "n_heads": 30, "n_layers": 30, "cap_feat_dim": 2560}
ZIMAGE = Setup(
    "Z-Image",
    "zimage",
    {**_ZIMAGE_CONFIG, "n_kv_heads": 30, "axes_dims": [32, 48, 48]},
    side=128,
    channels=16,
    tokens=128,
    width=2560,
    pooled=0,
    most={},
    hosts_rounds=0,
    dtype=torch.bfloat16,
    least_gb=20,
)
KREA2 = Setup(
    "Krea 2",
    "krea2",
    {
        "features": 6144,
        "tdim": 256,
        "heads": 48,
        "kvheads": 12,
        "layers": 28,
        "txtdim": 2560,
        "txtheads": 20,
        "txtkvheads": 20,
    },
    side=128,
    channels=16,
    tokens=128,
    width=12 * 2560,
    pooled=0,
    most={},
    hosts_rounds=0,
    dtype=torch.bfloat16,
    least_gb=60,
)


def trimmed(setup: Setup) -> Setup:
    """Return the setup with texts as long as a prompt is, in place of padded ones."""
    return replace(setup, name=f"{setup.name}, texts without padding", tokens=32, most=UNET_MOST)


class Case(NamedTuple):
    """A model and its positive conditioning."""

    model: Any
    positive: list


class Run(NamedTuple):
    """A short sampling: its latent, the seconds that each step after the first took, and, on a GPU,
    its peak in bytes.
    """

    latent: torch.Tensor
    steps_s: list[float]
    peak_bytes: int


def run(setup: Setup, case: Case, device: torch.device) -> Run:
    """Take the setup's steps. The first, which also pays for what a run prepares, is not told."""
    import comfy.sample

    is_gpu = device.type == "cuda"
    ends_s: list[float] = []

    def ended(*_: Any) -> None:
        if is_gpu:
            torch.cuda.synchronize()
        ends_s.append(time.perf_counter() if is_gpu else time.process_time())

    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    noise = latent_of(setup)
    latent = comfy.sample.sample(
        case.model,
        noise,
        setup.steps,
        1.0,
        "euler",
        "normal",
        case.positive,
        text_of(setup, 99),
        torch.zeros_like(noise),
        disable_pbar=True,
        callback=ended,
        seed=0,
    )
    steps_s = [later - earlier for earlier, later in pairwise(ends_s)]
    return Run(latent, steps_s, torch.cuda.max_memory_allocated() if is_gpu else 0)


def step(setup: Setup, case: Case, device: torch.device) -> tuple[float, int]:
    """Return the seconds of the quickest step of a run, and, on a GPU, its peak in bytes."""
    its = run(setup, case, device)
    return min(its.steps_s), its.peak_bytes


def model_of(setup: Setup, device: torch.device) -> Any:
    """Return a MODEL of the setup with random weights, made on the device."""
    import comfy.model_patcher

    model = _config_of(setup).get_model({}, "", device=device)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():  # the host's layers are made without initial values
        for name, weight in model.diffusion_model.named_parameters():
            fill_at_random(name, weight, generator)
    home = home_of(model, device)
    return comfy.model_patcher.CoreModelPatcher(
        model.to(home), load_device=device, offload_device=home
    )


def home_of(model: torch.nn.Module, device: torch.device) -> torch.device:
    """Return where the model's weights lie while it is not in use.

    The host counts weights that lie on a GPU already as still to be loaded, so they stay there only
    where it has room for twice as much.
    """
    if device.type != "cuda":
        return device
    size = sum(one.numel() * one.element_size() for one in model.parameters())
    total = torch.cuda.get_device_properties(device).total_memory
    return device if total > 2.5 * size else torch.device("cpu")


def shapes_of(setup: Setup) -> dict[str, torch.Size]:
    """Return the shape of each weight of the setup's model, by its name in the file."""
    model = _config_of(setup).get_model({}, "", device=torch.device("meta"))
    return {name: weight.shape for name, weight in model.diffusion_model.state_dict().items()}


def fill_at_random(name: str, weight: torch.Tensor, generator: torch.Generator) -> None:
    """Give a weight values that keep activations near 1."""
    if weight.ndim >= 2:
        weight.normal_(0, 1 / math.sqrt(weight[0].numel()), generator=generator)
    else:
        weight.fill_(0.0 if name.endswith("bias") else 1.0)


def _config_of(setup: Setup) -> Any:
    from comfyui_astria.tests.testpack.families import FAMILIES

    config = FAMILIES[setup.family]()
    config.unet_config |= setup.config
    config.set_inference_dtype(setup.dtype, None)
    return config


def text_of(setup: Setup, seed: int) -> list:
    """Return a random CONDITIONING of the setup's length."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            torch.randn(1, setup.tokens, setup.width, generator=generator),
            {
                "pooled_output": torch.randn(1, setup.pooled, generator=generator)
                if setup.pooled
                else None
            },
        ]
    ]


def latent_of(setup: Setup) -> torch.Tensor:
    """Return a random latent of the setup's size."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, setup.channels, *setup.latent_sides, generator=generator)


def load(model: Any) -> None:
    """Have the host bring a MODEL to its device, as before a sampling."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([model])
    model.pre_run()


def lora_of(model: Any, seed: int) -> dict[str, torch.Tensor]:
    """Return a random LoRA on all linear layers of the model's blocks.

    It lies in the CPU's memory, as one that was read from a file.
    """
    weights = {
        key.removesuffix(".weight"): weight
        for key, weight in model.model.state_dict().items()
        if key.endswith(".weight") and weight.ndim >= 2
    }
    device = next(iter(weights.values())).device
    generator = torch.Generator(device).manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=generator, device=device) * 0.01).cpu()

    state: dict[str, torch.Tensor] = {}
    for part, weight in weights.items():
        if _is_in_transformer(part):
            ending = (1, 1) if weight.ndim == 4 else ()
            state[f"{part}.lora_down.weight"] = noise(RANK, weight.shape[1], *ending)
            state[f"{part}.lora_up.weight"] = noise(weight.shape[0], RANK, *ending)
    return state


def _is_in_transformer(part: str) -> bool:
    return any(name in part for name in _BLOCKS) or part.endswith(("proj_in", "proj_out"))
