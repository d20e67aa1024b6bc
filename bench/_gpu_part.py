"""One part of `dev.py bench gpu`, in a process of its own: what fails or runs out of memory in it
leaves the other parts alone.
"""

from __future__ import annotations

import json
import signal
import sys
import time

from comfyui_astria.bench._gpu_rows import Limits, Row, Tell, run_cases

MARK = "astria-gpu: "  # begins the lines that are for the command; others are the host's own
_GB = 2**30
_BEGUN_S = time.monotonic()  # before torch and ComfyUI are loaded, which takes of the part's time


def main(options: str) -> None:
    """Run the part that the JSON `options` name, and tell its rows on standard output."""
    given = json.loads(options)
    # Ends like Ctrl-C, so that a ComfyUI that it started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    open_comfyui(given["comfyui"], dry=given["dry"])
    left_s = given["seconds"] - (time.monotonic() - _BEGUN_S)
    run_part(given["part"], left_s, _say, dry=given["dry"])
    _say(None)


def _say(row: Row | None) -> None:
    """Tell a row, or at the end that there are no more."""
    sys.stdout.write(f"{MARK}{json.dumps(row)}\n")
    sys.stdout.flush()


def open_comfyui(folder: str, *, dry: bool) -> None:
    """Let this process import ComfyUI's modules.

    They read sys.argv at their first import, so the device is chosen here.
    """
    sys.argv = ["main.py", *(["--cpu"] if dry else [])]
    sys.path.insert(0, folder)
    import comfy.options

    comfy.options.enable_args_parsing()


def run_part(part: str, seconds: float, tell: Tell, *, dry: bool) -> None:
    """Run one part's cases; none is begun after so many seconds."""
    begun_s = time.monotonic()
    if part == "workflows":
        from comfyui_astria.bench import _gpu_workflows

        with _gpu_workflows.hosts(dry=dry) as running:
            _gpu_workflows.compare(running, Limits(begun_s + seconds, seconds, 0.0), tell)
        return
    import comfy.model_management
    import torch
    from comfyui_astria.bench import _gpu_steps

    device = comfy.model_management.get_torch_device()
    memory_gb = comfy.model_management.get_total_memory(device) / _GB
    cases = _gpu_steps.cases_of(part, device, dry=dry)
    with torch.inference_mode():  # as the host runs nodes
        run_cases(cases, Limits(begun_s + seconds, seconds, memory_gb), tell)
