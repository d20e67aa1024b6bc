"""Model files of tunes that the API makes: files by name, and those that come with a request."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import folder_paths

from ...net.files import check_safetensors
from ...net.problems import ApiError, Problems
from ...net.writing import PARTIAL
from ...tunes.file_search import Missing
from ...tunes.host.state import make_resolver
from ...tunes.host.trained import FOLDERS
from ...tunes.tune import MODEL_TYPES, Tune
from ..pictures.mock import PTI
from . import state
from .body import UploadedModel

UPLOADS = "astria"  # below the model folder: model files that came with requests
# Not a name that a person gives.
_UPLOADED = re.compile(rf"{UPLOADS}/upload-[0-9a-f]{{32}}\.safetensors")


def _model_root(kind: str) -> Path:
    return Path(folder_paths.get_folder_paths(FOLDERS[kind])[0])


def asked_model(
    sent: Mapping[str, Any], kind: str | None, problems: Problems
) -> str | UploadedModel | None:
    """Return the name of the model file below its model folder, or the one that comes with the
    request, checked; None where a photo set has none.
    """
    given = sent.get("file")
    with problems.noting("file" if kind in FOLDERS else "model_type"):
        if kind not in MODEL_TYPES:
            expected = ", ".join((*MODEL_TYPES, PTI))
            text = f"model_type is {kind!r}; expected {expected}, or none"[:300]
            hint = "A model file is that of a lora or checkpoint." if given else ""
            raise ApiError(text, code="tune-model-type", hint=hint)
        if kind not in FOLDERS:
            if given:
                raise ApiError(
                    "a faceid tune takes no model file",
                    code="tune-file",
                    hint="Leave file out, or choose model_type lora.",
                )
            return None
        if isinstance(given, str):
            name = make_resolver().model_file(FOLDERS[kind], given)
            if isinstance(name, Missing):
                raise ApiError(name.message, code="missing-model", hint=name.hint)
            return name.replace("\\", "/")
        if not isinstance(given, UploadedModel):
            raise ApiError(
                "file is no model file",
                code="tune-file",
                hint="Send its name on the disk, or the file as multipart/form-data.",
            )
        check_safetensors(given.path, f"the model file {given.file_name[:80]!r}")
        return given
    return None


@contextlib.contextmanager
def placed(file: str | UploadedModel | None, kind: str | None) -> Iterator[str | None]:
    """Give the name of the model file.

    One that came with the request lies in its model folder, unless the block fails.
    """
    if not isinstance(file, UploadedModel):
        yield file
        return
    name = f"{UPLOADS}/upload-{uuid.uuid4().hex}.safetensors"
    target = _model_root(kind) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}{PARTIAL}")
    try:
        shutil.move(file.path, partial)  # copies where the model folder is on another disk
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    try:
        yield name
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def sweep_models() -> None:
    """Remove what a crash left of model files.

    Those that did not arrive whole, and those that no tune names. Call while no request is made.
    """
    named = state.tunes().files()
    for kind in FOLDERS:
        for path in (_model_root(kind) / UPLOADS).glob("upload-*"):
            name = f"{UPLOADS}/{path.name}"
            if name not in named and _UPLOADED.fullmatch(name.removesuffix(PARTIAL)):
                path.unlink(missing_ok=True)


def forget_model(tune: Tune) -> None:
    """Remove the model file of a tune that is gone, where it came with a request and no other tune
    names it.
    """
    is_uploaded = tune.model_type in FOLDERS and _UPLOADED.fullmatch(tune.file or "")
    if is_uploaded and tune.file not in state.tunes().files():
        (_model_root(tune.model_type) / tune.file).unlink(missing_ok=True)
