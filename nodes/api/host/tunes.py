"""Tunes made and deleted over the API."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import ImageError
from ...faces.photos import (
    LEAST_FACE_PX,
    MAX_SIDE_PX,
    MIN_FACE_PX,
    find_person,
    identity_of,
    notes,
    photo_hash,
    png_bytes,
    read_photo,
)
from ...host.shown_paths import without_folders
from ...host.state import state_folder
from ...net.fetching import Fetching
from ...net.problems import ApiError, Problems
from ...net.settings import ApiSettings
from ...tunes.bindings import KNOWN_BASES
from ...tunes.face_cache import FaceCache
from ...tunes.host.trained import forget_trained
from ...tunes.state import bindings_in
from ...tunes.tune import MOCK_BRANCH, Tune, length_problem
from ..branches import BRANCHES
from ..callbacks import callback_of
from ..packs.placeholders import characteristics_of
from ..pictures.mock import check_mock, mock_notices
from . import state
from .body import uploads_of
from .guess import guess_roles
from .pictures.photos import bound_analysis, photo_pixels, sent_photos
from .prompts import Terms
from .training.asking import (
    asked_training,
    asks_to_train,
    check_asked,
    require_room,
)
from .tune_files import asked_model, forget_model, placed

_TEXTS = ("title", "name", "token", "branch", "args", "model_type", "preset")
_NUMBERS = ("base_tune_id", "steps", "min_face_px")
_SWITCHES = ("face_crop", "training_face_correct")
_OF_TRAINING = ("steps", *_SWITCHES)
# Of the service's tunes, without meaning here.
WITHOUT_EFFECT = (
    "auto_extend",
    "resolution",
    "use_lpw",
    "is_api",
    "class_names",
    "learning_rate",
    "segmentation",
)
KNOWN = frozenset(
    (
        *_TEXTS,
        *_NUMBERS,
        *_SWITCHES,
        *WITHOUT_EFFECT,
        "images",
        "image_urls",
        "callback",
        "characteristics",
        "file",
        "prompts_attributes",
    )
)


@dataclass(frozen=True)
class Made:
    """A tune, whether this request made it, what its maker should know, and the address to call.

    `trains` where it is to be trained; whoever asked is then called when it is.
    """

    tune: Tune
    is_new: bool
    notices: tuple[str, ...] = ()
    callback: str | None = None
    trains: bool = False


@dataclass(frozen=True)
class _AskedBy:
    """A request as it came, the address to call, and what was noticed so far."""

    sent: Mapping[str, Any]
    terms: Terms
    callback: str | None
    said: Sequence[str]


def fetching_of(settings: ApiSettings) -> Fetching:
    """Return the fetcher for the pictures of one request."""
    return Fetching(settings, state.SHOWN_SETTINGS_FILE)


def make_tune(sent: Mapping[str, Any], terms: Terms) -> Made:
    """Store the tune that the attributes describe, and what is asked of its training.

    Raises: ApiError with every problem, TuneError or ImageError; nothing is then left behind.
    """
    settings, problems = terms.settings, Problems()
    callback, notices = None, []
    with problems.noting("callback"):
        callback, notices = callback_of(sent.get("callback"), settings)
    about = _about(sent, problems)
    if settings.idempotent and not problems and (there := _there(about["title"])):
        return Made(there, False, tuple(notices), callback)
    is_mock = about.get("branch") == MOCK_BRANCH
    trains = not is_mock and asks_to_train(sent, about)
    file = None if is_mock or trains else asked_model(sent, about.get("model_type"), problems)
    if trains:
        require_room(settings)
        check_asked(about, settings.people_agreed, problems)
    contents = sent_photos(sent, settings, terms.fetching, problems)
    if trains:
        asked_by = _AskedBy(sent, terms, callback, notices)
        return _trained_later(about, contents, asked_by, problems)
    problems.refuse()
    about.setdefault("branch", _branch_of_base(about.get("base_tune_id")))
    min_face_px = about.pop("min_face_px", MIN_FACE_PX)
    preset = about.pop("preset", None)
    photos, more = (
        (contents, mock_notices(sent))
        if is_mock
        else _usable_photos(contents, about["title"], min_face_px)
    )
    idle = [*(["preset"] if preset else []), *_idle(sent)]
    notices = (*notices, *more, *(f"{key} has no effect here." for key in idle))
    if not is_mock:
        notices = (*notices, *_kept_untrained(about))
    pack_id = terms.pack_id
    with placed(file, about.get("model_type")) as name:
        return Made(
            state.tunes().create(photos=photos, is_api=True, file=name, pack_id=pack_id, **about),
            True,
            tuple(map(without_folders, notices)),
            callback,
        )


def _there(title: str) -> Tune | None:
    """Return the tune that an equal title gives; asking again for one that failed tries again."""
    tune = state.tunes().find_by_title(title)
    return tune if tune is None or tune.user_error is None else None


def _trained_later(
    about: dict[str, Any], photos: list[bytes], asked_by: _AskedBy, problems: Problems
) -> Made:
    """Store a tune together with what is asked of its training. Raises: ApiError."""
    least_face_px, different = about.pop("min_face_px", None), list(dict.fromkeys(photos))
    # Addresses are not fetched for what is refused already: what was sent counts.
    sent = [*uploads_of(asked_by.sent.get("images")), *uploads_of(asked_by.sent.get("image_urls"))]
    asked = asked_training(about, len(sent if problems else different), problems)
    problems.refuse()
    assert asked is not None, "what is wrong with it was noted"
    idle = [*(["min_face_px"] if least_face_px else []), *_idle(asked_by.sent)]
    said = [*asked_by.said, *asked.notices, *(f"{key} has no effect here." for key in idle)]
    if len(different) < len(photos):
        said.append(
            f"Of {len(photos)} photos {len(different)} are different; each is learned once."
        )
    callback, terms = asked_by.callback, asked_by.terms
    training = replace(asked.training, origin=terms.origin, callback=callback)
    tune = state.tunes().create(
        photos=different,
        is_api=True,
        pack_id=terms.pack_id,
        beside=state.trainings().beside(training),
        **asked.about,
    )
    return Made(tune, True, tuple(map(without_folders, said)), callback, trains=True)


def _kept_untrained(about: Mapping[str, Any]) -> list[str]:
    return [
        f"{key} is kept and has no effect: this tune is not trained."
        for key in _OF_TRAINING
        if about.get(key)
    ]


def _idle(sent: Mapping[str, Any]) -> list[str]:
    return [
        *(key for key in WITHOUT_EFFECT if sent.get(key) not in (None, "")),
        *sorted(set(sent) - KNOWN),
    ]


def _about(sent: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the plain attributes in their types, those that are not set left out."""
    about: dict[str, Any] = {}
    for key in (*_TEXTS, *_NUMBERS, *_SWITCHES):
        if sent.get(key) not in (None, ""):
            with problems.noting(key):
                about[key] = typed(key, sent[key])
    if about.get("steps") == 0:  # not set
        del about["steps"]
    if sent.get("title") in (None, ""):
        problems.note(
            ApiError("a tune needs a title", code="tune-title", hint="Send tune[title]."), "title"
        )
    with problems.noting("characteristics"):
        about["characteristics"] = characteristics_of(sent.get("characteristics"))
    if about.get("branch") == MOCK_BRANCH:
        check_mock(about, problems)
    elif "branch" in about and about["branch"] not in BRANCHES:
        expected = ", ".join((*BRANCHES, MOCK_BRANCH))
        problems.note(
            ApiError(
                f"branch is {about['branch']!r}; expected {expected}"[:300],
                code="tune-branch",
            ),
            "branch",
        )
    if not LEAST_FACE_PX <= about.get("min_face_px", MIN_FACE_PX) <= MAX_SIDE_PX:
        text = f"min_face_px is {about['min_face_px']}; expected {LEAST_FACE_PX} to {MAX_SIDE_PX}"
        problems.note(ApiError(text, code="bad-field"), "min_face_px")
    return about


