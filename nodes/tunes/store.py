"""The tunes that the pack keeps: a SQLite database, and the photos as files beside it."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ..net.writing import PARTIAL, atomic_write, sync_folder
from .schema import connected, prepare, transaction
from .tune import MAX_ID, NewTune, Tune, TuneError, from_iso, iso, now, storable

__all__ = ["DATABASE_FILE", "NewTune", "Tune", "TuneError", "TuneStore"]

DATABASE_FILE = "tunes.sqlite3"
MAX_PHOTO_BYTES = 64 * 2**20

_PHOTO_NAME = re.compile(rf"[0-9a-f]{{64}}\.(jpg|png|webp)({re.escape(PARTIAL)})?")
_TUNE_FOLDER = re.compile(r"[1-9][0-9]{0,15}")
_TIMES = ("eta", "trained_at", "started_training_at", "expires_at", "created_at", "updated_at")
_LISTS = ("ckpt_urls", "orig_images")
_MAPPINGS = ("characteristics",)
_BOOLS = ("face_crop", "training_face_correct", "is_api")
_COLUMNS = tuple(item.name for item in fields(Tune))
Beside = Callable[[sqlite3.Connection, Tune], None]
SOUGHT = ("title", "name", "model_type", "branch")  # columns that a list can be asked by


class TuneStore:
    """The tunes in `folder`: `tunes.sqlite3` and `photos/TUNE ID/SHA256.ENDING`.

    Any number of processes and threads may use one folder. A tune that `create` returned survives a
    crash with all its photos; a crash before that leaves no tune, only files that the next opening
    removes.
    """

    def __init__(self, folder: Path) -> None:
        """Open the store, made when missing.

        Raises: TuneError when the database cannot be used or is of a newer version.
        """
        self._database = folder / DATABASE_FILE
        self._photos = folder / "photos"
        with _reporting(folder):
            self._photos.mkdir(parents=True, exist_ok=True)
            prepare(self._database)
        self._sweep()

    def create(
        self,
        *,
        photos: Sequence[bytes] = (),
        id: int | None = None,
        beside: Beside | None = None,
        **about: Any,
    ) -> Tune:
        """Store a tune and return it.

        `about` are the fields of NewTune, of which `title` is needed; `beside` stores what belongs
        to the tune, both or none.

        A photo set is ready at once, and so is a tune with a model file, or a mock: `trained_at`
        is then the time of creation.
        Raises: TuneError for a refused field, an id in use, or a photo that is not a JPEG, PNG or
        WebP of bounded size.
        """
        new = NewTune(**about)
        if new.model_type == "faceid" and not photos:
            raise TuneError(
                f"faceid tune {new.title!r} has no photos: expected at least one",
                code="tune-photos",
            )
        if id is not None and not 0 < id <= MAX_ID:
            raise TuneError(f"tune id {id}: expected 1 to {MAX_ID}", code="tune-id")
        named = [
            (_photo_name(photo, number), photo) for number, photo in enumerate(photos, start=1)
        ]
        row = {**_new_row(new), "id": id, "orig_images": [name for name, _ in named]}
        # The photos are written inside the transaction: it holds the write lock, so no sweep takes
        # them for orphans.
        with transaction(self._database) as connection:
            if id is not None and _row(connection, id) is not None:
                hint = "Leave the id out, or delete that tune first."
                raise TuneError(f"tune {id} exists already", code="tune-exists", hint=hint)
            cursor = connection.execute(_INSERT, [_to_column(name, row[name]) for name in _COLUMNS])
            stored = _row(connection, cursor.lastrowid)
            assert stored is not None
            tune = _tune(stored)
            self._write_photos(tune.id, dict(named))
            if beside is not None:
                beside(connection, tune)
        return tune

    def get(self, id: int) -> Tune | None:
        """Return the tune of this id, None when there is none."""
        if not 0 < id < 2**63:  # SQLite's integers end there
            return None
        with connected(self._database) as connection:
            row = _row(connection, id)
        return None if row is None else _tune(row)

    def find_by_title(self, title: str) -> Tune | None:
        """Return the newest tune of exactly this title, None when there is none."""
        if not storable(title):
            return None
        with connected(self._database) as connection:
            query = "SELECT * FROM tunes WHERE title = ? ORDER BY created_at DESC, id DESC LIMIT 1"
            row = connection.execute(query, [title]).fetchone()
        return None if row is None else _tune(row)

    def list(self, *, limit: int = 20, offset: int = 0) -> Sequence[Tune]:
        """Return at most `limit` tunes, newest first, `offset` of them passed over."""
        if limit < 0 or offset < 0:
            raise TuneError(f"limit {limit}, offset {offset}: expected 0 or more", code="tune-page")
        with connected(self._database) as connection:
            query = "SELECT * FROM tunes ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"
            return [_tune(row) for row in connection.execute(query, [limit, offset])]

    def page(
        self,
        *,
        limit: int,
        offset: int = 0,
        before: int | None = None,
        wanted: Mapping[str, Sequence[str]] | None = None,
    ) -> Sequence[Tune]:
        """Return at most `limit` tunes by falling id, `offset` of those that fit passed over.

        Their id is below `before`, and each column that `wanted` names has one of its values.
        """
        conditions = ["id < ?"]
        values: list[Any] = [2**63 - 1 if before is None else before]
        for column, accepted in (wanted or {}).items():
            assert column in SOUGHT, column
            texts = tuple(filter(storable, accepted))
            conditions.append(f"{column} IN ({', '.join('?' * len(texts))})")
            values += texts
        query = f"SELECT * FROM tunes WHERE {' AND '.join(conditions)}"
        with connected(self._database) as connection:
            rows = connection.execute(
                f"{query} ORDER BY id DESC LIMIT ? OFFSET ?", [*values, limit, offset]
            )
            return [_tune(row) for row in rows]

    def change(self, id: int, changes: Mapping[str, Any]) -> Tune | None:
        """Change fields of a stored tune; return it, None where there is none.

        Raises: TuneError for a refused value; the tune is then as it was.
        """
        with transaction(self._database) as connection:
            row = _row(connection, id) if 0 < id < 2**63 else None
            if row is None:
                return None
            tune = replace(_tune(row), **changes, updated_at=now())
            _update(connection, tune, [*changes, "updated_at"])
        return tune

    def training_started(self, id: int) -> None:
        """Note that the tune is being trained, the first time that it is."""
        moment = iso(now())
        with transaction(self._database) as connection:
            connection.execute(
                "UPDATE tunes SET started_training_at = ?, updated_at = ? WHERE id = ? AND"
                " started_training_at IS NULL",
                [moment, moment, id],
            )

    def trained(self, id: int, file: str, model_type: str) -> Tune | None:
        """Note that the tune is trained, and queue the callback of whoever asked for it, both or
        none.

        `model_type` counts where the tune has none, or was a photo set; its photos stay, and
        `<faceid:ID:1>` goes on to mean them. Return the tune; None where it is gone.
        """
        with transaction(self._database) as connection:
            row = _row(connection, id) if 0 < id < 2**63 else None
            if row is None:
                return None
            before, moment = _tune(row), now()
            tune = replace(
                before,
                file=file,
                model_type=model_type
                if before.model_type in (None, "faceid")
                else before.model_type,
                started_training_at=before.started_training_at or moment,
                **dict.fromkeys(("eta", "trained_at", "updated_at"), moment),
                user_error=None,
            )
            changed = [name for name in _COLUMNS if getattr(tune, name) != getattr(before, name)]
            _update(connection, tune, changed)
            _end_training(connection, id)
        return tune

    def files(self) -> frozenset[str]:
        """Return the model files that tunes name."""
        with connected(self._database) as connection:
            return frozenset(
                row["file"]
                for row in connection.execute(
                    "SELECT DISTINCT file FROM tunes WHERE file IS NOT NULL"
                )
            )

    def delete(self, id: int) -> bool:
        """Remove the tune, its photos and the prompts that are of it; say whether it was there."""
        if self.get(id) is None:
            return False
        with transaction(self._database) as connection:
            gone = connection.execute("DELETE FROM tunes WHERE id = ?", [id]).rowcount == 1
            connection.execute("DELETE FROM prompts WHERE tune_id = ?", [str(id)])
            connection.execute("DELETE FROM trainings WHERE tune_id = ?", [id])
        # Only now: photos removed before the commit would be missing from the tune after a crash.
        self._sweep()
        return gone

    def photo_paths(self, id: int) -> Sequence[Path]:
        """Return the files of the tune's photos, in the order given.

        Raises: TuneError when there is no such tune.
        """
        tune = self.get(id)
        if tune is None:
            raise TuneError(f"there is no tune {id} in {self._database}", code="tune-unknown")
        return [self._photos / str(tune.id) / name for name in tune.orig_images]

    def _write_photos(self, id: int, photos: Mapping[str, bytes]) -> None:
        if not photos:
            return
        folder = self._photos / str(id)
        with _reporting(folder):
            folder.mkdir(exist_ok=True)
            for name, photo in photos.items():
                atomic_write(folder / name, photo)
            sync_folder(self._photos)

    def _sweep(self) -> None:
        """Remove photos that belong to no tune: what a crash or a deletion left.

        Files of other names are not ours.
        """
        with connected(self._database) as connection:
            if not self._orphans(connection):
                return
        # Now as the only writer: no other process is between writing its photos and committing
        # their tune.
        with transaction(self._database) as connection, _reporting(self._photos):
            for path in self._orphans(connection):
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()

    def _orphans(self, connection: sqlite3.Connection) -> Sequence[Path]:
        """Return the photos, then the folders, that belong to no tune that `connection` sees."""
        rows = connection.execute("SELECT id, orig_images FROM tunes")
        owned = {str(id): frozenset(json.loads(names)) for id, names in rows}
        files: list[Path] = []
        folders: list[Path] = []
        for folder in _entries(self._photos):
            if (
                not _TUNE_FOLDER.fullmatch(folder.name)
                or folder.is_symlink()
                or not folder.is_dir()
            ):
                continue
            inside = _entries(folder)
            ours = [file for file in inside if _PHOTO_NAME.fullmatch(file.name)]
            files += [file for file in ours if file.name not in owned.get(folder.name, ())]
            if folder.name not in owned and len(ours) == len(inside):
                folders.append(folder)
        return [*files, *folders]


def queue_callback(
    connection: sqlite3.Connection,
    url: str,
    body: str,
    about: tuple[int | None, str | None] = (None, None),
) -> None:
    """Note in the connection's transaction that `body` is to be sent to `url`.

    `about` is a tune, and what its addresses begin with, where its object is the body.
    """
    connection.execute(
        "INSERT INTO callbacks (delivery, url, body, attempts, due, tune_id, origin)"
        " VALUES (?, ?, ?, 0, 0, ?, ?)",
        [str(uuid.uuid4()), url, body, *about],
    )


def _end_training(connection: sqlite3.Connection, id: int) -> None:
    query = "SELECT callback, origin FROM trainings WHERE tune_id = ? AND status != 'done'"
    asked = connection.execute(query, [id]).fetchone()
    if asked is not None:
        connection.execute("UPDATE trainings SET status = 'done' WHERE tune_id = ?", [id])
        if asked["callback"]:
            queue_callback(connection, asked["callback"], "", (id, asked["origin"]))


def _update(connection: sqlite3.Connection, tune: Tune, names: Sequence[str]) -> None:
    connection.execute(
        f"UPDATE tunes SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",
        [*(_to_column(name, getattr(tune, name)) for name in names), tune.id],
    )


def _entries(folder: Path) -> Sequence[Path]:
    try:
        return tuple(folder.iterdir())
    except FileNotFoundError:  # another process has just swept it
        return ()


@contextmanager
def _reporting(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"the tunes folder {folder} cannot be used: {error}"
        raise TuneError(
            message, code="tunes-folder", hint="Check the folder's rights and free space."
        ) from error


_INSERT = f"INSERT INTO tunes ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def _new_row(new: NewTune) -> dict[str, Any]:
    created = now()
    ready = created if new.model_type == "faceid" or new.file or new.is_mock else None
    return {
        **{item.name: getattr(new, item.name) for item in fields(NewTune)},
        **dict.fromkeys(("created_at", "updated_at"), created),
        **dict.fromkeys(("eta", "trained_at", "started_training_at"), ready),
        **dict.fromkeys(("expires_at", "user_error")),
    }


def _row(connection: sqlite3.Connection, id: int | None) -> sqlite3.Row | None:
    return connection.execute("SELECT * FROM tunes WHERE id = ?", [id]).fetchone()


def _to_column(name: str, value: Any) -> Any:
    if name in _TIMES:
        return iso(value)
    return json.dumps(value) if name in _LISTS + _MAPPINGS else value


def _tune(row: sqlite3.Row) -> Tune:
    values = dict(row)
    values |= {name: from_iso(values[name]) for name in _TIMES}
    values |= {name: tuple(json.loads(values[name])) for name in _LISTS}
    values |= {name: json.loads(values[name]) for name in _MAPPINGS}
    values |= {name: None if values[name] is None else bool(values[name]) for name in _BOOLS}
    return Tune(**values)


def _photo_name(photo: bytes, number: int) -> str:
    """Return the file name of a photo.

    Its hash, and the ending of the format that its first bytes show.
    """
    if len(photo) > MAX_PHOTO_BYTES:
        message = f"photo {number} has {len(photo)} bytes: expected at most {MAX_PHOTO_BYTES}"
        raise TuneError(message, code="photo-size", hint="Scale the photo down.")
    if photo.startswith(b"\xff\xd8\xff"):
        ending = "jpg"
    elif photo.startswith(b"\x89PNG\r\n\x1a\n"):
        ending = "png"
    elif photo[:4] == b"RIFF" and photo[8:12] == b"WEBP":
        ending = "webp"
    else:
        message = (
            f"photo {number} begins with the bytes {photo[:12].hex(' ')!r}: expected a JPEG, PNG or"
            " WebP file"
        )
        raise TuneError(message, code="photo-format", hint="Save the photo as JPEG, PNG or WebP.")
    return f"{hashlib.sha256(photo).hexdigest()}.{ending}"
