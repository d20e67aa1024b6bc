"""Face inpainting: its own work on the picture, the number of sampler calls, what a LoRA for each
face costs in a step, and memory.

`python dev.py bench faces` runs it. Crop and paste are held against the host's own nodes on the
same faces, and beside what Inpaint Crop and Stitch (3.0.9, CPU, `mask_fill_holes` off) was measured
to take for the same picture on another day.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from comfyui_astria.bench._figures import figure, in_own_process, interleaved_medians_ms
from comfyui_astria.bench._models import SD15, lora_of, model_of

RUNS, STEP_RUNS = 5, 3
SIDE, TARGET = 2048, 1024
BOXES = (
    (300, 300, 480, 540),
    (900, 340, 1090, 600),
    (1500, 280, 1660, 490),
    (700, 1300, 1000, 1700),
)
STITCH_MS = (570.0, 170.0)  # crop and stitch per face
WIDTH, TOKENS, FACES = 768, 77, 2  # of the full-width SD1.5 that steps are measured on
MOST_FOR_LORAS = 1.15  # times a plain batch
# Memory beside picture and drawings: the result, the mask, one face's windows, and what libraries
# take on first use.
MOST_PICTURES = 3.0


def run() -> list[dict]:
    """Return the figures."""
    threads = torch.get_num_threads()
    try:
        figures = [*_pixels(), *_memory()]
        torch.set_num_threads(1)
        return [*figures, *_calls(), *_lora_steps()]
    finally:
        torch.set_num_threads(threads)


def _picture() -> torch.Tensor:
    return (
        torch.rand(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0)).mul_(0.6).add_(0.2)
    )


def _crops(boxes: Sequence[tuple[float, ...]] = BOXES) -> list:
    from comfyui_astria.nodes.faces.face import Face
    from comfyui_astria.nodes.redraw.crop import CropOptions, plan_crop

    options = CropOptions(TARGET, 2.0, 0.25, 8)
    return [
        plan_crop(Face(box), 0, number, (SIDE, SIDE), options) for number, box in enumerate(boxes)
    ]


def _pixels() -> list[dict]:
    """Crop and paste of each face, its own and by the host's nodes, and what both do to pixels."""
    from comfyui_astria.nodes.redraw.blend import paste_faces
    from comfyui_astria.nodes.redraw.crop import cut

    image, crops = _picture(), _crops()
    drawn = [cut(image[0], crop) for crop in crops]
    cut_ms, paste_ms, host_ms = interleaved_medians_ms(
        RUNS,
        lambda: [cut(image[0], crop) for crop in crops],
        lambda: paste_faces(image, list(zip(crops, drawn, strict=True))),
        lambda: _hosts(image, crops),
    )
    pasted, mask = paste_faces(image, list(zip(crops, drawn, strict=True)))
    outside = (pasted - image)[mask == 0].abs().max().item()
    inside = mask > 0
    own_shift, host_shift = (
        ((one - image)[inside].mean() * 255).abs().item() for one in (pasted, _hosts(image, crops))
    )
    return [
        *_times(len(crops), cut_ms, paste_ms, host_ms),
        figure("greatest change outside the masks", outside, "0..1", outside == 0.0),
        figure("mean shift of unchanged faces", own_shift, "/255", own_shift < 0.05),
        figure("mean shift of unchanged faces by the host's nodes", host_shift, "/255"),
    ]


def _times(faces: int, cut_ms: float, paste_ms: float, host_ms: float) -> list[dict]:
    ratio = (cut_ms + paste_ms) / host_ms
    title = f"{faces} faces in {SIDE}x{SIDE}, drawn at {TARGET}"
    return [
        figure(f"{title}: crop, a face", cut_ms / faces, "ms"),
        figure(f"{title}: paste, a face", paste_ms / faces, "ms"),
        figure("Inpaint Crop and Stitch, a face: crop (another day)", STITCH_MS[0], "ms"),
        figure("Inpaint Crop and Stitch, a face: stitch (another day)", STITCH_MS[1], "ms"),
        figure("host's Crop, Upscale and Composite nodes, a face", host_ms / faces, "ms"),
        figure(f"{title}: crop + paste / the host's nodes", ratio, "ratio", ratio < 1.0),
    ]


