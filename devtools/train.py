"""`python dev.py train FOLDER`: a person is trained on a ComfyUI that is started for it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ..nodes.errors import AstriaError
from ..nodes.graph.graph import api_workflow
from ..nodes.pipeline.training_cli import PlannedTraining, planned_training
from ..nodes.training.progress import TrainingProgress, read_progress
from .client import Client, RunError
from .console import DevError, say
from .environment import Environment
from .host import Host, HostOptions, has_accelerator
from .paths import BASE, STATE_FOLDER

_POLL_S = 1.0


def run(environment: Environment, argv: Sequence[str], models: Sequence[Path]) -> int:
    """Train, telling how far it is; return 0 once the tune has its file."""
    folder = BASE / "user" / STATE_FOLDER
    try:
        planned = planned_training(argv, folder=folder, models=models)
    except AstriaError as error:
        raise DevError(error.message, error.hint) from error
    tune = planned.tune
    if planned.is_done:
        say(f"Tune {tune.id} is trained already: {tune.file}. --again trains it anew.")
        return 0
    for note in planned.plan.notes:
        say(f"- {note}")
    settings = planned.plan.settings
    say(
        f"- tune {tune.id}, preset {settings.preset.name}, {settings.steps} steps; starting ComfyUI"
    )
    options = HostOptions(BASE, cpu=not has_accelerator(environment.python))
    with Host(environment, options) as host:
        train(host.client, planned, folder)
    return 0


def train(client: Client, planned: PlannedTraining, folder: Path) -> str:
    """Train on a running ComfyUI, telling how far it is, and return the LoRA's name below its
    folder. `folder` is the pack's private one. Raises: DevError where it fails.
    """
    tune = planned.tune
    queued = client.queue(api_workflow(planned.plan.graph))
    told = -1
    try:
        while not client.get_json(f"/history/{queued}"):
            time.sleep(_POLL_S)
            progress = read_progress(folder, tune.id)
            if progress is not None and progress.step != told and progress.state == "training":
                told = progress.step
                say(_line(progress))
        entry = client.wait(queued)
    except KeyboardInterrupt:
        client.interrupt()
        _let_end(client, queued)
        raise
    except RunError as error:
        progress = read_progress(folder, tune.id)
        why = progress.user_error if progress is not None and progress.user_error else str(error)
        raise DevError(why, "The same command goes on from the last state.") from error
    (outcome,) = entry["outputs"]["output.tune"]["astria_training"]
    for note in outcome["notes"]:
        say(f"- {note}")
    file = str(outcome["file"])
    say(f"trained: {file}. Write <lora:{tune.id}:1> {planned.plan.settings.token}")
    return file


def _let_end(client: Client, queued: str) -> None:
    """Wait until the host has kept the training's state."""
    deadline = time.monotonic() + 60
    while not client.get_json(f"/history/{queued}") and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _line(progress: TrainingProgress) -> str:
    loss = "" if progress.loss is None else f", loss {progress.loss:.4f}"
    left = "" if progress.eta_s is None else f", {progress.eta_s / 60:.0f} min left"
    return f"  step {progress.step} of {progress.steps}{loss}{left}"
