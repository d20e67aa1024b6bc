"""The photos of a tune, or of links, with what looks at them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from ...faces.detector import FaceAnalysis, rgb_pixels
from ...faces.face import Face
from ...faces.photos import bounded, read_photo
from ...host.state import state_folder
from ...host.tensors import as_pictures
from ...swap.host.models import painter
from ...swap.restore import DEFAULT_FIDELITY, check_restorer, restore
from ...tunes.face_cache import FaceCache
from ...tunes.names import shown
from ...tunes.store import DATABASE_FILE, Tune, TuneStore
from ..errors import TrainingError
from ..photos import TunePhotos
from ..prepare import Helpers, Wanted, prepare

RESTORED_PX = 512  # of an upright face, as most restorers see it
MAX_DIGITS = 16  # of an id


def prepared(tune: str, images: Sequence[Tensor], wanted: Wanted, **models: Any) -> TunePhotos:
    """Return the photos of a tune, or of connected pictures, as a training takes them.

    `models` are analysis, face_restorer, segmenter and class_images, each may be missing.
    Raises: what `prepare` raises; TrainingError where neither or both give photos.
    """
    if bool(tune.strip()) == bool(images):
        raise TrainingError(
            f"Photos come from a tune or from images; {'both' if images else 'neither'} are given.",
            code="training-photos",
            hint="Write the tune's id and connect no images, or connect images alone.",
        )
    tune_id, photos = (0, pixels_of(images)) if images else photos_of_tune(tune.strip())
    analysis: FaceAnalysis | None = models.get("analysis")
    restorer = models.get("face_restorer")
    helpers = Helpers(
        analysis,
        None if analysis is None else FaceCache(state_folder()),
        None if restorer is None else _corrector(restorer),
        models.get("segmenter"),
    )
    others = pixels_of(models.get("class_images") or ())
    return replace(prepare(photos, others, wanted, helpers), tune_id=tune_id)


def pixels_of(images: Sequence[Tensor]) -> list[np.ndarray]:
    """Return the pictures of a list of batches, uint8 [H,W,3] each."""
    return [bounded(one) for batch in images for one in rgb_pixels(as_pictures(batch))]


def photos_of_tune(name: str) -> tuple[int, list[np.ndarray]]:
    """Return the tune of this id or title, and its photos, turned as their cameras held them."""
    store, tune = _tune(name)
    if store is None or tune is None:
        raise TrainingError(
            f"There is no tune {shown(name)}.",
            code="training-tune",
            hint="Astria Tunes lists them; the sidebar or Astria Create Tune makes one of photos.",
        )
    return tune.id, [read_photo(path) for path in store.photo_paths(tune.id)]


def tune_state(name: str | None) -> str:
    """Return what changes when the photos of the tune of this id or title do.

    Nothing that a training changes of its tune: queued again, it would be trained again.
    """
    tune = _tune(name.strip())[1] if name and name.strip() else None
    return "" if tune is None else f"{tune.id} {tune.orig_images}"


def _tune(name: str) -> tuple[TuneStore | None, Tune | None]:
    if not (state_folder() / DATABASE_FILE).exists():
        return None, None
    store = TuneStore(state_folder())
    by_id = store.get(int(name)) if name.isdecimal() and len(name) <= MAX_DIGITS else None
    return store, by_id or store.find_by_title(name)


def _corrector(restorer: Any) -> Callable[[Tensor, Sequence[Face]], Tensor]:
    check_restorer(restorer, RESTORED_PX)
    paint = painter(restorer, DEFAULT_FIDELITY)
    return lambda image, faces: restore(image, [faces], paint, RESTORED_PX, 1.0).images
