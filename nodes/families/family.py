"""Facts of each model family for the planner: sizes, defaults, and painting under a mask."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import PlanError

FLUX_PATCH = 2  # latent cells on each side of one image token


@dataclass(frozen=True)
class Family:
    """One kind of base model.

    `inpaint` models take the masked picture as extra input channels (SD inpaint, Flux Fill).

    `takes_guidance`: whether `cfg_scale` acts on it.
    """

    name: str
    title: str
    inpaint: bool
    native_size: int
    multiple: int
    steps: int
    cfg: float
    scheduler: str
    is_flux: bool = False
    takes_guidance: bool = True

    @property
    def branch(self) -> str:
        """The base family that ids, LoRAs and defaults go by: sd15, sdxl or flux."""
        return self.name.removesuffix("_inpaint").removesuffix("_fill").removesuffix("_schnell")


FAMILIES = {
    family.name: family
    for family in (
        Family("sd15", "SD1.5", False, 512, 8, 30, 7.0, "euler_a"),
        Family("sd15_inpaint", "SD1.5 inpaint", True, 512, 8, 30, 7.0, "euler_a"),
        Family("sdxl", "SDXL", False, 1024, 8, 30, 7.0, "euler_a"),
        Family("sdxl_inpaint", "SDXL inpaint", True, 1024, 8, 30, 7.0, "euler_a"),
        # Flux packs 2x2 latent cells into a token, so sizes go by 16; cfg here is the distilled
        # guidance.
        Family("flux", "Flux.1 dev", False, 1024, 16, 28, 3.5, "euler", is_flux=True),
        Family("flux_fill", "Flux.1 Fill", True, 1024, 16, 28, 30.0, "euler", is_flux=True),
        Family(
            "flux_schnell",
            "Flux.1 schnell",
            False,
            1024,
            16,
            4,
            1.0,
            "euler",
            is_flux=True,
            takes_guidance=False,
        ),
    )
}


def family(name: str) -> Family:
    """Return the family called `name`. Raises PlanError naming the known ones."""
    if name not in FAMILIES:
        raise PlanError(
            f"Model family '{name}' is not one of {', '.join(FAMILIES)}.", code="unknown-family"
        )
    return FAMILIES[name]


@dataclass(frozen=True)
class HostSampler:
    """The host's sampler and sigma schedule for one scheduler name of the service."""

    sampler: str
    schedule: str


# The service's names on the left; the host's samplers and schedules on the right. `tcd` is refused
# when the text is parsed.
SCHEDULERS = {
    "euler": HostSampler("euler", "normal"),
    "euler_a": HostSampler("euler_ancestral", "normal"),
    "dpm++2m_karras": HostSampler("dpmpp_2m", "karras"),
    "dpm++sde_karras": HostSampler("dpmpp_sde", "karras"),
    "dpm++2m": HostSampler("dpmpp_2m", "normal"),
    "dpm++sde": HostSampler("dpmpp_sde", "normal"),
    "lcm": HostSampler("lcm", "sgm_uniform"),
}


def host_sampler(scheduler: str, of: Family) -> HostSampler:
    """Return the host's sampler for a scheduler name.

    Flux is a flow model: its noise levels are shifted by the model itself, and the Karras spacing
    is defined for the SD noise scale only, so every name keeps its sampler and runs on the `simple`
    schedule.
    """
    chosen = SCHEDULERS[scheduler]
    return HostSampler(chosen.sampler, "simple") if of.is_flux else chosen


# width : height of the aspect ratios the service accepts in `ar` and `aspect_ratio`.
ASPECT_RATIOS = {
    "1:1": (1, 1),
    "portrait": (4, 5),
    "landscape": (5, 4),
    "16:9": (16, 9),
    "9:16": (9, 16),
    "21:9": (21, 9),
    "9:21": (9, 21),
    "3:2": (3, 2),
    "2:3": (2, 3),
    "5:4": (5, 4),
    "4:5": (4, 5),
    "4:3": (4, 3),
    "3:4": (3, 4),
}


def size_for_ratio(ratio: tuple[int, int], of: Family) -> tuple[int, int]:
    """Return the size of that ratio whose area is nearest the family's native square, in multiples
    of 64 pixels.
    """
    across, down = ratio
    scale = of.native_size / (across * down) ** 0.5
    return max(64, round(across * scale / 64) * 64), max(64, round(down * scale / 64) * 64)
