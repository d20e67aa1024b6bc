"""The pack's private folder as a whole: bindings file and tunes database together."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from .bindings import BINDINGS_FILE, KNOWN_BASES, Bindings, address, load
from .choices import FIELD_FOLDERS, ModelFiles
from .file_search import Missing
from .resolve import BIND_COMMAND, Resolver
from .store import DATABASE_FILE, TuneStore

TRAINING_FOLDER = "training"  # of the private folder
TRAINED_FOLDER = "astria"  # below the folders of LoRAs and checkpoints


def bindings_in(folder: Path, extra: Bindings | None = None) -> Bindings:
    """Return the bindings of the folder; those in `extra` win."""
    bindings = load(folder / BINDINGS_FILE)
    return bindings if extra is None else bindings.merged_with(extra)


def resolver_in(
    folder: Path, files: ModelFiles, extra: Bindings | None = None, bind: str = BIND_COMMAND
) -> Resolver:
    """Return a resolver over the folder's bindings and tunes.

    Reading makes no database where there is none yet.
    """
    return Resolver(bindings_in(folder, extra), tunes_in(folder), files, bind)


def resolver_of(
    folder: Path, beside: Path | None, files: ModelFiles, bind: str = BIND_COMMAND
) -> Resolver:
    """Return a resolver over two private folders: what the first lacks is that of the second."""
    if beside is None:
        return resolver_in(folder, files, bind=bind)
    tunes = tunes_in(folder) or tunes_in(beside)
    return Resolver(bindings_in(beside, bindings_in(folder)), tunes, files, bind)


def tunes_in(folder: Path) -> TuneStore | None:
    """Return the folder's tunes, None where none were ever kept.

    They are opened once in this process: opening looks through all photos for what a crash left.
    """
    return _opened(folder) if (folder / DATABASE_FILE).exists() else None


@functools.cache
def _opened(folder: Path) -> TuneStore:
    return TuneStore(folder)


def training_folder(folder: Path, tune_id: int) -> Path:
    """Return where all that a tune's training leaves stands, but for the trained file."""
    return folder / TRAINING_FOLDER / str(tune_id)


def trained_name(tune_id: int) -> str:
    """Return the name of a trained file below its model folder, with slashes."""
    return f"{TRAINED_FOLDER}/tune-{tune_id}.safetensors"


def forget_training(folder: Path, tune_id: int) -> None:
    """Remove all that a tune's training left: state, samples, curves; not the trained file."""
    shutil.rmtree(training_folder(folder, tune_id), ignore_errors=True)


def stands_for(resolver: Resolver, key: str, value: str) -> object:
    """Return the file or tune that a key of the bindings (see `bind`) means once it has the value.

    Missing where that is not there; None for a value that is no file.
    """
    section, name = address(key)
    if section == "roles":
        family, _, role = name.rpartition(".")
        return resolver.role(role, family or None)
    if section == "tunes":
        return resolver.bound(name)
    if section == "defaults":
        return resolver.base(value)
    folders = FIELD_FOLDERS.get(name)
    return resolver.locate(key, value, folders) if folders else None


def overview(bindings: Bindings, resolver: Resolver) -> str:
    """Return what every bound id and role stands for, and whether its files are there, a line
    each.
    """
    lines = []
    for key, base in bindings.bases.items():
        title = f" {KNOWN_BASES[key].title}" if key in KNOWN_BASES else ""
        default = ", default" if key == bindings.default_base else ""
        lines.append(
            _line(
                f"base {key}{title} ({base.family}{default})", resolver.base(key), _base_files(base)
            )
        )
    lines += [
        _line(f"tune {key}", resolver.bound(key), file) for key, file in bindings.tunes.items()
    ]
    lines += [
        _line(f"role {key}", resolver.role(key), file) for key, file in bindings.roles.items()
    ]
    return "\n".join(lines) or "Nothing is bound yet."


def _base_files(base) -> str:
    named = (
        base.checkpoint,
        base.diffusion_model,
        base.clip_l,
        base.t5xxl,
        base.text_encoder,
        base.vae,
        base.outpaint_model,
    )
    return ", ".join(name for name in named if name)


def _line(what: str, found: object, file: str) -> str:
    if isinstance(found, Missing):
        return f"MISSING  {what} = {file}: {found.message}"
    return f"found    {what} = {file}"
