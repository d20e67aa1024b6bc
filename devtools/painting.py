"""What the example workflows give, painted by the small drawn world: `python dev.py paint`.

Every example that the world has the models for is run in the world's words and sizes; the result
is kept beside the prompts, and the thumbnails are drawn anew. Those that lack a model keep their
diagram.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from ..nodes.errors import AstriaError
from ..nodes.graph.graph import Graph, api_workflow
from ..nodes.prompt import PromptRequest
from . import small_world
from .client import images_of
from .console import DevError, say
from .demo_models import picture_of
from .environment import Environment
from .host import Host, HostOptions, has_accelerator
from .paths import DEV
from .thumbnails import BEFORE, PAINTED, thumbnail
from .workflows import names, ui_file

STEPS, GUIDANCE = 20, {"sd15": 4}  # what its pictures are truest at
NATIVE_PX, LONG_PX = 128, 192  # the sides of pictures that its models learned from
BEFORE_HIRES_PX = 88  # between them and what is painted at twice the size
QUALITY = 92
MAX_SIDE = 512  # of what is kept, which no thumbnail exceeds
_SAVED = "output.save"
_SIZES = ("w", "h", "outpaint_width", "outpaint_height")


def run(environment: Environment, argv: Sequence[str]) -> int:
    """Paint the examples that are named, or all, and draw their thumbnails.

    Raises: DevError for a name that no example has, before anything is painted.
    """
    chosen = list(argv) or names()
    if unknown := [name for name in chosen if name not in names()]:
        raise DevError(
            f"There is no example {', '.join(map(repr, unknown))}.", f"One of {', '.join(names())}."
        )
    family = small_world.require_families()[0]
    PAINTED.mkdir(exist_ok=True)
    cpu = not has_accelerator(environment.python)
    say("- starting ComfyUI")
    with Host(environment, HostOptions(DEV / "painting", small_world=True, cpu=cpu)) as host:
        small_world.furnish(host, family)
        for name in chosen:
            for old in PAINTED.glob(f"{name}.*jpg"):
                old.unlink()
            try:
                graph, _ = small_world.template(name, at_its_best, of_any_base=True)
            except AstriaError as error:
                say(f"- {name}: a diagram. {error.message.splitlines()[0].partition('. ')[0]}")
                continue
            if _SAVED not in graph.nodes:
                say(f"- {name}: a diagram. It saves no picture.")
                continue
            _paint(host, name, graph)
            say(f"- {name}: painted")
    for name in chosen:
        ui_file(name).with_suffix(".jpg").write_bytes(thumbnail(name))
    return 0


def at_its_best(request: PromptRequest, family: str) -> PromptRequest:
    """Return a request for one picture, with the steps, the guidance and the sizes that suit the
    world's models.
    """
    given = {key: side for key in _SIZES if (side := getattr(request, key)) is not None}
    short, most = min(given.values(), default=NATIVE_PX), max(given.values(), default=NATIVE_PX)
    if request.outpaint is not None:
        short = min(request.outpaint_width, request.outpaint_height)
    is_painted_larger = request.hires_fix or request.tiled_upscale or request.tiled_upscale_v2
    # Several people have too little room on a small picture, whatever becomes of it.
    is_small = is_painted_larger and len(request.persons) < 2
    scale = (BEFORE_HIRES_PX if is_small else NATIVE_PX) / short
    longest = round(most * scale) if request.outpaint is not None else LONG_PX
    sizes = {key: min(longest, round(side * scale / 8) * 8) for key, side in given.items()}
    guidance = GUIDANCE.get(family)
    return replace(request, num_images=1, steps=STEPS, cfg_scale=guidance, **sizes)


def _paint(host: Host, name: str, graph: Graph) -> None:
    entry = host.client.run(api_workflow(graph), timeout_s=3600)
    _keep(picture_of(host.client, images_of(entry, _SAVED)[0]), PAINTED / f"{name}.jpg")
    given = [call for call in graph.nodes.values() if call.name == "input.image"]
    for call in given:
        with Image.open(host.base / "input" / str(call.inputs["image"])) as picture:
            _keep(picture.convert("RGB"), PAINTED / f"{name}{BEFORE}.jpg")


def _keep(picture: Image.Image, path: Path) -> None:
    picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    picture.save(path, quality=QUALITY, optimize=True)
