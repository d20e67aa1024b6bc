"""What a step costs with N people, each with their own text and LoRA, against one plain prompt and the host's own way of doing it.

A full-width SD1.5 UNet with random weights at 32x32 latent pixels, cfg 1, on the CPU with one thread; LoRAs of rank 16 on all linear layers of the
transformers. Times are CPU time, and every round runs each variant once, so that other load falls on all of them alike.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, NamedTuple

import torch

ROUNDS = 3
PEOPLE = (1, 2, 3, 4)
FULL, TEXT_ONLY, HOST = "regions with text and LoRAs", "regions with text", "the host's masks and LoRA hooks"
MOST = {f"{FULL}, people: 2": 1.08, f"{FULL}, people: 3": 1.12, f"{FULL}, people: 4": 1.15}
LATENT, TOKENS, WIDTH, RANK = 32, 77, 768, 16


class Variant(NamedTuple):
    name: str
    model: Any
    positive: list


def run() -> list[dict]:
    """Return the figures: the median step of a plain prompt, and each variant's ratio to it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        steps_s = _interleaved(_variants())
    finally:
        torch.set_num_threads(threads)
    plain_s = statistics.median(steps_s["plain"])
    figures = [{"name": "one plain prompt, step", "value": plain_s, "unit": "s", "ok": None}]
    for name, times_s in steps_s.items():
        if name != "plain":
            # A round's own plain step, so that a change of clock between rounds does not count.
            ratio = statistics.median(one / plain for one, plain in zip(times_s, steps_s["plain"], strict=True))
            figures.append({"name": f"{name} / plain", "value": ratio, "unit": "ratio", "ok": ratio <= MOST[name] if name in MOST else None})
    return figures


def _variants() -> list[Variant]:
    from comfyui_astria.nodes.host.gated_lora import apply_gated_loras
    from comfyui_astria.nodes.host.regional import RegionalOptions, apply_regions
    from comfyui_astria.nodes.regions.layout import columns
    from comfyui_astria.nodes.regions.lora import RegionLora
    from comfyui_astria.nodes.regions.run import RegionRun, normalised

    model = _full_width_sd15()
    texts = [_text(seed) for seed in range(max(PEOPLE) + 1)]
    loras = [_lora(model, seed) for seed in PEOPLE]
    variants = [Variant("plain", model, texts[0])]
    for count in PEOPLE:
        masks = normalised(columns(count, LATENT * 8, LATENT * 8, softness_px=32).masks)
        link = RegionRun()
        patched = apply_regions(model, masks, texts[: count + 1], [texts[0]], link, RegionalOptions())
        persons = [RegionLora(number, lora, 1.0, f"person {number}") for number, lora in enumerate(loras[:count], 1)]
        variants.append(Variant(f"{TEXT_ONLY}, people: {count}", patched, texts[0]))
        variants.append(Variant(f"{FULL}, people: {count}", apply_gated_loras(patched, persons, link), texts[0]))
        variants.append(Variant(f"{HOST}, people: {count}", model.clone(), _masked(masks, texts, loras[:count])))
    return variants


def _interleaved(variants: list[Variant]) -> dict[str, list[float]]:
    steps_s: dict[str, list[float]] = {variant.name: [] for variant in variants}
    for _ in range(ROUNDS):
        for variant in variants:
            steps_s[variant.name].append(_step_s(variant))
    return steps_s


def _step_s(variant: Variant) -> float:
    """Return the CPU time of the second of two steps; the first also pays for what a run prepares."""
    import comfy.sample

    ends_s: list[float] = []
    noise = torch.randn(1, 4, LATENT, LATENT, generator=torch.Generator().manual_seed(0))
    comfy.sample.sample(variant.model, noise, 2, 1.0, "euler", "normal", variant.positive, _text(99), torch.zeros_like(noise), disable_pbar=True,
                        callback=lambda *_: ends_s.append(time.process_time()), seed=0)
    return ends_s[1] - ends_s[0]


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


def _masked(masks: torch.Tensor, texts: list, loras: list[dict]) -> list:
    """Return the same persons as masked conditionings, each with its LoRA as a hook."""
    import comfy.hooks

    hooks = [None, *(comfy.hooks.create_hook_lora(lora, 1.0, 1.0) for lora in loras)]
    parts = []
    for region, hook in enumerate(hooks):
        extra = {"mask": masks[region : region + 1], "mask_strength": 1.0, "set_area_to_bounds": False}
        parts.append([texts[region][0][0], {**extra, **({} if hook is None else {"hooks": hook})}])
    return parts
