"""A training on disk, so that it goes on where it was interrupted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...host.shown_paths import without_folders
from ...net.writing import PARTIAL, sync_folder
from ...rounding import ceil_div
from ..errors import TrainingError
from ..loop import Loop, LoopState
from ..outcome import TrainingNumbers

RESUME_FILE = "resume.safetensors"
BEST_FILE = "best.safetensors"
VERSION = "1"  # of the loop: what an earlier one wrote is not gone on from


@dataclass
class Judged:
    """What the judge found so far: likeness by step, and the best step."""

    likeness: list[tuple[int, float]] = field(default_factory=list)
    base_likeness: float | None = None
    best_step: int | None = None
    last_step: int | None = None  # that was judged
    samples: list[str] = field(default_factory=list)


def digest(*parts: object) -> str:
    """Return what a training depends on, in short: equal digests train equally.

    Parts are tensors, texts, numbers, and lists and dicts of those; of anything else its kind.
    """
    taken = hashlib.sha256(VERSION.encode())
    for part in parts:
        for one in _flat(part):
            taken.update(one)
    return taken.hexdigest()


def _flat(part: object) -> Iterator[Any]:
    if isinstance(part, Tensor):
        yield repr((part.shape, part.dtype)).encode()
        yield part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    elif isinstance(part, dict):
        yield from _flat(sorted(part.items()))
    elif isinstance(part, list | tuple):
        yield f"{len(part)} of".encode()
        for one in part:
            yield from _flat(one)
    else:
        yield (repr(part) if _is_plain(part) else type(part).__name__).encode()


def _is_plain(part: object) -> bool:
    return part is None or isinstance(part, str | int | float | torch.dtype | TrainingNumbers)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the name to write a file under; it gets its own, `path`, once it is there whole.

    Raises: TrainingError with code `training-disk` where it cannot be written.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or without_folders(str(error))
        raise TrainingError(
            f"{path.parent.name}/{path.name} cannot be written: {reason}.",
            code="training-disk",
            hint=(
                "Make room, or let ComfyUI write into that folder, and run again: the training goes"
                " on from its last state."
            ),
        ) from error
    finally:
        with suppress(OSError):  # what is left of a full disk
            partial.unlink(missing_ok=True)


def save_whole(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a .safetensors file so that it is there whole, or as it was before."""
    plain = {name: one.detach().cpu().contiguous() for name, one in tensors.items()}
    with whole_file(path) as partial:
        save_file(plain, partial, dict(metadata))


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
        if metadata is None or metadata.get("key") != key:
            return None
        judged = Judged(**json.loads(metadata["judged"]))
        judged.likeness = [(step, value) for step, value in judged.likeness]
        if judged.best_step is not None and not (folder / BEST_FILE).exists():
            return None
        loop.restore(load_file(path), LoopState(**json.loads(metadata["state"])))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return judged


def smoothed(losses: Sequence[float], points: int = 200) -> tuple[tuple[int, float], ...]:
    """Return the loss curve in at most so many points: (last step, mean) of equal stretches."""
    stretch = max(1, ceil_div(len(losses), points))
    return tuple(
        (min(start + stretch, len(losses)), sum(part) / len(part))
        for start in range(0, len(losses), stretch)
        if (part := losses[start : start + stretch])
    )
