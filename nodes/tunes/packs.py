"""The packs: stored sets of prompts, and what tunes made by them are like.

Tables beside the tunes. A pack came as a request, or is read from a folder of prompt files.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from .schema import connected, prepare, transaction
from .store import DATABASE_FILE, queue_callback
from .tune import MAX_ID, from_iso, iso, now


@dataclass(frozen=True)
class PackPrompt:
    """One prompt of a pack. `class_name` (man, woman ...) says for whom; "" is for everybody."""

    fields: Mapping[str, Any]
    class_name: str = ""
    id: int = 0


@dataclass(frozen=True)
class NewPack:
    """The attributes of a pack that its maker sets.

    `tune` holds attributes of the tunes that are made by it. `folder` is the folder below `packs`
    that it is read from, `digest` tells what was read.
    """

    slug: str
    title: str
    tune: Mapping[str, Any]
    prompts: Sequence[PackPrompt]
    folder: str | None = None
    digest: str = ""


@dataclass(frozen=True)
class Pack(NewPack):
    """A stored pack. Times are in UTC, in whole milliseconds."""

    id: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True)
class PackRun:
    """Prompts that a pack was asked for together, and the address to call when all have ended."""

    id: int
    url: str
    prompts: tuple[int, ...]


class PackStore:
    """The packs in `folder`, in the tunes database.

    What a method did is on the disk when it returns, whole or not at all.

    Raises: TuneError, from every method, when the database cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._database = folder / DATABASE_FILE
        prepare(self._database)

    def add(self, new: NewPack) -> Pack:
        """Store a pack and return it with its id and times.

        Its slug gets a number behind it where another pack has it.
        """
        with transaction(self._database) as connection:
            return _added(connection, new)

    def get(self, key: str) -> Pack | None:
        """Return the pack of this id or slug, None when there is none."""
        is_id = key.isascii() and key.isdecimal() and len(key) <= 16
        if is_id and int(key) > MAX_ID:
            return None
        with _reading(self._database) as connection:
            row = _find(connection, "id = ?" if is_id else "slug = ?", int(key) if is_id else key)
            return None if row is None else _pack(connection, row)

    def list(self, *, limit: int, offset: int = 0, before: int | None = None) -> Sequence[Pack]:
        """Return at most `limit` packs by falling id, `offset` of them passed over.

        Those of ids below `before`.
        """
        with _reading(self._database) as connection:
            query = "SELECT * FROM packs WHERE id < ? ORDER BY id DESC LIMIT ? OFFSET ?"
            below = MAX_ID if before is None else before
            rows = connection.execute(query, [below, limit, offset]).fetchall()
            return [_pack(connection, row) for row in rows]

    def delete(self, id: int) -> bool:
        """Remove a pack and its prompts; tunes made by it stay. Say whether it was there."""
        with transaction(self._database) as connection:
            return _deleted(connection, id)

    def begin_run(self, url: str, prompts: Sequence[int]) -> None:
        """Note that `url` is to be called when these prompts have ended."""
        with transaction(self._database) as connection:
            connection.execute(
                "INSERT INTO pack_runs (url, prompts) VALUES (?, ?)", [url, json.dumps(prompts)]
            )

    def ended_runs(self) -> Sequence[PackRun]:
        """Return the runs of which no prompt waits or runs any more; deleted ones do not."""
        open_ones = (
            "SELECT 1 FROM prompts, json_each(pack_runs.prompts) AS one WHERE prompts.id ="
            " one.value AND prompts.status IN ('queued', 'running')"
        )
        query = f"SELECT * FROM pack_runs WHERE NOT EXISTS ({open_ones}) ORDER BY id"
        with connected(self._database) as connection:
            return [
                PackRun(row["id"], row["url"], tuple(json.loads(row["prompts"])))
                for row in connection.execute(query)
            ]

    def has_runs(self) -> bool:
        """Say whether callbacks of runs are still to be queued."""
        with connected(self._database) as connection:
            return bool(connection.execute("SELECT EXISTS(SELECT 1 FROM pack_runs)").fetchone()[0])

    def end_run(self, run: PackRun, body: str) -> bool:
        """Owe the callback of a run with `body`, once; say whether this call has done it."""
        with transaction(self._database) as connection:
            ended = connection.execute("DELETE FROM pack_runs WHERE id = ?", [run.id]).rowcount == 1
            if ended:
                queue_callback(connection, run.url, body)
        return ended

    def follow(self, folders: Sequence[NewPack]) -> None:
        """Make the packs that come from folders those that the folders hold now.

        What did not change keeps its ids.
        """
        wanted = {one.folder: one for one in folders}
        with connected(self._database) as connection:
            if _followed(connection) == {name: one.digest for name, one in wanted.items()}:
                return
        with transaction(self._database) as connection:
            there = _followed(connection)
            for name in there.keys() - wanted.keys():
                row = _find(connection, "folder = ?", name)
                assert row is not None
                _deleted(connection, row["id"])
            for name, one in wanted.items():
                if name not in there:
                    _added(connection, one)
                elif there[name] != one.digest:
                    _changed(connection, one)


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that sees packs and their prompts as they were at one moment."""
    with connected(path) as connection:
        connection.execute("BEGIN")
        yield connection


def _followed(connection: sqlite3.Connection) -> dict[str, str]:
    query = "SELECT folder, digest FROM packs WHERE folder IS NOT NULL"
    return {row["folder"]: row["digest"] for row in connection.execute(query)}


def _find(connection: sqlite3.Connection, where: str, value: object) -> sqlite3.Row | None:
    return connection.execute(f"SELECT * FROM packs WHERE {where}", [value]).fetchone()


def _added(connection: sqlite3.Connection, new: NewPack) -> Pack:
    moment = iso(now())
    slug = _free_slug(connection, new.slug)
    cursor = connection.execute(
        "INSERT INTO packs (slug, title, tune, folder, digest, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [slug, new.title, json.dumps(new.tune), new.folder, new.digest, moment, moment],
    )
    _add_prompts(connection, cursor.lastrowid, new.prompts)
    row = _find(connection, "id = ?", cursor.lastrowid)
    assert row is not None
    return _pack(connection, row)


def _free_slug(connection: sqlite3.Connection, slug: str) -> str:
    spellings = itertools.chain([slug], (f"{slug}-{number}" for number in itertools.count(2)))
    return next(one for one in spellings if _find(connection, "slug = ?", one) is None)


def _changed(connection: sqlite3.Connection, new: NewPack) -> None:
    row = _find(connection, "folder = ?", new.folder)
    assert row is not None
    connection.execute(
        "UPDATE packs SET title = ?, tune = ?, digest = ?, updated_at = ? WHERE id = ?",
        [new.title, json.dumps(new.tune), new.digest, iso(now()), row["id"]],
    )
    connection.execute("DELETE FROM pack_prompts WHERE pack_id = ?", [row["id"]])
    _add_prompts(connection, row["id"], new.prompts)


def _add_prompts(
    connection: sqlite3.Connection, pack: int | None, prompts: Sequence[PackPrompt]
) -> None:
    connection.executemany(
        "INSERT INTO pack_prompts (pack_id, class_name, fields) VALUES (?, ?, ?)",
        [(pack, one.class_name, json.dumps(one.fields)) for one in prompts],
    )


def _deleted(connection: sqlite3.Connection, id: int) -> bool:
    connection.execute("DELETE FROM pack_prompts WHERE pack_id = ?", [id])
    return connection.execute("DELETE FROM packs WHERE id = ?", [id]).rowcount == 1


def _pack(connection: sqlite3.Connection, row: sqlite3.Row) -> Pack:
    query = "SELECT id, class_name, fields FROM pack_prompts WHERE pack_id = ? ORDER BY id"
    prompts = tuple(
        PackPrompt(json.loads(one["fields"]), one["class_name"], one["id"])
        for one in connection.execute(query, [row["id"]])
    )
    values = dict(row)
    values |= {name: from_iso(values[name]) for name in ("created_at", "updated_at")}
    return Pack(**{**values, "tune": json.loads(values["tune"]), "prompts": prompts})
