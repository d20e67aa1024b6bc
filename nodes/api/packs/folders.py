"""Packs from folders of prompt files: NAME/*.txt and NAME/CLASS/*.txt, as JSON also.

A text file is a prompt as it is pasted, parameters below it; a JSON file holds the attributes of
one prompt, or a list of such. `pack.json` says what tunes made by the pack are like.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...net.problems import ApiError, Problems
from ...tunes.packs import NewPack, PackPrompt
from ...tunes.tune import storable
from ..json_text import strict_json
from .attributes import (
    MAX_ALL_CHARACTERS,
    MAX_CHARACTERS,
    MAX_PROMPTS,
    characters_of,
    is_title,
    pack_prompt,
    pack_tune,
    slug_of,
)

FOLDER = "packs"  # beside the bindings file
ABOUT = "pack.json"
MAX_FOLDERS = 200
_ENDINGS = (".txt", ".json")


@dataclass(frozen=True)
class FolderPack:
    """A pack as its folder holds it now, and what is wrong with its files, a line each."""

    new: NewPack
    problems: tuple[str, ...]


def folder_packs(root: Path) -> list[FolderPack]:
    """Return the packs in the folders of `root`, by name; those without any prompt left out."""
    if not root.is_dir():
        return []
    folders = sorted(path for path in root.iterdir() if _is_shown(path) and path.is_dir())
    found = []
    for path in folders[:MAX_FOLDERS]:
        # One that has just been moved away is none.
        with contextlib.suppress(OSError):
            found.append(_read(path))
    return [one for one in found if one.new.prompts or one.problems]


def _is_shown(path: Path) -> bool:
    """Say whether a name is none that is hidden, or that no text can hold."""
    return not path.name.startswith(".") and storable(path.name)


def _read(folder: Path) -> FolderPack:
    problems: list[str] = []
    about = _about(folder / ABOUT, problems)
    title = about.pop("title", folder.name)
    prompts = [one for path in _files(folder) for one in _prompts(path, folder, problems)]
    if len(prompts) > MAX_PROMPTS:
        problems.append(f"it has {len(prompts)} prompts; the first {MAX_PROMPTS} are used")
    kept = tuple(prompts[:MAX_PROMPTS])
    if (length := characters_of(kept)) > MAX_ALL_CHARACTERS:
        problems.append(f"its prompts have {length} characters; at most {MAX_ALL_CHARACTERS}")
        kept = ()
    prompts = [[one.class_name, dict(one.fields)] for one in kept]
    plain = json.dumps([title, about, prompts], sort_keys=True)
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    new = NewPack(slug_of(folder.name), title, about, kept, folder.name, digest)
    return FolderPack(new, tuple(problems))


def _files(folder: Path) -> Iterator[Path]:
    """Yield the prompt files of a pack, then those of each class."""
    inside = sorted(path for path in folder.iterdir() if _is_shown(path))
    for path in inside:
        if path.is_file() and path.suffix in _ENDINGS and path.name != ABOUT:
            yield path
    for below in (path for path in inside if path.is_dir()):
        yield from sorted(
            path
            for path in below.iterdir()
            if _is_shown(path) and path.is_file() and path.suffix in _ENDINGS
        )


def _about(path: Path, problems: list[str]) -> dict[str, Any]:
    """Return the attributes in `pack.json`, with a title where it has one."""
    found = Problems()
    content: Any = {}
    if path.is_file():
        try:
            content = strict_json(_text(path))
            if not isinstance(content, dict):
                raise ValueError("it holds no object")
        except (ValueError, RecursionError, OSError) as error:
            problems.append(f"{ABOUT}: it cannot be read: {_reason(error)}")
            content = {}
    about = pack_tune(content, found)
    title = content.get("title")
    if is_title(title):
        about["title"] = title.strip()
    elif title is not None:
        problems.append(f"{ABOUT}: title is {title!r}; expected a text"[:300])
    try:
        found.refuse()
    except ApiError as error:
        problems += [f"{ABOUT}: {one['message']}" for one in error.problems]
    return about


def _prompts(path: Path, folder: Path, problems: list[str]) -> list[PackPrompt]:
    shown = path.relative_to(folder).as_posix()
    class_name = "" if path.parent == folder else path.parent.name
    try:
        text = _text(path)
        given = strict_json(text) if path.suffix == ".json" else {"text": text}
    except (ValueError, RecursionError, OSError) as error:
        problems.append(f"{shown}: it cannot be read: {_reason(error)}")
        return []
    found = []
    for one in given if isinstance(given, list) else [given]:
        try:
            named = {"class_name": class_name, **one} if isinstance(one, dict) else one
            found.append(pack_prompt(named))
        except ApiError as error:
            problems.append(f"{shown}: {error.message}")
    return found


def _text(path: Path) -> str:
    """Return the text of a file. Raises: ValueError for one that is too long, or no UTF-8."""
    if path.stat().st_size > 4 * MAX_CHARACTERS:
        raise ValueError(f"it has {path.stat().st_size} bytes")
    return path.read_text(encoding="utf-8-sig")


def _reason(error: Exception) -> str:
    """Return the reason of an error, without the file's path on this machine."""
    if isinstance(error, ApiError):
        return error.message[:200]  # without its hint, which is a line of its own
    return (error.strerror or "") if isinstance(error, OSError) else str(error)[:200]
