"""The checkout's own Python.

`.venv` with torch, ComfyUI's requirements and the test tools, or on top of a ComfyUI that has them.

Each step leaves a stamp with the hash of what it did, so a second call does only what is not done
yet, and so does one after Ctrl-C.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import comfyui
from .console import DevError, say
from .lock import try_lock
from .own_python import OwnPython, check_same_version, choose
from .paths import DEV, ROOT, VENV, inside_venv, venv_python

_STAMPS = VENV / ".stamps"
_DEV_REQUIREMENTS = ROOT / "requirements-dev.txt"
_UV = "uv==0.13.8"
_TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")


@dataclass(frozen=True)
class Environment:
    """What a host is started with."""

    python: Path
    comfyui: Path
    models: Path | None  # the models folder of the person's own ComfyUI, read and never written


def current() -> Environment:
    """The environment of this very process. Raises: DevError when no ComfyUI is there yet."""
    own = comfyui.own_path()
    if own is None and not comfyui.is_fetched():
        raise DevError(
            "There is no ComfyUI yet.",
            "Run `python dev.py setup`, or set COMFYUI_PATH to a ComfyUI of your own.",
        )
    return Environment(Path(sys.executable), own or comfyui.SOURCE, own / "models" if own else None)


def prepare() -> Environment:
    """Make ready whatever is not ready yet and return the environment.

    Raises: DevError that says what to do.
    """
    own_comfyui = comfyui.own_path()
    own_python = choose(own_comfyui, recorded=_read("own")) if own_comfyui else None
    with _exclusive():
        _make_venv(own_python)
        if own_python is not None:
            _install_tools_on_top()
        elif own_comfyui is not None:
            _install_all(own_comfyui)
        else:
            if not comfyui.is_fetched():
                comfyui.fetch(venv_python())
            _install_all(comfyui.SOURCE)
    return Environment(
        venv_python(),
        own_comfyui or comfyui.SOURCE,
        own_comfyui / "models" if own_comfyui else None,
    )


def _make_venv(own: OwnPython | None) -> None:
    recorded = str(own.executable) if own else ""
    # An installer that was cut off may leave half a package that looks installed, so what it worked
    # on is thrown away.
    if (
        venv_python().exists()
        and _read("venv") == "made"
        and (_read("own") or "") == recorded
        and _read("installing") is None
    ):
        return
    if inside_venv():
        raise DevError(
            "dev.py runs in the checkout's .venv, which has to be made anew.",
            "Run it with the Python that .venv was made with, or any other from 3.10 on.",
        )
    creator = own.executable if own and own.makes_venvs else Path(sys.executable)
    if own is not None:
        check_same_version(own, creator)
    say(f"- .venv: making it with {creator}")
    if VENV.exists():
        shutil.rmtree(VENV)
    _run(
        [str(creator), "-m", "venv", str(VENV)],
        "The virtual environment .venv could not be made.",
        _venv_hint,
    )
    if own is not None:
        say(
            f"- .venv: using the torch {own.torch_version} of {own.executable}; it is not"
            " downloaded again"
        )
        (_site_packages() / "own_comfyui.pth").write_text(
            "\n".join(own.site_packages) + "\n", encoding="utf-8"
        )
        _write("own", recorded)
    _write("venv", "made")


def _venv_hint() -> str:
    return (
        "On Debian and Ubuntu: apt-get install python3-venv. Elsewhere: use a Python from"
        " python.org, 3.10 or newer."
    )


def _install_tools_on_top() -> None:
    key = _hash(_DEV_REQUIREMENTS.read_text(encoding="utf-8"))
    if _read("tools") == key:
        return
    say(
        "- tests: installing what your ComfyUI's Python lacks of requirements-dev.txt (below 200"
        " MB), into .venv"
    )
    # pip sees through the .pth file what is there already and leaves it alone; uv looks at .venv
    # only and would fetch numpy and others again.
    _install(
        ["pip", "install", "-q", "-r", str(_DEV_REQUIREMENTS)],
        "The test tools could not be installed.",
    )
    _write("tools", key)


def _install_all(source: Path) -> None:
    requirements = source / "requirements.txt"
    key = _hash(
        *_TORCH,
        _UV,
        requirements.read_text(encoding="utf-8"),
        _DEV_REQUIREMENTS.read_text(encoding="utf-8"),
    )
    if _read("packages") == key:
        return
    if _read("uv") != _UV:
        say(f"- uv: fetching {_UV} (25 MB)")
        _install(["pip", "install", "-q", _UV], "uv could not be installed.")
        _write("uv", _UV)
    say(
        f"- packages: torch and what ComfyUI needs, into {VENV} (on Linux about 3 GB to fetch and 6"
        " GB on disk; what is fetched already is kept)"
    )
    _install(
        [
            "uv",
            "pip",
            "install",
            "--compile-bytecode",
            "--python",
            str(venv_python()),
            *_TORCH,
            "-r",
            str(requirements),
            "-r",
            str(_DEV_REQUIREMENTS),
        ],
        "The packages could not be installed.",
    )
    _write("packages", key)


def _install(arguments: Sequence[str], failure: str) -> None:
    _write("installing", "")
    _run([str(venv_python()), "-m", *arguments], failure, _install_hint)
    (_STAMPS / "installing").unlink()


def _install_hint() -> str:
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    if free_gb < 2:
        return f"The disk of {ROOT} has {free_gb:.1f} GB left: free 8 GB and run the command again."
    return (
        "The lines above are the installer's own. Without a network: run the command again when"
        " there is one; what was fetched is kept. If your package index lacks a package: check the"
        " index setting (PIP_INDEX_URL for pip, UV_INDEX_URL for uv)."
    )


def _run(command: Sequence[str], failure: str, hint: Callable[[], str]) -> None:
    if subprocess.run(command, cwd=DEV, check=False).returncode != 0:
        raise DevError(failure, hint())


def _exclusive() -> IO[bytes]:
    path = DEV / "setup.lock"
    lock = try_lock(path)
    if lock is None:
        say(f"- waiting for another setup of this checkout to end (it holds {path})")
    while lock is None:
        time.sleep(0.5)
        lock = try_lock(path)
    return lock


def _site_packages() -> Path:
    if sys.platform == "win32":
        return VENV / "Lib" / "site-packages"
    return next((VENV / "lib").glob("python*/site-packages"))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _read(step: str) -> str | None:
    path = _STAMPS / step
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _write(step: str, key: str) -> None:
    _STAMPS.mkdir(parents=True, exist_ok=True)
    half = _STAMPS / f"{step}.half"
    half.write_text(key, encoding="utf-8")
    half.replace(_STAMPS / step)
