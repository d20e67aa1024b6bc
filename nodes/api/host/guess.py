"""Bases and roles that a prompt needs and nothing is bound to: bound to the files that look like
them, for a person to see and edit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...host.state import state_folder
from ...tunes.bindings import BINDINGS_FILE, ROLES, bind
from ...tunes.choices import present
from ...tunes.host.state import HostFiles
from ...tunes.state import bindings_in
from ..guess import ATTEMPTS, guessed, guessed_roles


def guess_bases(tune_id: str | None) -> list[str]:
    """Guess at the base that is asked for.

    Without one, where nothing at all is bound, at each that is known.

    Return the notices on it.
    """
    if tune_id is not None:
        return _guess_base(tune_id)
    if bindings_in(state_folder()).bases:
        return []
    return next(filter(None, map(_guess_base, ATTEMPTS)), [])


def _guess_base(base: str) -> list[str]:
    if base in bindings_in(state_folder()).bases:
        return []
    found = guessed(base, HostFiles().list)
    return _bind(f"Base {base} was", {f"base.{base}.{name}": file for name, file in found.items()})


def guess_roles(missing: Iterable[str], family: str) -> list[str]:
    """Guess at the roles that a plan for a model of `family` misses. Return the notices on it."""
    return _bind("What it needs was", likely_roles(missing, family))


def likely_roles(missing: Iterable[str], family: str) -> dict[str, str]:
    """Return the roles that would be bound for what a plan misses, each with its file."""
    there = bindings_in(state_folder()).roles
    found: dict[str, str] = {}
    for key in missing:
        found |= guessed_roles(key, family, lambda role: present(HostFiles(), ROLES[role]))
    return {key: file for key, file in found.items() if key not in there}


def _bind(what: str, found: Mapping[str, str]) -> list[str]:
    for key, file in found.items():
        bind(state_folder() / BINDINGS_FILE, key, file)
    listed = ", ".join(
        f"{key.rpartition('.')[2] if key.startswith('base.') else key} = {file}"
        for key, file in found.items()
    )
    return (
        [
            f"{what} not bound; it is now, by the names of your files: {listed}. Edit"
            f" {BINDINGS_FILE} to change it."
        ]
        if found
        else []
    )
