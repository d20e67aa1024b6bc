"""A cache of the faces found in photos.

Bytes by photo and kind of analysis, in a small database beside the tunes.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from .schema import connected, prepare, transaction

CACHE_FILE = "faces.sqlite3"
MAX_ENTRIES = 4096  # a face takes 2 kB
_MIGRATIONS = (
    (
        (
            "CREATE TABLE faces (photo TEXT, analysis TEXT, data BLOB NOT NULL, used_at REAL NOT"
            " NULL, PRIMARY KEY (photo, analysis))"
        ),
    ),
)


class FaceCache:
    """The cache in `folder`.

    Any number of processes may use it; deleting its file costs time, nothing else.

    Raises: TuneError, from every method, when the database cannot be used.
    """

    def __init__(self, folder: Path, max_entries: int = MAX_ENTRIES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / CACHE_FILE
        self._max_entries = max_entries
        prepare(self._path, _MIGRATIONS)

    def get(self, photo: str, analysis: str) -> bytes | None:
        """Return what was put for this photo and analysis, None when nothing is there (any
        more).
        """
        with connected(self._path) as connection:
            row = connection.execute(
                "SELECT data FROM faces WHERE photo = ? AND analysis = ?", [photo, analysis]
            ).fetchone()
            if row is not None:
                connection.execute(
                    "UPDATE faces SET used_at = ? WHERE photo = ? AND analysis = ?",
                    [time.time(), photo, analysis],
                )
        return None if row is None else row["data"]

    def put(self, photo: str, analysis: str, data: bytes) -> None:
        """Keep `data`, in place of what is there.

        What was not used for longest goes when the cache is full.
        """
        with transaction(self._path) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO faces VALUES (?, ?, ?, ?)",
                [photo, analysis, data, time.time()],
            )
            oldest = "SELECT rowid FROM faces ORDER BY used_at DESC, rowid DESC LIMIT -1 OFFSET ?"
            connection.execute(f"DELETE FROM faces WHERE rowid IN ({oldest})", [self._max_entries])

    def forget(self, photos: Iterable[str]) -> None:
        """Remove all that was found in these photos."""
        with transaction(self._path) as connection:
            connection.executemany(
                "DELETE FROM faces WHERE photo = ?", [(photo,) for photo in photos]
            )
