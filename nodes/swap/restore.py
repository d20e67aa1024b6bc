"""Faces drawn anew by restoration models (GFPGAN, RestoreFormer, CodeFormer).

What goes in, what comes out, and back into the picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError
from ..faces.align import GREY, ffhq_template, robust_similarity
from ..faces.face import Face
from ..faces.paste_face import (
    FEATHER,
    NO_NUMBERS,
    NO_POINTS,
    AlignedFace,
    Placement,
    cut,
    faces_of_image,
    paste,
)
from .keep import EVERYTHING, MASKED, Keep

DEFAULT_FIDELITY = 0.5  # the authors' of CodeFormer
# Architectures of pictures in -1..1. The spandrel library passes them 0..1 and cuts results below
# 0; for other architectures it converts the range itself.
_CENTRED = ("GFPGAN", "CodeFormer")
_FACES = "FaceSR"

Run = Callable[[Tensor], Tensor]  # crops [n,size,size,3] 0..1 -> painted crops of any size


class Restorer(Protocol):
    """An UPSCALE_MODEL: a descriptor of the spandrel library, with the host's `patcher`."""

    architecture: Any
    model: torch.nn.Module
    patcher: Any
    purpose: str
    scale: int
    input_channels: int
    output_channels: int
    size_requirements: Any

    def __call__(self, image: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Restored:
    """Pictures [B,H,W,C] with restored faces, where they were painted and how strongly [B,H,W], and
    in words how many.
    """

    images: Tensor
    masks: Tensor
    report: str


def is_face_model(restorer: Restorer) -> bool:
    """Return whether a model is made for faces, which it takes several at once."""
    return restorer.purpose == _FACES


def check_restorer(restorer: Restorer, size: int) -> None:
    """Check that the model takes crops of `size`. Raises: ImageError."""
    name = restorer.architecture.id
    if (restorer.input_channels, restorer.output_channels) != (3, 3):
        raise ImageError(
            f"The restorer ({name}) turns {restorer.input_channels} channels into"
            f" {restorer.output_channels}; expected 3 into 3.",
            code="restorer-channels",
            hint="Connect a model for colour pictures, such as GFPGANv1.4.pth.",
        )
    needs = restorer.size_requirements
    # Both hold weights for one size only.
    fixed = max(needs.minimum, needs.multiple_of) if name in _CENTRED else None
    if (fixed and size != fixed) or needs.get_padding(size, size) != (0, 0):
        wanted = (
            f"{fixed}" if fixed else f"a multiple of {needs.multiple_of}, {needs.minimum} or more"
        )
        raise ImageError(
            f"The restorer ({name}) is given faces of {size} px; expected {wanted}.",
            code="restorer-size",
            hint="Set size to 512.",
        )


def call(restorer: Restorer, crops: Tensor, fidelity: float) -> Tensor:
    """Return the crops [n,3,h,w] 0..1 as the model paints them.

    GFPGAN adds noise: the one that is stored with its weights, so equal faces give equal results.
    `fidelity` is CodeFormer's w.
    Source: the authors' inference scripts of GFPGAN (gfpgan/utils.py) and CodeFormer
    (inference_codeformer.py).
    """
    name = restorer.architecture.id
    if name not in _CENTRED:
        return restorer(crops)
    options = (
        {"weight": fidelity}
        if name == "CodeFormer"
        else {"return_rgb": False, "randomize_noise": False}
    )
    painted = restorer.model(crops * 2 - 1, **options)[0]
    return ((painted + 1) / 2).clamp(0, 1)


def notes(restorer: Restorer, fidelity: float) -> list[str]:
    """Return the warnings for a restorer and its fidelity, a sentence each."""
    name = restorer.architecture.id
    found = []
    if not is_face_model(restorer):
        found.append(
            f"{name} is a model for whole pictures ({restorer.purpose}), not for faces: it"
            " sharpens, and does not restore features."
        )
    if fidelity != DEFAULT_FIDELITY and name != "CodeFormer":
        found.append(
            f"fidelity {fidelity:g} has no effect: {name} has no such setting, CodeFormer has."
        )
    return found


def restore(
    images: Tensor,
    faces: Sequence[Sequence[Face]],
    run: Run,
    size: int,
    strength: float,
    keep: Keep = EVERYTHING,
) -> Restored:
    """Return pictures [B,H,W,3 or 4] whose faces `run` has painted, blended by `strength`.

    bit-identical outside the faces' masks, and where `keep` lets nothing be painted.

    Faces without points stay.
    Raises: ImageError when images and faces do not belong together.
    """
    faces = faces_of_image(images, faces)
    touched = torch.zeros(images.shape[:3], device=images.device)
    if strength == 0 and any(faces):
        return Restored(images, touched, "Unchanged: strength is 0.")
    heads = [_heads(images, at, found, size, keep) for at, found in enumerate(faces)]
    crops = [crop.pixels for found, _ in heads for crop, _ in found]
    painted = iter(_resized(run(torch.stack(crops)), size) if crops else ())
    pictures, masks, report = list(images), list(touched), []
    for number, (found, left) in enumerate(heads):
        for crop, area in found:
            drawing = next(painted)
            if not drawing.isfinite().all():
                left[NO_NUMBERS] += 1
                continue
            blended = replace(crop, mask=crop.mask * strength)
            pictures[number], masks[number] = paste(
                pictures[number], masks[number], blended, drawing, area
            )
        report.append(_line(number, len(faces[number]), left))
    return Restored(
        torch.stack(pictures) if crops else images, torch.stack(masks), "\n".join(report)
    )


def _heads(
    images: Tensor, at: int, faces: Sequence[Face], size: int, keep: Keep
) -> tuple[list[tuple[AlignedFace, Tensor | None]], Counter[str]]:
    """Return a picture's faces cut out, each with where it may be painted, and how many stay for
    which reason.
    """
    placement = Placement(ffhq_template(size), size, FEATHER, GREY, robust_similarity)
    heads, left = [], Counter[str]()
    for number, face in enumerate(faces):
        if face.points is None:
            left[NO_POINTS] += 1
            continue
        area = keep.area(images, at, face)
        if area is not None and not bool(area.any()):
            left[MASKED] += 1
            continue
        heads.append((cut(images[at], faces, number, placement), area))
    return heads, left


def _line(image: int, faces: int, left: Counter[str]) -> str:
    if not faces:
        return f"Image {image + 1}: no face, unchanged."
    parts = [f"{faces - left.total()} face(s) restored"]
    parts += [f"{count} {why}" for why, count in left.items()]
    return f"Image {image + 1}: {', '.join(parts)}."


def _resized(painted: Tensor, size: int) -> Tensor:
    if painted.shape[1] == size:
        return painted
    planes = F.interpolate(
        painted.movedim(-1, 1),
        size=(size, size),
        mode="bicubic",
        antialias=True,
        align_corners=False,
    )
    return planes.movedim(1, -1).clamp(0, 1)
