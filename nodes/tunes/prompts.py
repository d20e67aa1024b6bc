"""The prompts that programs sent over HTTP, and their queue of callbacks, beside the tunes."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from .schema import connected, prepare, transaction
from .store import DATABASE_FILE, queue_callback
from .tune import MAX_ID, from_iso, iso, now, storable


@dataclass(frozen=True)
class Prompt:
    """One prompt: what was sent, the workflow made of it, and what became of it.

    Times are in UTC, in whole milliseconds.
    """

    tune_id: str  # of a stored tune, or of a base of the bindings
    fields: Mapping[str, Any]  # the attributes as sent, pictures as file names
    digest: str  # equal for equal requests
    origin: str  # scheme and host that its addresses begin with
    workflow: Mapping[str, Any]
    callback: str | None = None
    inputs: tuple[str, ...] = ()  # files that were put into ComfyUI's input folder for it
    notices: tuple[str, ...] = ()
    id: int = 0
    status: Literal["queued", "running", "done", "failed"] = "queued"
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))  # of the run in ComfyUI's queue
    runs: int = 0  # how often it was started
    # Filename, subfolder and type, as ComfyUI's view route takes them.
    images: tuple[Mapping[str, str], ...] = ()
    user_error: str | None = None
    started_training_at: datetime | None = None
    trained_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    liked: bool = False
    waits_for: int | None = None  # tune that has to be trained first


@dataclass(frozen=True)
class Sought:
    """A search: prompts that fit every criterion that is set."""

    tune_id: str | None = None
    before: int | None = None  # ids below this one
    text: str = ""  # stands somewhere in the prompt's text, in any case of letters
    liked: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)  # whole numbers as sent


@dataclass(frozen=True)
class Callback:
    """A POST in the queue of callbacks.

    `delivery` stays the same over its attempts. The body of one about a tune is that tune's object,
    its addresses beginning with `origin`, and made when it is sent.
    """

    id: int
    delivery: str
    url: str
    body: str
    attempts: int
    tune_id: int | None = None
    origin: str | None = None


_COLUMNS = tuple(one.name for one in fields(Prompt))
_OPEN = "('queued', 'running')"
_STARTED = "status = 'running', runs = runs + 1, started_training_at = ?, updated_at = ?"
_JSON = ("fields", "workflow", "inputs", "images", "notices")
_TUPLES = ("inputs", "images", "notices")
_TIMES = ("started_training_at", "trained_at", "created_at", "updated_at")


class PromptStore:
    """The prompts and callbacks in `folder`, in the tunes database.

    What a method did is on the disk when it returns.

    Raises: TuneError, from every method, when the database cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = folder / DATABASE_FILE
        prepare(self._database)

    def add(self, prompt: Prompt, of_tune: int | None = None) -> Prompt | None:
        """Store a new prompt and return it with its id and times.

        None where it is `of_tune`, a stored tune, which is not there any more.
        """
        return self.add_together([(prompt, of_tune)])[0]

    def add_together(self, prompts: Sequence[tuple[Prompt, int | None]]) -> Sequence[Prompt | None]:
        """Store new prompts and return them with their ids and times.

        Each comes with the stored tune that it is of, if any; None for one whose tune is not there
        any more. Where one cannot be stored, none is. All of them wait for the disk once.
        """
        moment = now()
        new = [replace(one, created_at=moment, updated_at=moment) for one, _ in prompts]
        # Written before the lock is taken: workflows are long.
        rows = [
            [None if name == "id" else _to_column(name, getattr(one, name)) for name in _COLUMNS]
            for one in new
        ]
        stored: list[Prompt | None] = []
        with transaction(self._database) as connection:
            for (_, of_tune), one, row in zip(prompts, new, rows, strict=True):
                if of_tune is not None and not _is_tune(connection, of_tune):
                    stored.append(None)
                    continue
                id = connection.execute(_INSERT, row).lastrowid
                assert id is not None, "it was inserted"
                stored.append(replace(one, id=id))
        return stored

    def get(self, id: int) -> Prompt | None:
        """Return the prompt of this id, None when there is none."""
        if not 0 < id <= MAX_ID:
            return None
        return next(iter(self._select("WHERE id = ?", [id])), None)

    def get_many(self, ids: Collection[int]) -> Sequence[Prompt]:
        """Return those of these prompts that are there, without their workflows."""
        rest = "WHERE id IN (SELECT value FROM json_each(?))"
        return self._select(rest, [json.dumps([*ids])], columns=_WITHOUT_WORKFLOW)

    def find(self, tune_id: str, digest: str) -> Prompt | None:
        """Return the newest prompt of an equal request, None when there is none.

        Failed ones do not count: asking again tries again.
        """
        found = self._select(
            "WHERE tune_id = ? AND digest = ? AND status != 'failed' ORDER BY id DESC LIMIT 1",
            [tune_id, digest],
        )
        return next(iter(found), None)

    def list(self, tune_id: str, *, limit: int, offset: int) -> Sequence[Prompt]:
        """Return at most `limit` prompts of a tune, newest first, `offset` of them passed over."""
        return self.search(Sought(tune_id), limit=limit, offset=offset)

    def search(self, sought: Sought, *, limit: int, offset: int) -> Sequence[Prompt]:
        """Return at most `limit` prompts, newest first, `offset` of those that fit passed over.

        Without their workflows, which are most of their size and never shown.
        """
        if not storable(sought.text):
            return ()
        conditions, values = _conditions(sought)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return self._select(
            f"{where} ORDER BY id DESC LIMIT ? OFFSET ?",
            [*values, limit, offset],
            columns=_WITHOUT_WORKFLOW,
        )

    def like(self, id: int, *, liked: bool) -> bool:
        """Note that a prompt is liked, or is not; say whether it was there."""
        with transaction(self._database) as connection:
            return (
                connection.execute(
                    "UPDATE prompts SET liked = ? WHERE id = ?", [liked, id]
                ).rowcount
                == 1
            )

    def open(self, *, after: int = 0, limit: int = -1) -> Sequence[Prompt]:
        """Return prompts that are neither done nor failed, in the order of their coming: at most
        `limit` with ids above `after`, or all.
        """
        rest = f"WHERE status IN {_OPEN} AND id > ? ORDER BY id LIMIT ?"
        return self._select(rest, [after, limit])

    def waiting(self) -> Sequence[Prompt]:
        """Return what waits for a tune, in the order of its coming."""
        return self._select("WHERE waits_for IS NOT NULL AND status = 'queued' ORDER BY id", [])

    def release(self, id: int) -> bool:
        """Note that a prompt waits for no tune any more; say whether it did."""
        change = "UPDATE prompts SET waits_for = NULL WHERE id = ? AND waits_for IS NOT NULL"
        with transaction(self._database) as connection:
            return connection.execute(change, [id]).rowcount == 1

    def count_open(self) -> int:
        """Return the number of prompts that are neither done nor failed."""
        return self.counts()[0]

    def counts(self) -> tuple[int, int]:
        """Return how many prompts have not ended, and how many of these wait for a tune."""
        count = f"SELECT COUNT(*), COUNT(waits_for) FROM prompts WHERE status IN {_OPEN}"
        with connected(self._database) as connection:
            return tuple(connection.execute(count).fetchone())

    def start(self, id: int, run_id: str) -> bool:
        """Note that a prompt's run of this id has begun; say whether it waited for that run."""
        moment = iso(now())
        change = f"UPDATE prompts SET {_STARTED} WHERE id = ? AND run_id = ? AND status = 'queued'"
        with transaction(self._database) as connection:
            return connection.execute(change, [moment, moment, id, run_id]).rowcount == 1

    def claim(self, runs: Mapping[int, str]) -> frozenset[int]:
        """Begin a run for each prompt id, of the run id beside it; return the ids that waited.

        Who claims a prompt that another has claimed before does not get it.
        """
        moment = iso(now())
        change = (
            f"UPDATE prompts SET {_STARTED}, run_id = ? WHERE id = ? AND status = 'queued' AND"
            " waits_for IS NULL"
        )
        with transaction(self._database) as connection:
            return frozenset(
                id
                for id, run_id in runs.items()
                if connection.execute(change, [moment, moment, run_id, id]).rowcount == 1
            )

    def requeue(self, prompts: Sequence[Prompt]) -> frozenset[int]:
        """Note that open prompts wait again, for runs of their `run_id`, started `runs` times so
        far; return the ids of those that were open.
        """
        moment = iso(now())
        change = "UPDATE prompts SET status = 'queued', run_id = ?, runs = ?, updated_at = ?"
        change += f" WHERE id = ? AND status IN {_OPEN}"
        with transaction(self._database) as connection:
            return frozenset(
                one.id
                for one in prompts
                if connection.execute(change, [one.run_id, one.runs, moment, one.id]).rowcount == 1
            )

    def finish(self, prompt: Prompt, body: str) -> bool:
        """Store what became of a prompt as `finish_many` does; say whether it was open."""
        return bool(self.finish_many([(prompt, body)]))

    def finish_many(self, ends: Sequence[tuple[Prompt, str]]) -> frozenset[int]:
        """Store what became of prompts, and queue their callbacks with the bodies, all or none.

        Return the ids of those that were open, and of the same run still: an end that comes late,
        of a run that another took the place of, changes nothing.

        The workflow goes: it was needed to run the prompt again, and the pictures hold it.
        """
        change = (
            "UPDATE prompts SET status = ?, images = ?, notices = ?, user_error = ?, trained_at = ?"
            ", updated_at = ?, workflow = '{}'"
            f" WHERE id = ? AND run_id = ? AND status IN {_OPEN}"
        )
        rows = [_end_row(prompt) for prompt, _ in ends]
        changed = set()
        with transaction(self._database) as connection:
            for (prompt, body), row in zip(ends, rows, strict=True):
                if connection.execute(change, row).rowcount == 1:
                    changed.add(prompt.id)
                    if prompt.callback:
                        queue_callback(connection, prompt.callback, body)
        return frozenset(changed)

    def run_ids(self, ids: Collection[int]) -> Mapping[int, str]:
        """Return the run ids of those prompts that are open."""
        query = (
            "SELECT id, run_id FROM prompts WHERE id IN (SELECT value FROM json_each(?)) AND status"
            f" IN {_OPEN}"
        )
        with connected(self._database) as connection:
            rows = connection.execute(query, [json.dumps([*ids])])
            return {row["id"]: row["run_id"] for row in rows}

    def forget(self, before: datetime, limit: int) -> int:
        """Remove at most `limit` prompts that ended before that moment and are not liked, and as
        many callbacks that were given up before it; return how many went.
        """
        old = (
            f"SELECT id FROM prompts WHERE status NOT IN {_OPEN} AND liked = 0 AND updated_at < ?"
            " ORDER BY id LIMIT ?"
        )
        lost = "SELECT id FROM callbacks WHERE problem IS NOT NULL AND due < ? ORDER BY id LIMIT ?"
        with transaction(self._database) as connection:
            gone = connection.execute(
                f"DELETE FROM prompts WHERE id IN ({old})", [iso(before), limit]
            ).rowcount
            gone += connection.execute(
                f"DELETE FROM callbacks WHERE id IN ({lost})", [before.timestamp(), limit]
            ).rowcount
        return gone

    def delete(self, id: int) -> bool:
        """Remove a prompt; say whether it was there."""
        with transaction(self._database) as connection:
            return connection.execute("DELETE FROM prompts WHERE id = ?", [id]).rowcount == 1

    def inputs_in_use(self) -> frozenset[str]:
        """Return the input files that prompts name."""
        with connected(self._database) as connection:
            rows = connection.execute("SELECT inputs FROM prompts WHERE inputs != '[]'").fetchall()
        return frozenset(name for row in rows for name in json.loads(row["inputs"]))

    def queue_callback(self, url: str, body: str) -> None:
        """Note that `body` is to be sent to `url`."""
        with transaction(self._database) as connection:
            queue_callback(connection, url, body)

    def claim_callbacks(self, moment: float, limit: int, lease_s: float) -> Sequence[Callback]:
        """Return at most `limit` callbacks that are due at `moment`, the longest due first.

        No other sender gets them for `lease_s` seconds.
        """
        with transaction(self._database) as connection:
            query = (
                "SELECT id, delivery, url, body, attempts, tune_id, origin FROM callbacks WHERE due"
                " <= ? AND problem IS NULL ORDER BY due, id LIMIT ?"
            )
            taken = [Callback(**dict(row)) for row in connection.execute(query, [moment, limit])]
            connection.executemany(
                "UPDATE callbacks SET due = ? WHERE id = ?",
                [(moment + lease_s, one.id) for one in taken],
            )
        return taken

    def next_callback_due(self) -> float | None:
        """Return the time at which the next callback is due, None when none is queued."""
        with connected(self._database) as connection:
            return connection.execute(
                "SELECT MIN(due) FROM callbacks WHERE problem IS NULL"
            ).fetchone()[0]

    def mark_delivered(self, id: int) -> None:
        """Note that a callback has arrived."""
        with transaction(self._database) as connection:
            connection.execute("DELETE FROM callbacks WHERE id = ?", [id])

    def retry_callback(self, id: int, due: float) -> None:
        """Note that an attempt failed and the next one is due then."""
        with transaction(self._database) as connection:
            connection.execute(
                "UPDATE callbacks SET attempts = attempts + 1, due = ? WHERE id = ?", [due, id]
            )

    def fail_callback(self, id: int, problem: str) -> None:
        """Note that a callback is not tried again, and why; the row stays for the owner to see."""
        with transaction(self._database) as connection:
            connection.execute(
                "UPDATE callbacks SET attempts = attempts + 1, problem = ? WHERE id = ?",
                [problem, id],
            )

    def _select(self, rest: str, values: Sequence[Any], *, columns: str = "*") -> Sequence[Prompt]:
        with connected(self._database) as connection:
            rows = connection.execute(f"SELECT {columns} FROM prompts {rest}", values)
            return [_prompt(row) for row in rows]


