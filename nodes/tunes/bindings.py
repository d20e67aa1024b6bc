"""The bindings: ids and roles of prompts -> the user's own files.

One text file that a person edits.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BindingsError
from ..net.writing import atomic_write, exclusive
from .names import one_id, shown
from .syntax import Row, line_error, scan, with_entry, without_lines
from .tables import (
    BASE_FIELDS,
    BRANCHES,
    FAMILIES,
    KNOWN_BASES,
    ROLES,
    BaseModel,
    base_problem,
    guess,
    is_role,
    main_field,
    value_problem,
)

__all__ = [
    "BINDINGS_FILE",
    "BRANCHES",
    "FAMILIES",
    "KNOWN_BASES",
    "ROLES",
    "BaseModel",
    "Bindings",
    "address",
    "bind",
    "load",
    "unbind",
]

BINDINGS_FILE = "bindings.ini"


@dataclass(frozen=True)
class Bindings:
    """The files that ids and roles of prompts stand for."""

    bases: Mapping[str, BaseModel] = field(default_factory=dict)  # base tune id -> models
    default_base: str | None = None
    # Tune id, or name in a LoRA tag -> file of a LoRA or checkpoint.
    tunes: Mapping[str, str] = field(default_factory=dict)
    # Key of ROLES, a family and a dot may stand before it -> file.
    roles: Mapping[str, str] = field(default_factory=dict)

    def merged_with(self, other: Bindings) -> Bindings:
        """Return both; where both bind a key, `other` wins. A base is taken as a whole."""
        return Bindings(
            bases={**self.bases, **other.bases},
            default_base=self.default_base if other.default_base is None else other.default_base,
            tunes={**self.tunes, **other.tunes},
            roles={**self.roles, **other.roles},
        )

    @classmethod
    def parse(cls, text: str, source: str) -> Bindings:
        """Return the bindings in `text`; `source` names the text in errors.

        Raises: BindingsError naming source, line number, the line and what was expected.
        """
        tables: dict[str, dict[str, str]] = {}
        heads: dict[str, Row] = {}
        for row in scan(text, source):
            table = tables.setdefault(row.section, {})
            heads.setdefault(row.section, row)
            if row.key:
                if problem := value_problem(row.section, row.key, row.value):
                    raise line_error(source, row, problem, "Correct the line, or remove it.")
                table[row.key] = row.value
        default = tables.get("defaults", {}).get("base")
        return cls(
            bases={
                section.removeprefix("base "): _base(tables[section], heads[section], source)
                for section in tables
                if section.startswith("base ")
            },
            default_base=one_id(default) if default else None,
            tunes=tables.get("tunes", {}),
            roles=tables.get("roles", {}),
        )

    def to_text(self) -> str:
        """Return the file's text for these bindings: `parse` gives them back.

        Raises: BindingsError for a value that the file cannot hold.
        """
        sections = {f"base {id}": _set_fields(base) for id, base in self.bases.items()}
        sections |= {"tunes": dict(self.tunes), "roles": dict(self.roles)}
        sections["defaults"] = {} if self.default_base is None else {"base": self.default_base}
        lines = ["# Astria bindings: ids and roles of prompts -> your own files"]
        for section, table in sections.items():
            if not table:
                continue
            lines += ["", f"[{section}]"]
            for key, value in table.items():
                if problem := value_problem(section, key, value):
                    raise BindingsError(
                        f"[{section}] {shown(key)} = {shown(value)}: {problem}",
                        code="bindings-value",
                    )
                lines.append(f"{key} = {value}")
        text = "\n".join([*lines, ""])
        Bindings.parse(text, "bindings")  # bases that contradict themselves
        return text


def _base(table: dict[str, str], head: Row, source: str) -> BaseModel:
    if "family" not in table:
        raise line_error(
            source,
            head,
            "the base has no family",
            f"Add the line: family = {' or '.join(FAMILIES)}",
        )
    base = BaseModel(**table)
    if problem := base_problem(base):
        raise line_error(source, head, problem, "Correct the lines of this section.")
    return base


def _set_fields(base: BaseModel) -> dict[str, str]:
    return {name: value for name in BASE_FIELDS if (value := getattr(base, name)) is not None}


def load(path: Path) -> Bindings:
    """Return the bindings in the file `path`; a missing file holds none.

    Raises: BindingsError when the file cannot be read as bindings.
    """
    return _parsed(_read(path), str(path))


@functools.lru_cache(maxsize=4)
def _parsed(text: str, source: str) -> Bindings:
    # Programs ask several times a request; the file itself is read anew each time.
    return Bindings.parse(text, source)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        message = (
            f"{path}, line {line}: expected UTF-8 text, found the byte"
            f" 0x{error.object[error.start]:02x}"
        )
        raise BindingsError(
            message, code="bindings-encoding", hint="Save the file as UTF-8."
        ) from error
    except OSError as error:
        raise _file_error(path, "read", error) from error


def _file_error(path: Path, what: str, error: OSError) -> BindingsError:
    message = f"the bindings file {path} cannot be {what}: {error.strerror}"
    return BindingsError(
        message, code="bindings-file", hint="Check the folder's rights and free space."
    )


def edit(path: Path, change: Callable[[str, str], str]) -> bool:
    """Replace the text of the file `path` by `change(text, source)`; say whether it differs.

    The file is replaced as a whole, one process at a time, and only by text that parses.
    """
    try:
        target = path.resolve()  # a link to the file stays a link
        with exclusive(target.with_name(f"{target.name}.lock")):
            before = _read(path)
            Bindings.parse(before, str(path))
            after = change(before, str(path))
            Bindings.parse(after, str(path))
            if after != before:
                atomic_write(target, after.encode("utf-8"))
            return after != before
    except OSError as error:
        raise _file_error(path, "written", error) from error


def bind(path: Path, key: str, file_name: str) -> None:
    """Set `key` to `file_name` in the bindings file; other lines, comments and order stay.

    `key` is a tune id, a role, `tunes.NAME`, `base.ID.FIELD` or `defaults.base` (then `file_name`
    is a base's id).
    Raises: BindingsError when key or value is refused, or the file cannot be read or written; the
    file is then as it was.
    """
    section, name = address(key)
    if problem := value_problem(section, name, file_name):
        raise BindingsError(f"cannot bind {shown(key)}: {problem}", code="bindings-value")

    def change(text: str, source: str) -> str:
        rows = scan(text, source)
        if (
            section.startswith("base ")
            and name != "family"
            and not any(row.section == section for row in rows)
        ):
            text = with_entry(
                text,
                rows,
                Row(0, "", section, "family", _known_family(section.removeprefix("base "))),
            )
            rows = scan(text, source)
        return with_entry(text, rows, Row(0, "", section, name, file_name))

    edit(path, change)


def unbind(path: Path, key: str) -> bool:
    """Remove `key` (see `bind`), or a whole base by `base.ID`; say whether it was there.

    Raises: BindingsError as `bind`.
    """
    if whole := re.fullmatch(r"base\.([^.]+)", key):
        section, name = f"base {one_id(whole[1])}", ""
    else:
        section, name = address(key)

    def change(text: str, source: str) -> str:
        rows = [row for row in scan(text, source) if row.section == section]
        gone = [row for row in rows if row.key == name or not name]
        if name and section.startswith("base ") and any(row.key == name for row in rows):
            others = [row.key for row in rows if row.key not in ("", name)]
            if name == "family" and others:
                raise BindingsError(
                    f"{source}: the family of base {section.removeprefix('base ')} is needed by its"
                    f" {', '.join(others)}",
                    code="bindings-value",
                    hint=(
                        "Remove the whole base: python dev.py bind --remove"
                        f" {section.replace(' ', '.')}"
                    ),
                )
            if not others:  # a base without a field is no section
                gone = rows
        return without_lines(text, [row.number for row in gone])

    return edit(path, change)


def address(key: str) -> tuple[str, str]:
    """Return the section and the key in it that the dotted `key` stands for.

    Raises: BindingsError for no such key.
    """
    if base := re.fullmatch(r"base\.([^.]+)\.([^.]+)", key):
        return f"base {one_id(base[1])}", base[2]
    if key == "defaults.base":
        return "defaults", "base"
    if key.startswith("tunes."):
        return "tunes", one_id(key.removeprefix("tunes."))
    if is_role(key):
        return "roles", key
    if known := KNOWN_BASES.get(one_id(key)):
        field_name = main_field(known.family)
        raise BindingsError(
            f"{key} is the base tune {known.title}: a base binds its files one by one",
            code="bindings-key",
            hint=f"Use the key base.{key}.{field_name}; for a LoRA tag that names it, tunes.{key}.",
        )
    if re.fullmatch(r"[0-9]+", key):
        return "tunes", one_id(key)
    message = f"{shown(key)} is not a key of the bindings.{guess(key, ROLES)}"
    hint = (
        f"Keys: a tune id, a role ({', '.join(ROLES)}), tunes.NAME, base.ID.FIELD, defaults.base."
    )
    raise BindingsError(message, code="bindings-key", hint=hint)


def _known_family(id: str) -> str:
    if known := KNOWN_BASES.get(id):
        return known.family
    raise BindingsError(
        f"base {shown(id)} is new and its family is not known",
        code="bindings-value",
        hint=(
            f"First: python dev.py bind base.{id}.family FAMILY, with FAMILY one of"
            f" {', '.join(FAMILIES)}."
        ),
    )


@dataclass(frozen=True)
class ModelBundle:
    """The output of AstriaModels: bindings of its own, and the names of its sockets that hold a
    model.
    """

    bindings: Bindings = field(default_factory=Bindings)
    sockets: tuple[str, ...] = ()
