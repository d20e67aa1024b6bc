"""Face inpainting without a model.

Which faces are drawn anew, as whom, and the pictures with the drawn faces in them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from ..faces.face import Face
from ..faces.match import match_faces
from ..faces.paste_face import NO_NUMBERS, faces_of_image
from ..regions.layout import RegionLayout
from ..regions.person import Person
from .blend import paste_faces
from .crop import CropOptions, FaceCrop, plan_crop

Unmatched = Literal["scene", "skip"]
SCENE: Unmatched = "scene"
UNMATCHED: tuple[Unmatched, ...] = (SCENE, "skip")


@dataclass(frozen=True)
class PlannedFace:
    """A face as it will be drawn.

    `person` counts from 0, None for a face that is no person's; `how` is the reason in words.
    """

    crop: FaceCrop
    person: int | None
    how: str
    drawn: bool

    @property
    def region(self) -> int:
        """The person's number in lists of regions, where 0 is the scene."""
        return 0 if self.person is None else self.person + 1


def plan_faces(
    image: Tensor,
    faces: Sequence[Sequence[Face]],
    persons: Sequence[Person],
    layout: RegionLayout | None,
    options: CropOptions,
    unmatched: Unmatched,
) -> list[PlannedFace]:
    """Return every face of every picture, in their order, each with its window and its person.

    Shapes: image [B,H,W,C].

    Raises: ImageError when faces and pictures do not belong together, or what crop.py and match.py
    raise.
    """
    size = image.shape[2], image.shape[1]
    planned = []
    for number, of_picture in enumerate(faces_of_image(image, faces)):
        found = match_faces(of_picture, persons, layout, size)
        for place, face in enumerate(of_picture):
            crop = plan_crop(face, number, place, size, options)
            person = found.persons.get(place)
            planned.append(
                PlannedFace(
                    crop, person, found.how.get(place, ""), person is not None or unmatched == SCENE
                )
            )
    return planned


def finish(
    image: Tensor, planned: Sequence[PlannedFace], drawings: Sequence[Tensor]
) -> tuple[Tensor, Tensor, list[PlannedFace]]:
    """Return the pictures with the drawings of all drawn faces, where they were painted, and the
    plan with the faces that were left.

    A drawing with values that are no numbers (NaN, infinite) leaves its face as it was, and the
    returned plan marks that face.
    Shapes: image [B,H,W,C]; drawings [target_height,target_width,3] -> ([B,H,W,C], [B,H,W]).
    """
    pending = iter(drawings)
    outcome, good = [], []
    for face in planned:
        if not face.drawn:
            outcome.append(face)
            continue
        drawing = next(pending)
        if bool(drawing.isfinite().all()):
            good.append((face.crop, drawing))
            outcome.append(face)
        else:
            outcome.append(replace(face, drawn=False, how=NO_NUMBERS))
    pasted, painted = paste_faces(image, good)
    return pasted, painted, outcome


def report(planned: Sequence[PlannedFace], names: Sequence[str], images: int, calls: int) -> str:
    """Return the report: a line for the whole and one for each face."""
    drawn = sum(face.drawn for face in planned)
    lines = [
        f"{drawn} of {len(planned)} face(s) in {images} image(s) drawn anew in {calls} sampler"
        " call(s)."
    ]
    for face in planned:
        crop = face.crop
        sizes = f"window {crop.width}x{crop.height} px"
        sizes += f" turned by {math.degrees(crop.turn):.0f} degrees" if crop.turn else ""
        sizes += f", drawn at {crop.target_width}x{crop.target_height}" if face.drawn else ""
        parts = ", ".join(filter(None, (label(face, names), face.how, sizes)))
        lines.append(f"image {crop.image + 1}, face {crop.number + 1}: {parts}")
    counts = Counter(face.crop.image for face in planned)
    lines += [f"image {number + 1}: no face" for number in range(images) if number not in counts]
    return "\n".join(lines)


def label(face: PlannedFace, names: Sequence[str]) -> str:
    """Return the person of a face, in a few words."""
    if face.person is not None:
        return f"person {names[face.person]}"
    return SCENE if face.drawn else "skipped"


def person_names(persons: Sequence[Person], layout: RegionLayout | None) -> tuple[str, ...]:
    """Return the names to show for persons: those of their regions, else their numbers."""
    return (
        tuple(str(number) for number in range(1, len(persons) + 1))
        if layout is None
        else layout.names
    )
