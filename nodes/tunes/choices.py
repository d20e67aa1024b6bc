"""The host's files that each key of the bindings can be bound to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .bindings import ROLES, Bindings, address
from .tables import FAMILIES, YES_NO, Role, value_problem

TAG_FOLDERS = ("loras", "checkpoints")  # what a LoRA tag may name; in both folders: the LoRA
OUTPAINT_FOLDERS = ("diffusion_models", "checkpoints")
FIELD_FOLDERS: Mapping[str, Sequence[str]] = {
    "checkpoint": ("checkpoints",),
    "diffusion_model": ("diffusion_models",),
    "clip_l": ("text_encoders",),
    "t5xxl": ("text_encoders",),
    "text_encoder": ("text_encoders",),
    "vae": ("vae",),
    "outpaint_model": OUTPAINT_FOLDERS,
}


class ModelFiles(Protocol):
    """The host's model files, by the key of a model folder.

    A key that the host does not know has none.
    """

    def list(self, folder: str) -> Sequence[str]:
        """Names of the files in `folder`, relative to its roots."""
        ...

    def roots(self, folder: str) -> Sequence[str]:
        """The directories that `folder` stands for, for messages."""
        ...


def portable(files: ModelFiles, folders: Sequence[str]) -> list[str]:
    """Return the listed names in `folders` as the bindings write them: / between folders on every
    system.
    """
    return [name.replace("\\", "/") for folder in folders for name in files.list(folder)]


def present(files: ModelFiles, role: Role) -> list[str]:
    """Return the names present for a role: files that its node reads, or folders of such."""
    names = [name for name in portable(files, role.folders) if role.takes(name)]
    return sorted(names if role.below is None else {name.split("/")[-2] for name in names})


def folders_of(key: str) -> Sequence[str]:
    """Return the model folders of the file that `key` (see `bind`) means.

    None where it means no file. Raises: BindingsError for no such key.
    """
    section, name = address(key)
    if section == "tunes":
        return TAG_FOLDERS
    return (
        ROLES[name.rpartition(".")[2]].folders
        if section == "roles"
        else FIELD_FOLDERS.get(name, ())
    )


def choices(
    key: str, files: ModelFiles, bindings: Bindings, titles: Sequence[str] = ()
) -> list[str]:
    """Return the values that `key` (see `bind`) can be bound to here.

    `titles` are those of the tunes with photos. Raises: BindingsError for no such key.
    """
    section, name = address(key)
    if section == "roles":
        return present(files, ROLES[name.rpartition(".")[2]])
    if section == "defaults":
        return sorted(bindings.bases)
    if name == "family" and section != "tunes":
        return list(FAMILIES)
    if name == "trim_padding" and section != "tunes":
        return list(YES_NO)
    photo_sets = titles if section == "tunes" else ()
    # A title of digits alone would be read as an id.
    bindable = [
        title
        for title in photo_sets
        if not title.isdecimal() and value_problem(section, name, title) is None
    ]
    return list(dict.fromkeys((*portable(files, folders_of(key)), *bindable)))
