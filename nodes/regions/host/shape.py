"""Models that sample pictures of one shape only, that of the masks which lie on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ..run import check_shape

SHAPE_KEY = "astria_shape"


def on_pictures_of_shape(model: ModelPatcher, masks: Tensor, subject: str) -> ModelPatcher:
    """Return a clone that samples latents of the masks' shape only, at any scale.

    `subject` begins the error: whose masks they are.

    Shapes: masks [R,H,W]. When it samples another, it raises: ImageError.
    """
    clone = model.clone()
    clone.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, SHAPE_KEY, partial(_sample, masks, subject))
    return clone


def _sample(
    masks: Tensor, subject: str, executor: Callable, noise: Tensor, *rest: Any, **named: Any
) -> Any:
    check_shape(masks, *noise.shape[-2:], subject)
    return executor(noise, *rest, **named)
