"""A trained LoRA -> a file that the host lists, and the tune that names it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.sd
import folder_paths
import torch
from safetensors import safe_open
from torch import Tensor

from ...families.family import FAMILIES
from ...host.models import family_of
from ...host.state import state_folder
from ...net.lora_words import PHRASE
from ...tunes.bindings import BINDINGS_FILE, load
from ...tunes.names import shown
from ...tunes.state import forget_training, trained_name, training_folder
from ...tunes.store import Tune, TuneStore
from ..errors import TrainingError
from ..outcome import TrainingOutcome
from ..progress import (
    DONE,
    PROGRESS_FILE,
    SAVING,
    change_progress,
)
from ..request import CHECKPOINTS_OF
from .ending import told_how_it_ends
from .state import BEST_FILE, RESUME_FILE, save_whole, whole_file

MAX_CHECKPOINTS = 20  # of the pack, on one disk
SPARE = 2**30  # bytes that stay free
_HOSTS = "diffusion_model."


@dataclass(frozen=True, eq=False)
class Base:
    """What a LoRA is merged into."""

    model: Any
    clip: Any
    vae: Any


def save_tune(
    lora: Mapping[str, Tensor],
    outcome: TrainingOutcome,
    tune: Tune,
    base: str,
    merged_into: Base | None,
) -> str:
    """Write the tune's file, make the tune name it, and return its name below the model folder.

    `merged_into`: save a checkpoint with the LoRA merged into it, else the LoRA alone.
    Raises: TrainingError for a full disk, too many checkpoints, a tune that is gone, a LoRA of
    another base; the tune's progress tells it as well.
    """
    with told_how_it_ends(tune.id):
        return _saved(lora, outcome, tune, base, merged_into)


def _saved(
    lora: Mapping[str, Tensor],
    outcome: TrainingOutcome,
    tune: Tune,
    base: str,
    merged_into: Base | None,
) -> str:
    kind = "lora" if merged_into is None else "checkpoint"
    if merged_into is not None:
        _require_mergeable(outcome, merged_into)
    # Before the callback is owed, which tells them.
    _tell(tune.id, state=SAVING, notes=outcome.notes)
    folder = Path(folder_paths.get_folder_paths("loras" if kind == "lora" else "checkpoints")[0])
    name = trained_name(tune.id)
    metadata = metadata_of(outcome, base)
    if merged_into is None:
        tensors = file_tensors(lora, outcome.names)
        _require_room(folder, sum(one.numel() * one.element_size() for one in tensors.values()))
        save_whole(folder / name, tensors, metadata)
    else:
        _save_merged(folder / name, lora, merged_into, metadata)
    store = TuneStore(state_folder())
    # Texts that are made for the tune later on use the words that it was trained with.
    store.change(tune.id, {"token": outcome.token, "name": outcome.name})
    if store.trained(tune.id, name, kind) is None:
        (folder / name).unlink()
        forget_training(state_folder(), tune.id)
        raise TrainingError(
            f"Tune {tune.id} was deleted: what was trained is not kept.", code="training-deleted"
        )
    ended = {"user_error": None, "code": None, "eta_s": 0.0}
    _tell(tune.id, state=DONE, file=name, **ended)
    for left in (RESUME_FILE, BEST_FILE):
        (training_folder(state_folder(), tune.id) / left).unlink(missing_ok=True)
    return name


def _require_mergeable(outcome: TrainingOutcome, merged_into: Base) -> None:
    given = family_of(merged_into.model)
    if outcome.family != given.name or given.branch != CHECKPOINTS_OF:
        raise TrainingError(
            f"A {FAMILIES[outcome.family].title} LoRA is to be merged into a {given.title} model:"
            f" whole checkpoints are made of {FAMILIES[CHECKPOINTS_OF].title} only.",
            code="training-model-type",
            hint="Connect the model that was trained on, or set model_type to lora.",
        )
    if "model_sampling" in merged_into.model.object_patches:
        raise TrainingError(
            "Another node sets the model's sampling, and ComfyUI reads none from an SD1.5 file: a"
            " checkpoint of it would draw wrongly.",
            code="training-model",
            hint="Set model_type to lora, and use it behind that node.",
        )


def file_tensors(lora: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the LoRA by the names of a file, in float16.

    Raises: TrainingError for a layer that the training did not name.
    """
    found = {}
    for key, tensor in lora.items():
        path, part = _split(key)
        if path not in names:
            raise TrainingError(
                f"The LoRA holds {shown(key)}, which this training did not train.",
                code="training-lora",
                hint="Connect lora and training of the same Astria Train LoRA.",
            )
        found[f"{names[path]}.{part}"] = tensor.to(torch.float16)
    return found


