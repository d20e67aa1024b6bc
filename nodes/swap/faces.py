"""The identity that each face becomes, and the pictures with those faces swapped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..errors import ImageError
from ..faces.align import arcface_template
from ..faces.face import Face
from ..faces.identity import Identity
from ..faces.match import Assignment, match_faces
from ..faces.paste_face import NO_NUMBERS, NO_POINTS, Placement, cut, faces_of_image, paste
from ..regions.layout import RegionLayout
from .inswapper import Network
from .keep import EVERYTHING, MASKED, Keep

UnmatchedSwap = Literal["skip", "first"]
UNMATCHED: tuple[UnmatchedSwap, ...] = ("skip", "first")
NOTHING: Mapping[tuple[int, int], str] = MappingProxyType({})

Identities = tuple[Identity | None, ...]


@dataclass(frozen=True)
class Source:
    """The identity that a face becomes, None where it stays; `how` is the reason in words."""

    identity: Identity | None
    how: str = ""


Chosen = list[Source]  # of one picture, a source a face


@dataclass(frozen=True)
class _Photos:
    identity: Identity


@dataclass(frozen=True)
class _Known:
    """A person reduced to what faces are matched by: the photos."""

    faceids: tuple[_Photos, ...]


@dataclass(frozen=True)
class Swapped:
    """Pictures [B,H,W,C] with swapped faces, where they were painted [B,H,W], and the faces (image,
    face), from 0, that stay nevertheless, each with the reason.
    """

    images: Tensor
    masks: Tensor
    left: Mapping[tuple[int, int], str] = field(default_factory=dict)


def known_people(identities: Identities | Identity) -> Identities:
    """Return the identities in the order of the persons; one alone is the first and only person.

    None for a person without photos, or without one that could be used.
    Raises: ImageError without any.
    """
    people = (identities,) if isinstance(identities, Identity) else tuple(identities)
    if not any(people):
        raise ImageError(
            f"No identity to swap faces to: {len(people)} person(s), none with photos.",
            code="swap-no-identity",
            hint=(
                "Connect Astria Identity, or Astria Identities with an identity for one person at"
                " least."
            ),
        )
    return tuple(one if one is not None and one.is_known else None for one in people)


def sources(
    images: Tensor,
    faces: Sequence[Sequence[Face]],
    people: Identities,
    layout: RegionLayout | None,
    unmatched: UnmatchedSwap,
) -> list[Chosen]:
    """Return the identity that each face of each picture becomes.

    Faces and people are matched as in face inpainting: by region, else by likeness, else from left
    to right. A face that is no person's becomes the first person with photos where `unmatched` is
    `first`; the face of a person without photos stays, and so does one without points.
    Raises: ImageError when images and faces, or people and layout, do not belong together.
    """
    faces = faces_of_image(images, faces)
    size = images.shape[2], images.shape[1]
    persons = [_Known(() if one is None else (_Photos(one),)) for one in people]
    of_unmatched = Source(None)
    if unmatched == "first":
        of_unmatched = Source(next((one for one in people if one is not None), None), "unmatched")
    chosen = []
    for found in faces:
        match = match_faces(found, persons, layout, size) if found else Assignment()
        known = {
            number: Source(people[person], match.how[number])
            for number, person in match.persons.items()
        }
        chosen.append(
            [_paintable(face, known.get(number, of_unmatched)) for number, face in enumerate(found)]
        )
    return chosen


def _paintable(face: Face, source: Source) -> Source:
    if face.points is None and source.identity is not None:
        return Source(None, NO_POINTS)
    return source


def report(chosen: Sequence[Chosen], left: Mapping[tuple[int, int], str] = NOTHING) -> str:
    """Return in words, a line a picture, the identities that its faces become.

    Those of `left` (image, face), from 0, stay for the reason there.
    """
    lines = []
    for number, found in enumerate(chosen):
        faces = [
            f"face {at + 1} {left.get((number, at)) or _outcome(source)}"
            for at, source in enumerate(found)
        ]
        lines.append(f"Image {number + 1}: {'; '.join(faces) or 'no face, unchanged'}.")
    return "\n".join(lines)


def _outcome(source: Source) -> str:
    if source.identity is None:
        return NO_POINTS if source.how == NO_POINTS else "stays"
    return f"becomes {source.identity.title}, {source.how}"


def swap(
    images: Tensor,
    faces: Sequence[Sequence[Face]],
    sources: Sequence[Sequence[np.ndarray | None]],
    network: Network,
    feather: float,
    after_each: Callable[[], None],
    keep: Keep = EVERYTHING,
) -> Swapped:
    """Return pictures [B,H,W,3 or 4] with each face painted as its source.

    bit-identical outside the faces' masks, and where `keep` lets nothing be painted.

    `sources` holds a latent [512] of `Swapper.latent` a face, None for faces that stay.
    `after_each` is called when a face is painted.
    Raises: ImageError when images and faces do not belong together, or a face that is swapped has
    no points.
    """
    faces = faces_of_image(images, faces)
    placement = Placement(arcface_template(network.size), network.size, feather)
    touched = torch.zeros(images.shape[:3], device=images.device)
    pictures, masks, left = list(images), list(touched), {}
    for at, (found, latents) in enumerate(zip(faces, sources, strict=True)):
        for number, latent in enumerate(latents):
            if latent is None:
                continue
            area = keep.area(images, at, found[number])
            if area is not None and not bool(area.any()):
                left[at, number] = MASKED
                after_each()
                continue
            # From the untouched picture, not from one that a neighbour's crop has changed.
            crop = cut(images[at], found, number, placement)
            painted = network(crop.pixels, latent).to(images.device)
            if painted.isfinite().all():
                pictures[at], masks[at] = paste(pictures[at], masks[at], crop, painted, area)
            else:
                left[at, number] = NO_NUMBERS
            after_each()
    return Swapped(torch.stack(pictures), torch.stack(masks), left)
