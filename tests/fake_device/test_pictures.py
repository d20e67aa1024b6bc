"""Pictures and masks on a fake GPU, as with --gpu-only: what every node makes of them is there too,
and is to the bit what it is on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.tests.fake_device.fake_gpu import GPU, attached
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.swap.swap_support import face_at, smooth_picture
from torch import Tensor

WIDTH, HEIGHT = 96, 72
FACES = (
    (face_at(30, 36, 34), face_at(58, 34, 30, turn=0.4)),
    (face_at(50, 40, 40, turn=-1.2),),
)

DRAWN = "+ 0.1 0.2 0.3 0.4 | - 0.2 0.3 0.1 0.1"


def node(module: str, name: str, **inputs: Any) -> tuple:
    return getattr(load(f"comfyui_astria.nodes.{module}"), name).execute(**inputs).result


def outpainted(image: Tensor, mask: Tensor) -> list[Tensor]:
    made = []
    for fill in ("neutral", "edge"):
        wider, where, placed, _ = node(
            "outpaint.nodes",
            "AstriaOutpaintCanvas",
            image=image,
            anchor="top-left",
            width=150,
            height=100,
            smaller="error",
            fill=fill,
            overlap_px=8,
            multiple=16,
        )
        painted = (wider + 0.1).clamp(0, 1).to(mask.device)
        made += [wider, where]
        made += node(
            "outpaint.nodes",
            "AstriaOutpaintComposite",
            canvas=placed,
            heal_seam=True,
            painted=painted,
        )[:1]
    return [*made, node("outpaint.nodes", "AstriaOutpaintMasks", canvas=placed, masks=mask)[0]]


def fitted(image: Tensor, mask: Tensor) -> list[Tensor]:
    size = {"width": 80, "height": 56, "multiple": 16}
    shown, where, fit = node("base.nodes", "AstriaFitImage", image=image, mask=mask, **size)[:3]
    whole = node("base.nodes", "AstriaRestoreSize", image=shown, fit=fit)[0]
    painted, drawn = ((1 - shown).to(mask.device), where.to(mask.device))
    kept = node("base.nodes", "AstriaMaskedComposite", painted=painted, original=shown, mask=drawn)[
        0
    ]
    return [shown, where, whole, kept]


def adjusted(image: Tensor, mask: Tensor) -> list[Tensor]:
    return [
        node(
            "masking.nodes",
            "AstriaAdjustMask",
            mask=one,
            invert=invert,
            dilate=dilate,
            shape=shape,
            feather_px=4,
        )[0]
        for one in (mask, mask.round())
        for shape in ("round", "square", "diamond")
        for invert, dilate in ((False, "6"), (True, "-5%"))
    ] + [load("comfyui_astria.nodes.masking.drawn").with_drawn(mask, DRAWN, 3, (WIDTH, HEIGHT))]


def found_by_words(image: Tensor, mask: Tensor) -> list[Tensor]:
    segmenter = load("comfyui_astria.tests.testpack.segmenter").ScriptedSegmenter()
    by_words = node(
        "masking.nodes",
        "AstriaPromptMask",
        image=image,
        segmenter=segmenter,
        mask_prompt="person",
        mask_negative="clothes",
        mask_invert=False,
        mask_dilate="3",
        shape="round",
        feather_px=2,
        threshold=0.4,
        on_empty="error",
    )[0]
    people = node(
        "masking.nodes",
        "AstriaFindPeople",
        image=image[:1],
        segmenter=segmenter,
        persons=2,
        word="person",
    )[0]
    return [by_words, people]


def finished(image: Tensor, mask: Tensor) -> list[Tensor]:
    looks = load("comfyui_astria.nodes.finish.looks").LOOKS
    graded = [
        node("finish.nodes", "AstriaColorGrading", image=image, look=look, strength=0.7)[0]
        for look in list(looks)[:3]
    ]
    grain = {"strength": 0.5, "size": 1.5, "color": 0.3, "seed": 5}
    grained = node("finish.nodes", "AstriaFilmGrain", image=image, **grain)[0]
    cube = load("comfyui_astria.nodes.finish.cube")
    table = cube.Cube(torch.rand(4, 4, 4, 3), torch.zeros(3), torch.ones(3))
    tabled = [
        cube.apply_cube(image, one) for one in (table, replace(table, table=torch.rand(5, 3)))
    ]
    enlarged = load("comfyui_astria.nodes.finish.upscale").enlarge(
        image, 3.0, 2, lambda one: one.repeat_interleave(2, 1).repeat_interleave(2, 2)
    )
    cut = load("comfyui_astria.nodes.finish.cutout").cut_out(image, mask)
    depth = load("comfyui_astria.nodes.control.depth").depth_map(image[..., 0] + 1)
    return [*graded, grained, *tabled, enlarged, cut, depth]


def painted_faces(image: Tensor, mask: Tensor) -> list[Tensor]:
    """Faces swapped, restored and pasted, with a part of the picture and of the heads kept."""

    def parts(crops: Tensor) -> Tensor:
        return (crops[..., 0] * 8).long()

    def swapped(crop: Tensor, latent: np.ndarray) -> Tensor:
        return 1 - crop.cpu()  # as onnxruntime hands it back

    keep = load("comfyui_astria.nodes.swap.keep")
    some = keep.Keep(keep.mask_of(mask, image), parts)
    latents = [[np.zeros(512, np.float32)] * len(each) for each in FACES]
    swap = load("comfyui_astria.nodes.swap.faces").swap
    restore = load("comfyui_astria.nodes.swap.restore").restore
    plan = load("comfyui_astria.nodes.redraw.plan")
    crop = load("comfyui_astria.nodes.redraw.crop")
    made: list[Tensor] = []
    for one in (keep.EVERYTHING, some):
        changed = swap(image, FACES, latents, Network(swapped), 0.2, lambda: None, one)
        restored = restore(image, FACES, lambda crops: 1 - crops, 64, 0.6, one)
        made += [changed.images, changed.masks, restored.images, restored.masks]
    planned = plan.plan_faces(image, FACES, [], None, crop.CropOptions(64, 1.5, 0.25, 16), "scene")
    drawn = [1 - crop.cut(image[face.crop.image], face.crop) for face in planned]
    return [*made, *plan.finish(image, planned, drawn)[:2], *drawn]


class Network:
    """A face swapper of 112 px."""

    size = 112

    def __init__(self, run: Callable[[Tensor, np.ndarray], Tensor]) -> None:
        self._run = run

    def __call__(self, crop: Tensor, latent: np.ndarray) -> Tensor:
        return self._run(crop, latent)


def joined(image: Tensor, mask: Tensor) -> list[Tensor]:
    """Pictures of a list, and a changed picture with the alpha of the one before."""
    other = (1 - image).to(mask.device)
    alpha = load("comfyui_astria.nodes.host.tensors").with_alpha_of
    before = torch.cat([other, other[..., :1]], -1)
    return [load("comfyui_astria.nodes.base.batch").one_batch([image, other]), alpha(image, before)]


def shown_masked(image: Tensor, mask: Tensor) -> list[Tensor]:
    """What Z-Image's ControlNet sees of a masked picture, with a map beside it, as a latent."""
    vae = SimpleNamespace(
        encode=lambda pixels: F.avg_pool2d(pixels.movedim(-1, 1).cpu(), 8)[:, [0] * 16]
    )
    patches = load("comfyui_astria.nodes.control.host.inpaint_patch")
    control = mask[..., None].expand(-1, -1, -1, 3)
    masked = load("comfyui_astria.nodes.control.masked").Masked(image, mask, control)
    network = SimpleNamespace(model=SimpleNamespace(additional_in_dim=17))
    return [patches.InpaintPatch(network, vae, masked, 1.0).encoded_image]


