"""The tunes database: connections, schema version and migrations."""

from __future__ import annotations

import functools
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from ..net.writing import exclusive
from .tune import TuneError

BUSY_TIMEOUT_S = 30.0
_ROUND_MS = 20

# Step i takes schema version i to i + 1. A released step never changes; a new one is added behind
# it.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # AUTOINCREMENT: the id of a deleted tune is never given to another person's.
        """CREATE TABLE tunes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            title TEXT NOT NULL,
            name TEXT,
            model_type TEXT CHECK (model_type IN ('lora', 'faceid', 'checkpoint')),
            token TEXT NOT NULL,
            base_tune_id INTEGER,
            branch TEXT,
            file TEXT,
            args TEXT,
            steps INTEGER,
            face_crop INTEGER,
            training_face_correct INTEGER,
            ckpt_url TEXT,
            ckpt_urls TEXT NOT NULL,
            is_api INTEGER NOT NULL,
            orig_images TEXT NOT NULL,
            eta TEXT,
            trained_at TEXT,
            started_training_at TEXT,
            expires_at TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        )""",
        "CREATE INDEX tunes_title ON tunes (title)",
        "CREATE INDEX tunes_created_at ON tunes (created_at)",
    ),
    (
        # `tune_id` is text: it may name a base of the bindings, which has no row here.
        """CREATE TABLE prompts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            tune_id TEXT NOT NULL,
            fields TEXT NOT NULL,
            digest TEXT NOT NULL,
            origin TEXT NOT NULL,
            callback TEXT,
            status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed')),
            run_id TEXT NOT NULL,
            runs INTEGER NOT NULL,
            workflow TEXT NOT NULL,
            inputs TEXT NOT NULL,
            images TEXT NOT NULL,
            notices TEXT NOT NULL,
            user_error TEXT,
            started_training_at TEXT,
            trained_at TEXT,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        )""",
        "CREATE INDEX prompts_tune ON prompts (tune_id, id)",
        "CREATE INDEX prompts_digest ON prompts (digest)",
        "CREATE INDEX prompts_open ON prompts (id) WHERE status IN ('queued', 'running')",
        """CREATE TABLE callbacks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            delivery TEXT NOT NULL,
            url TEXT NOT NULL,
            body TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            due REAL NOT NULL,
            problem TEXT
        )""",
    ),
    ("ALTER TABLE prompts ADD COLUMN liked INTEGER NOT NULL DEFAULT 0",),
    (
        "ALTER TABLE tunes ADD COLUMN characteristics TEXT NOT NULL DEFAULT '{}'",
        "ALTER TABLE tunes ADD COLUMN pack_id INTEGER",
        # `folder` is the name of the folder that a pack is read from, with the digest of what was
        # read; without one the pack came as a request.
        """CREATE TABLE packs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            slug TEXT NOT NULL UNIQUE,
            title TEXT NOT NULL,
            tune TEXT NOT NULL,
            folder TEXT UNIQUE,
            digest TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        )""",
        """CREATE TABLE pack_prompts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            pack_id INTEGER NOT NULL,
            class_name TEXT NOT NULL,
            fields TEXT NOT NULL
        )""",
        "CREATE INDEX pack_prompts_pack ON pack_prompts (pack_id, id)",
        # A callback that is queued once all these prompts have ended.
        """CREATE TABLE pack_runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            url TEXT NOT NULL,
            prompts TEXT NOT NULL
        )""",
    ),
    (
        "ALTER TABLE tunes ADD COLUMN preset TEXT",
        "ALTER TABLE tunes ADD COLUMN user_error TEXT",
        # `request` is what was asked of the training; what is queued is planned of it each time.
        """CREATE TABLE trainings (
            tune_id INTEGER PRIMARY KEY,
            request TEXT NOT NULL,
            origin TEXT NOT NULL,
            callback TEXT,
            status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed')),
            run_id TEXT NOT NULL,
            runs INTEGER NOT NULL,
            too_large TEXT NOT NULL,
            created_at TEXT NOT NULL
        )""",
        # A prompt that waits until this tune is trained.
        "ALTER TABLE prompts ADD COLUMN waits_for INTEGER",
        # The body of a callback about a tune is made when it is sent, and has none here.
        "ALTER TABLE callbacks ADD COLUMN tune_id INTEGER",
        "ALTER TABLE callbacks ADD COLUMN origin TEXT",
    ),
    (
        # Runs of trainings that a fleet is asked for. `asked` is the run id of the training, and
        # `run_id` that of the try that counts; `behind` is the last prompt that came before.
        """CREATE TABLE fleet_runs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            asked TEXT NOT NULL UNIQUE,
            tune_id INTEGER NOT NULL,
            behind INTEGER NOT NULL,
            workflow TEXT NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'ended')),
            run_id TEXT NOT NULL,
            runs INTEGER NOT NULL,
            entry TEXT
        )""",
    ),
)


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection in autocommit mode whose commits are on the disk.

    What SQLite reports becomes a TuneError.
    """
    try:
        # One connection per use: callers may come from any thread, and nothing stays open.
        with closing(
            sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        ) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA synchronous = FULL")
            # What is deleted is overwritten: face vectors and prompts are private.
            connection.execute("PRAGMA secure_delete = ON")
            yield connection
    except sqlite3.DatabaseError as error:
        raise TuneError(
            f"the tunes database {path} cannot be used: {error}",
            code="tunes-database",
            hint=(
                "Check the folder's rights and free space. A damaged file may be moved away; a new"
                " one is made."
            ),
        ) from error


def kept_open(path: Path) -> sqlite3.Connection:
    """Return a connection that is only kept open.

    When the last connection closes, SQLite checkpoints its write-ahead log and removes it, which
    takes several times as long as a commit.
    """
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    connection.execute("PRAGMA user_version").fetchall()  # only what was read is open
    return connection


@functools.cache
def _writer_lock(path: Path) -> threading.Lock:
    return threading.Lock()


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that is the database's only writer.

    Commit at the end, roll back on an error.
    """
    # Threads take turns by a lock: SQLite sleeps between its looks at a busy database.
    with _writer_lock(path), connected(path) as connection:
        _begin(connection)
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:  # SQLite itself rolls back on a full disk
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def only_one(path: Path) -> sqlite3.Connection | None:
    """Return a connection that locks `path` for this process, until it is closed or the process
    ends, however it ends; None while another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        connection.close()
        return None
    return connection


def _begin(connection: sqlite3.Connection) -> None:
    """Wait for the write lock.

    SQLite asks ever more seldom while it waits, and a busy writer would starve us.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    connection.execute(f"PRAGMA busy_timeout = {_ROUND_MS}")
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
    connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")


def prepare(path: Path, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Create the database, or bring it to the newest schema version, each step whole or not at all.

    Raises: TuneError when a newer version of the pack wrote it; it is then left as it is.
    """
    # Switching to WAL is not covered by SQLite's busy timeout: two processes may meet here on a new
    # database.
    with exclusive(path.with_name(f"{path.name}.lock")), connected(path) as connection:
        version = _version(connection)
        if version > len(migrations):
            raise TuneError(
                f"the tunes database {path} has schema version {version}, this version of the pack"
                f" knows {len(migrations)}",
                code="tunes-newer",
                hint="Update the pack; the database was left as it is.",
            )
        connection.execute("PRAGMA journal_mode = WAL")
    for step in range(version, len(migrations)):
        with transaction(path) as connection:
            if _version(connection) == step:  # else another process was faster
                for statement in migrations[step]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {step + 1}")


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
