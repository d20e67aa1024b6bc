"""The trainings that programs asked for: what they want, and how far each has come.

A table beside the tunes, a row for each tune that is trained or was.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from ..tunes.schema import connected, prepare, transaction
from ..tunes.store import DATABASE_FILE, Beside
from ..tunes.tune import Tune, from_iso, iso, now
from .request import TrainingRequest

_OPEN = "('queued', 'running')"


@dataclass(frozen=True)
class Training:
    """A training that was asked for.

    `request` are fields of TrainingRequest but the tune, `origin` is what addresses in its callback
    begin with. `status` is queued, running, done or failed; `runs` counts how often it was started,
    and `too_large` are the sizes at which memory was short.
    """

    request: Mapping[str, Any]
    origin: str
    callback: str | None = None
    tune_id: int = 0
    status: str = "queued"
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))  # of the run in ComfyUI's queue
    runs: int = 0
    too_large: str = ""
    created_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.status in ("queued", "running")

    @property
    def kind(self) -> str:
        """What comes of it: lora or checkpoint."""
        return "checkpoint" if self.request["model_type"] == "checkpoint" else "lora"

    def asks_for(self) -> TrainingRequest:
        """Return what is asked. Raises: TrainingError for what cannot be."""
        sizes = tuple(self.request.get("sizes_px", ()))
        return TrainingRequest(**{**self.request, "sizes_px": sizes, "tune_id": self.tune_id})


_COLUMNS = tuple(one.name for one in fields(Training))


class TrainingStore:
    """The trainings in `folder`, in the tunes database.

    What a method did is on the disk when it returns. That a training is done is noted by
    `TuneStore.trained`. Raises: TuneError, from every method, when the database cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = folder / DATABASE_FILE
        prepare(self._database)

    @staticmethod
    def beside(training: Training) -> Beside:
        """Return what stores a new training with its tune, for `TuneStore.create`."""

        def store(connection: sqlite3.Connection, tune: Tune) -> None:
            row = {**vars(training), "tune_id": tune.id, "created_at": iso(tune.created_at)}
            row["request"] = json.dumps(row["request"])
            places = ", ".join("?" * len(_COLUMNS))
            connection.execute(
                f"INSERT INTO trainings ({', '.join(_COLUMNS)}) VALUES ({places})",
                [row[name] for name in _COLUMNS],
            )

        return store

    def get(self, tune_id: int) -> Training | None:
        """Return the training of a tune, None where none was asked for."""
        return next(iter(self._select("WHERE tune_id = ?", [tune_id])), None)

    def open(self) -> Sequence[Training]:
        """Return what is neither done nor failed, in the order of its coming."""
        return self._select(f"WHERE status IN {_OPEN} ORDER BY created_at, tune_id", [])

    def call(self, tune_id: int, callback: str) -> None:
        """Note the address to call when a training is done that has not ended yet."""
        self._change("callback = ?", [callback], tune_id, f"status IN {_OPEN}")

    def start(self, tune_id: int) -> None:
        """Note that ComfyUI runs the training now."""
        change = "status = 'running', runs = runs + 1"
        self._change(change, [], tune_id, "status = 'queued'")

    def requeue(self, tune_id: int, run_id: str) -> None:
        """Note that the training waits again, for a run of another id."""
        self._change("status = 'queued', run_id = ?", [run_id], tune_id, f"status IN {_OPEN}")

    def shrink(self, training: Training, sizes_px: Sequence[int], too_large: str) -> None:
        """Note that the training waits again, for smaller sizes, as a run of `training.run_id`."""
        request = json.dumps({**training.request, "sizes_px": list(sizes_px)})
        change = "status = 'queued', run_id = ?, request = ?, too_large = ?"
        values = [training.run_id, request, too_large]
        self._change(change, values, training.tune_id, f"status IN {_OPEN}")

    def again(self, tune_id: int, run_id: str) -> bool:
        """Note that a training that failed is to go on; say whether it had failed."""
        with transaction(self._database) as connection:
            change = "status = 'queued', run_id = ?, runs = 0"
            is_changed = connection.execute(
                f"UPDATE trainings SET {change} WHERE tune_id = ? AND status = 'failed'",
                [run_id, tune_id],
            ).rowcount
            if is_changed:
                _tell(connection, tune_id, None)
        return bool(is_changed)

    def fail(self, tune_id: int, user_error: str) -> bool:
        """Note that a training ended without a model, and why; say whether it was open."""
        with transaction(self._database) as connection:
            is_changed = connection.execute(
                f"UPDATE trainings SET status = 'failed' WHERE tune_id = ? AND status IN {_OPEN}",
                [tune_id],
            ).rowcount
            if is_changed:
                _tell(connection, tune_id, user_error)
        return bool(is_changed)

    def _change(self, change: str, values: Sequence[Any], tune_id: int, where: str) -> None:
        with transaction(self._database) as connection:
            connection.execute(
                f"UPDATE trainings SET {change} WHERE tune_id = ? AND {where}", [*values, tune_id]
            )

    def _select(self, rest: str, values: Sequence[Any]) -> Sequence[Training]:
        with connected(self._database) as connection:
            rows = connection.execute(f"SELECT * FROM trainings {rest}", values)
            return [_training(row) for row in rows]


def _tell(connection: sqlite3.Connection, tune_id: int, user_error: str | None) -> None:
    connection.execute(
        "UPDATE tunes SET user_error = ?, updated_at = ? WHERE id = ?",
        [user_error, iso(now()), tune_id],
    )


def _training(row: sqlite3.Row) -> Training:
    values = dict(row)
    values["request"] = json.loads(values["request"])
    values["created_at"] = from_iso(values["created_at"])
    return Training(**values)
