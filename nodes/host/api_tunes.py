"""Tunes made and deleted over the API."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths

from ..api.fields import Upload
from ..api.files import check_safetensors, from_base64, picture_name
from ..api.problems import ApiError
from ..api.settings import Settings
from ..api.web import Bounds, fetch
from ..errors import ImageError
from ..faces.detector import FaceAnalysis
from ..faces.insight import find_packs, load_pack
from ..faces.photos import find_person, identity_of, notes, photo_hash, png_bytes, read_photo
from ..tunes.bindings import KNOWN_BASES
from ..tunes.face_cache import FaceCache
from ..tunes.files import PARTIAL
from ..tunes.resolve import Missing
from ..tunes.state import bindings_in
from ..tunes.tune import MODEL_TYPES, Tune
from . import api_state
from .api_body import Weights, uploads_of
from .api_guess import guess_roles
from .models import make_resolver, state_folder

BRANCHES = {"sd15": "sd15", "sdxl1": "sdxl", "flux1": "flux"}  # the service's word -> the family of the bindings
FOLDERS = {"lora": "loras", "checkpoint": "checkpoints"}
UPLOADS = "astria"  # below the model folder: model files that requests brought
_UPLOADED = re.compile(rf"{UPLOADS}/upload-[0-9a-f]{{32}}\.safetensors")  # not a name that a person gives
_TEXTS = ("title", "name", "token", "branch", "args", "model_type")
_NUMBERS = ("base_tune_id", "steps")
_SWITCHES = ("face_crop", "training_face_correct")
# Of the service's tunes, without meaning where nothing is trained or billed.
_WITHOUT_EFFECT = ("preset", "characteristics", "auto_extend", "resolution", "use_lpw", "is_api", "class_names", "learning_rate", "segmentation")
KNOWN = frozenset((*_TEXTS, *_NUMBERS, *_SWITCHES, *_WITHOUT_EFFECT, "images", "image_urls", "callback", "file", "prompts_attributes"))


@dataclass(frozen=True)
class Made:
    """A tune, whether this request made it, and what its maker should know."""

    tune: Tune
    is_new: bool
    notices: tuple[str, ...] = ()


def make_tune(sent: Mapping[str, Any], settings: Settings) -> Made:
    """Store the tune that the attributes describe. Raises: ApiError, TuneError or ImageError; nothing is then left behind."""
    about = _about(sent)
    if settings.idempotent and (there := api_state.tunes().find_by_title(about["title"])):
        return Made(there, False)
    kind = about.get("model_type")
    if kind not in MODEL_TYPES or (kind in FOLDERS and not sent.get("file")):
        raise _training(kind)
    photos, said = _photos(sent, settings, about["title"])
    unknown = sorted(set(sent) - KNOWN)
    idle = [*(key for key in _WITHOUT_EFFECT if sent.get(key) not in (None, "")), *unknown]
    said = [*said, *(f"{key} has no effect here." for key in idle)]
    if kind == "faceid":
        if sent.get("file"):
            raise ApiError("a faceid tune takes no model file", code="tune-file", hint="Leave file out, or choose model_type lora.")
        return Made(api_state.tunes().create(photos=photos, is_api=True, **about), True, tuple(said))
    file, is_uploaded = _model_file(sent["file"], kind)
    try:
        return Made(api_state.tunes().create(photos=photos, is_api=True, file=file, **about), True, tuple(said))
    except BaseException:
        if is_uploaded:
            (_model_root(kind) / file).unlink(missing_ok=True)
        raise


def _about(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain attributes in their types, those that are not set left out."""
    given = {key: sent[key] for key in (*_TEXTS, *_NUMBERS, *_SWITCHES) if sent.get(key) not in (None, "")}
    about = {key: _typed(key, value) for key, value in given.items()}
    if "title" not in about:
        raise ApiError("a tune needs a title", code="tune-title", hint="Send tune[title].")
    if "branch" not in about:
        about["branch"] = _branch_of_base(about.get("base_tune_id"))
    if about["branch"] not in BRANCHES:
        raise ApiError(f"branch is {about['branch']!r}; expected {', '.join(BRANCHES)}", code="tune-branch")
    return about


def _typed(key: str, value: Any) -> Any:
    text = str(value).strip() if isinstance(value, str | int | bool) else None
    if key in _NUMBERS and text is not None and text.isascii() and text.isdecimal() and len(text) <= 16 and not isinstance(value, bool):
        return int(text)
    if key in _SWITCHES and text is not None and text.lower() in ("true", "1", "false", "0"):
        return text.lower() in ("true", "1")
    if key in _TEXTS and isinstance(value, str):
        return value
    expected = "a whole number" if key in _NUMBERS else "true or false" if key in _SWITCHES else "text"
    raise ApiError(f"{key} is {value!r}; expected {expected}"[:300], code="bad-field")


def _branch_of_base(id: int | None) -> str:
    base = bindings_in(state_folder()).bases.get(str(id)) or KNOWN_BASES.get(str(id))
    return next((branch for branch, family in BRANCHES.items() if base and base.family.startswith(family)), "sd15")


def _training(kind: str | None) -> ApiError:
    hint = (
        "For photos of a person send model_type faceid with images: it is ready at once. For a LoRA or checkpoint that is trained already, "
        "send model_type lora or checkpoint with file: the name of a file in ComfyUI's model folder, or the .safetensors file itself."
    )
    return ApiError(f"model_type {kind!r} without a model file asks for training, and nothing is trained here", code="no-training", hint=hint)


