"""FaceID files in the user's model folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import folder_paths

from ...errors import MissingModelError
from ...graph.model_files import WEIGHT_ENDINGS
from ...graph.sockets import NO_FILE
from ...host.weight_files import UnreadableWeights, read_weights
from ..checkpoint import PUBLISHED, PULID, kind_of, read_adapter
from ..errors import FaceIDError
from .ip_adapter import IPAdapterFaceID
from .pulid_loader import load_pulid

FOLDERS = ("ipadapter", "pulid")
VISION, PARSING = "clip_vision", "facedetection"


def faceid_names() -> list[str]:
    """Return the files in the folders of adapters, each name once."""
    return list(dict.fromkeys(name for folder in FOLDERS for name in model_names(folder)))


def model_names(folder: str) -> list[str]:
    """Return the model files in one of the host's folders, without what else lies there."""
    known = folder in folder_paths.folder_names_and_paths
    return (
        [
            name
            for name in folder_paths.get_filename_list(folder)
            if name.lower().endswith(WEIGHT_ENDINGS)
        ]
        if known
        else []
    )


def load_faceid(name: str, asked: str, clip_vision: Any, eva_clip: str, face_parsing: str) -> Any:
    """Return the adapter in the file, as faceid.IPAdapterFaceID or, for PuLID, as
    pulid_loader.PulidModel.

    `asked` is a kind or auto; `eva_clip` and `face_parsing` are file names or NO_FILE.
    Raises: MissingModelError where a file or model is not there; FaceIDError where the file is
    damaged or another kind than asked.
    """
    path = _path(name)
    state, metadata = _read(path, name)
    kind = kind_of(state, name, asked)
    if kind == PULID:
        del state  # read again there: the other two files count as well
        return load_pulid(path, _chosen(VISION, eva_clip), _chosen(PARSING, face_parsing))
    adapter = read_adapter(state, name, kind, metadata)
    if adapter.kind.clip and clip_vision is None:
        raise MissingModelError(
            f"The adapter '{name}' is {adapter.kind.title}, which looks at the face through CLIP;"
            " clip_vision is not connected.",
            code="faceid-clip-vision",
            hint=(
                "Connect Load CLIP Vision with CLIP-ViT-H-14 (laion2B-s32B-b79K), or bind that file"
                " to the role clip_vision."
            ),
        )
    return IPAdapterFaceID(adapter, clip_vision)


def missing_faceid(name: str) -> MissingModelError:
    """Return the error for an adapter that is not in the folders."""
    searched = ", ".join(
        path for folder in FOLDERS for path in folder_paths.get_folder_paths(folder)
    )
    return MissingModelError(
        f"The FaceID adapter '{name}' is not among the files in {searched}.",
        code="missing-faceid",
        hint=(
            "Put the file into one of these folders. IP-Adapter FaceID files are published at"
            f" {PUBLISHED}."
        ),
    )


def _path(name: str) -> str:
    for folder in FOLDERS:
        if name in model_names(folder) and (path := folder_paths.get_full_path(folder, name)):
            return path
    raise missing_faceid(name)


def _chosen(folder: str, name: str) -> str | None:
    return None if name == NO_FILE else folder_paths.get_full_path_or_raise(folder, name)


def _read(path: str, name: str) -> tuple[Mapping[str, Any], Mapping[str, str] | None]:
    """Return a file's weights by name, and its metadata."""
    try:
        state, metadata = read_weights(path)
    except UnreadableWeights as error:
        raise FaceIDError(
            f"The file '{name}' ({path}) cannot be read as model weights: {error}",
            code="faceid-unreadable",
            hint=f"Get it again, from {PUBLISHED}, and compare its size with the published one.",
        ) from error
    if not isinstance(state, Mapping):
        raise FaceIDError(
            f"The file '{name}' ({path}) holds a {type(state).__name__}; expected model weights by"
            " name.",
            code="faceid-unreadable",
            hint=f"FaceID adapters are published at {PUBLISHED}.",
        )
    return {str(key): value for key, value in state.items()}, metadata
