"""Z-Image with regions.

Its text tokens have places 1, 2, ... on the first axis and the image follows them, so each region's
text is made to end where the image begins, as if it stood there alone. Texts and image are padded
to a multiple of tokens. The layers before the joint ones see text or image alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..lora_gates import Rows
from .joint import Attended, JointModel
from .state import Regions

PADDED = 32  # tokens; pad_tokens_multiple of every published Z-Image


class ZImage(JointModel):
    """The hooks of Z-Image.

    Its modulation is one vector for all rows that blocks cannot take by row. The host reads norms
    of queries and keys without running them, and no attention mask.
    """

    arguments: ClassVar = ("x", "timesteps", "context", "num_tokens", "attention_mask")
    ignored: ClassVar = frozenset({"attention_mask"})
    has_image_layers: ClassVar = True
    places_texts: ClassVar = True
    takes_references: ClassVar = False
    unread: ClassVar = (".q_norm", ".k_norm")
    spots: ClassVar = (
        ("adaLN_modulation.", Rows.WHOLE, False),
        ("cap_embedder.", Rows.ONE_TEXT, False),
        ("context_refiner.", Rows.TEXT, False),
        ("noise_refiner.", Rows.IMAGE, False),
        ("x_embedder", Rows.IMAGE, False),
        (".layers.", Rows.JOINT, False),
        ("final_layer.", Rows.JOINT, False),
    )

    def run(self, regions: Regions, executor: Any, *given: Any, **named: Any) -> Tensor:
        network = executor.class_obj
        standing_in = {
            name: partial(method, regions, getattr(network, name))
            for name, method in (("embed_cap", _embed_cap), ("embed_all", _embed_all))
        }
        with _replaced(network, standing_in):
            return super().run(regions, executor, *given, **named)

    def tokens(self, length: int) -> int:
        return _padded(length)

    def image_padding(self, tokens: int) -> int:
        return _padded(tokens) - tokens

    def first_attentions(self, network: nn.Module) -> tuple[Attended, ...]:
        return (Attended.TEXT,) * len(network.context_refiner)


@contextmanager
def _replaced(network: nn.Module, methods: Mapping[str, Callable]) -> Iterator[None]:
    """Put `methods` in place of the network's own for the time of one call.

    Not as the host's object patches: these would be bound to one network and one picture's regions,
    and a compiled MODEL runs a network of its own, a tile the regions of its part.
    """
    before = {name: network.__dict__[name] for name in methods if name in network.__dict__}
    for name, method in methods.items():
        setattr(network, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(network, name)
        for name, method in before.items():
            setattr(network, name, method)


def _padded(tokens: int) -> int:
    return tokens + -tokens % PADDED


def _embed_cap(
    regions: Regions,
    own: Callable,
    cap_feats: Tensor | None = None,
    offset: float = 0,
    **named: Any,
) -> tuple[tuple[Tensor], tuple[Tensor], int]:
    """Stand in for the host's `embed_cap`: embed each region's text by itself, with padding of its
    own, so that it ends at the place `offset` + that of all texts.
    """
    call = regions.call
    if call is None or cap_feats is None:
        return own(cap_feats, offset=offset, **named)
    total = sum(call.text_lengths)
    embedded, places = [], []
    for region, text in zip(call.regions, cap_feats.split(call.given, 1), strict=True):
        regions.run.forward.text_region = region
        start = offset + total - call.text_lengths[region]
        (one,), (place,), _ = own(text, offset=start, **named)
        embedded.append(one)
        places.append(place)
    regions.run.forward.text_region = None
    regions.run.is_placed = True
    return (torch.cat(embedded, 1),), (torch.cat(places, 1),), sum(call.given)


def _embed_all(
    regions: Regions,
    own: Callable,
    x: Tensor,
    cap_feats: Tensor | None = None,
    siglip_feats: Tensor | None = None,
    offset: float = 0,
    **named: Any,
) -> Any:
    """Stand in for the host's `embed_all`: put the image where it stands behind the first text
    alone, at its distance from the padding, whose place is 0.
    """
    call = regions.call
    if call is not None and cap_feats is not None:
        offset -= sum(call.text_lengths) - call.text_lengths[call.regions[0]]
    return own(x, cap_feats, siglip_feats, offset=offset, **named)