_WITHOUT_WORKFLOW = ", ".join(
    "'{}' AS workflow" if name == "workflow" else name for name in _COLUMNS
)
_INSERT = f"INSERT INTO prompts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def _end_row(prompt: Prompt) -> list[Any]:
    return [
        prompt.status,
        json.dumps(prompt.images),
        json.dumps(prompt.notices),
        prompt.user_error,
        iso(prompt.trained_at),
        iso(prompt.updated_at or now()),
        prompt.id,
        prompt.run_id,
    ]


def _is_tune(connection: sqlite3.Connection, id: int) -> bool:
    return bool(connection.execute("SELECT 1 FROM tunes WHERE id = ?", [id]).fetchone())


def _conditions(sought: Sought) -> tuple[list[str], list[Any]]:
    """Return the SQL conditions of a search, and the values in them."""
    asked: list[tuple[str, list[Any]]] = []
    if sought.tune_id is not None:
        asked.append(("tune_id = ?", [sought.tune_id]))
    if sought.before is not None:
        asked.append(("id < ?", [sought.before]))
    if sought.liked is not None:
        asked.append(("liked = ?", [sought.liked]))
    if sought.text:
        asked.append(("instr(lower(json_extract(fields, '$.text')), lower(?)) > 0", [sought.text]))
    for name, value in sought.attributes.items():
        # Leading zeros change no id, on either side; nothing is not zero.
        given = "CAST(json_extract(fields, ?) AS TEXT)"
        condition = f"({given} != '' AND ltrim({given}, '0') = ltrim(?, '0'))"
        asked.append((condition, [f"$.{name}", f"$.{name}", value]))
    return [text for text, _ in asked], [value for _, values in asked for value in values]


def _to_column(name: str, value: Any) -> Any:
    if name in _TIMES:
        return iso(value)
    return json.dumps(value) if name in _JSON else value


def _prompt(row: sqlite3.Row) -> Prompt:
    values = dict(row)
    values |= {name: from_iso(values[name]) for name in _TIMES}
    values |= {name: json.loads(values[name]) for name in _JSON}
    values |= {name: tuple(values[name]) for name in _TUPLES}
    values["liked"] = bool(values["liked"])
    return Prompt(**values)
