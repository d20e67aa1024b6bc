"""Find the Chromium that the browser tests drive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .console import DevError, say

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> Path:
    """Return the browser: ASTRIA_CHROMIUM, else one on PATH, else Debian's, installed when we are
    root. Raises: DevError when there is none.
    """
    named = os.environ.get("ASTRIA_CHROMIUM")
    if named:
        if not Path(named).is_file():
            raise DevError(
                f"ASTRIA_CHROMIUM={named} is not a file.",
                "Set it to the browser's program, or unset it.",
            )
        return Path(named)
    found = _on_path()
    if found is None and _can_install():
        say("- browser tests: installing Debian's chromium (apt-get)")
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(
                command,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                check=False,
            )
        found = _on_path()
    if found is None:
        raise DevError(
            f"The browser tests need Chromium or Chrome, and none of {', '.join(_NAMES)} is on"
            " PATH.",
            "Install one, or set ASTRIA_CHROMIUM to its program, or pass --no-browser to leave"
            " those tests out.",
        )
    return found


def _on_path() -> Path | None:
    return next((Path(found) for name in _NAMES if (found := shutil.which(name))), None)


def _can_install() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None
