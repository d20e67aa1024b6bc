"""Trains a LoRA for each of some people, by this pack's own training on a ComfyUI, from eight
pictures each: `python dev.py learn people --family sd15`.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...devtools import small_world
from ...devtools.console import say
from ...devtools.environment import current
from ...devtools.host import Host, HostOptions
from ...devtools.paths import DEV, STATE_FOLDER
from ...devtools.train import train
from ...nodes.pipeline.training_cli import planned_training
from .. import identities, model_files
from ..drawing import drawn
from ..scene import CLOSE_UP_PX, NEAR_PX, random_scene
from ..words import KINDS
from .loop import asked

PHOTOS = 8
SIDE = 128
FIRST_SEED = 8_000_000
STEPS = 600


def main(argv: Sequence[str]) -> None:
    """Train whom there is no LoRA of yet: `count` people, the first that no base model saw."""
    given = asked(argv, "people", STEPS, family="sd15", count=6)
    first = len(identities.learned)
    missing = [
        number
        for number in range(first, first + given.count)
        if not path_of(given.family, number).exists()
    ]
    base = DEV / "learn-people"
    small_world.write_bindings(base, given.family)
    with Host(current(), HostOptions(base, small_world=True, cpu=True)) as host:
        for number in missing:
            photos = draw_photos(number, given.work / "people" / f"{given.family}_{number}")
            arguments = [str(photos), "--name", kind_of(number), "--steps", str(given.steps)]
            arguments += ["--size", str(SIDE), "--no-face-crop", "--person-agreed", "--again"]
            arguments += ["--token", "ohwx", "--base", small_world.BASES[given.family]]
            state = base / "user" / STATE_FOLDER
            planned = planned_training(arguments, folder=state, models=[model_files.FOLDER])
            plan = replace(planned.plan, graph=small_world.with_loader(planned.plan.graph))
            file = train(host.client, replace(planned, plan=plan), state)
            path = path_of(given.family, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(base / "models" / "loras" / file, path)
            say(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def path_of(family: str, number: int) -> Path:
    """Return where the LoRA of an identity is kept."""
    return model_files.FOLDER / "loras" / model_files.NAME / f"{family}_{number}.safetensors"


def kind_of(number: int) -> str:
    """Return whether an identity is a woman or a man, in turn."""
    return KINDS[number % len(KINDS)]


def draw_photos(number: int, folder: Path) -> Path:
    """Draw the pictures of an identity: alone, half of them close up, with ever other looks and
    places, so that only the face is the same in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    seed = FIRST_SEED + number * 1000
    for photo in range(PHOTOS):
        scene = random_scene(seed, people=1, size=(SIDE, SIDE))
        while not is_wanted(scene.figures[0].head_px, photo % 2 == 0):
            seed += 1
            scene = random_scene(seed, people=1, size=(SIDE, SIDE))
        [figure] = scene.figures
        own = replace(
            figure,
            kind=kind_of(number),
            glasses=False,
            hat="" if photo % 4 else figure.hat,
            x=figure.x + rng.uniform(-3, 3),
            identity=identities.ALL[number],
        )
        drawn(replace(scene, figures=(own,))).save(folder / f"{photo}.png")
        seed += 1
    return folder


def is_wanted(head_px: float, is_close_up: bool) -> bool:
    """Say whether a head has the size of a close-up, or else of someone near."""
    least, most = CLOSE_UP_PX if is_close_up else NEAR_PX
    return least <= head_px <= most
