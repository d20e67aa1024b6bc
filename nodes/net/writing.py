"""Writes that survive kill -9 and two processes at once."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PARTIAL = ".partial"  # ending of a file being written


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path` among all processes.

    The system releases it when its holder dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as handle:
        if sys.platform == "win32":
            _wait_for(handle)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if sys.platform == "win32":
                handle.seek(0)
                msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)
            else:
                fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def held_apart(path: Path, place: int) -> Iterator[bool]:
    """Hold one byte of the lock file `path`, at `place`, among all processes; give False, at once,
    where another process holds it.

    Any number of things that are numbered share a file, which stays. The system releases the byte
    when its holder dies. Not for two threads of one process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as handle:
        try:
            if sys.platform == "win32":
                handle.seek(place)
                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise
            yield False
            return
        try:
            yield True
        finally:
            if sys.platform == "win32":
                handle.seek(place)
                msvcrt.locking(handle.fileno(), msvcrt.LK_UNLCK, 1)
            else:
                fcntl.lockf(handle, fcntl.LOCK_UN, 1, place)


def _wait_for(handle: IO[bytes]) -> None:
    """Lock the file on Windows, whose own waiting gives up after ten tries of a second."""
    while True:
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK):
                raise
        else:
            return


def atomic_write(path: Path, data: bytes) -> None:
    """Replace `path` by `data` as a whole, on the disk when this returns.

    The caller holds the lock of the folder.
    """
    partial = path.with_name(path.name + PARTIAL)
    with open(partial, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(partial, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in `folder` on the disk."""
    if sys.platform == "win32":  # has no handle for folders; its file system journals names itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
