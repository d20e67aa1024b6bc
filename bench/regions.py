"""What a step costs with N people, each with their own text and LoRA, against one plain prompt and the host's own way of doing it.

A full-width SD1.5 UNet with random weights at 32x32 latent pixels, cfg 1, on the CPU with one thread; LoRAs of rank 16 on all linear layers of the
transformers. Times are CPU time, and each is held against a plain step run just before it, so that other load falls on both alike. Memory is
the most that a process of its own held, which makes the model and takes two steps with it, against one that does so with a plain prompt.
"""

from __future__ import annotations

import os
import runpy
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

ROUNDS, HOST_ROUNDS = 5, 1  # the host's ratios are far from any budget and take long
PEOPLE = (1, 2, 3, 4)
MOST = {2: 1.08, 3: 1.12, 4: 1.15}  # times a plain step
LATENT, TOKENS, WIDTH, RANK = 32, 77, 768, 16


class Case(NamedTuple):
    """A model and its positive conditioning."""

    model: Any
    positive: list


def run() -> list[dict]:
    """Return the figures: step and peak memory of a plain prompt; of each other way the median ratio to that step, and the memory beyond it."""
    memory = _memory()  # first: a child's peak starts at what its parent holds
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(_full_width_sd15()) + memory
    finally:
        torch.set_num_threads(threads)


def _measured(model: Any) -> list[dict]:
    texts = [_text(seed) for seed in range(max(PEOPLE) + 1)]
    loras = [_lora(model, seed) for seed in PEOPLE]
    plain, plain_s, ratios = Case(model, texts[0]), [], {}
    cases = {(kind, count): make(model, texts[: count + 1], loras[:count]) for kind, make in WAYS.items() for count in PEOPLE}
    for number in range(ROUNDS):
        for (kind, count), case in cases.items():
            if kind == "ours" or number < HOST_ROUNDS:
                plain_s.append(_step_s(plain))
                ratios.setdefault((kind, count), []).append(_step_s(case) / plain_s[-1])
    figures = [{"name": "one plain prompt, step", "value": statistics.median(plain_s), "unit": "s", "ok": None}]
    for (kind, count), values in ratios.items():
        ratio, most = statistics.median(values), MOST.get(count) if kind == "ours" else None
        figures.append({"name": f"{_title(kind, count)} / plain", "value": ratio, "unit": "ratio", "ok": None if most is None else ratio <= most})
    return figures


def _title(kind: str, count: int) -> str:
    return f"{count} people, each with text and LoRA{'' if kind == 'ours' else ', as masked conditionings with LoRA hooks'}"


def _memory() -> list[dict]:
    plain_mb = _peak_mb("plain", 0)
    figures = [{"name": "one plain prompt, peak memory", "value": plain_mb, "unit": "MB", "ok": None}]
    for kind in WAYS:
        for count in PEOPLE:
            beyond_mb = _peak_mb(kind, count) - plain_mb
            figures.append({"name": f"{_title(kind, count)}, memory beyond plain", "value": beyond_mb, "unit": "MB", "ok": None})
    return figures


