"""The user's colour tables: `.cube` files in the folders that ComfyUI knows as `luts`."""

from __future__ import annotations

import functools
from pathlib import Path

import folder_paths

from ...errors import MissingModelError
from ...tunes.host.state import HostFiles
from ..cube import Cube, read_cube

FOLDER = "luts"


def lut_names() -> list[str]:
    """Return the `.cube` files as ComfyUI lists them, by their names below the folder."""
    return [name for name in HostFiles().list(FOLDER) if name.lower().endswith(".cube")]


def load_lut(name: str, looks: tuple[str, ...]) -> Cube:
    """Return the table of a listed file; read again when the file has changed.

    Raises: MissingModelError for a name that is neither listed nor one of the built-in `looks`;
    AstriaError for a damaged file.
    """
    if name not in lut_names():
        folders = ", ".join(HostFiles().roots(FOLDER))
        raise MissingModelError(
            f"The look '{name}' is neither one of {', '.join(looks)} nor a .cube file in"
            f" {folders}.",
            code="missing-lut",
            hint="Put the file there, or choose another look.",
        )
    path = Path(folder_paths.get_full_path_or_raise(FOLDER, name))
    return _read(path, path.stat().st_mtime_ns)


def lut_stamp(name: str | None) -> str:
    """Return what changes when the file does.

    For the fingerprint of nodes that read it; empty where there is none.
    """
    path = folder_paths.get_full_path(FOLDER, name) if name in lut_names() else None
    return "" if path is None else str(Path(path).stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, modified_ns: int) -> Cube:
    return read_cube(path)
