"""What the planner asks of a running ComfyUI: model families, the user's files, the pack's private folder, node definitions."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import comfy.supported_models as supported
import folder_paths

import nodes as host_nodes

from ..errors import MissingModelError, PlanError
from ..families.family import FAMILIES, Family
from ..graph.definitions import NodeDefinition, from_object_info
from ..graph.graph import Graph
from ..graph.model_files import FILE_FOLDERS
from ..prompt import PromptRequest
from ..tunes.bindings import BINDINGS_FILE, Bindings
from ..tunes.resolve import Missing, Resolver
from ..tunes.state import bindings_in, overview, resolver_in
from ..tunes.store import DATABASE_FILE, Tune, TuneStore

STATE_NAME = "astria"
MOST_TUNES = 10_000
PACK = Path(__file__).resolve().parents[2]

# (class of the host's model configuration, channels of the model's input) -> family. Inpaint models take the mask and the
# masked picture's latent beside the noise: 4+1+4 channels for SD, 16+64+16 for Flux Fill.
FAMILY_OF = (
    (supported.SD15, 4, "sd15"),
    (supported.SD15, 9, "sd15_inpaint"),
    (supported.SDXL, 4, "sdxl"),
    (supported.SDXL, 9, "sdxl_inpaint"),
    (supported.FluxSchnell, 16, "flux_schnell"),  # before its base class
    (supported.Flux, 16, "flux"),
    (supported.Flux, 96, "flux_fill"),
)


def family_of(model) -> Family:
    """Return the family of a MODEL. Raises PlanError for a kind this pack does not plan for."""
    config = model.model.model_config
    channels = config.unet_config.get("in_channels")
    for kind, expected, name in FAMILY_OF:
        if isinstance(config, kind) and channels == expected:
            return FAMILIES[name]
    known = ", ".join(family.title for family in FAMILIES.values())
    raise PlanError(
        f"The connected MODEL is a {type(config).__name__} with {channels} input channels; this pack plans for {known}.",
        code="unknown-model",
        hint="Connect a model of one of these families.",
    )


class HostFiles:
    """The user's model files as ComfyUI lists them."""

    def list(self, folder: str) -> Sequence[str]:
        return folder_paths.get_filename_list(folder) if folder in folder_paths.folder_names_and_paths else ()

    def roots(self, folder: str) -> Sequence[str]:
        return folder_paths.get_folder_paths(folder) if folder in folder_paths.folder_names_and_paths else ()


def state_folder() -> Path:
    """Return the pack's private folder inside ComfyUI's user directory; it is not reachable over HTTP."""
    return Path(folder_paths.get_system_user_directory(STATE_NAME))


def bindings_text() -> str:
    """Return the text of the bindings file, empty when there is none; nodes whose result depends on it take it as fingerprint."""
    path = state_folder() / BINDINGS_FILE
    return path.read_text(encoding="utf-8") if path.exists() else ""


def files_text() -> str:
    """Return the model files that ids and roles may stand for: the fingerprint of nodes that report what is there."""
    files = HostFiles()
    folders = sorted({*FILE_FOLDERS.values(), "embeddings", "insightface", "pulid"})
    return "\n".join(f"{folder}/{name}" for folder in folders for name in files.list(folder))


def named_stamps(text: str | None, *, more_bindings: bool = False) -> str:
    """Return the state of each input picture and tune that the prompt names, so that what is written or stored anew is looked at anew.

    None: a text over a link, which is not known before the run; then of all in the input folder, and of all tunes. With `more_bindings`,
    which come over a link as well, its tags may stand for any tune.
    """
    if text is None:
        found = [Path(folder, name) for folder, _, names in os.walk(folder_paths.get_input_directory()) for name in names]
        return _stamps(sorted(found), _tunes(None))
    request, _ = PromptRequest.from_text(text)
    if request is None:
        return ""
    named = [one.value for one in (request.input_image, request.mask_image) if one is not None and one.kind == "file"]
    tags = [tag.id for segment in request.prompt for tag in segment.faceids]
    tags += [tag.name for segment in request.prompt for tag in segment.loras]
    bound = bindings_in(state_folder()).tunes
    tunes = _tunes(None if more_bindings and tags else [*tags, *(bound[tag] for tag in tags if tag in bound)])
    return _stamps([Path(folder_paths.get_annotated_filepath(name)) for name in named], tunes)


