"""The part of `dev.py bench gpu` that runs the example workflows on tiny models: on the CPU, on the
GPU in float32, whose pictures must be the CPU's, and on the GPU with half-precision models, whose
pictures must be pictures.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import NamedTuple

import numpy as np
from comfyui_astria.bench._gpu_rows import (
    Limits,
    Row,
    Tell,
    error_text,
    failed,
    not_run,
    out_of_time,
    row,
)
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.client import images_of
from comfyui_astria.devtools.environment import Environment
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.tests.host.running import LiveHost, own_files
from comfyui_astria.tests.workflows.furnish import furnish
from comfyui_astria.tests.workflows.small import PASTED, tiny_example
from PIL import Image

# Steps of 8 bits. The two devices add up in another order, which moves a value by one where it is
# rounded, and more where a threshold is near.
NEAR = 2
MOST_FAR = 0.005  # share of the values
FACE_PACKAGES = ("insightface", "onnxruntime", "onnx", "cv2", "skimage")
# cuDNN and cuBLAS would round what they multiply to 10 bits.
_EXACT = (("NVIDIA_TF32_OVERRIDE", "0"),)
# The tiny VAE is exact in float32 only.
_FLOAT32 = ("--fp32-unet", "--fp32-vae", "--fp32-text-enc")


class Running(NamedTuple):
    """The started hosts: the CPU's, and by name those to hold against it."""

    reference: LiveHost
    others: dict[str, LiveHost]


@contextlib.contextmanager
def hosts(*, dry: bool) -> Iterator[Running]:
    """Start the hosts and stop them at the end; `dry`: all on the CPU."""
    import comfy

    [package] = comfy.__path__
    environment = Environment(Path(sys.executable), Path(package).parent, None)
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "frontend").mkdir()
        arguments = ("--front-end-root", str(folder / "frontend"))
        options = {
            "cpu": HostOptions(folder / "cpu", test_pack=True, cpu=True, extra_args=arguments),
            "float32": HostOptions(
                folder / "float32",
                test_pack=True,
                cpu=dry,
                extra_args=(*arguments, *_FLOAT32),
                variables=_EXACT,
            ),
            "half precision": HostOptions(
                folder / "half",
                test_pack=True,
                cpu=dry,
                extra_args=(*arguments, "--fp32-vae", *(["--bf16-unet"] if dry else [])),
            ),
        }
        made = {name: Host(environment, one) for name, one in options.items()}
        for one in made.values():
            stack.callback(one.stop)
        list(pool.map(Host.start, made.values()))
        live = {name: LiveHost(one, own_files(one.base)) for name, one in made.items()}
        yield Running(live.pop("cpu"), live)


def compare(
    running: Running, limits: Limits, tell: Tell, names: Sequence[str] | None = None
) -> None:
    """Run the workflows (all, or the named) on each host at the same time and tell, for each, how
    far its pictures are from the CPU's.
    """
    chosen = [*workflows.prompt_names(), *PASTED] if names is None else list(names)
    missing = [name for name in FACE_PACKAGES if importlib.util.find_spec(name) is None]
    faces = not missing and any(map(_has_faces, chosen))
    everyone = {"cpu": running.reference, **running.others}
    with contextlib.ExitStack() as stack:
        over = threading.Event()
        pools = {name: stack.enter_context(ThreadPoolExecutor(1)) for name in everyone}
        # Before the pools are waited for: what still waits is not begun, what runs is stopped.
        stack.callback(_stop, everyone.values(), over)
        for name, pool in pools.items():
            pool.submit(furnish, everyone[name], faces=faces)
        drawn = {
            workflow: {
                name: pool.submit(_pictures, everyone[name], workflow, over)
                for name, pool in pools.items()
            }
            for workflow in chosen
            if not (missing and _has_faces(workflow))
        }
        for workflow in chosen:
            if workflow not in drawn:
                tell(not_run(f"workflow {workflow}", f"Python lacks {', '.join(missing)}"))
                continue
            for name in running.others:
                tell(_row(f"workflow {workflow}, {name}", drawn[workflow], name, limits))


def _stop(running: Iterable[LiveHost], over: threading.Event) -> None:
    over.set()
    for one in running:
        one.client.interrupt()


def _has_faces(workflow: str) -> bool:
    return any(
        "Face" in entry["class_type"] or "Identity" in entry["class_type"]
        for entry in tiny_example(workflow).values()
    )


def _pictures(host: LiveHost, workflow: str, over: threading.Event) -> list[np.ndarray]:
    if over.is_set():
        return []
    entry = host.client.run(tiny_example(workflow))
    found = images_of(entry, "output.save")
    return [
        np.asarray(Image.open(io.BytesIO(host.client.view(image))).convert("RGB"), np.int16)
        for image in found
    ]


def _row(title: str, drawn: dict[str, Future], name: str, limits: Limits) -> Row:
    try:
        left_s = max(0.0, limits.deadline - time.monotonic())
        expected, actual = (drawn[one].result(left_s) for one in ("cpu", name))
    except FutureTimeout:
        return not_run(title, out_of_time(limits.share_s))
    except Exception as error:
        logging.exception("%s", title)
        return failed(title, error_text(error))
    return difference(title, expected, actual, exact=name != "half precision")


def difference(
    title: str, expected: Sequence[np.ndarray], actual: Sequence[np.ndarray], *, exact: bool
) -> Row:
    """Return how far pictures are apart at most, in steps of 8 bits.

    `exact`: but for a few values they must be equal to rounding. Else they must be of the same
    sizes and not of one colour, unless those of the CPU are.
    """
    sizes = [[one.shape for one in pictures] for pictures in (expected, actual)]
    if sizes[0] != sizes[1] or not expected:
        return failed(title, f"pictures {sizes[1]}, the CPU's are {sizes[0]}")
    apart = np.concatenate([np.abs(a - b).ravel() for a, b in zip(expected, actual, strict=True)])
    far = float((apart > NEAR).mean())
    blank = any(one.std() == 0 and its.std() > 0 for its, one in zip(expected, actual, strict=True))
    ok = not blank and (far <= MOST_FAR or not exact)
    note = f"mean {apart.mean():.2f}; {far * 100:.2f} % of the values more than {NEAR} apart"
    return row(title, float(apart.max()), "/255", ok, "one colour only" if blank else note)