def _photos(sent: Mapping[str, Any], settings: Settings, title: str) -> tuple[Sequence[bytes], list[str]]:
    """Return the photos to store, and what is to be said about them."""
    given, urls = uploads_of(sent.get("images")), uploads_of(sent.get("image_urls"))
    if len(given) + len(urls) > settings.max_images:
        raise ApiError(f"{len(given) + len(urls)} photos are sent; expected at most {settings.max_images}", code="too-many-photos")
    contents = [_content(one, f"images, number {number}", settings) for number, one in enumerate(given, 1)]
    contents += [fetched(url, f"image_urls, number {number}", settings) for number, url in enumerate(urls, 1)]
    for number, content in enumerate(contents, 1):
        picture_name(content, f"photo {number}", settings.image_bytes)
    if not contents:
        return (), []
    said = guess_roles(["face_analysis"], "")
    analysis = _analysis()
    if analysis is None:
        return contents, ["The photos are not checked for faces: no face_analysis is bound."]
    cache = FaceCache(state_folder())
    findings = [find_person(_pixels(content), analysis, cache) for content in contents]
    return [png_bytes(one.pixels) for one in identity_of(findings, analysis, title).photos], [*said, *notes(findings)]


def _content(one: Any, what: str, settings: Settings) -> bytes:
    if isinstance(one, Upload):
        return one.content
    if isinstance(one, str):
        return from_base64(one.partition(",")[2] if one.startswith("data:") else one, what, settings.image_bytes)
    raise ApiError(f"{what} is no file", code="bad-picture", hint="Send files as multipart/form-data, or base64 text in JSON.")


def fetched(url: Any, what: str, settings: Settings) -> bytes:
    """Return the picture at a web address. Raises: ApiError where the owner has not allowed that, or it cannot be had."""
    if not isinstance(url, str):
        raise ApiError(f"{what} is {url!r}; expected a web address"[:300], code="bad-address")
    if not settings.fetch_urls:
        hint = f"Send the picture itself, or write the line fetch_urls = yes into {api_state.settings_file()}."
        raise ApiError(f"{what} is a web address, and this server fetches none", code="fetching-is-off", hint=hint)
    return fetch(url, Bounds(settings.image_bytes, settings.fetch_timeout_s, settings.private_hosts))


def _pixels(content: bytes) -> Any:
    spool = api_state.spool_folder()
    spool.mkdir(parents=True, exist_ok=True)
    # A name of its own: two requests may bring the same photo at once.
    handle, name = tempfile.mkstemp(suffix=".partial", dir=spool)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return read_photo(Path(name))
    finally:
        Path(name).unlink(missing_ok=True)


def _analysis() -> FaceAnalysis | None:
    """Return what finds faces, None where nothing is bound for it."""
    if "face_analysis" not in bindings_in(state_folder()).roles:
        return None
    bound = make_resolver().role("face_analysis")
    if isinstance(bound, Missing):
        raise ApiError(bound.message, code="missing-model", hint=bound.hint)
    return FaceAnalysis(*load_pack(find_packs(folder_paths.get_folder_paths("insightface"))[bound]))


def _model_root(kind: str) -> Path:
    return Path(folder_paths.get_folder_paths(FOLDERS[kind])[0])


def _model_file(given: Any, kind: str) -> tuple[str, bool]:
    """Return the name of the model file below its model folder, and whether the request brought it."""
    if isinstance(given, str):
        found = make_resolver().model_file(FOLDERS[kind], given)
        if isinstance(found, Missing):
            raise ApiError(found.message, code="missing-model", hint=found.hint)
        return found.replace("\\", "/"), False
    if not isinstance(given, Weights):
        raise ApiError("file is no model file", code="tune-file", hint="Send its name on the disk, or the file as multipart/form-data.")
    check_safetensors(given.path, f"the model file {given.file_name[:80]!r}")
    name = f"{UPLOADS}/upload-{uuid.uuid4().hex}.safetensors"
    target = _model_root(kind) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}{PARTIAL}")
    try:
        shutil.move(given.path, partial)  # copies where the model folder is on another disk
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return name, True


def sweep_models() -> None:
    """Remove what a crash left of model files: those that did not arrive whole, and those that no tune names. Call while no request is made."""
    named = api_state.tunes().files()
    for kind in FOLDERS:
        for path in (_model_root(kind) / UPLOADS).glob("upload-*"):
            name = f"{UPLOADS}/{path.name}"
            if name not in named and _UPLOADED.fullmatch(name.removesuffix(PARTIAL)):
                path.unlink(missing_ok=True)


def _hashes(paths: Sequence[Path]) -> list[str]:
    """Return the hashes of photos, those left out that are lost or damaged: nothing can be found in them any more."""
    found = []
    for path in paths:
        with contextlib.suppress(ImageError):
            found.append(photo_hash(read_photo(path)))
    return found


def delete_tune(id: int) -> bool:
    """Delete a tune, its photos, what was found in them, and the model file that a request brought, unless other tunes name it.

    Say whether it was there.
    """
    store = api_state.tunes()
    tune = store.get(id)
    if tune is None:
        return False
    FaceCache(state_folder()).forget(_hashes(store.photo_paths(id)))
    gone = store.delete(id)
    if gone and tune.model_type in FOLDERS and _UPLOADED.fullmatch(tune.file or "") and tune.file not in store.files():
        (_model_root(tune.model_type) / tune.file).unlink(missing_ok=True)
    return gone
