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
    BACKGROUND,
    CLASS,
    CROP,
    MAX_RATIO,
    PHOTO,
    TunePhotos,
    TunePicture,
    as_image,
    caption_of,
    face_square,
    fitted,
)
from .request import check_face_weight, check_words, photos_problem

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
    face_weight: float = 1.0  # how much a face counts beside the person


def prepare(
    photos: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    wanted: Wanted,
    helpers: Helpers,
) -> TunePhotos:
    """Return what is learned of photos, uint8 [H,W,3] each: at every size the photo, its face where
    crops are wanted, and the `others` of the class.

    With a segmenter a background counts for BACKGROUND of its person. A face counts by its box as
    often as is wanted, as in cloneofsimo/lora by a segmented face and in OneTrainer by masks.

    Raises: TrainingError for too few or many photos, words that cannot be, a face that counts less
    than the rest, and where faces are asked for without analysis; ImageError where no photo shows a
    face.
    """
    check_words(wanted.token, wanted.name)
    if problem := photos_problem(len(photos)):
        raise TrainingError(
            problem, code="training-photos", hint="Eight to sixteen photos are usual."
        )
    check_face_weight(wanted.face_weight)
    weighs_faces = wanted.face_weight != 1
    if helpers.analysis is None and (wanted.face_crop or helpers.correct or weighs_faces):
        raise TrainingError(
            "face_crop, face_weight and face_restorer need to know where faces are, and no analysis"
            " is connected.",
            code="training-photos",
            hint="Connect Astria Load Face Analysis, or switch them off: a face_weight of 1.",
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
    shown = [_Learned(one.pixels, PHOTO, one.face) for one in findings]
    if wanted.face_crop:
        for number, one in enumerate(findings, 1):
            if one.face is None:
                continue
            x, y, side = face_square(one.face, *one.pixels.shape[:2])
            if side < LEAST_ENLARGED * min(wanted.sizes_px):
                notes.append(f"Photo {number}: its face is too small for a crop, {side} px wide.")
            else:
                crop = one.pixels[y : y + side, x : x + side]
                shown.append(_Learned(crop, CROP, one.face, (x, y)))
    for one in shown:
        weights = _weights(one, wanted.face_weight, segmenter, notes)
        yield from _sized(one.pixels, one.kind, wanted, weights)
    for pixels in others:
        yield from _sized(pixels, CLASS, wanted, None)


@dataclass(frozen=True, eq=False)
class _Learned:
    """A photo or a crop of one, uint8 [H,W,3], and the photo's face; `origin` is its left and top
    corner in the photo.
    """

    pixels: np.ndarray
    kind: str
    face: Face | None
    origin: tuple[int, int] = (0, 0)


def _sized(
    pixels: np.ndarray, kind: str, wanted: Wanted, weights: np.ndarray | None
) -> Iterator[TunePicture]:
    caption = caption_of(kind, wanted.token, wanted.name)
    for size in wanted.sizes_px:
        scaled = None if weights is None else torch.from_numpy(fitted(weights, size))[None]
        yield TunePicture(as_image(fitted(pixels, size)), caption, kind, scaled)


def _weights(
    shown: _Learned, face_weight: float, segmenter: Segmenter | None, notes: list[str]
) -> np.ndarray | None:
    """Return how much each pixel counts, float32 [H,W]; None where all count alike."""
    person = None if segmenter is None else _person(shown.pixels, segmenter, notes)
    face = None if face_weight == 1 else shown.face
    if person is None and face is None:
        return None
    counts = np.ones(shown.pixels.shape[:2], np.float32)
    if person is not None:
        counts = BACKGROUND + (1 - BACKGROUND) * person
    if face is not None:
        corner = np.array([*shown.origin, *shown.origin])
        left, top, right, bottom = np.maximum(np.round(np.array(face.box) - corner), 0).astype(int)
        counts[top:bottom, left:right] = face_weight
    return counts


def _person(pixels: np.ndarray, segmenter: Segmenter, notes: list[str]) -> np.ndarray | None:
    """Return where the person is, float32 [H,W] 0..1."""
    try:
        mask = find_people(as_image(pixels), segmenter, 1).masks[0]
    except ImageError as error:
        notes.append(f"A photo's person was not found, all of it counts: {error.message}")
        return None
    return mask.float().cpu().numpy()


def _embeddings(findings: Sequence[PhotoFinding]) -> Tensor | None:
    found = [
        one.face.embedding
        for one in findings
        if one.face is not None and one.face.embedding is not None
    ]
    return torch.from_numpy(np.stack(found).astype(np.float32)) if found else None
