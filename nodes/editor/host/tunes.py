"""The tunes as the sidebar lists, makes and deletes them, by the same functions as the API."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ...api.guess import guessed_roles
from ...api.host import state
from ...api.host.prompts import Terms
from ...api.host.tune_files import UPLOADS
from ...api.host.tunes import Made, delete_tune, fetching_of, make_tune
from ...faces.photos import read_photo
from ...host.state import state_folder
from ...net.settings import ApiSettings
from ...tunes.bindings import ROLES
from ...tunes.choices import present
from ...tunes.file_search import Missing
from ...tunes.host.state import MOST_TUNES, HostFiles, make_resolver
from ...tunes.host.trained import FOLDERS, trained_file
from ...tunes.names import shown
from ...tunes.state import bindings_in
from ...tunes.store import DATABASE_FILE, TuneStore
from ...tunes.tune import Tune, TuneError, iso
from .training import offer, training_row

PAGE = 20
THUMBNAIL_PX = 192  # shown at half of that, sharp on fine screens
_QUALITY = 82
_CHECKED = (
    "Each photo is checked for one usable face; those without are left out, and you are told."
)


def newest(limit: int = MOST_TUNES) -> Sequence[Tune]:
    """Return the tunes, newest first. Looking makes no database where nothing was ever kept."""
    return (
        TuneStore(state_folder()).list(limit=limit)
        if (state_folder() / DATABASE_FILE).exists()
        else ()
    )


def page(search: str, offset: int) -> dict[str, Any]:
    """Return a page of the tunes whose id, title, name, token or file holds every word of `search`,
    their number, and how photos are checked.
    """
    words = search.casefold().split()
    found = [tune for tune in newest() if all(word in _words(tune) for word in words)]
    return {
        "tunes": [tune_row(tune) for tune in found[offset : offset + PAGE]],
        "total": len(found),
        "offset": offset,
        "page": PAGE,
        "check": _check(),
        "training": offer(),
    }


def _words(tune: Tune) -> str:
    return " ".join(
        filter(None, (str(tune.id), tune.title, tune.name, tune.token, tune.file))
    ).casefold()


def tune_row(tune: Tune) -> dict[str, Any]:
    """Return a tune's row in the sidebar.

    `tags` are what a prompt can write for it, none for a mock; `goes_with_it` is what is deleted
    along with it.
    """
    has_model = tune.file is not None and tune.model_type != "faceid"
    tags = [f"<lora:{tune.id}:1.0>"] if has_model else []
    tags += [f"<faceid:{tune.id}:1.0>"] if tune.is_photo_set else []
    return {
        "id": tune.id,
        "title": tune.title,
        "name": tune.name or "",
        "token": tune.token,
        "kind": "mock" if tune.is_mock else tune.model_type or "no model",
        "file": tune.file or "",
        "photos": len(tune.orig_images),
        "photo": photo_address(tune),
        "created": iso(tune.created_at),
        "tags": tags,
        "goes_with_it": {
            "file": _takes_its_file_along(tune),
            "prompts": bool(state.prompts().list(str(tune.id), limit=1, offset=0)),
        },
        "training": training_row(tune),
    }


def _takes_its_file_along(tune: Tune) -> bool:
    """Say whether the tune's model file was trained here, or came with the request that made it and
    is named by no other tune.
    """
    if trained_file(tune) is not None:
        return True
    is_upload = tune.model_type in FOLDERS and (tune.file or "").startswith(f"{UPLOADS}/upload-")
    return is_upload and not any(
        other.file == tune.file and other.id != tune.id for other in newest()
    )


def photo_address(tune: Tune) -> str:
    """Return the route of a tune's thumbnail, below the server's address.

    Empty for a tune without photos.
    """
    return f"/astria/editor/tunes/{tune.id}/photo" if tune.orig_images else ""


def _check() -> str:
    """Return the note on how photos of a new tune will be checked."""
    if "face_analysis" not in bindings_in(state_folder()).roles:
        likely = guessed_roles(
            "face_analysis", "", lambda role: present(HostFiles(), ROLES[role])
        ).get("face_analysis")
        if likely is None:
            return (
                "No face pack is bound (role face_analysis): photos are stored without a look at"
                " their faces."
            )
        return f"No face pack is bound; {likely} will be. {_CHECKED}"
    bound = make_resolver().role("face_analysis")
    return (
        f"Photos cannot be checked: {bound.message}"
        if isinstance(bound, Missing)
        else f"{_CHECKED} The pack {bound} looks at them."
    )


def thumbnail(id: int) -> bytes:
    """Return the first photo of a tune as a small JPEG.

    Raises: TuneError for no such tune or photo, ImageError for one that cannot be read.
    """
    paths = TuneStore(state_folder()).photo_paths(id) if newest(1) else ()
    if not paths:
        raise TuneError(
            f"Tune {id} has no photo.",
            code="tune-photos",
            hint="It may have been deleted: search again.",
        )
    return _small(paths[0])


@functools.lru_cache(maxsize=256)
def _small(path: Path) -> bytes:
    """The name of a photo is the hash of its content, so it is read once."""
    photo = Image.fromarray(read_photo(path))
    photo.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    photo.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()


def create(sent: Mapping[str, Any], settings: ApiSettings) -> Made:
    """Keep photos as a tune: a photo set, or with a `model_type` of lora what is to be trained.

    Raises: ApiError, TuneError or ImageError; nothing is then kept.
    """
    return make_tune({"model_type": "faceid", **sent}, Terms("", settings, fetching_of(settings)))


def told(made: Made) -> dict[str, Any]:
    """Return a tune that was made, whether it is new, and what was noticed."""
    return {"tune": tune_row(made.tune), "is_new": made.is_new, "notes": list(made.notices)}


def shown_tune(id: int, title: str) -> Tune:
    """Return the tune; `title` says that it is the one that was shown.

    Raises: TuneError where it is not there, or has another title.
    """
    tune = TuneStore(state_folder()).get(id) if newest(1) else None
    if tune is None:
        raise TuneError(
            f"There is no tune {id} any more.",
            code="tune-unknown",
            hint="Search again to see what is there.",
        )
    if tune.title != title:
        raise TuneError(
            f"Tune {id} does not have the title {shown(title)}; it was left as it is.",
            code="tune-title-differs",
        )
    return tune


def delete(tune: Tune) -> dict[str, Any]:
    """Delete a tune with its photos, what was found in them, and a model file that came with it."""
    file = f", and the file {tune.file}," if _takes_its_file_along(tune) else ""
    delete_tune(tune.id)
    _small.cache_clear()
    return {
        "text": (
            f"Tune {tune.id} {shown(tune.title)} and its {len(tune.orig_images)} photo(s){file} are"
            " deleted."
        )
    }
