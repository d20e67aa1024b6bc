"""Words -> mask: what was found for the words that are wanted, less what was found for those that
are not, then changed as asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ImageError, PromptError
from .adjust import Adjustment, dilation_px, padded
from .segmenter import Found, Segmenter, box_of
from .words import split_words

ON_EMPTY = ("error", "zeros", "ones")


@dataclass(frozen=True)
class MaskRequest:
    """What to mask.

    `positive` and `negative` are texts of words; `on_empty` says what becomes of a picture whose
    mask is empty.

    `width` and `height` are the picture's own where it is padded right and bottom: the padding is
    not looked at, and stays unmasked.
    """

    positive: str
    negative: str = ""
    threshold: float = 0.5
    on_empty: str = "error"
    adjustment: Adjustment = field(default_factory=Adjustment)
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, eq=False)
class MaskResult:
    """Masks [B,H,W] float32; for each picture the boxes of what was wanted, as the host's
    BOUNDING_BOX has them; what was found, in words.
    """

    mask: Tensor
    boxes: list[list[dict[str, Any]]]
    info: str


def prompt_mask(
    image: Tensor,
    segmenter: Segmenter,
    request: MaskRequest,
    on_picture: Callable[[], object] | None = None,
) -> MaskResult:
    """Return the mask of each picture.

    Union of the positive words - union of the negative ones -> invert -> dilate -> feather.

    A picture is empty when nothing is found for any of the positive words, when the negative ones
    take all of it, and when nothing is left to repaint after inverting and dilating: then its mask
    is what `on_empty` says, zeros or ones, with nothing done to it.
    Shapes: image [B,H,W,C] float 0..1, alpha is not looked at.
    Raises: PromptError without a word to look for; ImageError for a picture that is empty, with
    `on_empty` error, naming each.
    """
    positive, negative = _words(request)
    whole_height, whole_width = image.shape[1:3]
    image = image[:, : request.height, : request.width]
    # Refused before any model loads.
    dilation_px(request.adjustment.dilate, image.shape[2], image.shape[1])
    words = tuple(dict.fromkeys((*positive, *negative)))
    masks, boxes, lines, empty = [], [], [], []
    # Grey pictures have one channel, and models look at three.
    for number, picture in enumerate(image[..., :3].expand(-1, -1, -1, 3).split(1), 1):
        found = segmenter.find(picture.float(), words, request.threshold)
        mask, why = _masked(found, positive, negative, request)
        if why:
            empty.append(f"picture {number}: {why}")
        masks.append(mask)
        boxes.append(
            [box for word in positive for box in _boxes(word, found[word], request.threshold)]
        )
        lines.append(
            f"picture {number}: {_finds(found, words, request.threshold)}; the mask covers"
            f" {float(mask.mean()):.1%}"
        )
        if on_picture is not None:
            on_picture()
    if empty and request.on_empty == "error":
        raise _nothing_found(empty)
    whole = padded(torch.stack(masks), whole_width, whole_height)
    return MaskResult(whole, boxes, "\n".join(lines))


def _nothing_found(empty: Sequence[str]) -> ImageError:
    return ImageError(
        "Nothing to mask was found in " + "\n".join(empty),
        code="mask-empty",
        hint=(
            "Use other words, or a --mask_dilate that takes less away; in Astria Prompt Mask also"
            " a lower threshold, or on_empty set to zeros or ones."
        ),
    )


def _words(request: MaskRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words to look for and those to leave out.

    Raises: PromptError without any of the former.
    """
    positive, negative = split_words(request.positive), split_words(request.negative)
    if not positive:
        raise PromptError(
            "The mask prompt is empty; expected words to look for in the picture.",
            code="mask-words",
            hint="Write for example foreground, face, or windows door.",
        )
    return positive, negative


def _masked(
    found: Mapping[str, Found],
    positive: Sequence[str],
    negative: Sequence[str],
    request: MaskRequest,
) -> tuple[Tensor, str]:
    """Return the mask [H,W] of one picture, and why it is empty.

    Then it is what `on_empty` says.
    """
    wanted = combined(found, positive, negative, request.threshold)
    mask = request.adjustment.applied(wanted[None])[0]
    why = _why_empty(found, positive, wanted, request)
    if not why and not mask.any():
        words = dict.fromkeys((*positive, *negative))
        why = f"{_finds(found, words, request.threshold)}; inverted and dilated, none of it is left"
    if why:
        mask = torch.full_like(mask, 1.0 if request.on_empty == "ones" else 0.0)
    return mask, why


def _why_empty(
    found: Mapping[str, Found], positive: Sequence[str], wanted: Tensor, request: MaskRequest
) -> str:
    """Return why no pixel is `wanted`, empty text where some are."""
    if wanted.any():
        return ""
    if any(_covered(found[word], request.threshold).any() for word in positive):
        return f"{_finds(found, found, request.threshold)}; the negative words leave nothing of it"
    return _finds(found, positive, request.threshold)


def combined(
    found: Mapping[str, Found], positive: Sequence[str], negative: Sequence[str], threshold: float
) -> Tensor:
    """Return the mask [H,W] of 0 and 1 of the positive words without the negative ones.

    What one model finds by heat map for both kinds of word goes to the word it is surer of, at each
    pixel. Otherwise a pixel that a negative word covers is out.
    """
    wanted = torch.zeros_like(found[positive[0]].scores, dtype=torch.bool)
    for word in positive:
        pixels = _covered(found[word], threshold)
        for other in negative:
            rival = found[other]
            if _comparable(found[word], rival):
                pixels &= found[word].scores >= rival.scores
            else:
                pixels &= ~_covered(rival, threshold)
        wanted |= pixels
    return wanted.float()


def _comparable(one: Found, other: Found) -> bool:
    return one.is_heat_map and other.is_heat_map and one.source == other.source


def _covered(found: Found, threshold: float) -> Tensor:
    return found.scores > threshold


def _boxes(word: str, found: Found, threshold: float) -> list[dict[str, Any]]:
    """Return the boxes of a word: of each single thing, else one around all that was found."""
    covered = _covered(found, threshold)
    single = [(one.box, one.score) for one in found.instances] or (
        [(box_of(covered), found.best)] if covered.any() else []
    )
    return [
        {
            "x": left,
            "y": top,
            "width": right - left,
            "height": bottom - top,
            "label": word,
            "score": score,
        }
        for (left, top, right, bottom), score in single
    ]


def _finds(found: Mapping[str, Found], words: Iterable[str], threshold: float) -> str:
    parts = []
    for word in words:
        one = found[word]
        if not _covered(one, threshold).any():
            parts.append(
                f"'{word}' not found by {one.source} (highest score {one.best:.2f}, threshold"
                f" {threshold:g})"
            )
        else:
            count = f", {len(one.instances)} of them" if len(one.instances) > 1 else ""
            parts.append(f"'{word}' {one.best:.2f} by {one.source}{count}")
    return ", ".join(parts)
