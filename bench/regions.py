"""What a step costs with N people, each with their own text and LoRA, against one plain prompt and
the host's own way of doing it.

On the CPU with one thread: a full-width SD1.5 UNet at 256x256 pixels, and a double and a single
block of Flux in full width at 1024x1024, with texts padded by the host to 256 tokens and with texts
of 32 without padding; Flux.2, Z-Image and Krea 2 without LoRAs, in proportion or with --long in
full width (bench/_small.py), beside the ratio of the tokens, which is what their people cost. Where
ComfyUI has a GPU: SDXL, Flux.1 dev, Flux.2 dev, Z-Image and Krea 2 in full size at 1024x1024.
Random weights, cfg 1, LoRAs of rank 16 on all linear layers of the blocks. Each time is held
against a plain step run just before it, so that other load falls on both alike; on the CPU it is
CPU time. Memory on the CPU is the most that a process of its own held, which makes the model and
takes two steps with it, against one that does so with a plain prompt; on a GPU it is what a run
allocated at most beyond a plain run.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from comfyui_astria.bench._figures import figure, in_own_process
from comfyui_astria.bench._models import (
    FLUX,
    FLUX2,
    FLUX_BLOCKS,
    KREA2,
    SD15,
    SDXL,
    ZIMAGE,
    Case,
    Setup,
    lora_of,
    model_of,
    step,
    text_of,
    token_ratio,
    trimmed,
)
from comfyui_astria.bench._small import (
    FLUX2_BLOCKS,
    FLUX2_SMALL,
    KREA2_BLOCK,
    KREA2_SMALL,
    ZIMAGE_BLOCK,
    ZIMAGE_SMALL,
    filled,
)

PEOPLE = (1, 2, 3, 4)
# On a CPU, where ten minutes are no more than this; the median of so many rounds.
FEW, FEW_ROUNDS = (2, 4), 3
BEYOND_TOKENS = 1.05  # how much more a step may take than its tokens are more


@dataclass
class Taken:
    """What one way of one number of people took.

    A step in plain steps, and bytes beyond a plain run.
    """

    ratios: list[float] = field(default_factory=list)
    beyond_bytes: int = 0


def run() -> list[dict]:
    """Return the figures: step and memory of a plain prompt.

    Of each other way the median ratio to that step, and the memory beyond it. On a CPU two and four
    people on SD1.5, and four on Flux with texts that are not padded.
    """
    few = [
        (replace(SD15, rounds=FEW_ROUNDS), FEW),
        (trimmed(FLUX_BLOCKS), FEW[-1:]),
        (FLUX2_SMALL, FEW),
        (KREA2_SMALL, FEW),
        (ZIMAGE_SMALL, FEW),
    ]
    return _run(few, FEW)


def run_long() -> list[dict]:
    """Return the figures of every number of people, in full width, in more rounds."""
    setups = (
        *(SD15, FLUX_BLOCKS, trimmed(FLUX_BLOCKS)),
        *(ZIMAGE_BLOCK, KREA2_BLOCK, FLUX2_BLOCKS),
    )
    return _run([(setup, PEOPLE) for setup in setups], PEOPLE)


def _run(on_cpu: list[tuple[Setup, tuple[int, ...]]], in_memory: tuple[int, ...]) -> list[dict]:
    """Return the figures, on a CPU of these setups, each with these numbers of people."""
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    if device.type == "cuda":
        return [
            figure
            for setup in (SDXL, FLUX, trimmed(FLUX), FLUX2, ZIMAGE, KREA2)
            for figure in _measured_where_it_fits(setup, device)
        ]
    device = torch.device("cpu")  # of what has no CUDA, only the CPU's time is measured here
    # First: a child's peak starts at what its parent holds.
    memory = _memory(SD15, in_memory)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        measured = [_measured(setup, device, people) for setup, people in on_cpu]
        return [*measured[0], *memory, *(figure for rest in measured[1:] for figure in rest)]
    finally:
        torch.set_num_threads(threads)


def _measured_where_it_fits(setup: Setup, device: torch.device) -> list[dict]:
    import comfy.model_management

    total_gb = comfy.model_management.get_total_memory(device) / 2**30
    if total_gb >= setup.least_gb:
        return _measured(setup, device, PEOPLE)
    return [
        figure(
            f"{setup.name}: not measured, needs {setup.least_gb} GB; the GPU has", total_gb, "GB"
        )
    ]


def _measured(setup: Setup, device: torch.device, people: tuple[int, ...]) -> list[dict]:
    model = model_of(setup, device)
    with filled(setup, model):
        figures = _measured_on(setup, model, device, people)
    del model
    gc.collect()
    return figures


def _measured_on(
    setup: Setup, model: Any, device: torch.device, people: tuple[int, ...]
) -> list[dict]:
    texts = [text_of(setup, seed) for seed in range(max(PEOPLE) + 1)]
    loras = [lora_of(model, seed) if setup.has_loras else {} for seed in PEOPLE]
    plain, plain_s, taken = Case(model, texts[0]), [], {}
    for number in range(setup.rounds):
        for kind, make in WAYS.items():
            for count in people:
                if kind == "ours" or number < setup.hosts_rounds:
                    step_s, plain_bytes = step(setup, plain, device)
                    plain_s.append(step_s)
                    its_s, its_bytes = step(
                        setup, make(setup, model, texts[: count + 1], loras[:count]), device
                    )
                    one = taken.setdefault((kind, count), Taken())
                    one.ratios.append(its_s / step_s)
                    one.beyond_bytes = its_bytes - plain_bytes
    figures = [figure(f"{setup.name}: one plain prompt, step", statistics.median(plain_s), "s")]
    for (kind, count), one in taken.items():
        ratio = statistics.median(one.ratios)
        most = _most(setup, count) if kind == "ours" else None
        is_within = None if most is None else ratio <= most
        figures.append(figure(f"{_title(setup, kind, count)} / plain", ratio, "ratio", is_within))
        tokens = token_ratio(setup, count) if kind == "ours" else None
        if tokens is not None:
            figures.append(figure(f"{_title(setup, kind, count)}, tokens / plain", tokens, "ratio"))
        if device.type == "cuda" and kind == "ours":  # the host's hooks fill what is free
            figures.append(_beyond(setup, kind, count, one.beyond_bytes / 2**20))
    return figures


def _most(setup: Setup, count: int) -> float | None:
    """Return the budget of so many people: the setup's own, else that of their tokens."""
    tokens = token_ratio(setup, count)
    if setup.most or tokens is None:
        return setup.most.get(count)
    return tokens * BEYOND_TOKENS


