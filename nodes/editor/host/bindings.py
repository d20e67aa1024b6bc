"""The bindings file as the sidebar shows and edits it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import BindingsError
from ...families.family import FAMILIES as PLANNED
from ...graph.model_files import ModelFile
from ...host.state import state_folder
from ...tunes.bindings import (
    BINDINGS_FILE,
    BRANCHES,
    KNOWN_BASES,
    ROLES,
    Bindings,
    bind,
    load,
    unbind,
)
from ...tunes.choices import FIELD_FOLDERS, choices, folders_of
from ...tunes.file_search import Missing
from ...tunes.host.state import HostFiles, make_resolver
from ...tunes.names import shown
from ...tunes.resolve import Resolver
from ...tunes.tables import BASE_FIELDS
from .tunes import newest


def overview() -> dict[str, Any]:
    """Return every binding of the file with what speaks against it, and what could be bound beside
    them.
    """
    bindings, resolver = load(_path()), make_resolver()
    return {
        "file": str(_path()),
        "rows": [
            *_tunes(bindings, resolver),
            *_roles(bindings, resolver),
            *_bases(bindings, resolver),
        ],
        "roles": [{"key": key, "about": role.purpose} for key, role in ROLES.items()],
        "bases": [
            {"id": id, "title": _title(id)} for id in dict.fromkeys([*KNOWN_BASES, *bindings.bases])
        ],
        "fields": list(BASE_FIELDS),
        "families": list(BRANCHES),
    }


def _path() -> Path:
    return state_folder() / BINDINGS_FILE


def _title(id: str) -> str:
    return KNOWN_BASES[id].title if id in KNOWN_BASES else ""


def _row(
    group: str, key: str, name: str, about: str, file: str, missing: object = None
) -> dict[str, str]:
    """`key` is what `bind` takes; `missing` is what a resolver returned."""
    problem = missing.message if isinstance(missing, Missing) else ""
    return {
        "group": group,
        "key": key,
        "name": name,
        "about": about,
        "file": file,
        "problem": problem,
        "hint": _hint(key, file) if problem else "",
    }


def _hint(key: str, file: str) -> str:
    folders = folders_of(key)
    if not folders:
        return "It cannot be used like this."
    offer = ModelFile(folders[0], file).offer()
    return (
        f"Put it{f', {offer},' if offer else ''} into the model folder {folders[0]}, or choose"
        " another."
    )


def _tunes(bindings: Bindings, resolver: Resolver) -> Iterator[dict[str, str]]:
    titles = {str(tune.id): tune.title for tune in newest()}
    for name, file in bindings.tunes.items():
        key = (
            name
            if name.isascii() and name.isdecimal() and name not in KNOWN_BASES
            else f"tunes.{name}"
        )
        yield _row("tunes", key, name, titles.get(name, ""), file, resolver.bound(name))


def _roles(bindings: Bindings, resolver: Resolver) -> Iterator[dict[str, str]]:
    for key, file in bindings.roles.items():
        yield _row(
            "roles", key, key, ROLES[key.rpartition(".")[2]].purpose, file, resolver.role(key)
        )


def _bases(bindings: Bindings, resolver: Resolver) -> Iterator[dict[str, str]]:
    if (default := bindings.default_base) is not None:
        found = None if default in bindings.bases else resolver.base(default)
        yield _row(
            "bases",
            "defaults.base",
            "default",
            "the base of prompts that name none",
            default,
            found,
        )
    for id, base in bindings.bases.items():
        bound = {name: value for name in BASE_FIELDS if (value := getattr(base, name)) is not None}
        found = {
            name: resolver.locate(name, value, folders)
            for name, value in bound.items()
            if (folders := FIELD_FOLDERS.get(name))
        }
        whole = resolver.base(id)
        # A problem of a base whose files are all there, such as one that is not bound, is shown at
        # its first line.
        if isinstance(whole, Missing) and not any(
            isinstance(one, Missing) for one in found.values()
        ):
            found["family"] = whole
        for name, value in bound.items():
            yield _row(
                "bases", f"base.{id}.{name}", f"{id} {name}", _title(id), value, found.get(name)
            )


def choices_of(key: str) -> dict[str, Any]:
    """Return the files that `key` can be bound to here, and the folder of such files.

    Raises: BindingsError for no such key.
    """
    roots = [root for folder in folders_of(key) for root in HostFiles().roots(folder)]
    return {
        "key": key,
        "choices": choices(
            key, HostFiles(), load(_path()), [tune.title for tune in newest() if tune.is_photo_set]
        ),
        "folders": roots,
    }


def set_binding(key: str, file: str) -> dict[str, Any]:
    """Bind `key` to one of its choices; return the overview after it.

    Raises: BindingsError for another file, or what `bind` refuses.
    """
    there = choices_of(key)
    if file not in there["choices"]:
        places = ", ".join(there["folders"]) or "the bindings"
        message = f"{shown(file)} is not there for {shown(key)}; looked in {places}."
        raise BindingsError(message, code="bindings-choice", hint="Choose one of the list.")
    bind(_path(), key, file)
    return overview()


def remove_binding(key: str) -> dict[str, Any]:
    """Remove `key` from the file; return the overview after it.

    Raises: BindingsError where it is not bound, or others need it.
    """
    if not unbind(_path(), key):
        raise BindingsError(
            f"{shown(key)} is not bound any more.",
            code="bindings-unbound",
            hint="Somebody else has removed it.",
        )
    return overview()


def models() -> dict[str, Any]:
    """Return what a prompt can be explained for.

    The families of connected models, and the base tunes that are bound.
    """
    bindings = load(_path())
    bases = [
        {"id": id, "title": _title(id), "family": base.family}
        for id, base in bindings.bases.items()
    ]
    return {
        "families": [{"name": name, "title": one.title} for name, one in PLANNED.items()],
        "bases": bases,
        "default": bindings.default_base or "",
    }
