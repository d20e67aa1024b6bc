"""The numbers a request runs with, each with the reason it has that value."""

from __future__ import annotations

from dataclasses import dataclass

from ...families.family import (
    ASPECT_RATIOS,
    FAMILIES,
    SCHEDULERS,
    Family,
    host_sampler,
    size_for_ratio,
)
from ...prompt import PromptRequest
from ...rounding import round_up
from .controls import Control, controls_of

DEFAULT_DENOISE = 0.8
FACEID_CFG = 3.0
# Of 2 to 8 steps and a guidance of 1 to 2, for which LCM-LoRAs were distilled
# (https://huggingface.co/latent-consistency/lcm-lora-sdv1-5).
LCM_STEPS = 8
LCM_CFG = 1.5


@dataclass(frozen=True)
class Inputs:
    """What decides settings beside the text.

    Which sockets hold something, and the node's own seed. `lcm` and `outpaint_lcm` name what makes
    an LCM of the model that draws the picture, or the new area; empty where nothing is known to.
    `family_why` says what tells the model's family from others of the same kind, where there are
    any, and `few_steps` are the files that paint and are named as made for few steps.
    """

    has_image: bool = False
    has_mask: bool = False
    seed: int = 0
    has_control_image: bool = False
    lcm: str = ""
    outpaint_lcm: str = ""
    family_why: str = ""
    few_steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """One resolved value and where it came from, in words."""

    key: str
    value: object
    reason: str


@dataclass(frozen=True)
class Settings:
    """Everything the stages need as plain numbers.

    `width` and `height` are None when the input image's own size counts. `controls` are the
    ControlNets asked for. `lcm` and `outpaint_lcm` are those of the inputs where the scheduler is
    lcm, else empty.
    """

    num_images: int
    seed: int
    steps: int
    cfg: float
    scheduler: str
    sampler: str
    schedule: str
    denoise: float
    use_lpw: bool
    width: int | None
    height: int | None
    explained: tuple[Setting, ...]
    controls: tuple[Control, ...] = ()
    lcm: str = ""
    outpaint_lcm: str = ""


class Explainer:
    """Collects values with reasons, so that no default is taken silently."""

    def __init__(self) -> None:
        self.settings: list[Setting] = []

    def take(self, key: str, given: object, default: object, reason: str):
        """Return `given`, or `default` when it is not set, noting which of the two it was and
        why.
        """
        value, why = (default, reason) if given is None else (given, "set in the prompt")
        self.settings.append(Setting(key, value, why))
        return value


def settle(request: PromptRequest, family: Family, inputs: Inputs) -> Settings:
    """Return the request's values with every default filled in and explained."""
    note = Explainer()
    title = family.title
    if inputs.family_why:
        note.settings.append(Setting("model", title, inputs.family_why))
    has_faceids = any(segment.faceids for segment in request.prompt)
    scheduler = note.take("scheduler", request.scheduler, family.scheduler, default_of(family))
    chosen = host_sampler(scheduler, family)
    note.settings.append(
        Setting(
            "sampler",
            f"{chosen.sampler} / {chosen.schedule}",
            _sampler_why(scheduler, family),
        )
    )
    if family.is_shifted_by_size:
        why = f"the noise levels of {title} go by them, as in ComfyUI's Flux2Scheduler"
        note.settings.append(Setting("shift", "by size and steps", why))
    width, height = _size(request, family, inputs, note)
    lcm, outpaint_lcm = (inputs.lcm, inputs.outpaint_lcm) if scheduler == "lcm" else ("", "")
    return Settings(
        num_images=note.take("num_images", request.num_images, 1, "default"),
        seed=note.take(
            "seed", request.seed, inputs.seed, "the node's seed, since the prompt sets none"
        ),
        steps=note.take("steps", request.steps, *default_steps(family, lcm)),
        cfg=note.take(
            "cfg_scale", request.cfg_scale, *default_cfg(family, lcm, has_faceids=has_faceids)
        ),
        scheduler=scheduler,
        sampler=chosen.sampler,
        schedule=chosen.schedule,
        denoise=_denoise(request, inputs, note),
        use_lpw=note.take("use_lpw", request.use_lpw, True, _weights(family)),
        width=width,
        height=height,
        explained=tuple(note.settings),
        controls=controls_of(request),
        lcm=lcm,
        outpaint_lcm=outpaint_lcm,
    )


