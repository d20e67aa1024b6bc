"""The conditionings of faces as one batch: row i of every tensor is face i's own text."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import PlanError

Conditioning = Sequence[Sequence[Any]]

# SDXL's conditioning on the whole picture's size: a face is a picture of its own, and without these
# the host takes the crop's size.
_SIZES = frozenset({"width", "height", "crop_w", "crop_h", "target_width", "target_height"})
# The masked picture that inpaint models see is each crop's own.
_OWN = _SIZES | {"concat_latent_image", "concat_mask"}
# Keys that mean places in the whole picture, which a crop does not show as they are.
_PLACED = ("area", "mask", "gligen")
# A tensor with one row a face, where the conditioning has it.
_STACKED = "pooled_output"
# Keys of the scene that count for its faces too, unless a person's own conditioning has them.
_OF_THE_SCENE = ("guidance", "control", "control_apply_to_uncond")


def face_text(
    own: Conditioning | None,
    scene: Conditioning,
    image: int,
    name: str,
    unread: Container[str] = (),
) -> list[list[Any]]:
    """Return one face's conditioning.

    The person's text, with guidance and ControlNet of the scene, without the whole picture's sizes.

    Without an `own` text it is the scene's. `image` picks the row where a conditioning holds one
    for each picture. What the model does not read, `unread`, is left out.
    Raises: PlanError for a part that is meant for a place in the whole picture, or a text that is
    empty.
    """
    own = scene if own is None else own
    if not own or not scene:
        raise PlanError(
            f"{name} holds no text.",
            code="face-conditioning",
            hint="Connect the output of a text encoder.",
        )
    inherited = {key: scene[0][1][key] for key in _OF_THE_SCENE if scene[0][1].get(key) is not None}
    entries = []
    for text, extra in own:
        for key in _PLACED:
            if extra.get(key) is not None:
                raise PlanError(
                    f"{name} carries {key!r}, a place in the whole picture; a face is drawn by"
                    " itself.",
                    code="face-conditioning",
                    hint="Give the persons their regions instead, and connect the text without it.",
                )
        kept = {
            key: value
            for key, value in extra.items()
            if key not in _OWN and key not in unread and value is not None
        }
        if _STACKED in kept:
            kept[_STACKED] = _row(kept[_STACKED], image)
        entries.append([_row(text, image), {**inherited, **kept}])
    return entries


def kind_of(conditioning: Conditioning, *, equal_lengths: bool) -> Hashable:
    """Return a key that is equal for conditionings that can be one batch: it holds everything but
    the text and its pooled form.

    `equal_lengths`: texts of different lengths cannot stand in one batch (Flux, where a repeated
    token is not nothing).
    """
    return tuple(
        (
            text.shape[2:],
            text.shape[1] if equal_lengths else 0,
            tuple(sorted(map(_kind, extra.items()))),
        )
        for text, extra in conditioning
    )


def stacked(conditionings: Sequence[Conditioning]) -> list[list[Any]]:
    """Return conditionings of one kind as one, a row each.

    Shorter texts are repeated to a common length, which leaves cross-attention as it is (see
    `stacked` of regions/attention.py).
    """
    # Entry by entry: each conditioning holds as many as the others, since they are of one kind.
    return [
        _joined([conditioning[number] for conditioning in conditionings])
        for number in range(len(conditionings[0]))
    ]


def with_control(conditioning: Conditioning, cropped: Callable[[Any], Any]) -> list[list[Any]]:
    """Return the conditioning with `cropped(control)` in place of each ControlNet."""
    return [
        [text, {**extra, "control": cropped(extra["control"])} if "control" in extra else extra]
        for text, extra in conditioning
    ]


def _row(tensor: Tensor, image: int) -> Tensor:
    row = image % len(tensor)
    return tensor[row : row + 1]


def _kind(item: tuple[str, Any]) -> tuple[str, str]:
    key, value = item
    if key == _STACKED:
        return key, str(tuple(value.shape))
    return key, (
        repr(value) if isinstance(value, bool | int | float | str) else f"object {id(value)}"
    )


def _joined(entries: Sequence[Sequence[Any]]) -> list[Any]:
    [first, extra] = entries[0]
    length = math.lcm(*(text.shape[1] for text, _ in entries))
    texts = torch.cat([text.to(first).repeat(1, length // text.shape[1], 1) for text, _ in entries])
    if _STACKED in extra:
        rows = [other[_STACKED].to(extra[_STACKED]) for _, other in entries]
        extra = {**extra, _STACKED: torch.cat(rows)}
    return [texts, extra]
