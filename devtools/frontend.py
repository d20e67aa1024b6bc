"""The newest editor beside the pinned one.

A second version of ComfyUI's frontend, for the smoke test that tells when an update breaks the
pack.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from .console import DevError
from .packages import Package, fetch
from .paths import DEV

VERSION = "1.58.1"
FOLDER = DEV / f"frontend-{VERSION}"
EDITOR = Package(
    title="the newest editor, for the browser tests",
    requirement=f"comfyui-frontend-package=={VERSION}",
    sha256="37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9",
    size_mb=29,
    root="comfyui_frontend_package/static/",
    proof="index.html",
    instead="pass --no-browser to `test`",
)


def fetch_newest(python: Path) -> Path:
    """Return the folder for `--front-end-root`, downloaded and checked when it is not there yet.

    `python` is an interpreter with pip.
    """
    if not FOLDER.is_dir():  # it gets its name last, so one that is there is complete
        fetch(EDITOR, python, FOLDER)
        for old in DEV.glob("frontend-*"):
            if old != FOLDER:
                shutil.rmtree(old)
    return FOLDER


def newest() -> Path:
    """Return that folder. Raises: DevError when it has not been fetched."""
    if not FOLDER.is_dir():
        raise DevError(f"The editor {VERSION} is not in {FOLDER}.", "Run `python dev.py setup`.")
    return FOLDER