def _title(setup: Setup, kind: str, count: int) -> str:
    people = "1 person" if count == 1 else f"{count} people"
    return (
        f"{setup.name}: {people}, each with text{' and LoRA' if setup.has_loras else ''}"
        f"{'' if kind == 'ours' else ', as masked conditionings with LoRA hooks'}"
    )


def _beyond(setup: Setup, kind: str, count: int, mb: float) -> dict:
    return figure(f"{_title(setup, kind, count)}, memory beyond plain", mb, "MB")


def _memory(setup: Setup, people: tuple[int, ...]) -> list[dict]:
    plain_mb = _peak_mb("plain", 0)
    figures = [figure(f"{setup.name}: one plain prompt, peak memory", plain_mb, "MB")]
    return figures + [
        _beyond(setup, kind, count, _peak_mb(kind, count) - plain_mb)
        for kind in WAYS
        for count in people
    ]


def _peak_mb(kind: str, count: int) -> float:
    """Return the peak of a new process that runs one case of SD1.5."""
    import comfy

    [package] = comfy.__path__
    paths = [str(Path(package).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return in_own_process("regions", "peak_mb_of_one_case", kind, count, env=env)


def peak_mb_of_one_case(kind: str, count: str) -> float:
    """Return the most memory that this process has held after one case.

    For a process of its own.
    """
    sys.argv[1:] = ["--cpu", "--use-pytorch-cross-attention"]
    import comfy.options

    comfy.options.enable_args_parsing()
    _run_once(kind, int(count))
    return _own_peak_mb()


def _run_once(kind: str, count: int) -> None:
    """Take two steps of one case: the first also prepares, the second shows what is kept."""
    torch.set_num_threads(1)
    model = model_of(SD15, torch.device("cpu"))
    texts = [text_of(SD15, seed) for seed in range(count + 1)]
    case = (
        Case(model, texts[0])
        if kind == "plain"
        else WAYS[kind](SD15, model, texts, [lora_of(model, seed) for seed in PEOPLE[:count]])
    )
    step(replace(SD15, steps=2), case, torch.device("cpu"))


def _own_peak_mb() -> float:
    """Return the most memory that this process has held."""
    if sys.platform == "win32":
        import psutil  # comes with ComfyUI

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def ours(setup: Setup, model: Any, texts: list, loras: list[dict]) -> Case:
    """Return the picture of scene and persons in one pass, each person's LoRA gated."""
    from comfyui_astria.nodes.regions.host.loras import apply_gated_loras
    from comfyui_astria.nodes.regions.host.regional import RegionalOptions, apply_regions
    from comfyui_astria.nodes.regions.lora import RegionLora
    from comfyui_astria.nodes.regions.run import RegionRun

    link = RegionRun()
    patched = apply_regions(
        model, _masks(setup, len(loras)), texts, [texts[0]], link, RegionalOptions()
    )
    persons = [
        RegionLora(number, lora, 1.0, f"person {number}")
        for number, lora in enumerate(loras, 1)
        if lora
    ]
    return Case(apply_gated_loras(patched, persons, link), texts[0])


def hosts(setup: Setup, model: Any, texts: list, loras: list[dict]) -> Case:
    """Return the same picture by the host's nodes.

    A masked conditioning for the scene and each person, each person's LoRA as a hook.
    """
    import comfy.hooks

    hooks = [{}, *({"hooks": comfy.hooks.create_hook_lora(lora, 1.0, 1.0)} for lora in loras)]
    masks = _masks(setup, len(loras))
    parts = []
    for region, ([(text, extra)], hook) in enumerate(zip(texts, hooks, strict=True)):
        parts.append(
            [
                text,
                {
                    **extra,
                    "mask": masks[region : region + 1],
                    "mask_strength": 1.0,
                    "set_area_to_bounds": False,
                    **hook,
                },
            ]
        )
    return Case(model.clone(), parts)


def _masks(setup: Setup, people: int) -> torch.Tensor:
    from comfyui_astria.nodes.families.family import FAMILIES
    from comfyui_astria.nodes.regions.layout import columns
    from comfyui_astria.nodes.regions.run import normalised

    side_px = setup.side * FAMILIES[setup.family].latent.cell_px
    return normalised(columns(people, side_px, side_px, softness_px=setup.softness_px).masks)


WAYS = {"ours": ours, "host": hosts}
