"""GroundingDINO: boxes for words, all words in one pass; a cutter makes masks of the boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import PromptError
from .pictures import bytes_of
from .segmenter import SUBJECT_WORDS, Box, Found, Instance, found_things

# Its scores run lower than other models': this is the published threshold for boxes.
PUBLISHED_THRESHOLD = 0.35

Cutter = Callable[[Tensor, Sequence[Box]], Iterator[Tensor]]


class Boxes(NamedTuple):
    """Boxes [N,4] in pixels and how well each fits each word.

    Scores [N,words] 0..1, as the model gives them.
    """

    boxes: Tensor
    scores: Tensor


class GroundingDino:
    """GroundingDINO of transformers, loaded when it is first asked, with `cut`, which returns the
    mask of what each box is around.

    Source: Liu et al., Grounding DINO, 2023: words stand in one caption, `a. b.`; how well a box
    fits a word is the largest score of the word's tokens.
    """

    def __init__(
        self, ready: Callable[[], nn.Module], processor: Callable[[], Any], cut: Cutter
    ) -> None:
        self._ready = ready
        self._processor = processor
        self._cut = cut

    def __str__(self) -> str:
        return "GroundingDINO"

    def takes(self, word: str) -> bool:
        return word not in SUBJECT_WORDS

    @torch.no_grad()
    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        boxes, scores = find_boxes(self._ready(), self._processor(), image, words)
        scores = levelled(scores)
        # A box belongs to the word that it fits best, else `hat` would take out what is the
        # `coat`'s.
        best, owner = scores.max(1)
        order = [
            index for index in best.argsort(descending=True).tolist() if best[index] > threshold
        ]
        placed = [tuple(boxes[index].tolist()) for index in order]
        masks = list(self._cut(image, placed)) if order else []
        things = [
            (int(owner[index]), Instance(mask, box, float(best[index])))
            for index, box, mask in zip(order, placed, masks, strict=True)
        ]
        return {
            word: found_things(
                (thing for of, thing in things if of == number),
                image,
                str(self),
                float(scores[:, number].amax()),
            )
            for number, word in enumerate(words)
        }


def levelled(scores: Tensor) -> Tensor:
    """Return scores 0..1 stretched so that the published threshold becomes 0.5.

    One setting of the threshold suits all models.
    """
    below = scores / PUBLISHED_THRESHOLD
    above = (scores - PUBLISHED_THRESHOLD) / (1 - PUBLISHED_THRESHOLD)
    return torch.where(scores < PUBLISHED_THRESHOLD, below / 2, 0.5 + above / 2)


def find_boxes(model: nn.Module, processor: Any, image: Tensor, words: Sequence[str]) -> Boxes:
    """Return every box the model proposes in the picture [1,H,W,3], on the CPU.

    Raises: PromptError for a word that the model cannot read.
    """
    spoken = [word.replace(".", " ") for word in words]  # a full stop ends a word
    caption = ". ".join(spoken) + "."
    tokens_of_words = list(_tokens_of(processor, caption, spoken))
    _check_read(words, tokens_of_words, model.config.max_text_len)
    inputs = processor(images=bytes_of(image), text=caption, return_tensors="pt")
    device = next(model.parameters()).device
    outputs = model(**{name: value.to(device) for name, value in inputs.items()})
    probabilities = outputs.logits[0].float().sigmoid().cpu()
    scores = torch.stack([probabilities[:, tokens].amax(1) for tokens in tokens_of_words], dim=1)
    middle, size = outputs.pred_boxes[0].float().cpu().split(2, dim=1)
    height, width = image.shape[1:3]
    corners = torch.cat([middle - size / 2, middle + size / 2], dim=1).clamp(0, 1)
    return Boxes(corners * torch.tensor([width, height, width, height]), scores)


def _check_read(words: Sequence[str], tokens_of_words: Sequence[Sequence[int]], most: int) -> None:
    """Return when each word has tokens, and all stand among the first `most`, which the model
    reads.
    """
    lost = next(
        (word for word, tokens in zip(words, tokens_of_words, strict=True) if not tokens), None
    )
    if lost is not None:
        raise PromptError(
            f"GroundingDINO finds nothing to read in the word {lost!r}.",
            code="mask-words",
            hint="Write letters.",
        )
    if tokens_of_words[-1][-1] > most - 3:  # after the last word stand its full stop and the end
        raise PromptError(
            f"{len(words)} words at once are too long for GroundingDINO, which reads {most}"
            " tokens.",
            code="mask-words",
            hint="Write fewer words, and join the masks of two Astria Prompt Mask nodes.",
        )


def _tokens_of(processor: Any, caption: str, words: Sequence[str]) -> Iterator[list[int]]:
    """Yield the places of each word's tokens in the caption."""
    spans = processor.tokenizer(caption, return_offsets_mapping=True)["offset_mapping"]
    start = 0
    for word in words:
        end = start + len(word)
        yield [
            place
            for place, (first, last) in enumerate(spans)
            if first < last and start <= first and last <= end
        ]
        start = end + len(". ")


def load_model(folder: Path) -> nn.Module:
    """Return the model of a folder in transformers' layout, in float32."""
    from transformers import GroundingDinoForObjectDetection  # heavy: on first use

    return GroundingDinoForObjectDetection.from_pretrained(folder, local_files_only=True).float()


def load_processor(folder: Path) -> Any:
    """Return what prepares the model's inputs."""
    from transformers import AutoProcessor  # heavy: on first use

    return AutoProcessor.from_pretrained(folder, local_files_only=True)