def typed(key: str, value: Any) -> Any:
    """Return an attribute of a tune in its type, forms sending all as text. Raises: ApiError."""
    text = str(value).strip() if isinstance(value, str | int | bool) else None
    if (
        key in _NUMBERS
        and text is not None
        and text.isascii()
        and text.isdecimal()
        and len(text) <= 16
        and not isinstance(value, bool)
    ):
        return int(text)
    if key in _SWITCHES and text is not None and text.lower() in ("true", "1", "false", "0"):
        return text.lower() in ("true", "1")
    if key in _TEXTS and isinstance(value, str):
        if problem := length_problem(key, value):
            raise ApiError(problem, code="tune-text", hint="Shorten it.")
        return value
    expected = (
        "a whole number" if key in _NUMBERS else "true or false" if key in _SWITCHES else "text"
    )
    raise ApiError(f"{key} is {value!r}; expected {expected}"[:300], code="bad-field")


def _branch_of_base(id: int | None) -> str:
    base = bindings_in(state_folder()).bases.get(str(id)) or KNOWN_BASES.get(str(id))
    return next(
        (branch for branch, family in BRANCHES.items() if base and base.family.startswith(family)),
        "sd15",
    )


def _usable_photos(
    contents: Sequence[bytes], title: str, min_face_px: int
) -> tuple[Sequence[bytes], list[str]]:
    """Return the photos to store, and the notices on them."""
    if not contents:
        return (), []
    notices = guess_roles(["face_analysis"], "")
    analysis = bound_analysis()
    if analysis is None:
        return contents, ["The photos are not checked for faces: no face_analysis is bound."]
    cache = FaceCache(state_folder())
    findings, photos = [], []
    for content in contents:
        found = find_person(photo_pixels(content), analysis, cache, min_face_px)
        if found.face is not None:
            photos.append(png_bytes(found.pixels))
        # The pixels of all photos together would be gigabytes.
        findings.append(replace(found, pixels=found.pixels[:0]))
    identity_of(findings, analysis, title)
    return photos, [*notices, *notes(findings)]


def _hashes(paths: Sequence[Path]) -> list[str]:
    """Return the hashes of photos, those left out that are lost or damaged.

    Nothing can be found in them any more.
    """
    found = []
    for path in paths:
        with contextlib.suppress(ImageError):
            found.append(photo_hash(read_photo(path)))
    return found


def delete_tune(id: int) -> bool:
    """Delete a tune, its photos, the faces found in them, what its training made, and the model
    file that came with a request, unless other tunes name it.

    Say whether it was there.
    """
    store = state.tunes()
    tune = store.get(id)
    if tune is None:
        return False
    FaceCache(state_folder()).forget(_hashes(store.photo_paths(id)))
    forget_trained(tune)
    if not store.delete(id):
        return False
    forget_model(tune)
    return True
