"""The main job on a real photo.

The outpainting prompts through a real ComfyUI, every stage's invariant checked, and a contact
sheet.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
import torch
from PIL import Image, ImageOps

from ..nodes.graph.graph import api_workflow
from ..nodes.outpaint.fill import FILL_BLUR_PX, canvas_mask, edge_extended, neutral
from ..nodes.outpaint.geometry import Canvas, place
from ..nodes.pipeline.compiling import Compiled, compile_request
from ..nodes.prompt import PromptRequest
from ..smallworld import model_files
from . import demo_world, small_world
from .client import images_of
from .console import say
from .contact_sheet import Cell, contact_sheet
from .demo_models import PHOTO, Wiring, bound_wirings, picture_of, tiny_wirings
from .environment import Environment
from .host import Host, HostOptions, has_accelerator
from .paths import BASE, DEV, ROOT
from .report import Figure
from .testmodels import with_test_models
from .world_sheet import world_sheet

OUTPUT = ROOT / "demo_output"
PROMPTS = ("outpaint_only", "outpaint_text_to_image", "outpaint_second_person")
SEED = 43
TINY_STEPS = 4
TINY_SCALE = 4  # on a CPU the tiny models paint the prompts' sizes divided by this


@dataclass(frozen=True)
class Run:
    """One prompt on one wiring.

    What AstriaGenerate gave, and the same request's stages from its compiled workflow.
    """

    prompt: str
    wiring: Wiring
    request: PromptRequest
    result: numpy.ndarray
    stages: dict[str, numpy.ndarray]
    seconds: float


def run(environment: Environment, argv: Sequence[str]) -> list[Figure]:
    """Run every prompt on every wiring, write pictures and contact sheet to demo_output/, and
    return the checks. Without models of the user's own the small world shows what there is to show,
    and where it has none tiny random ones do.
    """
    wirings = bound_wirings(environment)
    if not wirings and (families := model_files.families()):
        return _small_world(environment, families)
    real = bool(wirings)
    cpu = not has_accelerator(environment.python)
    base = BASE if real else DEV / "demo"
    if real:
        say(f"- using your own models: {', '.join(wiring.title for wiring in wirings)}")
    else:
        wirings = tiny_wirings(base)
        say(
            "- no base tune is bound, so this runs on tiny random models: whatever they paint is"
            " noise, and labelled as such"
        )
        say("  bind your own: python dev.py bind base.1504944.checkpoint FILE")
    say("- starting ComfyUI")
    started = time.monotonic()
    with Host(environment, HostOptions(base, test_pack=not real, cpu=cpu)) as host:
        host.client.upload_image(_png(photo()), PHOTO)
        runs = [_run(host, wiring, prompt, real) for wiring in wirings for prompt in PROMPTS]
    figures = [figure for one in runs for figure in _checks(one)]
    figures.append(
        {"name": "whole demo", "value": time.monotonic() - started, "unit": "s", "ok": None}
    )
    _write(runs, real)
    return figures


def _small_world(environment: Environment, families: Sequence[str]) -> list[Figure]:
    say("- no base tune is bound, so this paints a small drawn world, whose pictures can be read")
    say("  bind your own: python dev.py bind base.1504944.checkpoint FILE")
    for line in (line for family in families for line in demo_world.missing(family)):
        say(f"  {line}")
    say("- starting ComfyUI")
    started = time.monotonic()
    cpu = not has_accelerator(environment.python)
    shown = []
    with Host(environment, HostOptions(DEV / "demo", small_world=True, cpu=cpu)) as host:
        demo_world.draw_inputs(host.base)
        for family in families:
            small_world.write_bindings(host.base, family)
            for case in demo_world.CASES:
                if not case.lacks(family):
                    shown.append(demo_world.show(host, case, family, time.monotonic))
                    say(f"  {family}, {case.title}: {shown[-1].seconds:.1f} s")
    OUTPUT.mkdir(exist_ok=True)
    world_sheet(shown).save(OUTPUT / "small_world.png")
    say(f"- everything on {_relative(OUTPUT / 'small_world.png')}")
    figures = [
        {**figure, "name": f"{one.family}: {one.case.title}: {figure['name']}"}
        for one in shown
        for figure in one.figures
    ]
    seconds = time.monotonic() - started
    return [*figures, {"name": "whole demo", "value": seconds, "unit": "s", "ok": None}]


def _run(host: Host, wiring: Wiring, prompt: str, real: bool) -> Run:
    request = _request(prompt, real)
    compiled = compile_request(
        request, wiring.resolver, wiring.options(request, SEED, save_stages=True)
    )
    started = time.monotonic()
    result = _picture(host, _prepared(wiring.generate_graph(request, SEED), wiring), "output.save")
    seconds = time.monotonic() - started
    stages = _stages(host, compiled, wiring)
    say(f"  {wiring.title}, {prompt}: {result.shape[1]}x{result.shape[0]} in {seconds:.1f} s")
    return Run(prompt, wiring, request, result, stages, seconds)


def _request(prompt: str, real: bool) -> PromptRequest:
    request = PromptRequest.require(
        (ROOT / "workflows" / "prompts" / f"{prompt}.txt").read_text(encoding="utf-8")
    )
    if real:
        return request
    sizes = {
        key: getattr(request, key) // TINY_SCALE
        for key in ("w", "h", "outpaint_width", "outpaint_height")
    }
    return replace(request, steps=TINY_STEPS, **sizes)


def _prepared(graph: dict, wiring: Wiring) -> dict:
    return (
        with_test_models(graph, wiring.family, by_file=wiring.stand_ins)
        if wiring.stand_ins is not None
        else graph
    )


def _stages(host: Host, compiled: Compiled, wiring: Wiring) -> dict[str, numpy.ndarray]:
    entry = host.client.run(_prepared(api_workflow(compiled.graph), wiring), timeout_s=3600)
    return {
        stage: numpy.asarray(picture_of(host.client, images_of(entry, f"output.save_{stage}")[0]))
        for stage in compiled.plan.stage_outputs
    }


def _picture(host: Host, graph: dict, node: str) -> numpy.ndarray:
    entry = host.client.run(graph, timeout_s=3600)
    return numpy.asarray(picture_of(host.client, images_of(entry, node)[0]))


def photo() -> Image.Image:
    """Return scikit-image's public-domain photo of the astronaut Eileen Collins, 512x512."""
    from skimage import data

    return Image.fromarray(data.astronaut())


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _checks(one: Run) -> list[Figure]:
    """Return each stage's invariant, held against pictures as saved (8 bits a channel)."""
    request, stages = one.request, one.stages
    source = stages["base"] if "base" in stages else stages["input"]
    outpainted = stages["outpaint"]
    canvas = place(
        source.shape[1],
        source.shape[0],
        request.outpaint_width,
        request.outpaint_height,
        request.outpaint,
    )
    window = canvas.window
    kept = outpainted[window.y : window.y + window.height, window.x : window.x + window.width]
    results = {
        "source size": source.shape[:2] == (request.h, request.w),
        "canvas size": outpainted.shape[:2] == (canvas.height, canvas.width),
        "source window bit-identical": numpy.array_equal(kept, source),
        "new area painted": _painted(outpainted, source, canvas),
        "AstriaGenerate equals the compiled workflow": numpy.array_equal(
            one.result, list(stages.values())[-1]
        ),
    }
    if "input" in stages:
        results["source is the photo"] = _is_photo(source)
    if "super_resolution" in stages:
        results["super-resolution size 4x"] = stages["super_resolution"].shape[:2] == (
            4 * canvas.height,
            4 * canvas.width,
        )
    name = f"{one.wiring.title}: {one.prompt}"
    figures: list[Figure] = [
        {"name": f"{name}: {what}", "value": bool(ok), "unit": "", "ok": bool(ok)}
        for what, ok in results.items()
    ]
    return [*figures, {"name": f"{name}: time", "value": one.seconds, "unit": "s", "ok": None}]


