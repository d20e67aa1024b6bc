"""What a step costs with N people, each with their own text and LoRA, against one plain prompt and the host's own way of doing it.

On the CPU with one thread: a full-width SD1.5 UNet at 256x256 pixels, and a double and a single block of Flux in full width at 1024x1024, with
texts padded by the host to 256 tokens and with texts of 32 without padding. Where ComfyUI has a GPU: SDXL and Flux.1 dev in full size at 1024x1024.
Random weights, cfg 1, LoRAs of rank 16 on all linear layers of the blocks. Each time is held against a plain step run just before it, so that other
load falls on both alike; on the CPU it is CPU time. Memory on the CPU is the most that a process of its own held, which makes the model and takes
two steps with it, against one that does so with a plain prompt; on a GPU it is what a run allocated at most beyond a plain run.
"""

from __future__ import annotations

import gc
import math
import os
import runpy
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

PEOPLE = (1, 2, 3, 4)
RANK = 16


@dataclass(frozen=True)
class Setup:
    """A model, the picture and texts that it is run with, and how often: `rounds` of runs of some steps, the first of which prepares.

    `side` and `channels` are those of the latent, `width` and `pooled` the text's. `most` is the budget, in plain steps by number of people.
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
    hosts_rounds: int = 1  # the host's ratios are far from any budget and take long; its hooks keep a copy of the weights for each person
    steps: int = 3
    least_gb: int = 0  # of GPU memory, so that the host loads the whole model
    dtype: torch.dtype = torch.float32


UNET_MOST = {2: 1.08, 3: 1.12, 4: 1.15}
SD15 = Setup("SD1.5", "sd15", {"model_channels": 320, "context_dim": 768}, side=32, channels=4, tokens=77, width=768, pooled=768, most=UNET_MOST)
_DEPTHS = {"transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10, "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10]}
_SDXL_CONFIG = {"model_channels": 320, "context_dim": 2048, "adm_in_channels": 2816, "num_head_channels": 64, **_DEPTHS}
SDXL = Setup("SDXL", "sdxl", _SDXL_CONFIG, side=128, channels=4, tokens=77, width=2048, pooled=1280, most=UNET_MOST, dtype=torch.float16, least_gb=12)
_FLUX_CONFIG = {"hidden_size": 3072, "num_heads": 24, "depth": 19, "depth_single_blocks": 38, "context_in_dim": 4096, "vec_in_dim": 768}
FLUX = Setup("Flux.1 dev", "flux", _FLUX_CONFIG, side=128, channels=16, tokens=256, width=4096, pooled=768, most={2: 1.15, 3: 1.22, 4: 1.30},
             hosts_rounds=0, dtype=torch.bfloat16, least_gb=36)
FLUX_BLOCKS = replace(FLUX, name="Flux blocks", config={**_FLUX_CONFIG, "depth": 1, "depth_single_blocks": 1}, rounds=1, steps=2,
                      dtype=torch.float32)


def trimmed(setup: Setup) -> Setup:
    return replace(setup, name=f"{setup.name}, texts without padding", tokens=32, most=UNET_MOST)


class Case(NamedTuple):
    """A model and its positive conditioning."""

    model: Any
    positive: list


@dataclass
class Taken:
    """What one way of one number of people took: a step in plain steps, and bytes beyond a plain run."""

    ratios: list[float] = field(default_factory=list)
    beyond_bytes: int = 0


def run() -> list[dict]:
    """Return the figures: step and memory of a plain prompt; of each other way the median ratio to that step, and the memory beyond it."""
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    if device.type == "cuda":
        return [figure for setup in (SDXL, FLUX, trimmed(FLUX)) for figure in _measured_where_it_fits(setup, device)]
    device = torch.device("cpu")  # of what has no CUDA, only the CPU's time is measured here
    memory = _memory(SD15)  # first: a child's peak starts at what its parent holds
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = _measured(SD15, device) + memory
        for setup in (FLUX_BLOCKS, trimmed(FLUX_BLOCKS)):
            figures += _measured(setup, device)
        return figures
    finally:
        torch.set_num_threads(threads)


def _measured_where_it_fits(setup: Setup, device: torch.device) -> list[dict]:
    import comfy.model_management

    total_gb = comfy.model_management.get_total_memory(device) / 2**30
    if total_gb >= setup.least_gb:
        return _measured(setup, device)
    return [{"name": f"{setup.name}: not measured, needs {setup.least_gb} GB; the GPU has", "value": total_gb, "unit": "GB", "ok": None}]


def _measured(setup: Setup, device: torch.device) -> list[dict]:
    model = _model(setup, device)
    texts = [_text(setup, seed) for seed in range(max(PEOPLE) + 1)]
    loras = [_lora(model, seed) for seed in PEOPLE]
    plain, plain_s, taken = Case(model, texts[0]), [], {}
    for number in range(setup.rounds):
        for kind, make in WAYS.items():
            for count in PEOPLE:
                if kind == "ours" or number < setup.hosts_rounds:
                    step_s, plain_bytes = _step(setup, plain, device)
                    plain_s.append(step_s)
                    its_s, its_bytes = _step(setup, make(setup, model, texts[: count + 1], loras[:count]), device)
                    one = taken.setdefault((kind, count), Taken())
                    one.ratios.append(its_s / step_s)
                    one.beyond_bytes = its_bytes - plain_bytes
    figures = [{"name": f"{setup.name}: one plain prompt, step", "value": statistics.median(plain_s), "unit": "s", "ok": None}]
    for (kind, count), one in taken.items():
        ratio, most = statistics.median(one.ratios), setup.most.get(count) if kind == "ours" else None
        is_within = None if most is None else ratio <= most
        figures.append({"name": f"{_title(setup, kind, count)} / plain", "value": ratio, "unit": "ratio", "ok": is_within})
        if device.type == "cuda" and kind == "ours":  # the host's hooks fill what is free
            figures.append(_beyond(setup, kind, count, one.beyond_bytes / 2**20))
    del model, plain
    gc.collect()
    return figures


def _title(setup: Setup, kind: str, count: int) -> str:
    people = "1 person" if count == 1 else f"{count} people"
    return f"{setup.name}: {people}, each with text and LoRA{'' if kind == 'ours' else ', as masked conditionings with LoRA hooks'}"


def _beyond(setup: Setup, kind: str, count: int, mb: float) -> dict:
    return {"name": f"{_title(setup, kind, count)}, memory beyond plain", "value": mb, "unit": "MB", "ok": None}


def _memory(setup: Setup) -> list[dict]:
    plain_mb = _peak_mb("plain", 0)
    figures = [{"name": f"{setup.name}: one plain prompt, peak memory", "value": plain_mb, "unit": "MB", "ok": None}]
    return figures + [_beyond(setup, kind, count, _peak_mb(kind, count) - plain_mb) for kind in WAYS for count in PEOPLE]


def _peak_mb(kind: str, count: int) -> float:
    """Return the peak of a new process that runs one case of SD1.5."""
    import comfy

    [package] = comfy.__path__
    paths = [str(Path(package).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, str(Path(__file__).resolve()), kind, str(count)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _run_once(kind: str, count: int) -> None:
    """Take two steps of one case: the first also prepares, the second shows what is kept."""
    torch.set_num_threads(1)
    model = _model(SD15, torch.device("cpu"))
    texts = [_text(SD15, seed) for seed in range(count + 1)]
    case = Case(model, texts[0]) if kind == "plain" else WAYS[kind](SD15, model, texts, [_lora(model, seed) for seed in PEOPLE[:count]])
    _step(replace(SD15, steps=2), case, torch.device("cpu"))


def _own_peak_mb() -> float:
    """Return the most memory that this process has held."""
    if sys.platform == "win32":
        import psutil  # comes with ComfyUI

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _ours(setup: Setup, model: Any, texts: list, loras: list[dict]) -> Case:
    from comfyui_astria.nodes.regions.host.loras import apply_gated_loras
    from comfyui_astria.nodes.regions.host.regional import RegionalOptions, apply_regions
    from comfyui_astria.nodes.regions.lora import RegionLora
    from comfyui_astria.nodes.regions.run import RegionRun

    link = RegionRun()
    patched = apply_regions(model, _masks(setup, len(loras)), texts, [texts[0]], link, RegionalOptions())
    persons = [RegionLora(number, lora, 1.0, f"person {number}") for number, lora in enumerate(loras, 1)]
    return Case(apply_gated_loras(patched, persons, link), texts[0])


def _hosts(setup: Setup, model: Any, texts: list, loras: list[dict]) -> Case:
    """The same picture by the host's nodes: a masked conditioning for the scene and each person, each person's LoRA as a hook."""
    import comfy.hooks

    hooks = [{}, *({"hooks": comfy.hooks.create_hook_lora(lora, 1.0, 1.0)} for lora in loras)]
    masks = _masks(setup, len(loras))
    parts = []
    for region, ([(text, extra)], hook) in enumerate(zip(texts, hooks, strict=True)):
        parts.append([text, {**extra, "mask": masks[region : region + 1], "mask_strength": 1.0, "set_area_to_bounds": False, **hook}])
    return Case(model.clone(), parts)


def _masks(setup: Setup, people: int) -> torch.Tensor:
    from comfyui_astria.nodes.regions.layout import columns
    from comfyui_astria.nodes.regions.run import normalised

    return normalised(columns(people, setup.side * 8, setup.side * 8, softness_px=32).masks)


def _step(setup: Setup, case: Case, device: torch.device) -> tuple[float, int]:
    """Return the seconds of the quickest step of a run after the first, which also pays for what a run prepares; and, on a GPU, its peak in bytes."""
    import comfy.sample

    is_gpu = device.type == "cuda"
    ends_s: list[float] = []

    def ended(*_: Any) -> None:
        if is_gpu:
            torch.cuda.synchronize()
        ends_s.append(time.perf_counter() if is_gpu else time.process_time())

    if is_gpu:
        torch.cuda.reset_peak_memory_stats()
    noise = torch.randn(1, setup.channels, setup.side, setup.side, generator=torch.Generator().manual_seed(0))
    comfy.sample.sample(case.model, noise, setup.steps, 1.0, "euler", "normal", case.positive, _text(setup, 99), torch.zeros_like(noise),
                        disable_pbar=True, callback=ended, seed=0)
    return min(later - earlier for earlier, later in pairwise(ends_s)), torch.cuda.max_memory_allocated() if is_gpu else 0


def _model(setup: Setup, device: torch.device) -> Any:
    import comfy.model_patcher
    from comfyui_astria.tests.testpack.families import FAMILIES

    config = FAMILIES[setup.family]()
    config.unet_config |= setup.config
    config.set_inference_dtype(setup.dtype, None)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # the host's layers are made without initial values
        for name, weight in model.diffusion_model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(0, 1 / math.sqrt(weight[0].numel()), generator=generator)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=device, offload_device=cpu)


def _text(setup: Setup, seed: int) -> list:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(1, setup.tokens, setup.width, generator=generator), {"pooled_output": torch.randn(1, setup.pooled, generator=generator)}]]


def _lora(model: Any, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}
    for key, weight in model.model.state_dict().items():
        part = key.removesuffix(".weight")
        if weight.ndim >= 2 and _is_in_transformer(part):
            ending = (1, 1) if weight.ndim == 4 else ()
            state[f"{part}.lora_down.weight"] = torch.randn(RANK, weight.shape[1], *ending, generator=generator) * 0.01
            state[f"{part}.lora_up.weight"] = torch.randn(weight.shape[0], RANK, *ending, generator=generator) * 0.01
    return state


def _is_in_transformer(part: str) -> bool:
    return any(name in part for name in (".transformer_blocks.", ".double_blocks.", ".single_blocks.")) or part.endswith(("proj_in", "proj_out"))


WAYS = {"ours": _ours, "host": _hosts}

if __name__ == "__main__":  # one case, for its memory
    _kind, _count = sys.argv[1:]
    sys.argv[1:] = ["--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    runpy.run_path(str(Path(__file__).resolve().parents[1] / "pack_loader.py"))["load"]()
    _run_once(_kind, int(_count))
    print(_own_peak_mb())
