"""What reading a prompt costs.

Milliseconds for one of 2,000 characters, and how the cost per character grows with the length.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter

from comfyui_astria.bench._figures import figure

LENGTH = 2_000
BUDGET_MS = 2.0
GROWTH = 100
# Per character a long text may cost this much more than a short one; a quadratic rule would cost
# about GROWTH times as much.
MOST_GROWTH = 4.0

_SCENE = (
    "Dramatic 1940s film noir scene, (couple:1.2) standing together, wooden paneled background,"
    " ((soft light)), ready-to-wear clothes, "
)
_PERSON = (
    "\nBREAK <lora:1533312:1.0> ohwx woman with determined expression, retro updo hairstyle,"
    " <easynegative> bright [red] lipstick, "
)
_FLAGS = (
    "--mask_prompt windows door --mask_dilate -20% --outpaint center --outpaint_width 1792"
    ' --outpaint_height 1024 --outpaint_prompt "fields"'
)
_BLOCK = """
num_images=4
negative_prompt=clay, text, watermark, padding, cropped, typography
seed=43
steps=30
cfg_scale=
controlnet=
input_image_url=
mask_image_url=
denoising_strength=
controlnet_conditioning_scale=
controlnet_txt2img=false
super_resolution=true
inpaint_faces=false
face_correct=false
film_grain=false
face_swap=false
hires_fix=true
backend_version=1
ar=1:1
scheduler=dpm++sde_karras
color_grading=
use_lpw=true
w=1024
h=576
"""


def prompt_of(length: int) -> str:
    """Return a prompt of exactly that many characters, with everything people paste.

    Persons, tags, weights, flags and the block.
    """
    body_length = length - len(_FLAGS) - len(_BLOCK) - 1
    repeats = body_length // len(_SCENE + _PERSON) + 1
    # Cut at a word: half a tag would be an error.
    body = (_SCENE + _PERSON + _SCENE * 2) * repeats
    body = body[: body.rindex(", ", 0, body_length) + 1] if body_length > 0 else ""
    return f"{body.ljust(body_length)} {_FLAGS}{_BLOCK}"


def milliseconds(action: Callable[[], object], runs: int) -> float:
    """Return the median time of one call."""
    times = []
    for _ in range(runs):
        start = perf_counter()
        action()
        times.append(perf_counter() - start)
    return median(times) * 1000


def _held(name: str, value: float, unit: str, most: float) -> dict[str, object]:
    return figure(name, round(value, 3), unit, value <= most)


def run() -> list[dict[str, object]]:
    """Return the figures; the pack must be loaded."""
    from comfyui_astria.nodes.prompt import PromptRequest, parse

    short, long = prompt_of(LENGTH), prompt_of(LENGTH * GROWTH)
    PromptRequest.require(long)  # a prompt with errors would be cheaper
    request_ms = milliseconds(lambda: PromptRequest.from_text(short), 300)
    tree_ms = milliseconds(lambda: parse(short), 300)
    growth = milliseconds(lambda: PromptRequest.from_text(long), 5) / request_ms / GROWTH
    return [
        _held(
            f"prompt of {len(short):,} characters -> request, median", request_ms, "ms", BUDGET_MS
        ),
        _held(
            f"prompt of {len(short):,} characters -> tree and diagnostics, median",
            tree_ms,
            "ms",
            BUDGET_MS,
        ),
        _held(
            f"cost per character, {len(long):,} against {len(short):,}",
            growth,
            "ratio",
            MOST_GROWTH,
        ),
    ]
