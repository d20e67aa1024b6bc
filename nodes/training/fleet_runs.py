"""The runs of trainings that a fleet is asked for: what the API's ComfyUI puts there, and a
dispatcher takes and ends.

A table beside the tunes. What becomes of the training itself stands in its own row, see asked.py.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..tunes.schema import connected, prepare, transaction
from ..tunes.store import DATABASE_FILE

_OPEN = "('queued', 'running')"
_UNWANTED = "asked NOT IN (SELECT run_id FROM trainings WHERE status IN ('queued', 'running'))"


@dataclass(frozen=True)
class FleetRun:
    """A run that has not ended.

    It came after the prompt of the id `behind`; `runs` counts how often it was started.
    """

    id: int
    tune_id: int
    behind: int
    workflow: Mapping[str, Any]
    status: str
    run_id: str
    runs: int


class FleetRuns:
    """The runs in `folder`, in the tunes database.

    What a method did is on the disk when it returns. Raises: TuneError, from every method, when the
    database cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = folder / DATABASE_FILE
        prepare(self._database)

    def put(self, asked: str, tune_id: int, workflow: Mapping[str, Any]) -> None:
        """Ask for a run, behind all prompts that there are; what no training waits for goes."""
        text = json.dumps(workflow)
        with transaction(self._database) as connection:
            connection.execute(f"DELETE FROM fleet_runs WHERE {_UNWANTED}")
            connection.execute(
                "INSERT INTO fleet_runs (asked, tune_id, behind, workflow, status, run_id, runs)"
                " VALUES (?, ?, (SELECT COALESCE(MAX(id), 0) FROM prompts), ?, 'queued', ?, 0)",
                [asked, tune_id, text, asked],
            )

    def remove(self, asked: str) -> int | None:
        """Remove a run; return the tune that it was to train, None where it was not there."""
        with transaction(self._database) as connection:
            query = "SELECT tune_id FROM fleet_runs WHERE asked = ?"
            found = connection.execute(query, [asked]).fetchone()
            connection.execute("DELETE FROM fleet_runs WHERE asked = ?", [asked])
        return None if found is None else found["tune_id"]

    def states(self) -> Mapping[str, str]:
        """Return the status of each run by the id that it was asked for with."""
        with connected(self._database) as connection:
            rows = connection.execute("SELECT asked, status FROM fleet_runs")
            return {row["asked"]: row["status"] for row in rows}

    def entry(self, asked: str) -> Mapping[str, Any] | None:
        """Return how a run ended, None where it has not, or was removed."""
        with connected(self._database) as connection:
            query = "SELECT entry FROM fleet_runs WHERE asked = ? AND entry IS NOT NULL"
            found = connection.execute(query, [asked]).fetchone()
        return None if found is None else json.loads(found["entry"])

    def open(self) -> Sequence[FleetRun]:
        """Return the runs that have not ended, in the order of their coming."""
        query = (
            "SELECT id, tune_id, behind, workflow, status, run_id, runs FROM fleet_runs WHERE"
            f" status IN {_OPEN} ORDER BY id"
        )
        with connected(self._database) as connection:
            return [_run(row) for row in connection.execute(query)]

    def count_open(self) -> int:
        """Return how many runs have not ended."""
        query = f"SELECT COUNT(*) FROM fleet_runs WHERE status IN {_OPEN}"
        with connected(self._database) as connection:
            return connection.execute(query).fetchone()[0]

    def claim(self, runs: Mapping[int, str]) -> frozenset[int]:
        """Begin a try of each run, of the run id beside it; return the ids of those that waited."""
        change = (
            "UPDATE fleet_runs SET status = 'running', runs = runs + 1, run_id = ? WHERE id = ? AND"
            " status = 'queued'"
        )
        return self._changed(change, {id: [run_id] for id, run_id in runs.items()})

    def requeue(self, again: Mapping[int, tuple[str, int]]) -> frozenset[int]:
        """Note that runs wait again, for tries of a run id, started so often; return the ids of
        those that were open.
        """
        change = (
            "UPDATE fleet_runs SET status = 'queued', run_id = ?, runs = ? WHERE id = ? AND status"
            f" IN {_OPEN}"
        )
        return self._changed(change, {id: [*values] for id, values in again.items()})

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """Return the run ids of those runs that are open."""
        query = (
            "SELECT id, run_id FROM fleet_runs WHERE id IN (SELECT value FROM json_each(?)) AND"
            f" status IN {_OPEN}"
        )
        with connected(self._database) as connection:
            rows = connection.execute(query, [json.dumps([*ids])])
            return {row["id"]: row["run_id"] for row in rows}

    def end(self, id: int, run_id: str, entry: Mapping[str, Any]) -> bool:
        """Note how a run ended; say whether it was open, and of that try."""
        change = (
            "UPDATE fleet_runs SET status = 'ended', entry = ?, workflow = '{}' WHERE id = ? AND"
            f" run_id = ? AND status IN {_OPEN}"
        )
        with transaction(self._database) as connection:
            values = [json.dumps(entry), id, run_id]
            return connection.execute(change, values).rowcount == 1

    def _changed(self, change: str, values: Mapping[int, Sequence[Any]]) -> frozenset[int]:
        with transaction(self._database) as connection:
            return frozenset(
                id
                for id, given in values.items()
                if connection.execute(change, [*given, id]).rowcount == 1
            )


def _run(row: sqlite3.Row) -> FleetRun:
    return FleetRun(**{**dict(row), "workflow": json.loads(row["workflow"])})
