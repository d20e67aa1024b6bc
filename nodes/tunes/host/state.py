"""The pack's private folder on the running host: bindings, tunes and model files together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import folder_paths

from ...graph.model_files import FILE_FOLDERS
from ...host.state import state_folder
from ...prompt import PromptRequest
from ..bindings import BINDINGS_FILE, Bindings
from ..resolve import Resolver
from ..state import bindings_in, overview, resolver_in, tunes_in
from ..store import Tune

MOST_TUNES = 10_000  # the newest, of which lists and searches know


class HostFiles:
    """The user's model files as ComfyUI lists them."""

    def list(self, folder: str) -> Sequence[str]:
        return (
            folder_paths.get_filename_list(folder)
            if folder in folder_paths.folder_names_and_paths
            else ()
        )

    def roots(self, folder: str) -> Sequence[str]:
        return (
            folder_paths.get_folder_paths(folder)
            if folder in folder_paths.folder_names_and_paths
            else ()
        )


def bindings_text() -> str:
    """Return the text of the bindings file, empty when there is none.

    For the fingerprint of nodes whose result depends on it.
    """
    path = state_folder() / BINDINGS_FILE
    return path.read_text(encoding="utf-8") if path.exists() else ""


def files_text() -> str:
    """Return the model files that ids and roles may stand for.

    For the fingerprint of nodes that report what is there.
    """
    files = HostFiles()
    folders = sorted({*FILE_FOLDERS.values(), "embeddings", "insightface", "pulid"})
    return "\n".join(f"{folder}/{name}" for folder in folders for name in files.list(folder))


def named_stamps(text: str | None, *, more_bindings: bool = False) -> str:
    """Return the state of each input picture and tune that the prompt names, for the fingerprint of
    nodes that read them: what is written or stored anew is looked at anew.

    None: a text over a link, which is not known before the run; then of all in the input folder,
    and of all tunes. With `more_bindings`, which come over a link as well, its tags may stand for
    any tune.
    """
    if text is None:
        found = [
            Path(folder, name)
            for folder, _, names in os.walk(folder_paths.get_input_directory())
            for name in names
        ]
        return _stamps(sorted(found), _tunes(None))
    request, _ = PromptRequest.from_text(text)
    if request is None:
        return ""
    named = [
        one.value
        for one in (request.input_image, request.mask_image)
        if one is not None and one.kind == "file"
    ]
    tags = [tag.id for segment in request.prompt for tag in segment.faceids]
    tags += [tag.name for segment in request.prompt for tag in segment.loras]
    bound = bindings_in(state_folder()).tunes
    tunes = _tunes(
        None if more_bindings and tags else [*tags, *(bound[tag] for tag in tags if tag in bound)]
    )
    return _stamps([Path(folder_paths.get_annotated_filepath(name)) for name in named], tunes)


def _tunes(names: Iterable[str] | None) -> list[Tune]:
    """Return the tunes of these ids and titles, all for None."""
    store = tunes_in(state_folder())
    if store is None:
        return []
    if names is None:
        return list(store.list(limit=MOST_TUNES))
    found = [
        store.get(int(name)) if name.isascii() and name.isdigit() else store.find_by_title(name)
        for name in dict.fromkeys(names)
    ]
    return [tune for tune in found if tune is not None]


def _stamps(files: Iterable[Path], tunes: Iterable[Tune]) -> str:
    stats = [(path, path.stat()) for path in files if path.exists()]
    lines = [f"{path} {stat.st_mtime_ns} {stat.st_size}" for path, stat in stats]
    lines += [f"{tune.id} {tune.updated_at} {tune.orig_images}" for tune in tunes]
    return "\n".join(lines)


def make_resolver(extra: Bindings | None = None, files: HostFiles | None = None) -> Resolver:
    """Return a resolver over the bindings file, the tunes database and the files ComfyUI lists.

    `extra` wins over the file, `files` are those to look at where they are not ComfyUI's own. Its
    hints send the reader to the editor's sidebar.
    """
    return resolver_in(state_folder(), files or HostFiles(), extra, bind="")


def models_overview(extra: Bindings) -> str:
    """Return what every bound id and role stands for, those of `extra` included, and whether its
    files are there.
    """
    return overview(bindings_in(state_folder(), extra), make_resolver(extra))
