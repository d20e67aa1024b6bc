"""The command `bind`: shows and edits the bindings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import indent

from ..errors import AstriaError
from .bindings import BINDINGS_FILE, KNOWN_BASES, ROLES, bind, load, unbind
from .file_search import Missing
from .local_files import LocalFiles
from .resolve import BIND_COMMAND, Resolver
from .state import resolver_in, stands_for
from .store import DATABASE_FILE, TuneStore
from .tables import BASE_FIELDS

USAGE = f"""usage: python dev.py bind KEY FILE
       python dev.py bind --list
       python dev.py bind --remove KEY

KEY   1533312                       a tune id of a prompt
      tunes.NAME                    the name in <lora:NAME:1>
      base.690204.FIELD             a base tune; FIELD: {", ".join(BASE_FIELDS)}
      defaults.base                 the base of prompts that name none; FILE is then its id
      a role                        {", ".join(ROLES)}
FILE  the name of a file as it stands below ComfyUI's model folder, e.g. people/anna.safetensors"""

_SHOWN_TUNES = 100


def main(
    argv: list[str],
    *,
    folder: Path,
    write: Callable[[str], object],
    models: Sequence[Path] = (),
    command: str = BIND_COMMAND,
) -> int:
    """Run `bind` with the arguments after the command's name.

    Return the exit status: 0 done, 1 refused, 2 misused.

    `folder` is the pack's private folder, which holds the bindings file and the tunes database;
    `models` are the model folders, `<ComfyUI>/models`: what is bound and not there is printed.
    `command` is what hints name.
    """
    path = folder / BINDINGS_FILE
    files = LocalFiles(*models) if models else None
    try:
        match argv:
            case ["-h" | "--help"]:
                write(USAGE)
                return 0
            case ["--list"]:
                _list(folder, files, write)
                return 0
            case ["--remove", key] if not key.startswith("-"):
                return _remove(path, key, write)
            case [key, file_name] if not key.startswith("-"):
                bind(path, key, file_name)
                write(f"bound {key} = {file_name} in {path}")
                if files is not None:
                    _print_absent(resolver_in(folder, files, bind=command), key, file_name, write)
                return 0
    except AstriaError as error:
        write(f"error: {error}")
        return 1
    write(USAGE)
    return 2


def _remove(path: Path, key: str, write: Callable[[str], object]) -> int:
    if unbind(path, key):
        write(f"removed {key} from {path}")
        return 0
    write(f"error: {key} is not bound in {path}\nSee what is bound: python dev.py bind --list")
    return 1


def _print_absent(resolver: Resolver, key: str, value: str, write: Callable[[str], object]) -> None:
    """Print the message of a prompt that uses what was bound, where it is not there."""
    found = stands_for(resolver, key, value)
    if isinstance(found, Missing):
        write(f"  not there yet: {found.message}\n{indent(found.hint, '  ')}")


def _list(folder: Path, files: LocalFiles | None, write: Callable[[str], object]) -> None:
    path = folder / BINDINGS_FILE
    bindings = load(path)
    resolver = None if files is None else resolver_in(folder, files)

    def state(key: str, value: str) -> str:
        absent = resolver and isinstance(stands_for(resolver, key, value), Missing)
        return "  (not there)" if absent else ""

    write(f"bindings: {path}{'' if path.exists() else ' (not there yet)'}")
    for id, base in bindings.bases.items():
        title = f" {KNOWN_BASES[id].title}" if id in KNOWN_BASES else ""
        default = ", default" if id == bindings.default_base else ""
        write(f"  base {id}{title} ({base.family}{default})")
        for name in BASE_FIELDS[1:]:
            if value := getattr(base, name):
                write(f"    {name} = {value}{state(f'base.{id}.{name}', value)}")
    for key, value in bindings.tunes.items():
        write(f"  tune {key} = {value}{state(f'tunes.{key}', value)}")
    for key, value in bindings.roles.items():
        write(f"  role {key} = {value}{state(key, value)}")
    for id, known in KNOWN_BASES.items():
        if id not in bindings.bases:
            write(f"  base {id} {known.title} ({known.family}) is not bound")
    if not (folder / DATABASE_FILE).exists():  # opening the store would make one
        return
    tunes = TuneStore(folder).list(limit=_SHOWN_TUNES + 1)
    write(f"tunes database: {folder / DATABASE_FILE}")
    for tune in tunes[:_SHOWN_TUNES]:
        content = tune.file or f"photos: {len(tune.orig_images)}"
        write(f"  {tune.id} {tune.title} ({tune.model_type or 'no model type'}): {content}")
    if len(tunes) > _SHOWN_TUNES:
        write(f"  ... only the newest {_SHOWN_TUNES} are shown")