def _peak_mb(kind: str, count: int) -> float:
    """Return the peak of a new process that runs one case."""
    import comfy

    [package] = comfy.__path__
    paths = [str(Path(package).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, str(Path(__file__).resolve()), kind, str(count)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def _run_once(kind: str, count: int) -> None:
    """Take two steps of one case: the first also prepares, the second shows what is kept."""
    import comfy.sample

    torch.set_num_threads(1)
    model = _full_width_sd15()
    texts = [_text(seed) for seed in range(count + 1)]
    case = Case(model, texts[0]) if kind == "plain" else WAYS[kind](model, texts, [_lora(model, seed) for seed in PEOPLE[:count]])
    noise = torch.randn(1, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(0))
    comfy.sample.sample(case.model, noise, 2, 1.0, "euler", "normal", case.positive, _text(99), torch.zeros_like(noise), disable_pbar=True, seed=0)


def _own_peak_mb() -> float:
    """Return the most memory that this process has held."""
    if sys.platform == "win32":
        import psutil  # comes with ComfyUI

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _ours(model: Any, texts: list, loras: list[dict]) -> Case:
    from comfyui_astria.nodes.host.gated_lora import apply_gated_loras
    from comfyui_astria.nodes.host.regional import RegionalOptions, apply_regions
    from comfyui_astria.nodes.regions.lora import RegionLora
    from comfyui_astria.nodes.regions.run import RegionRun

    link = RegionRun()
    patched = apply_regions(model, _masks(len(loras)), texts, [texts[0]], link, RegionalOptions())
    persons = [RegionLora(number, lora, 1.0, f"person {number}") for number, lora in enumerate(loras, 1)]
    return Case(apply_gated_loras(patched, persons, link), texts[0])


def _hosts(model: Any, texts: list, loras: list[dict]) -> Case:
    """The same picture by the host's nodes: a masked conditioning for the scene and each person, each person's LoRA as a hook."""
    import comfy.hooks

    hooks = [{}, *({"hooks": comfy.hooks.create_hook_lora(lora, 1.0, 1.0)} for lora in loras)]
    masks = _masks(len(loras))
    parts = []
    for region, ([(text, _)], hook) in enumerate(zip(texts, hooks, strict=True)):
        parts.append([text, {"mask": masks[region : region + 1], "mask_strength": 1.0, "set_area_to_bounds": False, **hook}])
    return Case(model.clone(), parts)


def _masks(people: int) -> torch.Tensor:
    from comfyui_astria.nodes.regions.layout import columns
    from comfyui_astria.nodes.regions.run import normalised

    return normalised(columns(people, LATENT * 8, LATENT * 8, softness_px=32).masks)


def _step_s(case: Case) -> float:
    """Return the CPU time of the quicker of a run's second and third step; the first also pays for what a run prepares."""
    import comfy.sample

    ends_s: list[float] = []
    noise = torch.randn(1, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(0))
    comfy.sample.sample(case.model, noise, 3, 1.0, "euler", "normal", case.positive, _text(99), torch.zeros_like(noise), disable_pbar=True,
                        callback=lambda *_: ends_s.append(time.process_time()), seed=0)
    return min(later - earlier for earlier, later in pairwise(ends_s))


def _full_width_sd15() -> Any:
    import comfy.model_patcher
    from comfyui_astria.tests.testpack.families import FAMILIES
    from comfyui_astria.tests.testpack.weights import fill

    cpu = torch.device("cpu")
    config = FAMILIES["sd15"]()
    config.unet_config |= {"model_channels": 320, "context_dim": WIDTH}
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=cpu)
    fill(model.diffusion_model, seed=0)
    return comfy.model_patcher.CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


def _text(seed: int) -> list:
    return [[torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed)), {}]]


def _lora(model: Any, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}
    for key, weight in model.model.state_dict().items():
        part = key.removesuffix(".weight")
        if weight.ndim >= 2 and (".transformer_blocks." in key or part.endswith(("proj_in", "proj_out"))):
            ending = (1, 1) if weight.ndim == 4 else ()
            state[f"{part}.lora_down.weight"] = torch.randn(RANK, weight.shape[1], *ending, generator=generator) * 0.01
            state[f"{part}.lora_up.weight"] = torch.randn(weight.shape[0], RANK, *ending, generator=generator) * 0.01
    return state


WAYS = {"ours": _ours, "host": _hosts}

if __name__ == "__main__":  # one case, for its memory
    _kind, _count = sys.argv[1:]
    sys.argv[1:] = ["--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    runpy.run_path(str(Path(__file__).resolve().parents[1] / "pack_loader.py"))["load"]()
    _run_once(_kind, int(_count))
    print(_own_peak_mb())
