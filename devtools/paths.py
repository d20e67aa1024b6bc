"""Where the developer tools keep things.

Everything lies inside the checkout and is ignored by git.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
DEV = ROOT / ".dev"
BASE = DEV / "base"
FLEET_VENV = DEV / "fleet-venv"  # with Ray, which never comes near ComfyUI's packages
GALLERY = ROOT / "docs" / "images" / "gallery"
# A folder of ComfyUI's user directory with this prefix is not served over HTTP.
STATE_FOLDER = "__astria"


def venv_python(venv: Path = VENV) -> Path:
    """The interpreter of a virtual environment, whether or not it exists."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def inside_venv() -> bool:
    """Whether this process runs in the checkout's own virtual environment."""
    return Path(sys.prefix).resolve() == VENV.resolve()
