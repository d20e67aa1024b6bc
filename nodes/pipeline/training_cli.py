"""The command `train`: a folder of photos -> a tune, and the graph that trains it."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..families.family import FAMILIES
from ..graph.check import check_graph
from ..graph.definitions import snapshot
from ..training.errors import TrainingError
from ..training.presets import PRESETS
from ..training.progress import require_agreement
from ..training.request import MODEL_TYPES, TrainingRequest, photos_problem
from ..tunes.local_files import LocalFiles
from ..tunes.state import resolver_in
from ..tunes.store import Tune, TuneStore
from ..tunes.tune import iso, now
from .training_plan import TrainingPlan, training_plan

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
_EXAMPLE = "python dev.py train photos/anna --name woman --base 1504944 --person-agreed"


@dataclass(frozen=True)
class PlannedTraining:
    """A tune with its photos kept, and the plan that trains it; `is_done`: it was trained so."""

    tune: Tune
    plan: TrainingPlan
    is_done: bool


def planned_training(
    argv: Sequence[str], *, folder: Path, models: Sequence[Path]
) -> PlannedTraining:
    """Keep the photos that the command names as a tune, and return it with the plan.

    The same folder name with the same photos is the same tune, so that the command goes on where
    it was stopped. `folder` is the pack's private folder, `models` are the model folders.
    Raises: AstriaError for what cannot be trained, before anything is kept; SystemExit for
    arguments that cannot be read.
    """
    asked = _parser().parse_args(argv)
    photos = _photos(Path(asked.folder))
    resolver = resolver_in(folder, LocalFiles(*models))
    wanted = {
        "photos": len(photos),
        "name": asked.name,
        "base": asked.base,
        "token": asked.token,
        "model_type": asked.model_type,
        "preset": asked.preset,
        "steps": asked.steps,
        "sizes_px": tuple(asked.size or ()),
        "face_crop": asked.face_crop,
        "face_weight": asked.face_weight,
        "training_face_correct": asked.training_face_correct,
        "masks": asked.masks,
        "class_pictures": asked.class_pictures,
        "seed": asked.seed,
    }
    training_plan(TrainingRequest(tune_id=1, **wanted), resolver)  # what cannot be, is said first
    require_agreement(folder, asked.person_agreed, "dev.py train", iso(now()) or "")
    title = asked.title or Path(asked.folder).resolve().name
    tune = _tune(TuneStore(folder), title, photos, asked)
    plan = training_plan(TrainingRequest(tune_id=tune.id, **wanted), resolver)
    check_graph(plan.graph, snapshot())
    return PlannedTraining(tune, plan, tune.file is not None and not asked.again)


def _photos(folder: Path) -> list[bytes]:
    if not folder.is_dir():
        raise TrainingError(
            f"{folder} is no folder.", code="training-photos", hint=f"For example: {_EXAMPLE}"
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if problem := photos_problem(len(files)):
        raise TrainingError(
            f"{folder}: {problem}",
            code="training-photos",
            hint=f"Files that count end with {', '.join(ENDINGS)}.",
        )
    return [path.read_bytes() for path in files]


def _tune(store: TuneStore, title: str, photos: Sequence[bytes], asked: argparse.Namespace) -> Tune:
    there = store.find_by_title(title)
    hashes = [hashlib.sha256(photo).hexdigest() for photo in photos]
    if there is not None and [name.partition(".")[0] for name in there.orig_images] == hashes:
        return there
    about = {} if asked.token is None else {"token": asked.token}
    return store.create(
        title=title,
        photos=photos,
        name=asked.name,
        model_type="checkpoint" if asked.model_type == "checkpoint" else "lora",
        base_tune_id=int(asked.base) if asked.base and asked.base.isdecimal() else None,
        steps=asked.steps,
        **about,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python dev.py train",
        description=(
            "Train a person from a folder of 4 to 20 photos, on a ComfyUI that is started for it."
            " Stopped with Ctrl-C, the same command goes on. Train only people who agreed, and no"
            " minors."
        ),
        epilog=_EXAMPLE,
    )
    families = ", ".join(FAMILIES[branch].title for branch in ("sd15", "sdxl", "flux"))
    parser.add_argument("folder", metavar="FOLDER", help="with the photos: JPEG, PNG, WebP")
    parser.add_argument("--name", required=True, help="what they are: woman, man, person")
    parser.add_argument("--base", help=f"base id of the bindings: {families}")
    parser.add_argument("--title", help="of the tune; the folder's name otherwise")
    parser.add_argument("--token", help="ohwx; sks on SD1.5")
    parser.add_argument("--model-type", choices=MODEL_TYPES, default="lora")
    parser.add_argument("--preset", choices=list(PRESETS))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--size", type=int, action="append", help="px; may be given again")
    parser.add_argument("--face-crop", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument(
        "--face-weight", type=float, default=1.0, metavar="N", help="how often a face counts"
    )
    parser.add_argument("--training-face-correct", action="store_true")
    parser.add_argument("--masks", action="store_true", help="find the person; needs a segmenter")
    parser.add_argument("--class-pictures", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--person-agreed", action="store_true", help="asked once")
    parser.add_argument("--again", action="store_true", help="also where the tune has its file")
    return parser
