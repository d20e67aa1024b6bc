"""Names of model files: which are safe, which listed file a name means, which come close."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Sequence

# Endings of model files. Any other dot belongs to the name: `SDXLrender_v2.0` has no ending.
MODEL_ENDINGS = (
    ".safetensors",
    ".sft",
    ".ckpt",
    ".pt",
    ".pt2",
    ".pth",
    ".bin",
    ".pkl",
    ".gguf",
    ".onnx",
)
MAX_NAME_LENGTH = 255
MOST_SUGGESTIONS = 50  # of one kind of names

# Control characters, lone surrogates and line separators cannot stand in a line of the bindings
# file or in UTF-8.
_FORBIDDEN_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


def name_problem(name: str) -> str | None:
    """Return why `name` cannot be the name of a model file below a model folder; None when it can.

    Only names that the host lists are ever opened. This check comes before, so that a path is
    refused as a path.
    """
    if not name.strip():
        return "it is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"it has {len(name)} characters, at most {MAX_NAME_LENGTH} are allowed"
    if any(unicodedata.category(character) in _FORBIDDEN_CATEGORIES for character in name):
        return "it holds a control character or a line break"
    if name != name.strip():
        return "it begins or ends with white space"
    if "\\" in name:
        return "it holds a backslash; write / between folders"
    if name.startswith("/"):
        return "it is an absolute path; write the name as it stands below the model folder"
    if ":" in name:
        return "it holds ':', as paths with a drive letter do"
    if name.startswith("-"):
        return "it begins with '-'"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "it holds an empty, '.' or '..' part"
    return None


def shell_word(text: str, *, is_windows: bool = os.name == "nt") -> str:
    """Return `text` as one word of a command that a person types: in the quotes of a POSIX shell,
    or in those that both shells of Windows read.
    """
    if not is_windows:
        return shlex.quote(text)
    return text if re.fullmatch(r"[\w.,:/\\+-]+", text) else f'"{text}"'


def shown(name: str) -> str:
    """Return `name` quoted for a message, control characters escaped, cut to a readable length."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


def without_ending(name: str) -> str:
    """Return `name` without the ending of a model file; every other dot stays."""
    for ending in MODEL_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def alike(name: str) -> str:
    """Return a name as all its spellings are compared: folders parted by `/`, Unicode in NFC."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def one_id(id: str) -> str:
    """Return an id as all its spellings are compared: a number without leading zeros.

    What is no number stays as it is.
    """
    return id.lstrip("0") or "0" if id.isascii() and id.isdecimal() else id


def matching(name: str, listed: Iterable[str]) -> list[str]:
    """Return the listed files that `name` means, best reading only, sorted.

    None, one, or several when ambiguous.

    Readings, best first: the whole listed name; the same without ending; the bare name of a file in
    a subfolder; the same without ending. Letter case counts; how folders are parted and accents
    composed does not.
    """
    name = alike(name)
    # Windows lists subfolders with backslashes, macOS may list an accent apart from its letter.
    portable = {alike(file): file for file in listed}
    bare = {file: file.rpartition("/")[2] for file in portable}
    readings = (
        [file for file in portable if file == name],
        [file for file in portable if without_ending(file) == name],
        [file for file in portable if bare[file] == name],
        [file for file in portable if without_ending(bare[file]) == name],
    )
    return next((sorted(portable[file] for file in found) for found in readings if found), [])


def close_names(name: str, candidates: Sequence[str]) -> list[str]:
    """Return at most three other candidates close to `name`.

    Other letter case first, then similar spelling.
    """
    by_key: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(candidates):
        if candidate == name:
            continue
        bare = without_ending(candidate.replace("\\", "/").rpartition("/")[2])
        by_key.setdefault(bare.casefold(), []).append(candidate)
    wanted = without_ending(name.rpartition("/")[2]).casefold()
    close = difflib.get_close_matches(wanted, by_key, n=3, cutoff=0.6)
    return [candidate for key in close for candidate in sorted(by_key[key])][:3]


def suggestion(name: str, there: Sequence[str]) -> str:
    """Return the question whether something close to `name` was meant, "" where nothing is."""
    return _question(close_names(name, there))


def _question(close: Sequence[str]) -> str:
    return f" Did you mean {' or '.join(shown(name) for name in close)}?" if close else ""


class Suggestions:
    """The questions that names which are not there bring up, each searched for once.

    A search goes through all that is there, and a text may hold hundreds of unknown names: the
    first `MOST_SUGGESTIONS` of a kind get a question.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, ...], dict[str, Sequence[str]]] = {}

    def of(self, kind: tuple[str, ...], name: str, there: Callable[[], Sequence[str]]) -> str:
        """Return the question for a name of this kind, "" where nothing of `there` is close."""
        found = self._found.setdefault(kind, {})
        if name not in found and len(found) < MOST_SUGGESTIONS:
            found[name] = close_names(name, there())
        return _question(found.get(name, ()))

    def first(self, kind: tuple[str, ...], name: str) -> str:
        """Return the closest of those asked for before, "" where none is."""
        return next(iter(self._found.get(kind, {}).get(name, ())), "")
