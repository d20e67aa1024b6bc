"""Growing a mask by small and large radii beside the host's GrowMask and Morphology, feathering it,
and how often SAM3 looks at a picture.

Times are processor time on one thread, which other load on the machine disturbs least; where it is
idle they are what the clock shows. What masks on a GPU go through is measured on one where it is at
hand, by the clock, else on the processor.

`python dev.py bench masks` runs it; by hand: `PYTHONPATH=<ComfyUI> python bench/masks.py --cpu`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from comfyui_astria.bench._figures import figure

SIZES = (1024, 2048)
RADII = (8, 32, 128, 256)
RUNS = 3
# A run of the host's that takes longer than this is not repeated: its cost grows with the radius,
# up to minutes.
LONG_MS = 3000.0
GIB = 2**30
MOST_GIB = 4
# Cost must not depend on the radius: allowed between the largest and the smallest one.
FLAT = 3.0
WORDS = ("hat", "coat", "shoes", "dog", "door", "tree")


def run() -> list[dict]:
    """Return the figures: for each size and radius the times, the host's as ratios to ours in the
    same run, and whether pixels are equal.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = [figure for size in SIZES for figure in (*_compare_radii(size), *_feather(size))]
    finally:
        torch.set_num_threads(threads)
    return figures + _trunk_passes()


def _compare_radii(size: int) -> list[dict]:
    figures = []
    ours: dict[str, list[float]] = {"round": [], "square": [], "diamond": []}
    for radius in RADII:
        figures += _compare(_mask(size), radius, ours)
    for shape, times in ours.items():
        ratio = max(times) / min(times)
        figures.append(
            figure(f"{size}x{size} {shape}: slowest / fastest radius", ratio, "ratio", ratio < FLAT)
        )
    return figures


def _feather(size: int) -> list[dict]:
    """Return the times of feathering in scipy and in torch, whether these depend on how far it
    reaches, and whether both give the same.
    """
    from comfyui_astria.nodes.masking.morphology import feather
    from comfyui_astria.nodes.masking.tensor_morphology import nearest

    device = "cuda" if torch.cuda.is_available() else "cpu"
    mask, there = _mask(size), _mask(size).to(device)
    figures, times = [], {"scipy": [], f"torch on {device}": []}
    for reach in RADII:
        in_scipy, expected = _fastest(lambda reach=reach: feather(mask, reach))
        in_torch, (distance, value) = _fastest(
            lambda reach=reach: nearest(there > 0, there, reach), device
        )
        for (way, taken), now in zip(times.items(), (in_scipy, in_torch), strict=True):
            taken.append(now)
            figures.append(figure(f"{size}x{size} feathered by {reach}: {way}", now, "ms"))
        apart = float(
            ((value * (1 - distance / (reach + 1)).clamp(min=0)).cpu() - expected).abs().max()
        )
        figures.append(
            figure(
                f"{size}x{size} feathered by {reach}: greatest difference of the two",
                apart,
                "",
                apart < 1e-6,
            )
        )
    for way, taken in times.items():
        ratio = max(taken) / min(taken)
        figures.append(
            figure(
                f"{size}x{size} feathered in {way}: slowest / fastest reach",
                ratio,
                "ratio",
                ratio < FLAT,
            )
        )
    return figures


