"""Which face of a picture is which person of the prompt.

By region, else by likeness to the person's photos, else from left to right.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ..errors import ImageError
from ..regions.layout import RegionLayout
from ..regions.person import Person
from ..regions.run import SAME_SHAPE
from .face import Face, in_picture

# A face with a smaller share of its box than this inside a person's region is not that person's.
LEAST_OVERLAP = 0.25

# 1 - cosine of opposite embeddings.
MOST_UNLIKE = 2.0
# The same above which two faces are not one person's, for recognisers of the ArcFace family
# (insightface, examples of its Python package).
STRANGERS = 1 - 0.28

BY_REGION, BY_LIKENESS, BY_PLACE = "by region", "by likeness", "left to right"


@dataclass(frozen=True)
class Assignment:
    """The persons of one picture's faces.

    Face number -> person number, both from 0; `how` gives the reason of each in words. A face that
    is missing here is no person's.
    """

    persons: dict[int, int] = field(default_factory=dict)
    how: dict[int, str] = field(default_factory=dict)


def match_faces(
    faces: Sequence[Face],
    persons: Sequence[Person],
    layout: RegionLayout | None,
    size: tuple[int, int],
) -> Assignment:
    """Return who each face of one picture is; no person has two faces, and no face two persons.

    With a layout the total share of faces inside their person's region is made greatest; a person
    whose region holds no face gets one that is left and looks like their photos. Without a layout,
    persons with FaceIDs get the faces that look most like their photos; of the rest the largest
    faces get the other persons, both from left to right. Likeness counts where faces and photos
    were read by the same recogniser.
    Shapes: `size` is (width, height) of the picture; layout and faces may have another scale.
    Raises: ImageError when layout and persons differ in number, or layout or faces and picture in
    shape.
    """
    faces = in_picture(faces, *size)
    if layout is not None:
        _check(layout, persons, size)
        standing = _assigned(-_overlaps(faces, layout, size), -LEAST_OVERLAP)
        # A face is not a person's only because both are left over: it must be alike enough.
        alike = _by_likeness(faces, persons, standing, STRANGERS)
        return Assignment(
            standing | alike, dict.fromkeys(standing, BY_REGION) | dict.fromkeys(alike, BY_LIKENESS)
        )
    alike = _by_likeness(faces, persons, {}, MOST_UNLIKE)
    how = dict.fromkeys(alike, BY_LIKENESS)
    waiting = [number for number in range(len(persons)) if number not in alike.values()]
    unmatched = [number for number in range(len(faces)) if number not in alike]
    unmatched.sort(key=lambda number: -faces[number].width * faces[number].height)
    chosen = sorted(unmatched[: len(waiting)], key=lambda number: _middle(faces[number]))
    placed = dict(zip(chosen, waiting, strict=False))
    for face, person in placed.items():
        how[face] = BY_PLACE + _not_comparable(faces[face], persons[person])
    return Assignment(alike | placed, how)


def _check(layout: RegionLayout, persons: Sequence[Person], size: tuple[int, int]) -> None:
    if len(layout.masks) != len(persons):
        raise ImageError(
            f"{len(persons)} person(s) are described and {len(layout.masks)} region(s) laid out.",
            code="persons-and-regions",
            hint="Connect the persons whose regions these are, or leave the regions out.",
        )
    height, width = layout.masks.shape[1:]
    if not math.isclose(size[0] / width, size[1] / height, rel_tol=SAME_SHAPE):
        raise ImageError(
            f"The regions are laid out for {width}x{height} px and the picture has"
            f" {size[0]}x{size[1]}; expected the same shape.",
            code="regions-shape",
            hint=(
                "Lay the regions out for this picture, or leave them out: faces then go from left"
                " to right."
            ),
        )


def _assigned(cost: np.ndarray, most: float) -> dict[int, int]:
    """Return row -> column of least total cost, without pairs that cost more than `most`."""
    from scipy.optimize import linear_sum_assignment  # heavy: on first use

    rows, columns = linear_sum_assignment(cost)
    return {
        int(row): int(column)
        for row, column in zip(rows, columns, strict=True)
        if cost[row, column] <= most
    }


def _overlaps(faces: Sequence[Face], layout: RegionLayout, size: tuple[int, int]) -> np.ndarray:
    """Return [faces, persons]: the share of each face's box that is each person's."""
    height, width = layout.masks.shape[1:]
    scale = width / size[0], height / size[1]
    return np.array(
        [[_mean_inside(mask, face, scale) for mask in layout.masks] for face in faces]
    ).reshape(len(faces), len(layout.masks))


def _mean_inside(mask: Tensor, face: Face, scale: tuple[float, float]) -> float:
    left, right = _span(face.box[0] * scale[0], face.box[2] * scale[0], mask.shape[1])
    top, bottom = _span(face.box[1] * scale[1], face.box[3] * scale[1], mask.shape[0])
    return float(mask[top:bottom, left:right].mean())


def _span(start: float, end: float, side: int) -> tuple[int, int]:
    """Return the pixels between two coordinates, at least one of them, inside the side."""
    first = min(max(round(start), 0), side - 1)
    return first, min(max(round(end), first + 1), side)


def _by_likeness(
    faces: Sequence[Face], persons: Sequence[Person], known: Mapping[int, int], most: float
) -> dict[int, int]:
    """Return face -> person of the least total unlikeness among those who are not `known`.

    Pairs above `most` are none.
    """
    rows = [
        number
        for number, face in enumerate(faces)
        if number not in known and face.embedding is not None
    ]
    packs = {faces[number].recogniser for number in rows}
    columns = [
        number
        for number, person in enumerate(persons)
        if number not in known.values() and any(len(_photos(person, pack)) for pack in packs)
    ]
    if not columns:
        return {}
    cost = np.array(
        [[_unlikeness(faces[face], persons[person]) for person in columns] for face in rows]
    )
    # Impossible pairs all get one cost: how far they are above `most` must not decide the rest.
    pairs = _assigned(np.where(cost <= most, cost, 2 * MOST_UNLIKE), most)
    return {rows[row]: columns[column] for row, column in pairs.items()}


def _unlikeness(face: Face, person: Person) -> float:
    """Return 1 - cosine to the photo most like the face, for a person may look different in each.

    Infinite where none compares.
    """
    photos = _photos(person, face.recogniser)
    if not len(photos):
        return math.inf
    return min(1 - float((photos @ _directions([face.embedding])[0]).max()), MOST_UNLIKE)


def _photos(person: Person, recogniser: str | None) -> np.ndarray:
    """Return the directions [n,512] of a person's photos, of all their FaceIDs that the recogniser
    has read.
    """
    return _directions(
        embedding
        for use in person.faceids
        if use.identity.recogniser == recogniser
        for embedding in use.identity.embeddings
    )


def _not_comparable(face: Face, person: Person) -> str:
    """Return, in brackets, why a face's embedding could not be compared with the person's photos.

    Empty where it was compared, and where one of the two has no embedding.
    """
    packs = {use.identity.recogniser for use in person.faceids}
    if face.embedding is None or not packs or face.recogniser in packs:
        return ""
    return (
        f" (the face was read by {face.recogniser}, the photos by {' and '.join(sorted(packs))}:"
        " these do not compare)"
    )


def _directions(embeddings: Iterable) -> np.ndarray:
    rows = [np.asarray(embedding, dtype=np.float64) for embedding in embeddings]
    return np.array([row / max(np.linalg.norm(row), 1e-12) for row in rows])


def _middle(face: Face) -> float:
    return face.box[0] + face.box[2]