def _is_photo(source: numpy.ndarray) -> bool:
    """Say whether the source is the photo, scaled to cover and cropped about its centre, as Pillow
    does it.
    """
    height, width = source.shape[:2]
    expected = ImageOps.fit(photo(), (width, height), Image.Resampling.BICUBIC)
    return bool(numpy.abs(numpy.asarray(expected).astype(int) - source).mean() < 2)


def _painted(outpainted: numpy.ndarray, source: numpy.ndarray, canvas: Canvas) -> bool:
    """Say whether nearly all of the new area is neither the grey nor the extended edge that the
    model was given to start from.
    """
    fitted = torch.from_numpy(source / 255.0).float()[None]
    starts = (neutral(fitted, canvas), edge_extended(fitted, canvas, blur_px=FILL_BLUR_PX))
    x, y = canvas.padded_offset
    finished = slice(y, y + canvas.height), slice(x, x + canvas.width)
    new = canvas_mask(canvas, 1)[0][finished].numpy() == 1
    for start in starts:
        levels = (start[0][finished].numpy() * 255).round()
        if (numpy.abs(levels - outpainted).max(axis=-1) > 2)[new].mean() < 0.9:
            return False
    return True


def _write(runs: Sequence[Run], real: bool) -> None:
    OUTPUT.mkdir(exist_ok=True)
    cells = []
    for one in runs:
        path = OUTPUT / f"{one.wiring.name}_{one.prompt}.png"
        Image.fromarray(one.result).save(path)
        request = one.request
        source = one.stages["base"] if "base" in one.stages else one.stages["input"]
        canvas = place(
            source.shape[1],
            source.shape[0],
            request.outpaint_width,
            request.outpaint_height,
            request.outpaint,
        )
        cells.append(
            Cell(
                one.wiring.title,
                one.prompt,
                Image.fromarray(one.stages["outpaint"]),
                canvas,
                "base" in one.stages,
            )
        )
    sheet = contact_sheet(cells, real)
    sheet.save(OUTPUT / "contact_sheet.png")
    told = [{"wiring": one.wiring.title, "prompt": one.request.to_text()} for one in runs]
    (OUTPUT / "runs.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    say(
        f"- pictures: {_relative(OUTPUT)}/, all of them on"
        f" {_relative(OUTPUT / 'contact_sheet.png')}"
    )


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT)
