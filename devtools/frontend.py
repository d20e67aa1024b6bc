"""The newest editor beside the pinned one: a second version of ComfyUI's frontend, for the smoke test that tells when an update breaks the pack."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from .comfyui import check_sha256
from .console import DevError, say
from .paths import DEV

VERSION = "1.58.1"
_WHEEL = f"comfyui-frontend-package=={VERSION}"
_SHA256 = "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"
_MEMBER_ROOT = "comfyui_frontend_package/static/"
FOLDER = DEV / f"frontend-{VERSION}"


def fetch_newest(python: Path) -> Path:
    """Return the folder for `--front-end-root`, downloaded and checked when it is not there yet; `python` is an interpreter with pip."""
    if FOLDER.is_dir():  # it gets its name last, so it is complete
        return FOLDER
    say(f"- editor: fetching {_WHEEL} (29 MB), the newest one, for the browser tests")
    scratch = DEV / "fetch-frontend"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    wheel = _download(python, scratch)
    check_sha256(wheel, _SHA256)
    unpacked = scratch / "static"
    unpack(wheel, unpacked)
    unpacked.rename(FOLDER)
    shutil.rmtree(scratch)
    for old in DEV.glob("frontend-*"):
        if old != FOLDER:
            shutil.rmtree(old)
    return FOLDER


def newest() -> Path:
    """Return that folder. Raises: DevError when it has not been fetched."""
    if not FOLDER.is_dir():
        raise DevError(f"The editor {VERSION} is not in {FOLDER}.", "Run `python dev.py setup`.")
    return FOLDER


def unpack(wheel: Path, folder: Path) -> None:
    """Write the files below the wheel's `static` folder into `folder`; names that leave it are refused."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.filename.startswith(_MEMBER_ROOT) or member.is_dir():
                continue
            target = (folder / member.filename.removeprefix(_MEMBER_ROOT)).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise DevError(f"{wheel.name} holds {member.filename!r}, outside of the archive's own folder.", "Do not use this archive; report it.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, target.open("wb") as written:
                shutil.copyfileobj(source, written)
    if not (folder / "index.html").is_file():
        raise DevError(f"{wheel.name} holds no {_MEMBER_ROOT}index.html.", "The package has changed: see devtools/frontend.py.")


def _download(python: Path, folder: Path) -> Path:
    options = ["-q", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    run = subprocess.run([str(python), "-m", "pip", "download", *options, _WHEEL], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if run.returncode == 0 and len(wheels) == 1:
        return wheels[0]
    sys.stderr.write(run.stderr)
    raise DevError(f"The editor could not be fetched (pip download {_WHEEL} ended with {run.returncode}).",
                   "pip's own words stand above. Run the command again when there is a network, or pass --no-browser to `test`.")
