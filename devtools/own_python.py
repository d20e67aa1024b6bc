"""Find the Python of the person's own ComfyUI, so that its torch is used instead of a second
download.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .console import DevError
from .paths import inside_venv, venv_python

_PROBE = """
import importlib.metadata, importlib.util, json, sys
found = importlib.util.find_spec
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "site_packages": [
        p for p in sys.path if p.rstrip("/\\\\").endswith(("site-packages", "dist-packages"))
    ],
    "torch_version": importlib.metadata.version("torch") if found("torch") else None,
    "makes_venvs": bool(found("venv") and found("ensurepip")),
}))
"""


@dataclass(frozen=True)
class OwnPython:
    """An interpreter that has torch.

    Where its packages lie, and whether it can make virtual environments (embedded ones cannot).
    """

    executable: Path
    version: tuple[int, int]
    site_packages: tuple[str, ...]
    torch_version: str
    makes_venvs: bool


def choose(comfyui: Path, *, recorded: str | None) -> OwnPython | None:
    """Return the Python of that ComfyUI, or None when none with torch is found and torch has to be
    installed.

    `recorded` is the one that `.venv` stands on; it is taken without a search when dev.py itself
    runs in `.venv`.
    Raises: DevError when COMFYUI_PYTHON names one that is not there or has no torch.
    """
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        found = probe(Path(named).expanduser())
        if found is None:
            raise DevError(
                f"COMFYUI_PYTHON={named} cannot be run, or has no torch.",
                "Set it to the Python that starts your ComfyUI, or unset it to have torch installed"
                " here.",
            )
        return found
    if inside_venv():
        return probe(Path(recorded)) if recorded else None
    for candidate in _beside(comfyui):
        found = probe(candidate) if candidate.is_file() else None
        if found is not None:
            return found
    return probe(Path(sys.executable)) if importlib.util.find_spec("torch") else None


def probe(python: Path) -> OwnPython | None:
    """Ask an interpreter about itself, or None when it does not run or has no torch."""
    try:
        answer = subprocess.run(
            [str(python), "-c", _PROBE], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    facts = json.loads(answer.stdout)
    if facts["torch_version"] is None:
        return None
    # Not resolved: the link in a venv's bin folder is what makes it that venv's interpreter.
    major, minor = facts["version"]
    return OwnPython(
        python.absolute(),
        (major, minor),
        tuple(facts["site_packages"]),
        facts["torch_version"],
        facts["makes_venvs"],
    )


def check_same_version(own: OwnPython, creator: Path) -> None:
    """Raises: DevError when `.venv`, made by `creator`, could not load the binary packages of
    `own`.
    """
    if creator != own.executable and sys.version_info[:2] != own.version:
        wanted = ".".join(map(str, own.version))
        running = ".".join(map(str, sys.version_info[:2]))
        raise DevError(
            f"Your ComfyUI's Python {wanted} cannot make virtual environments, and dev.py runs on"
            f" Python {running}, whose would not fit.",
            f"Run dev.py with a Python {wanted}.",
        )


def _beside(comfyui: Path) -> list[Path]:
    embedded = comfyui.parent / "python_embeded" / "python.exe"  # the portable build spells it so
    return [venv_python(comfyui / ".venv"), venv_python(comfyui / "venv"), embedded]
