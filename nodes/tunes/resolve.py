"""Ids and names of prompts -> files that the host lists, or what is missing and what to do.

No weights of model files are read; of some the names and sizes of tensors, as for `lora_signs`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

from ..families.control_files import takes_masked_picture
from ..families.family import FAMILIES, Family, variant_of
from ..families.lora_files import LoraSigns, signs_of
from ..graph.model_files import ModelFile
from ..net.lora_words import trained_words
from ..net.tensor_header import tensor_shapes
from .bindings import KNOWN_BASES, ROLES, BaseModel, Bindings
from .choices import FIELD_FOLDERS, TAG_FOLDERS, ModelFiles, present
from .file_search import BindWords, FileSearch, Located, Missing, WantedFile, bound_file, refused
from .names import alike, matching, name_problem, one_id, shell_word, shown, suggestion
from .syntax import BASE_ID
from .tables import Role, base_problem, base_title, incomplete, main_field
from .tune import ModelType, Tune, Tunes

BIND_COMMAND = "python dev.py bind"
_MAKE_TUNE = (
    "Make one of photos of the person with Astria Create Tune, model_type faceid; its tune_id is"
    " the id that the prompt then names."
)
# Whose files are told with their addresses.
_TOLD_BASES = [id for id, one in KNOWN_BASES.items() if FAMILIES[one.family].files]
_CLOSE_TUNES = 500  # the newest tunes, searched for what comes close to an unknown id


@dataclass(frozen=True)
class Resolved:
    """The file or photo set that an id or name stands for."""

    kind: ModelType
    file: str | None  # as the host lists it; None for a photo set
    tune: Tune | None
    how: str  # the place where it was found, for Explain


class Resolver:
    """Looks ids up in the bindings, then the tunes, then as file names.

    Only names that the host lists are returned.
    """

    def __init__(
        self, bindings: Bindings, store: Tunes | None, files: ModelFiles, bind: str = BIND_COMMAND
    ) -> None:
        """`bind` is the command that hints name, which says which ComfyUI's bindings these are; ""
        where the reader sits before its editor.
        """
        self._bindings = bindings
        self._tunes = {_spelled(key): value for key, value in bindings.tunes.items()}
        self._words = BindWords(bind)
        self._store = store
        self._files = files
        self._search = FileSearch(files, self._words)

    def lora(self, name: str) -> Resolved | Missing:
        """Return the file of `<lora:name:...>`.

        A LoRA, or a checkpoint; with its tune, which may hold photos.
        """
        if problem := name_problem(alike(name)):
            return refused("LoRA", name, problem)
        tune = self.tune_of(name)
        how = "file name"
        if (bound := self._tunes.get(_spelled(name))) is not None:
            wanted = _of_tag(name, bound)
            how = f"bindings: {name} = {bound}"
        elif tune is not None and tune.file is not None and tune.model_type != "faceid":
            wanted = _of_tag(name, tune.file)
            how = f"tune {tune.id} of the tunes database"
        else:
            wanted = self._unbound_lora(name, tune)
        found = self._search.find(wanted)
        if isinstance(found, Missing):
            if tune is not None and tune.is_mock:
                return Missing("LoRA", name, *tune.mock_refusal())
            if tune is not None and tune.orig_images:
                photos = f"For the photos of tune {tune.id} write <faceid:{tune.id}:1>. "
                return replace(found, hint=photos + (tune.how_to_train() or found.hint))
            return found
        return Resolved("lora" if found.folder == "loras" else "checkpoint", found.file, tune, how)

    def _unbound_lora(self, name: str, tune: Tune | None) -> WantedFile:
        state = "no such tune"
        if tune is not None:
            state = f"tune {tune.id} {shown(tune.title)} {tune.why_no_file()}"
        return WantedFile(
            what="LoRA",
            key=name,
            file=name,
            folders=TAG_FOLDERS,
            subject=f"LoRA {shown(name)} (not bound, {state})",
            bind_key=_bind_key(name),
            also_close=(*self._bindings.tunes, *self._tune_names),
        )

    def lora_signs(self, file: str) -> LoraSigns:
        """Return what a listed LoRA file seems to be by the names and sizes of its tensors: nothing
        where they cannot be read or do not say.
        """
        for root in self._files.roots("loras"):
            shapes = tensor_shapes(Path(root, file))
            if shapes is not None:
                return signs_of(shapes)
        return LoraSigns()

    def trigger_phrase(self, found: Resolved) -> str:
        """Return the words that call what a LoRA or checkpoint was trained on, "" where its file
        does not say them for sure.
        """
        folder = "loras" if found.kind == "lora" else "checkpoints"
        paths = (Path(root, found.file) for root in self._files.roots(folder) if found.file)
        return next((said for path in paths if (said := trained_words(path).phrase)), "")

    def embedding_widths(self, file: str) -> frozenset[int]:
        """Return the widths of the vectors in a listed embedding, empty where they cannot be
        read.
        """
        for root in self._files.roots("embeddings"):
            shapes = tensor_shapes(Path(root, file))
            if shapes is not None:
                return frozenset(shape[-1] for shape in shapes.values() if shape)
        return frozenset()

    def takes_masked_picture(self, file: str) -> bool | None:
        """Say whether a listed patch of a model sees a masked picture; None where it cannot be
        read.
        """
        for root in self._files.roots("model_patches"):
            shapes = tensor_shapes(Path(root, file))
            if shapes is not None:
                return takes_masked_picture(shapes)
        return None

    def faceid(self, id: str) -> Resolved | Missing:
        """Return the tune whose photos `<faceid:id:...>` means.

        The one bound to `id` by its id or title, else the one that has it.
        """
        if problem := name_problem(alike(id)):
            return refused("FaceID photo set", id, problem)
        tune = self.tune_of(id)
        if self._store is None or tune is None:
            return self._no_photo_set(id)
        if tune.is_mock:
            return Missing("FaceID photo set", id, *tune.mock_refusal())
        if not tune.orig_images:
            message = f"tune {tune.id} {shown(tune.title)} holds no photos"
            return Missing("FaceID photo set", id, message, _MAKE_TUNE)
        if lost := [path for path in self._store.photo_paths(tune.id) if not path.is_file()]:
            count = f"{len(lost)} of {len(tune.orig_images)}"
            message = (
                f"tune {tune.id} {shown(tune.title)} has lost photos: {count}, the first is"
                f" {lost[0]}"
            )
            return Missing(
                "FaceID photo set", id, message, "Put the files back, or make the tune anew."
            )
        bound = self._tunes.get(_spelled(id))
        binding = (
            f"bindings: {id} = {bound}, "
            if bound is not None and self._tune(bound) is not None
            else ""
        )
        return Resolved("faceid", None, tune, f"{binding}tune {tune.id} of the tunes database")

    def bound(self, name: str) -> Resolved | Missing:
        """Return the meaning of a bound name in tags: its file, else the photos of a tune."""
        file = self.lora(name)
        photos = self.faceid(name) if isinstance(file, Missing) else file
        return file if isinstance(photos, Missing) else photos

    def _no_photo_set(self, id: str) -> Missing:
        bound = self._tunes.get(_spelled(id))
        also = (
            f" The bindings give it {shown(bound)}, which is no tune of it; a model file holds no"
            " photos."
            if bound
            else ""
        )
        close = self._search.suggestions.of(("faceid",), bound or id, lambda: self._tune_names)
        message = f"FaceID photo set {shown(id)} is not in the tunes database.{also}{close}"
        key = _bind_key(id)
        to_one = f"Or bind {shown(id)} to one that is there, by its title or id"
        hint = f"{_MAKE_TUNE} {to_one}: {self._words.bind(key, 'TITLE')}"
        return Missing("FaceID photo set", id, message, hint, key)

    def has_role(self, key: str, family: str | None = None) -> bool:
        """Say whether something is bound to a role, whether or not its file is there."""
        return key in self._bindings.roles or f"{family}.{key}" in self._bindings.roles

    def role(self, key: str, family: str | None = None) -> str | Missing:
        """Return the file, or the folder of files, bound to a role.

        To `family.role` where that is bound, else to the role itself.
        """
        own = f"{family}.{key}"
        key = own if own in self._bindings.roles else key
        role = ROLES[key.rpartition(".")[2]]
        if (bound := self._bindings.roles.get(key)) is not None:
            return (
                self._folder(key, bound, role)
                if role.below is not None
                else self._role_file(key, bound, role)
            )
        return self._unbound_role(key, role)

    def _unbound_role(self, key: str, role: Role) -> Missing:
        names = present(self._files, role)
        there = f"It holds {', '.join(names[:5])}." if names else "It is empty."
        message = (
            f"no {key} is bound ({role.purpose}). Its model folder is"
            f" {self._search.searched(role.folders)}. {there}"
        )
        own = [name for name in names if name.rpartition("/")[2] == role.published]
        file = next(iter(own or (names if len(names) == 1 else [role.published or "FILE"])))
        hint = self._words.bind(key, shell_word(file))
        if not names:
            put = f"Put the model into {self._search.place(role.folders[0])}"
            hint = self._words.after(put, "then run", key, file)
        if file == role.published and not own:
            hint += f"\n{file} is {ModelFile(role.folders[0], file).offer()}"
        return Missing(key, key, message, hint, key)

    def _role_file(self, key: str, bound: str, role: Role) -> str | Missing:
        wanted = bound_file(bound, role.folders, what=key, key=key, bind_key=key, role=role)
        found = self._search.find(wanted)
        return found if isinstance(found, Missing) else found.file

    def _folder(self, key: str, bound: str, role: Role) -> str | Missing:
        names = present(self._files, role)
        if bound in names:
            return bound
        message = (
            f"the folder {shown(bound)} that {key} stands for was not found. Searched"
            f" {self._search.searched(role.folders)}."
        )
        place = "/".join(filter(None, (self._search.place(role.folders[0]), role.below)))
        hint = self._words.after(f"Put the folder into {place}", "or bind another", key, "FOLDER")
        return Missing(key, key, message + suggestion(bound, names), hint, key)

    def base(self, id: str | None) -> BaseModel | Missing:
        """Return the model of the base tune `id`, each file as the host lists it.

        None means the default base.
        """
        bases = self._bindings.bases
        if id is None:
            id = self._bindings.default_base
        if id is None and len(bases) == 1:
            id = next(iter(bases))
        if id is None:
            known = ", ".join(f"{key} ({base.family})" for key, base in bases.items()) or "none"
            hint = (
                f"Name one: {self._words.bind('defaults.base', next(iter(bases)))}"
                if bases
                else f"{self._words.base('690204')}\nOr name a base whose files are told:"
                f" {', '.join(_TOLD_BASES)}."
            )
            return Missing(
                "base model",
                "defaults.base",
                f"no default base is set. Bound bases: {known}.",
                hint,
                "defaults.base" if bases else "base.690204.checkpoint",
            )
        if not BASE_ID.fullmatch(id):
            return refused("base model", id, "a base id holds letters, digits, _ and - only")
        id = one_id(id)
        base = bases.get(id)
        if base is None:
            message = f"base {base_title(id)} is not bound to a model.{suggestion(id, list(bases))}"
            known = KNOWN_BASES.get(id)
            field = main_field(known.family) if known else "checkpoint"
            return Missing("base model", id, message, self._words.base(id), f"base.{id}.{field}")
        if problem := base_problem(base) or incomplete(base):
            edit = f"Edit [base {id}] in the bindings file"
            hint = self._words.after(edit, "or use", f"base.{id}.FIELD")
            key = f"base.{id}.{main_field(base.family)}"
            return Missing("base model", id, f"base {base_title(id)}: {problem}", hint, key)
        return self._with_listed_files(id, base)

    def variant_of(self, fitting: Sequence[Family], file: str) -> tuple[Family, str]:
        """Return which of several families a model is that may be any of them, and why, "" where it
        can be one only.

        That of a base which names its file, with the base's native size; where the file is not
        known that of the default base; else by the file's name. `file` is the model's path, ""
        where it is not known.
        """
        names = {one.name for one in fitting}
        for id in self._bases_of(file):
            told = self._bindings.bases[id].facts()
            if told.name in names:
                why = f"family = {told.name} of base {id} in the bindings"
                return told, why if len(fitting) > 1 else ""
        return variant_of(fitting, file)

    def _bases_of(self, file: str) -> Sequence[str]:
        """Return the ids of the bases that name a model's file, of none known the default one."""
        bases = self._bindings.bases
        if not file:
            only = next(iter(bases)) if len(bases) == 1 else None
            default = self._bindings.default_base or only
            return [default] if default in bases else []
        path = f"/{alike(file)}"
        return [
            id
            for id, base in bases.items()
            for field in ("diffusion_model", "checkpoint")
            for folder in FIELD_FOLDERS[field]
            for name in matching(getattr(base, field) or "", self._files.list(folder))
            if path.endswith(f"/{alike(name)}")
        ]

    def model_file(self, folder: str, name: str) -> str | Missing:
        """Return the listed name of the file that `name` means in the host's model folder
        `folder`.
        """
        found = self.locate("model file", name, (folder,))
        return found if isinstance(found, Missing) else found.file

    def locate(self, what: str, name: str, folders: Sequence[str]) -> Located | Missing:
        """Return the file that `name` means in the first of `folders` that has one.

        `what` names its use in messages.
        """
        subject = f"{what} {shown(name)}"
        return self._search.find(
            WantedFile(what=what, key=name, file=name, folders=folders, subject=subject)
        )

    def listed(self, folder: str) -> list[str]:
        """Return the files of the host's model folder `folder` as the host lists them."""
        return list(self._files.list(folder))

    def _with_listed_files(self, id: str, base: BaseModel) -> BaseModel | Missing:
        listed: dict[str, str] = {}
        missing: list[Missing] = []
        for name, folders in FIELD_FOLDERS.items():
            bound = getattr(base, name)
            if bound is None:
                continue
            wanted = bound_file(
                bound,
                folders,
                what=f"{name} of base",
                key=base_title(id),
                bind_key=f"base.{id}.{name}",
            )
            found = self._search.find(wanted)
            if isinstance(found, Missing):
                missing.append(found)
            else:
                listed[name] = found.file
        if not missing:
            return replace(base, **listed)
        messages = "\n".join(one.message for one in missing)
        hints = "\n".join(one.hint for one in missing)
        return Missing("base model", id, messages, hints, missing[0].bind_key)

    def tune_of(self, name: str) -> Tune | None:
        """Return the tune that a tag's name means: as bound, else the one of this id or title."""
        bound = self._tunes.get(_spelled(name))
        return (self._tune(bound) if bound is not None else None) or self._tune(name)

    def _tune(self, name: str) -> Tune | None:
        if self._store is None:
            return None
        if re.fullmatch(r"[0-9]{1,18}", one_id(name)):  # longer ones are no ids
            return self._store.get(int(one_id(name)))
        spellings = dict.fromkeys((name, *(normalize(form, name) for form in ("NFC", "NFD"))))
        found = map(self._store.find_by_title, spellings)
        return next((tune for tune in found if tune is not None), None)

    @cached_property
    def _tune_names(self) -> Sequence[str]:
        newest = self._store.list(limit=_CLOSE_TUNES) if self._store else ()
        return [name for tune in newest for name in (str(tune.id), tune.title)]


def _spelled(name: str) -> str:
    """Return an id or name as the bindings are searched for it."""
    return one_id(alike(name))


def _of_tag(name: str, file: str) -> WantedFile:
    """Return the search for the file that a LoRA tag's name is bound to."""
    return bound_file(file, TAG_FOLDERS, what="LoRA", key=name, bind_key=_bind_key(name))


def _bind_key(name: str) -> str:
    """Return the key of the bindings for the name in a LoRA tag."""
    name = _spelled(name)
    return name if re.fullmatch(r"[0-9]+", name) and name not in KNOWN_BASES else f"tunes.{name}"
