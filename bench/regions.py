"""What a step costs with N people, each with their own text and LoRA, against one plain prompt and the host's own way of doing it.

A full-width SD1.5 UNet with random weights at 32x32 latent pixels, cfg 1, on the CPU with one thread; LoRAs of rank 16 on all linear layers of the
transformers. Times are CPU time, and each is held against a plain step run just before it, so that other load falls on both alike.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
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
    """Return the figures: the median step of a plain prompt, and the median ratio of each other way to it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(_full_width_sd15())
    finally:
        torch.set_num_threads(threads)


def _measured(model: Any) -> list[dict]:
    texts = [_text(seed) for seed in range(max(PEOPLE) + 1)]
    loras = [_lora(model, seed) for seed in PEOPLE]
    plain, plain_s, ratios = Case(model, texts[0]), [], {}
    cases = {(kind, count): make(model, texts[: count + 1], loras[:count]) for kind, make in (("ours", _ours), ("host", _hosts)) for count in PEOPLE}
    for number in range(ROUNDS):
        for (kind, count), case in cases.items():
            if kind == "ours" or number < HOST_ROUNDS:
                plain_s.append(_step_s(plain))
                ratios.setdefault((kind, count), []).append(_step_s(case) / plain_s[-1])
    figures = [{"name": "one plain prompt, step", "value": statistics.median(plain_s), "unit": "s", "ok": None}]
    for (kind, count), values in ratios.items():
        ratio, most = statistics.median(values), MOST.get(count) if kind == "ours" else None
        name = f"{count} people, each with text and LoRA{'' if kind == 'ours' else ', as masked conditionings with LoRA hooks'} / plain"
        figures.append({"name": name, "value": ratio, "unit": "ratio", "ok": None if most is None else ratio <= most})
    return figures


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
