"""CLIPSeg: a heat map for any word, coarse, from one small model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pictures import bytes_of
from .segmenter import SUBJECT_WORDS, Found


class ClipSeg:
    """CLIPSeg of transformers, loaded when it is first asked.

    `ready` returns the model on the device it runs on; `processor` what prepares its inputs.
    Source: Lueddecke and Ecker, Image Segmentation Using Text and Image Prompts, 2022; scores are
    the sigmoid of its logits.
    """

    def __init__(self, ready: Callable[[], nn.Module], processor: Callable[[], Any]) -> None:
        self._ready = ready
        self._processor = processor

    def __str__(self) -> str:
        return "CLIPSeg"

    def takes(self, word: str) -> bool:
        return word not in SUBJECT_WORDS

    @torch.no_grad()
    def find(self, image: Tensor, words: Sequence[str], threshold: float) -> dict[str, Found]:
        inputs = self._processor()(
            text=list(words),
            images=bytes_of(image),
            padding=True,
            truncation=True,
            return_tensors="pt",
        )
        inputs["pixel_values"] = inputs["pixel_values"].expand(len(words), -1, -1, -1)
        model = self._ready()
        device = next(model.parameters()).device
        logits = model(**{name: value.to(device) for name, value in inputs.items()}).logits
        # With a single word some versions leave out the batch.
        maps = logits.reshape(len(words), 1, *logits.shape[-2:]).float().sigmoid()
        maps = F.interpolate(maps, size=image.shape[1:3], mode="bilinear", align_corners=False)[
            :, 0
        ].to(image.device)
        return {
            word: Found(scores, str(self), float(scores.amax()), is_heat_map=True)
            for word, scores in zip(words, maps, strict=True)
        }


def load_model(folder: Path) -> nn.Module:
    """Return the model of a folder in transformers' layout, in float32."""
    from transformers import CLIPSegForImageSegmentation  # heavy: on first use

    return CLIPSegForImageSegmentation.from_pretrained(folder, local_files_only=True).float()


def load_processor(folder: Path) -> Any:
    """Return what prepares the model's inputs."""
    from transformers import CLIPSegProcessor  # heavy: on first use

    return CLIPSegProcessor.from_pretrained(folder, local_files_only=True)
