"""Which stages a request asks for, in the pipeline's order."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from ...errors import MissingModelError, PlanError
from ...prompt import PromptRequest
from ...prompt.source import Severity
from ...tunes.file_search import Missing
from .settings import Inputs, Settings

UPSCALE_FACTOR = 4
HIRES_FACTOR = 2


@dataclass(frozen=True)
class Problem:
    """Something that keeps a request from running (`error`), or that its author should know
    (`info`, `warning`).

    `is_nodes`: a node of the plan tells it too once it has run, so that a run's report leaves it to
    that one.
    """

    code: str
    severity: Severity
    message: str
    hint: str = ""
    is_nodes: bool = False

    def render(self) -> str:
        return f"{self.message} {self.hint}".strip()


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    What it does, why it runs, how large its result is and what is checked on it.
    """

    name: str
    kind: str
    why: str
    size: str
    invariant: str = ""


def stages(
    request: PromptRequest, settings: Settings, inputs: Inputs, without: Container[str] = ()
) -> tuple[Stage, ...]:
    """Return the stages of the request in the order of the pipeline.

    Those named in `without` are left out; what they would have enlarged keeps its size.
    """
    found: list[Stage] = []
    size = f"{settings.width}x{settings.height}" if settings.width else "the input image's size"
    base = _base_stage(request, settings, inputs, size)
    if base:
        found.append(base)
    if request.outpaint is not None:
        size = f"{request.outpaint_width}x{request.outpaint_height}"
        found.append(
            Stage(
                "outpaint",
                "outpaint",
                f"--outpaint {request.outpaint}",
                size,
                "source window bit-identical",
            )
        )
    hires = _hires_stage(request, size) if "hires_fix" not in without else None
    if hires:
        found.append(hires)
    enlarged = _enlarged_by(request) if "super_resolution" not in without else ""
    if enlarged:
        size = _times(UPSCALE_FACTOR, size)
        found.append(Stage("super_resolution", "upscale model", enlarged, size))
    elif hires:
        size = hires.size
    for name, wanted, why, invariant in _finishing(request):
        if wanted:
            found.append(Stage(name, name.replace("_", " "), why, size, invariant))
    return tuple(stage for stage in found if stage.name not in without)


def _base_stage(
    request: PromptRequest, settings: Settings, inputs: Inputs, size: str
) -> Stage | None:
    if not paints_base(request, settings, inputs):
        return None
    if not inputs.has_image:
        return Stage("base", "txt2img", "no input image", size)
    if inputs.has_mask:
        return Stage(
            "base", "inpaint", "an input image and a mask", size, "unmasked pixels bit-identical"
        )
    if request.mask_prompt:
        return Stage(
            "base",
            "inpaint",
            f"an input image and --mask_prompt {' '.join(request.mask_prompt)}",
            size,
            "unmasked pixels bit-identical",
        )
    if keeps_background(request):
        why = "no base and no common prompt: only the people change"
        return Stage("base", "inpaint", why, size, "pixels outside the people bit-identical")
    if steers_only(request):
        return Stage(
            "base",
            "txt2img",
            "controlnet_txt2img=true: the input image steers through the ControlNet only",
            size,
        )
    return Stage(
        "base", "img2img", f"an input image, denoising_strength={settings.denoise:g}", size
    )


def paints_base(request: PromptRequest, settings: Settings, inputs: Inputs) -> bool:
    """Say whether there is a first sampling, or the input image goes to the later stages as
    it is.
    """
    return not request.only_upscale and not (inputs.has_image and settings.denoise == 0)


def samples_again(request: PromptRequest) -> bool:
    """Say whether the picture is enlarged and sampled a second time, whole or in tiles."""
    return bool(request.hires_fix or request.tiled_upscale or request.tiled_upscale_v2)


def keeps_background(request: PromptRequest) -> bool:
    """Say whether only the people of an input image are to change.

    The prompt starts BREAK BREAK.
    """
    return bool(request.persons) and request.base.is_empty and request.common.is_empty


def steers_only(request: PromptRequest) -> bool:
    """Say whether the input image acts through ControlNets alone and is not painted over."""
    return bool(request.controlnet_txt2img) and (
        request.controlnet is not None or bool(request.controlnets)
    )


def _hires_stage(request: PromptRequest, size: str) -> Stage | None:
    """The second sampling at twice the size.

    hires_fix, tile by tile where a tiled upscale is asked for.
    """
    size = _times(HIRES_FACTOR, size)
    for name in ("tiled_upscale_v2", "tiled_upscale"):
        if getattr(request, name):
            return Stage("hires_fix", "tiled upscale", f"--{name}", size)
    return Stage("hires_fix", "hires fix", "hires_fix=true", size) if request.hires_fix else None


def _enlarged_by(request: PromptRequest) -> str:
    """Return what asks for super-resolution, empty when nothing does."""
    if request.super_resolution:
        return "super_resolution=true"
    turned_on = (
        ("inpaint_faces=true", request.inpaint_faces),
        ("hires_fix=true", request.hires_fix),
        ("--upscale_v4", request.upscale_v4),
    )
    tiled = request.tiled_upscale or request.tiled_upscale_v2
    alone = ("--only_upscale", request.only_upscale and not tiled)
    return next((f"{name} turns it on" for name, is_set in (*turned_on, alone) if is_set), "")


def _times(factor: int, size: str) -> str:
    """Return `size` enlarged: exactly when it is known now, in words when it is the input image's
    own.
    """
    across, _, down = size.partition("x")
    return (
        f"{int(across) * factor}x{int(down) * factor}" if across.isdigit() else f"{factor}x {size}"
    )


def _finishing(request: PromptRequest) -> tuple[tuple[str, bool, str, str], ...]:
    outside = "outside the face masks bit-identical"
    return (
        ("inpaint_faces", bool(request.inpaint_faces), "inpaint_faces=true", outside),
        ("face_swap", bool(request.face_swap), "face_swap=true", outside),
        ("face_correct", bool(request.face_correct), "face_correct=true", outside),
        (
            "color_grading",
            request.color_grading is not None,
            f"color_grading={request.color_grading}",
            "",
        ),
        ("film_grain", bool(request.film_grain), "film_grain=true", ""),
        ("remove_background", bool(request.remove_background), "--remove_background", ""),
    )


def raise_for(problems: Iterable[Problem], missing: Iterable[Missing]) -> None:
    """Raise PlanError for problems that are errors, MissingModelError when only files are missing.

    Return when neither.
    """
    errors = [problem.render() for problem in problems if problem.severity == "error"]
    absent = [f"{one.message}\n  {one.hint}" if one.hint else one.message for one in missing]
    if errors:
        raise PlanError("\n".join(errors + absent), code="cannot-plan")
    if absent:
        raise MissingModelError("\n".join(absent), code="missing-model")