def _hosts(image: torch.Tensor, crops: Sequence[Any]) -> torch.Tensor:
    """The same by the host's nodes.

    One face after the other cut, scaled up, scaled back and composited with its mask.
    """
    from comfy_extras.nodes_mask import ImageCompositeMasked
    from comfyui_astria.nodes.redraw.crop import window_mask

    from nodes import ImageScale  # the host's

    scale, result = ImageScale(), image
    for crop in crops:
        window = image[:, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        [large] = scale.upscale(
            window, "lanczos", crop.target_width, crop.target_height, "disabled"
        )
        [back] = scale.upscale(large, "lanczos", crop.width, crop.height, "disabled")
        mask = window_mask(crop, crop.width, crop.height)[None]
        result = ImageCompositeMasked.execute(
            result, back, crop.left, crop.top, False, mask
        ).result[0]
    return result


def _memory() -> list[dict]:
    """The greatest memory of a process that crops and pastes, in pictures beside one that only
    holds the picture.
    """
    if not Path("/proc/self/status").exists():
        return []
    base = _peak_mib(0)
    picture = SIDE * SIDE * 3 * 4 / 2**20
    figures = []
    for faces in (4, 16):
        drawings = faces * TARGET * TARGET * 3 * 4 / 2**20
        pictures = (_peak_mib(faces) - base - drawings) / picture
        name = f"{faces} faces: memory beside picture and drawings, in pictures"
        figures.append(figure(name, pictures, "ratio", pictures <= MOST_PICTURES))
    return figures


def _peak_mib(faces: int) -> float:
    return in_own_process("faces", "peak_mib_of_faces", faces)


def _crop_and_paste(faces: int) -> None:
    from comfyui_astria.nodes.redraw.blend import paste_faces
    from comfyui_astria.nodes.redraw.crop import cut

    grid = [
        (150 + 500 * column, 150 + 500 * row, 350 + 500 * column, 350 + 500 * row)
        for row in range(4)
        for column in range(4)
    ]
    image, crops = _picture(), _crops(grid[:faces])
    if crops:
        paste_faces(image, [(crop, cut(image[0], crop)) for crop in crops])


def _calls() -> list[dict]:
    """Sampler calls for many faces in one picture, with the tiny SD1.5."""
    figures = []
    for faces in (1, 4, 8):
        _, calls = _draw("sd15", faces, 64)
        figures.append(
            figure(f"{faces} face(s) in one picture: sampler calls", calls, "calls", calls == 1)
        )
    return figures


def _lora_steps() -> list[dict]:
    """A step of the full-width SD1.5 with a LoRA for each face, against the same batch without, run
    just before it.
    """
    from comfyui_astria.nodes.regions.host.loras import apply_gated_loras
    from comfyui_astria.nodes.regions.lora import RegionLora
    from comfyui_astria.nodes.regions.run import RegionRun

    model, link = model_of(SD15, torch.device("cpu")), RegionRun()
    loras = [
        RegionLora(number, lora_of(model, number), 1.0, f"person {number}")
        for number in range(1, FACES + 1)
    ]
    patched = apply_gated_loras(model, loras, link, items=True)
    gate = torch.eye(FACES + 1)[:, 1:]
    plain_s, ratios = [], []
    for _ in range(STEP_RUNS):
        plain_s.append(_step_s(model, None, gate))
        ratios.append(_step_s(patched, link, gate) / plain_s[-1])
    ratio = statistics.median(ratios)
    return [
        figure(
            f"{FACES} faces in a batch, full-width SD1.5 at 256 px, step",
            statistics.median(plain_s),
            "s",
        ),
        figure(
            f"{FACES} faces, each with a LoRA of their own / without",
            ratio,
            "ratio",
            ratio <= MOST_FOR_LORAS,
        ),
    ]


def _step_s(model: Any, link: Any, gate: torch.Tensor) -> float:
    """Return the CPU time of the quicker of a run's second and third step."""
    import comfy.sample
    from comfyui_astria.nodes.regions.run import Forward

    def with_rows(executor: Callable, x: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        link.forward = Forward.of_items(gate.repeat(1, x.shape[0] // gate.shape[1]))
        try:
            return executor(x, *rest, **named)
        finally:
            link.forward = None

    timed = model.clone()
    if link is not None:
        timed.add_wrapper_with_key("apply_model", "bench", with_rows)
    ends_s: list[float] = []
    noise = torch.randn(gate.shape[1], 4, 32, 32, generator=torch.Generator().manual_seed(0))
    text = [[torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)), {}]]
    comfy.sample.sample(
        timed,
        noise,
        3,
        1.0,
        "euler",
        "normal",
        text,
        text,
        torch.zeros_like(noise),
        disable_pbar=True,
        callback=lambda *_: ends_s.append(time.process_time()),
        seed=0,
    )
    return min(later - earlier for earlier, later in pairwise(ends_s))


def _draw(family: str, faces: int, size: int) -> tuple[list, int]:
    """Draw that many faces of one picture with a tiny model."""
    from comfyui_astria.nodes.base.host.sampling import ImageNoise, make_sampler
    from comfyui_astria.nodes.faces.face import Face
    from comfyui_astria.nodes.redraw.crop import CropOptions
    from comfyui_astria.nodes.redraw.host.sampling import FaceDrawing, draw_faces
    from comfyui_astria.nodes.redraw.plan import plan_faces
    from comfyui_astria.tests.testpack.families import load_family

    image = torch.rand(1, 256, 1024, 3, generator=torch.Generator().manual_seed(0))
    found = [
        Face((20.0 + 120 * number, 80.0, 80.0 + 120 * number, 150.0)) for number in range(faces)
    ]
    planned = plan_faces(image, [found], [], None, CropOptions(size, 2.0, 0.25, 8), "scene")
    model, _, vae = load_family(family, 0)
    text = [[torch.randn(1, 8, 64, generator=torch.Generator().manual_seed(1)), {}]]
    sigmas = torch.tensor([5.0, 1.0, 0.0])
    return draw_faces(
        image,
        planned,
        FaceDrawing(
            model, vae, text, text, ImageNoise(0), make_sampler("euler_ancestral"), sigmas, 7.0
        ),
    )


def peak_mib_of_faces(faces: str) -> float:
    """Return the greatest memory of this process, which crops and pastes so many faces.

    It runs without ComfyUI.
    """
    _crop_and_paste(int(faces))
    # Not getrusage: it gives the parent's peak to a child. A system without this file has no such
    # figure.
    [peak] = re.findall(
        r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE
    )
    return int(peak) / 1024
