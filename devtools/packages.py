"""Parts of packages on the Python package index.

One pinned file, checked, of which one folder is unpacked.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .console import DevError, say
from .paths import DEV

# (name below the archive's own top folder, opens the file; None for what is not a plain file)
Member = tuple[str, Callable[[], IO[bytes] | None] | None]


@dataclass(frozen=True)
class Package:
    """A source archive (else a wheel) of the index, the folder `root` in it, and a file `proof` by
    which that is known.

    `instead` ends an error's hint: what to do without the package.
    """

    title: str
    requirement: str
    sha256: str
    size_mb: int
    root: str
    proof: str
    instead: str
    is_source: bool = False


def fetch(package: Package, python: Path, folder: Path) -> None:
    """Download, check and unpack the package to `folder`, which gets its name last.

    `python` is an interpreter with pip.

    Raises: DevError for a failed download, another checksum, or an archive of another kind.
    """
    say(f"- {package.title}: fetching {package.requirement} ({package.size_mb} MB)")
    scratch = DEV / f"fetch-{folder.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    archive = _download(package, python, scratch)
    check_sha256(package, archive)
    unpacked = scratch / "unpacked"
    unpack(package, archive, unpacked)
    if folder.exists():
        shutil.rmtree(folder)
    unpacked.rename(folder)
    shutil.rmtree(scratch)


def check_sha256(package: Package, archive: Path) -> None:
    """Raises: DevError when the file's SHA-256 is another than the package's."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != package.sha256:
        hint = (
            "The package index serves another file than the one this pack was tested with: try"
            f" again, or {package.instead}."
        )
        raise DevError(f"{archive.name} has the checksum {found}, expected {package.sha256}.", hint)


def unpack(package: Package, archive: Path, folder: Path) -> None:
    """Write the files below the package's root into `folder`.

    Links, devices and names that leave it are refused.
    """
    for name, open_file in _members(archive):
        if not name.startswith(package.root):
            continue
        target = (folder / name.removeprefix(package.root)).resolve()
        source = open_file() if open_file and target.is_relative_to(folder.resolve()) else None
        if source is None:
            text = (
                f"{archive.name} holds {name!r}, which is not a plain file inside the archive's own"
                " folder."
            )
            raise DevError(text, "Do not use this archive; report it.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("wb") as written:
            shutil.copyfileobj(source, written)
    if not (folder / package.proof).is_file():
        raise DevError(
            f"{archive.name} holds no {package.root}{package.proof}.", f"You can {package.instead}."
        )


def _members(archive: Path) -> Iterator[Member]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for entry in wheel.infolist():
                if not entry.is_dir():
                    yield entry.filename, lambda entry=entry: wheel.open(entry)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isdir():
                yield (
                    member.name.partition("/")[2],
                    (lambda member=member: tar.extractfile(member)) if member.isfile() else None,
                )


def _download(package: Package, python: Path, folder: Path) -> Path:
    kind = (
        ["--no-binary", ":all:", "--ignore-requires-python"]
        if package.is_source
        else ["--only-binary", ":all:"]
    )
    command = [
        str(python),
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        *kind,
        "-d",
        str(folder),
        package.requirement,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz" if package.is_source else "*.whl"))
    if run.returncode == 0 and len(archives) == 1:
        return archives[0]
    sys.stderr.write(run.stderr)
    if "No matching distribution" in run.stderr:
        hint = (
            f"Your package index does not have it: check pip's index setting, or {package.instead}."
        )
    elif "No space left" in run.stderr:
        hint = f"The disk of {folder} is full: free some space and run the command again."
    else:
        hint = (
            "pip's own words stand above. Without a network: run the command again when there is"
            f" one, or {package.instead}."
        )
    raise DevError(
        f"{package.title} could not be fetched (pip download {package.requirement} ended with"
        f" {run.returncode}).",
        hint,
    )