def _mask(size: int) -> torch.Tensor:
    """Some figures apart, so that there is an edge in most of the picture."""
    grid = torch.arange(size)
    x, y = torch.meshgrid(grid, grid, indexing="xy")
    cell = size // 4
    return (((x % cell - cell // 2) ** 2 + (y % cell - cell // 2) ** 2) < (cell // 6) ** 2).float()[
        None
    ]


def _compare(mask: torch.Tensor, radius: int, ours: dict[str, list[float]]) -> list[dict]:
    from comfy_extras.nodes_mask import GrowMask
    from comfyui_astria.nodes.masking.morphology import grow

    title = f"{mask.shape[2]}x{mask.shape[1]} by {radius}"
    own = {shape: _fastest(lambda shape=shape: grow(mask, radius, shape)) for shape in ours}
    figures = []
    for shape, (taken, _) in own.items():
        ours[shape].append(taken)
        figures.append(figure(f"{title}: {shape}", taken, "ms"))
    for shape, tapered in (("diamond", True), ("square", False)):
        taken, theirs = _fastest(lambda tapered=tapered: GrowMask.execute(mask, radius, tapered)[0])
        figures.append(
            figure(
                f"{title}: GrowMask, tapered {tapered}, / {shape}",
                taken / own[shape][0],
                "ratio",
                taken > own[shape][0],
            )
        )
        differing = float((theirs != own[shape][1]).sum())
        figures.append(
            figure(
                f"{title}: pixels of {shape} that differ from GrowMask",
                differing,
                "pixels",
                differing == 0,
            )
        )
    return figures + _morphology(mask, radius, title, own["square"])


def _morphology(
    mask: torch.Tensor, radius: int, title: str, own: tuple[float, torch.Tensor]
) -> list[dict]:
    """Return the host's Morphology beside ours, or that it was left out.

    It unfolds a kernel of that size at every pixel of three channels.
    """
    side = 2 * radius + 1
    needed = 3 * mask.numel() * 4 * side * side / GIB
    if needed > MOST_GIB:
        return [
            figure(
                f"{title}: Morphology left out, it would take more than {MOST_GIB} GiB",
                needed,
                "GiB",
            )
        ]
    from comfy_extras.nodes_morphology import Morphology

    image = mask[..., None].expand(-1, -1, -1, 3)
    taken, _ = _fastest(lambda: Morphology.execute(image, "dilate", side)[0])
    return [figure(f"{title}: Morphology / square", taken / own[0], "ratio", taken > own[0])]


def _trunk_passes() -> list[dict]:
    """Return how often SAM3's vision trunk runs for a mask of 1, 3 and 6 words, ours and the host's
    node.
    """
    from comfy_extras.nodes_sam3 import SAM3_Detect
    from comfyui_astria.nodes.masking.host.models import Sam3
    from comfyui_astria.nodes.masking.prompt_mask import MaskRequest, prompt_mask
    from comfyui_astria.nodes.masking.segmenter import RoutedSegmenter
    from comfyui_astria.tests.testpack.sam3 import tiny_sam3

    model, clip = tiny_sam3("SAM3")
    passes: list[int] = []
    model.model.diffusion_model.detector.backbone["vision_backbone"].trunk.register_forward_hook(
        lambda *_: passes.append(1)
    )
    segmenter = RoutedSegmenter((Sam3(lambda: (model, clip)),), "")
    image = torch.rand(1, 96, 128, 3, generator=torch.Generator().manual_seed(0))
    figures = []
    for count in (1, 3, 6):
        passes.clear()
        # Nothing is so sure: what is found is looked at twice more, by the host's node as well.
        nobody = MaskRequest(" ".join(WORDS[:count]), threshold=1.0, on_empty="zeros")
        prompt_mask(image, segmenter, nobody)
        own = len(passes)
        passes.clear()
        with torch.no_grad():
            text = clip.encode_from_tokens_scheduled(clip.tokenize(", ".join(WORDS[:count])))
            SAM3_Detect.execute(model, image, text, refine_iterations=0)
        figures.append(
            figure(f"SAM3, {count} word(s): passes of the trunk", own, "passes", own == 1)
        )
        figures.append(
            figure(
                f"SAM3, {count} word(s): passes of the trunk, SAM3_Detect", len(passes), "passes"
            )
        )
    return figures


def _fastest(work: Callable[[], Any], device: str = "cpu") -> tuple[float, Any]:
    """Return the least time of a few runs, which other load disturbs least, and the result.

    One run where it takes long.
    """
    best = float("inf")
    for _ in range(RUNS):
        start = _clock(device)
        result = work()
        taken = (_clock(device) - start) * 1000.0
        best = min(best, taken)
        if taken > LONG_MS:
            break
    return best, result


def _clock(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
