"""A training on disk, so that it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...net.writing import PARTIAL, sync_folder
from ...rounding import ceil_div
from ..loop import Loop, LoopState

RESUME_FILE = "resume.safetensors"
BEST_FILE = "best.safetensors"
VERSION = "1"  # of the loop: what an earlier one wrote is not gone on from


@dataclass
class Judged:
    """What the judge found so far: likeness by step, and the best step."""

    likeness: list[tuple[int, float]] = field(default_factory=list)
    base_likeness: float | None = None
    best_step: int | None = None
    samples: list[str] = field(default_factory=list)


def digest(*parts: object) -> str:
    """Return what a training depends on, in short: equal digests train equally."""
    taken = hashlib.sha256(VERSION.encode())
    for part in parts:
        if isinstance(part, Tensor):
            taken.update(repr((part.shape, part.dtype)).encode())
            taken.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        else:
            taken.update(repr(part).encode())
    return taken.hexdigest()


def save_whole(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file so that it is there whole, or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + PARTIAL)
    plain = {name: one.detach().cpu().contiguous() for name, one in tensors.items()}
    save_file(plain, partial, dict(metadata))
    with open(partial, "rb+") as written:
        os.fsync(written.fileno())
    os.replace(partial, path)
    sync_folder(path.parent)


def save_state(folder: Path, loop: Loop, judged: Judged, key: str) -> None:
    """Write all that the next step needs; `key` is the digest of what is trained."""
    metadata = {
        "key": key,
        "state": json.dumps(asdict(loop.state)),
        "judged": json.dumps(asdict(judged)),
    }
    save_whole(folder / RESUME_FILE, loop.tensors(), metadata)


def restore_state(folder: Path, loop: Loop, key: str) -> Judged | None:
    """Bring the loop to where an interrupted training of the same `key` was.

    None where there is none: the training then begins anew.
    """
    path = folder / RESUME_FILE
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        if metadata.get("key") != key:
            return None
        loop.restore(load_file(path), LoopState(**json.loads(metadata["state"])))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    judged = Judged(**json.loads(metadata["judged"]))
    judged.likeness = [(step, value) for step, value in judged.likeness]
    return judged


def smoothed(losses: Sequence[float], points: int = 200) -> tuple[tuple[int, float], ...]:
    """Return the loss curve in at most so many points: (last step, mean) of equal stretches."""
    stretch = max(1, ceil_div(len(losses), points))
    return tuple(
        (min(start + stretch, len(losses)), sum(part) / len(part))
        for start in range(0, len(losses), stretch)
        if (part := losses[start : start + stretch])
    )
