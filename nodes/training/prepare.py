"""Photos of one person -> the pictures, captions and faces that a training takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from ..faces.detector import FaceAnalysis
from ..faces.face import Face, largest
from ..faces.photos import Cache, PhotoFinding, find_person
from ..faces.photos import notes as photo_notes
from ..masking.people import find_people
from ..masking.segmenter import Segmenter
from .errors import TrainingError
from .photos import (
    CLASS,
    CROP,
    MAX_RATIO,
    PHOTO,
    TunePhotos,
    TunePicture,
    as_image,
    caption_of,
    face_crop,
    fitted,
)
from .request import check_words, photos_problem

LEAST_ENLARGED = 0.5  # of the size: smaller crops would be blur
# Cosine of a face to the others, below which it is hardly the same person (ArcFace).
STRANGER = 0.15


@dataclass(frozen=True)
class Helpers:
    """What photos are looked at with; each may be missing.

    `correct` draws the faces of a photo, [1,H,W,3], anew.
    """

    analysis: FaceAnalysis | None = None
    cache: Cache | None = None
    correct: Callable[[Tensor, Sequence[Face]], Tensor] | None = None
    segmenter: Segmenter | None = None


@dataclass(frozen=True)
class Wanted:
    """How photos are learned."""

    token: str
    name: str
    sizes_px: tuple[int, ...]
    face_crop: bool = False


def prepare(
    photos: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    wanted: Wanted,
    helpers: Helpers,
) -> TunePhotos:
    """Return what is learned of photos, uint8 [H,W,3] each: at every size the photo, its face where
    crops are wanted, and the `others` of the class.

    Raises: TrainingError for too few or many photos, words that cannot be, crops without analysis;
    ImageError where no photo shows a face.
    """
    check_words(wanted.token, wanted.name)
    if problem := photos_problem(len(photos)):
        raise TrainingError(
            problem, code="training-photos", hint="Eight to sixteen photos are usual."
        )
    if helpers.analysis is None and (wanted.face_crop or helpers.correct):
        raise TrainingError(
            "face_crop and face_restorer need to know where faces are, and no analysis is"
            " connected.",
            code="training-photos",
            hint="Connect Astria Load Face Analysis, or switch them off.",
        )
    findings = [_looked_at(one, helpers) for one in photos]
    if helpers.analysis is not None and not any(one.face for one in findings):
        raise ImageError(
            f"No photo shows a usable face. {' '.join(photo_notes(findings))}",
            code="no-usable-face",
            hint="Use sharp photos in which the face is large.",
        )
    notes = [*_notes(findings, wanted), *_strangers(findings)]
    if helpers.correct is not None:
        findings = [_corrected(one, helpers.correct) for one in findings]
    pictures = list(_pictures(findings, others, wanted, helpers.segmenter, notes))
    return TunePhotos(
        tuple(pictures),
        len(photos),
        wanted.token,
        wanted.name,
        helpers.analysis,
        _embeddings(findings),
        tuple(notes),
    )


def _looked_at(pixels: np.ndarray, helpers: Helpers) -> PhotoFinding:
    if helpers.analysis is None:
        return PhotoFinding(pixels, None)
    if helpers.analysis.recogniser is not None and helpers.cache is not None:
        return find_person(pixels, helpers.analysis, helpers.cache)
    return PhotoFinding(pixels, largest(helpers.analysis.faces(pixels)))


def _notes(findings: Sequence[PhotoFinding], wanted: Wanted) -> Iterator[str]:
    """Say what was chosen in photos, which show no face, and which are small."""
    for number, one in enumerate(findings, 1):
        if one.note:
            rest = "" if one.face else "; it is learned all the same"
            yield f"Photo {number}: {one.note}{rest}."
        side = min(one.pixels.shape[:2])
        if side < LEAST_ENLARGED * min(wanted.sizes_px):
            yield f"Photo {number} is small, {side} px on its shorter side: it will be blurred."
        if max(one.pixels.shape[:2]) > MAX_RATIO * side:
            yield f"Photo {number} is longer than {MAX_RATIO:g}:1: both its ends are cut off."


def _strangers(findings: Sequence[PhotoFinding]) -> Iterator[str]:
    """Say whose face looks like none of the others."""
    known = [
        (number, one.face.embedding)
        for number, one in enumerate(findings, 1)
        if one.face is not None and one.face.embedding is not None
    ]
    if len(known) < 3:
        return
    vectors = np.stack([vector / np.linalg.norm(vector) for _, vector in known])
    alike = vectors @ vectors.T
    for (number, _), row, own in zip(known, alike, np.diagonal(alike), strict=True):
        if (row.sum() - own) / (len(known) - 1) < STRANGER:
            yield f"Photo {number} seems to show another person than the others."


def _corrected(one: PhotoFinding, correct: Callable[..., Tensor]) -> PhotoFinding:
    if one.face is None:
        return one
    drawn = correct(as_image(one.pixels), [one.face])
    pixels = (drawn[0].clamp(0, 1) * 255).round().byte().cpu().numpy()
    return PhotoFinding(pixels, one.face, one.note)


def _pictures(
    findings: Sequence[PhotoFinding],
    others: Sequence[np.ndarray],
    wanted: Wanted,
    segmenter: Segmenter | None,
    notes: list[str],
) -> Iterator[TunePicture]:
    """Yield photos, then crops, then the others, each at every size."""
    shown = [(one.pixels, PHOTO) for one in findings]
    if wanted.face_crop:
        for number, one in enumerate(findings, 1):
            if one.face is None:
                continue
            crop = face_crop(one.pixels, one.face)
            if len(crop) < LEAST_ENLARGED * min(wanted.sizes_px):
                notes.append(
                    f"Photo {number}: its face is too small for a crop, {len(crop)} px wide."
                )
            else:
                shown.append((crop, CROP))
    for pixels, kind in shown:
        mask = None if segmenter is None else _person(pixels, segmenter, notes)
        yield from _sized(pixels, kind, wanted, mask)
    for pixels in others:
        yield from _sized(pixels, CLASS, wanted, None)


def _sized(
    pixels: np.ndarray, kind: str, wanted: Wanted, mask: np.ndarray | None
) -> Iterator[TunePicture]:
    caption = caption_of(kind, wanted.token, wanted.name)
    for size in wanted.sizes_px:
        scaled = None
        if mask is not None:
            scaled = torch.from_numpy(fitted(mask, size)[..., 0].astype(np.float32) / 255)[None]
        yield TunePicture(as_image(fitted(pixels, size)), caption, kind, scaled)


def _person(pixels: np.ndarray, segmenter: Segmenter, notes: list[str]) -> np.ndarray | None:
    """Return where the person is, as a picture uint8 [H,W,3] of 0 and 255."""
    try:
        mask = find_people(as_image(pixels), segmenter, 1).masks[0]
    except ImageError as error:
        notes.append(f"A photo's person was not found, all of it counts: {error.message}")
        return None
    levels = (mask.float() * 255).round().byte().cpu().numpy()
    return np.repeat(levels[..., None], 3, axis=-1)


def _embeddings(findings: Sequence[PhotoFinding]) -> Tensor | None:
    found = [
        one.face.embedding
        for one in findings
        if one.face is not None and one.face.embedding is not None
    ]
    return torch.from_numpy(np.stack(found).astype(np.float32)) if found else None