def _tunes(names: Iterable[str] | None) -> list[Tune]:
    """Return the tunes of these ids and titles, all for None."""
    if not (state_folder() / DATABASE_FILE).exists():
        return []
    store = TuneStore(state_folder())
    if names is None:
        return list(store.list(limit=MOST_TUNES))
    found = [store.get(int(name)) if name.isascii() and name.isdigit() else store.find_by_title(name) for name in dict.fromkeys(names)]
    return [tune for tune in found if tune is not None]


def _stamps(files: Iterable[Path], tunes: Iterable[Tune]) -> str:
    stats = [(path, path.stat()) for path in files if path.exists()]
    lines = [f"{path} {stat.st_mtime_ns} {stat.st_size}" for path, stat in stats]
    lines += [f"{tune.id} {tune.updated_at} {tune.orig_images}" for tune in tunes]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def make_resolver(extra: Bindings | None = None) -> Resolver:
    """Return a resolver over the bindings file, the tunes database and the files ComfyUI lists; `extra` wins over the file."""
    # What a person types to bind must reach this ComfyUI's bindings, wherever their shell stands.
    bind = f"python {shlex.quote(str(PACK / 'dev.py'))} bind --comfyui {shlex.quote(folder_paths.base_path)}"
    return resolver_in(state_folder(), HostFiles(), extra, bind)


def models_overview(extra: Bindings) -> str:
    """Return what every bound id and role stands for, those of `extra` included, and whether its files are there."""
    return overview(bindings_in(state_folder(), extra), make_resolver(extra))


def live_definitions(class_types: Iterable[str]) -> dict[str, NodeDefinition]:
    """Return the definitions of those node classes that this ComfyUI has, in its own words."""
    known = {name: host_nodes.NODE_CLASS_MAPPINGS[name] for name in class_types if name in host_nodes.NODE_CLASS_MAPPINGS}
    return from_object_info({name: _object_info(name, node_class) for name, node_class in known.items()})


def _object_info(name: str, node_class) -> dict:
    """Return the node's `/object_info` entry, as far as definitions need it."""
    if hasattr(node_class, "GET_NODE_INFO_V1"):
        return node_class.GET_NODE_INFO_V1()
    inputs = node_class.INPUT_TYPES()
    return {
        "input": inputs,
        "output": node_class.RETURN_TYPES,
        "output_name": getattr(node_class, "RETURN_NAMES", node_class.RETURN_TYPES),
        "display_name": host_nodes.NODE_DISPLAY_NAME_MAPPINGS.get(name, name),
    }


def save_workflow(text: str, filename_prefix: str) -> str:
    """Write a workflow below the output folder under the next free number; return its name there.

    Raises: PlanError when the prefix leads out of the output folder.
    """
    output = Path(folder_paths.get_output_directory())
    target = (output / filename_prefix).resolve()
    if not target.is_relative_to(output.resolve()) or target == output.resolve():
        text = f"The file name '{filename_prefix}' leads out of the output folder."
        raise PlanError(text, code="bad-file-name", hint="Use a name such as workflows/astria.")
    folder, name, counter, _, _ = folder_paths.get_save_image_path(filename_prefix, str(output))
    path = Path(folder) / f"{name}_{counter:05}_.json"
    path.write_text(text, encoding="utf-8")
    return str(path.relative_to(output))


def check_input_files(graph: Graph) -> None:
    """Return when every input picture that the graph loads is in the input folder.

    ComfyUI checks this for nodes of a queued workflow, not for those another node expands into.
    Raises: MissingModelError naming the files and the folder.
    """
    loaders = ("LoadImage", "LoadImageMask")
    absent = absent_inputs(str(call.inputs["image"]) for call in graph.nodes.values() if call.class_type in loaders)
    if absent:
        raise MissingModelError("\n".join(one.message for one in absent), code="missing-input", hint=absent[0].hint)


def absent_inputs(names: Iterable[str]) -> tuple[Missing, ...]:
    """Return those of the pictures that are not in the input folder."""
    folder, hint = folder_paths.get_input_directory(), "Put the file there, or connect the image."
    absent = [name for name in dict.fromkeys(names) if not folder_paths.exists_annotated_filepath(name)]
    return tuple(Missing("input picture", name, f"The prompt names {name!r}, not found in ComfyUI's input folder {folder}.", hint) for name in absent)