STAGES = (outpainted, fitted, adjusted, found_by_words, finished, painted_faces, joined)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["fp32", "fp16"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_stays_on_the_gpu(
    stage: Callable[[Tensor, Tensor], list[Tensor]],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = smooth_picture(WIDTH, HEIGHT, batch=2).to(dtype)
    mask = smooth_picture(WIDTH, HEIGHT, batch=2, channels=1)[..., 0]
    torch.manual_seed(0)
    expected = stage(image, mask)
    with attached(monkeypatch) as gpu:
        torch.manual_seed(0)
        made = stage(gpu.holding(image), gpu.holding(mask))
        assert {one.device for one in made} == {GPU}
        for one, other in zip(made, expected, strict=True):
            torch.testing.assert_close(one.cpu(), other, atol=0, rtol=0, equal_nan=True)


@pytest.mark.parametrize("is_picture_there", [True, False], ids=["picture", "mask"])
@pytest.mark.parametrize(
    "stage", [outpainted, fitted, finished, painted_faces, joined, shown_masked]
)
def test_a_picture_and_its_mask_may_lie_on_two_devices(
    stage: Callable[[Tensor, Tensor], list[Tensor]],
    is_picture_there: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --gpu-only too, some nodes of others make pictures or masks on the CPU."""
    image = smooth_picture(WIDTH, HEIGHT, batch=2)
    mask = smooth_picture(WIDTH, HEIGHT, batch=2, channels=1)[..., 0]
    torch.manual_seed(0)
    expected = stage(image, mask)
    with attached(monkeypatch) as gpu:
        torch.manual_seed(0)
        pair = (gpu.holding(image), mask) if is_picture_there else (image, gpu.holding(mask))
        made = [one.cpu() for one in stage(*pair)]
    torch.testing.assert_close(made, expected, atol=0, rtol=0, equal_nan=True)
