"""Model files by name: the file of the host that a name means, or what was searched and what to do.

Names only: no file is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..families.facts import Published
from ..families.family import FAMILIES
from ..graph.model_files import ModelFile
from .choices import ModelFiles, portable, present
from .names import Suggestions, alike, matching, name_problem, shell_word, shown, without_ending
from .tables import KNOWN_BASES, Role


@dataclass(frozen=True)
class Located:
    """A file of the host: key of its model folder, and name as listed."""

    folder: str
    file: str


@dataclass(frozen=True)
class Missing:
    """A model that is not there.

    `message` says what was searched and what comes close, `hint` what to do. `bind_key` is the key
    of the bindings that gives it a file, "" where none does; `close` what was probably meant.
    """

    what: str
    key: str
    message: str
    hint: str
    bind_key: str = field(default="", compare=False)
    close: str = field(default="", compare=False)


@dataclass(frozen=True, kw_only=True)
class WantedFile:
    """A file that is looked for, and the words for its absence.

    `what` and `key` are its kind and the id, name or role in the prompt, `subject` how a message
    begins. `bind_key` is the key of the bindings that sets it, "" where none does. `also_close` are
    ids and names that may have been meant, beside those of files. With `role`, only files that the
    role's node reads count.
    """

    what: str
    key: str
    file: str
    folders: Sequence[str]
    subject: str
    bind_key: str = ""
    also_close: Sequence[str] = ()
    role: Role | None = None


def bound_file(
    file: str,
    folders: Sequence[str],
    *,
    what: str,
    key: str,
    bind_key: str,
    role: Role | None = None,
) -> WantedFile:
    """Return the search for a file that the bindings or a tune give to `key`."""
    owner = key if what == key else f"{what} {key}"
    return WantedFile(
        what=what,
        key=key,
        file=file,
        folders=folders,
        subject=f"the file {shown(file)} that {owner} stands for",
        bind_key=bind_key,
        role=role,
    )


def refused(what: str, key: str, problem: str) -> Missing:
    """Return the answer for a name that cannot be one of a model file."""
    message = f"{what} {shown(key)} is refused: {problem}"
    hint = "Write an id, or the name of a file as it stands below its model folder."
    return Missing(what, key, message, hint)


@dataclass(frozen=True)
class BindWords:
    """The words of hints that say how an id or a role gets its file: where the reader is.

    `command` binds in a terminal; without one the reader sits before the editor, with its sidebar.
    """

    command: str = ""

    def bind(self, key: str, file: str = "FILE") -> str:
        """Return what binds `key`, as a sentence or a command of its own."""
        if self.command:
            return f"{self.command} {shell_word(key)} {file}"
        return f"Bind {_spelled(key)} in the Astria sidebar."

    def after(self, before: str, conjunction: str, key: str, file: str = "FILE") -> str:
        """Return `before` and the binding in one sentence; `conjunction` joins them."""
        joined = f"{before}, {conjunction}"
        if self.command:
            return f"{joined}: {self.bind(key, file)}"
        # "then bind it" is "then bind 1533312" where the key stands in the sentence.
        return f"{before}, {conjunction.split()[0]} bind {_spelled(key)} in the Astria sidebar."

    def base(self, id: str) -> str:
        """Return what binds a base which nothing is known of yet, a line each."""
        known = KNOWN_BASES.get(id)
        if known and FAMILIES[known.family].files:
            published = FAMILIES[known.family].published.items()
            return "\n".join(line for one in published for line in self._published(id, *one))
        family = [] if known else [self.bind(f"base.{id}.family", "FAMILY")]
        return "\n".join([*family, self.bind(f"base.{id}.checkpoint")])

    def _published(self, id: str, field: str, file: Published) -> list[str]:
        """Return what binds a field of a base to its published file, and where that is."""
        offer = ModelFile(file.folder, file.name).offer()
        bound = self.bind(f"base.{id}.{field}", file.name)
        return [bound, f"  {file.folder}/{file.name}, {offer}"]


def _spelled(key: str) -> str:
    """Return the key as one word of a sentence, which the editor finds again."""
    return key if key and not any(char.isspace() for char in key) else f"'{key}'"


class FileSearch:
    """Looks names up among the files that the host lists."""

    def __init__(self, files: ModelFiles, words: BindWords) -> None:
        self._files = files
        self._words = words
        self.suggestions = Suggestions()

    def find(self, wanted: WantedFile) -> Located | Missing:
        """Return the file in the first of the folders that has one."""
        if problem := name_problem(alike(wanted.file)):
            return refused(wanted.what, wanted.key, f"{shown(wanted.file)}: {problem}")
        for folder in wanted.folders:
            listed = self._files.list(folder)
            if wanted.role is not None:
                listed = [name for name in listed if wanted.role.takes(name)]
            found = matching(wanted.file, listed)
            if len(found) == 1:
                return Located(folder, found[0])
            if found:
                return self._ambiguous(wanted, folder, found)
        return self._not_found(wanted)

    def searched(self, folders: Sequence[str]) -> str:
        """Return the model folders with their directories, for messages."""
        roots = {
            folder: ", ".join(dict.fromkeys(self._files.roots(folder))) or "no such model folder"
            for folder in folders
        }
        return ", ".join(f"{folder} ({places})" for folder, places in roots.items())

    def place(self, folder: str) -> str:
        """Return the directory to put a file of the model folder into."""
        return next(iter(self._files.roots(folder)), f"the model folder {folder}")

    def _ambiguous(self, wanted: WantedFile, folder: str, found: Sequence[str]) -> Missing:
        names = [name.replace("\\", "/") for name in found]
        message = (
            f"{wanted.subject} is ambiguous in {self.searched((folder,))}: {', '.join(names)}."
        )
        hint = "Write the whole name."
        if wanted.bind_key:
            choice = self._words.bind(wanted.bind_key, shell_word(names[0]))
            hint = f"Choose one: {choice}"
        return Missing(wanted.what, wanted.key, message, hint, wanted.bind_key, names[0])

    def _not_found(self, wanted: WantedFile) -> Missing:
        close = self.suggestions.of(
            (wanted.what, *wanted.folders), wanted.file, lambda: self._could_be(wanted)
        )
        searched = self.searched(wanted.folders)
        message = f"{wanted.subject} was not found. Searched {searched}.{close}"
        offer = ModelFile(wanted.folders[0], wanted.file).offer()
        put = f"Put the file{f', {offer},' if offer else ''} into {self.place(wanted.folders[0])}"
        hint = f"{put}."
        if wanted.bind_key:
            conjunction = "then bind it" if wanted.file == wanted.key else "or bind another"
            hint = self._words.after(put, conjunction, wanted.bind_key)
        return Missing(wanted.what, wanted.key, message, hint, wanted.bind_key, self._meant(wanted))

    def _meant(self, wanted: WantedFile) -> str:
        """Return the name that the tag probably means, "" where it is not the tag's name that
        misses its file.
        """
        if wanted.file != wanted.key:
            return ""
        close = self.suggestions.first((wanted.what, *wanted.folders), wanted.file)
        return without_ending(alike(close))

    def _could_be(self, wanted: WantedFile) -> Sequence[str]:
        if wanted.role is not None:
            return [*present(self._files, wanted.role), *wanted.also_close]
        return [*portable(self._files, wanted.folders), *wanted.also_close]