def _sampler_why(scheduler: str, family: Family) -> str:
    why = f"the host's sampler and schedule for {scheduler} on {family.title}"
    if SCHEDULERS[scheduler].schedule == "karras" and family.schedule:
        why += ", where Karras spacing is left out: it is made for Stable Diffusion"
    return why


def _weights(family: Family) -> str:
    if family.text.weights:
        return "default: (word:1.2) weighs"
    return (
        f"default: the brackets of (word:1.2) are left out, since {family.title} takes no weights"
    )


def default_of(family: Family) -> str:
    """Return the reason of a family's default, with its source where one is named."""
    source = f", by {family.source}" if family.source else ""
    return f"default of {family.title}{source}"


def default_steps(family: Family, lcm: str = "") -> tuple[int, str]:
    """Return the default of steps and its reason; `lcm` as in `Inputs`."""
    if lcm and family.has_lcm:
        return LCM_STEPS, f"default with an LCM: {lcm}"
    return family.steps, default_of(family)


def default_cfg(family: Family, lcm: str = "", *, has_faceids: bool) -> tuple[float, str]:
    """Return the default of cfg_scale and its reason, for a text with FaceID tags or without.

    `lcm` as in `Inputs`.
    """
    if not family.takes_guidance:
        return family.cfg, f"{family.title} takes no guidance, and the true CFG stays 1"
    if family.is_distilled:
        return (
            family.cfg,
            f"default of {family.title}; this is the distilled guidance, the true CFG stays 1",
        )
    if lcm:
        return LCM_CFG, f"default with an LCM: {lcm}"
    if has_faceids:
        return FACEID_CFG, "default with FaceID"
    return family.cfg, default_of(family)


def _denoise(request: PromptRequest, inputs: Inputs, note: Explainer) -> float:
    if inputs.has_image:
        return note.take(
            "denoising_strength",
            request.denoising_strength,
            DEFAULT_DENOISE,
            "default with an input image",
        )
    note.settings.append(
        Setting(
            "denoising_strength", 1.0, "no input image, so the picture is made from noise alone"
        )
    )
    return 1.0


def _native_of(family: Family) -> str:
    is_own = family.native_size != FAMILIES[family.name].native_size
    return "the base, as its native_size says" if is_own else family.title


def _size(
    request: PromptRequest, family: Family, inputs: Inputs, note: Explainer
) -> tuple[int | None, int | None]:
    """Return (width, height): the prompt's own, else the input image's (None), else from the aspect
    ratio, else native.
    """
    if request.w is not None and request.h is not None:
        size, why = (request.w, request.h), "set in the prompt"
    elif inputs.has_image:
        note.settings.append(
            Setting("size", "input image's own", "w and h are not set and an input image is there")
        )
        return None, None
    elif request.aspect_ratio is not None or request.ar is not None:
        ratio = request.aspect_ratio if request.aspect_ratio is not None else request.ar
        size = size_for_ratio(ASPECT_RATIOS[ratio], family)
        why = f"aspect ratio {ratio} at the native area of {_native_of(family)}"
    else:
        size, why = (family.native_size, family.native_size), f"native size of {_native_of(family)}"
    drawn = tuple(round_up(side, family.multiple) for side in size)
    if drawn != size:
        why += (
            f"; drawn at {drawn[0]}x{drawn[1]} and cropped, since {family.title} paints multiples"
            f" of {family.multiple}"
        )
    note.settings.append(Setting("size", f"{size[0]}x{size[1]}", why))
    return size