def _split(key: str) -> tuple[str, str]:
    for part in ("lora_down.weight", "lora_up.weight", "alpha"):
        if key.startswith(_HOSTS) and key.endswith(f".{part}"):
            return key[len(_HOSTS) : -len(part) - 1], part
    return key, ""


def metadata_of(outcome: TrainingOutcome, base: str) -> dict[str, str]:
    """Return what a file tells of its training: nothing of its photos, its title, its machine."""
    numbers = outcome.numbers
    told = {
        "base": base,
        "family": outcome.family,
        "token": outcome.token,
        PHRASE: f"{outcome.token} {outcome.name}".strip(),
        "preset": numbers.preset.name,
        "steps": numbers.steps,
        "seed": numbers.seed,
    }
    return {key: str(value) for key, value in told.items()}


def tune_for(tune_id: int, title: str, outcome: TrainingOutcome) -> tuple[Tune, bool]:
    """Return the tune that gets the file, and whether it was made for it.

    Raises: TrainingError for an id that is no tune, or not the one that was trained; TuneError for
    a new tune without a title.
    """
    trained = outcome.numbers.tune_id
    if trained not in (0, tune_id):
        with told_how_it_ends(trained):
            raise TrainingError(
                f"Tune {trained} was trained, and it is to be saved as"
                f" {f'tune {tune_id}' if tune_id else 'a new one'}.",
                code="training-tune",
                hint="Write the same tune_id into Astria Train LoRA and Astria Save Tune.",
            )
    store = TuneStore(state_folder())
    if not tune_id:
        made = store.create(title=title, name=outcome.name, token=outcome.token, model_type="lora")
        return made, True
    tune = store.get(tune_id)
    if tune is None:
        raise TrainingError(
            f"There is no tune {tune_id}.",
            code="training-tune",
            hint="Make the tune of the photos first, or set tune_id to 0.",
        )
    return tune, False


def binding_note(tune_id: int) -> str:
    """Say that the bindings give the tune's id another file, empty text where they do not."""
    bound = load(state_folder() / BINDINGS_FILE).tunes.get(str(tune_id))
    if bound is None:
        return ""
    return (
        f"The bindings give {tune_id} the file {shown(bound)}, which counts before what was"
        f" trained. Remove that line: python dev.py bind --remove {tune_id}"
    )


def _save_merged(
    path: Path, lora: Mapping[str, Tensor], base: Base, metadata: Mapping[str, str]
) -> None:
    """Write the base with the LoRA merged into it, by the host's own merging."""
    others = [one for one in path.parent.glob("tune-*.safetensors") if one != path]
    if len(others) >= MAX_CHECKPOINTS:
        raise TrainingError(
            f"There are {len(others)} trained checkpoints; at most {MAX_CHECKPOINTS} are kept.",
            code="training-disk",
            hint="Delete tunes that you need no longer, or train model_type lora.",
        )
    parts = (base.model.model_size(), base.clip.patcher.model_size(), base.vae.patcher.model_size())
    _require_room(path.parent, sum(parts))
    merged, _ = comfy.sd.load_lora_for_models(base.model, None, dict(lora), 1.0, 0.0)
    with whole_file(path) as partial:
        comfy.sd.save_checkpoint(str(partial), merged, base.clip, base.vae, metadata=dict(metadata))
        with safe_open(partial, "pt"):  # what cannot be read is not given its name
            pass


def _require_room(folder: Path, needed: int) -> None:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    if needed + SPARE > free:
        raise TrainingError(
            f"The file needs {needed / 2**30:.2f} GiB, and the disk has {free / 2**30:.2f} GiB"
            f" free; {SPARE / 2**30:.0f} GiB are to stay.",
            code="training-disk",
            hint="Make room, and run again: the training goes on from its last state.",
        )


def _tell(tune_id: int, **changes: object) -> None:
    if (training_folder(state_folder(), tune_id) / PROGRESS_FILE).exists():
        change_progress(state_folder(), tune_id, **changes)
    logging.info("Astria: tune %d: %s", tune_id, changes["state"])
