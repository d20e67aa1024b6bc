"""What other programs call samplers and noise schedules -> the schedulers of this language."""

from __future__ import annotations

import re

_SAMPLERS = {
    "euler": "euler",
    "k_euler": "euler",
    "euler a": "euler_a",
    "res multistep": "res_multistep",
    "res_multistep": "res_multistep",
    "euler_a": "euler_a",
    "k_euler_a": "euler_a",
    "euler ancestral": "euler_a",
    "euler_ancestral": "euler_a",
    "k_euler_ancestral": "euler_a",
    "dpm++ 2m": "dpm++2m",
    "dpm++2m": "dpm++2m",
    "dpmpp_2m": "dpm++2m",
    "k_dpmpp_2m": "dpm++2m",
    "dpm++ sde": "dpm++sde",
    "dpm++sde": "dpm++sde",
    "dpmpp_sde": "dpm++sde",
    "dpmpp_sde_gpu": "dpm++sde",
    "lcm": "lcm",
}
# Samplers of other programs that no scheduler of this language stands for.
_OTHERS = frozenset(
    (
        *("ddim", "ddpm", "plms", "unipc", "uni_pc", "uni_pc_bh2", "heun", "heunpp2", "lms", "tcd"),
        *("dpm2", "dpm2 a", "dpm2_ancestral", "dpm fast", "dpm adaptive", "dpm++ 2s a", "restart"),
        *(
            "dpmpp_2s_ancestral",
            "dpm++ 2m sde",
            "dpmpp_2m_sde",
            "dpmpp_2m_sde_gpu",
            "deis",
            "ipndm",
        ),
        *("dpm++ 2m sde heun", "dpm++ 3m sde", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "er_sde"),
        *("default", "euler_cfg_pp", "[forge] flux realistic", "ddim_uniform"),
    )
)
_SCHEDULE = re.compile(r"[ _](karras|k|exponential|sgm[ _]uniform|simple|normal|beta)$")
_PLAIN_SCHEDULES = ("", "automatic", "uniform", "normal", "default")


def _parts(sampler: str) -> tuple[str, str]:
    """Return the sampler and the schedule that its name ends with."""
    name = " ".join(sampler.casefold().split())
    found = _SCHEDULE.search(name)
    if not found:
        return name, ""
    return name[: found.start()], "karras" if found.group(1) == "k" else found.group(1)


def is_sampler(name: str) -> bool:
    """Say whether a name is that of a sampler of any program."""
    sampler, _ = _parts(name)
    return sampler in _SAMPLERS or sampler in _OTHERS


def is_schedule(name: str) -> bool:
    """Say whether a name is that of a noise schedule of any program."""
    return bool(_SCHEDULE.fullmatch(f" {' '.join(name.casefold().split())}"))


def scheduler_of(sampler: str, schedule: str) -> tuple[str | None, bool]:
    """Return the scheduler that a sampler and a schedule type mean, and whether it is just that.

    None where the sampler has no counterpart; False where the schedule has none.
    """
    name, in_name = _parts(sampler)
    wanted = in_name or " ".join(schedule.casefold().split())
    found = _SAMPLERS.get(name)
    # Left to itself, the schedule of these two is Karras's: so AUTOMATIC1111's samplers say.
    if found in ("dpm++2m", "dpm++sde") and wanted in ("karras", "automatic"):
        return f"{found}_karras", True
    return found, wanted in _PLAIN_SCHEDULES
