"""PuLID for Flux: a face becomes 32 tokens, and cross-attentions beside Flux' blocks attend to
them.

Source: Guo et al., PuLID (arXiv 2404.16022), and the Flux model in github.com/ToTheBeginning/PuLID
(Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pulid_weights import NetworkWeights, network_of

CROSS_HEAD, ENCODER_HEAD = 128, 64  # channels of an attention head
SCALES = 5  # depths at which the vision tower is read
DOUBLE_INTERVAL, SINGLE_INTERVAL = 2, 4  # every so many blocks of Flux one cross-attention
BlockKind = Literal["double_block", "single_block"]  # as the host names them in its options


def places(double_blocks: int, single_blocks: int) -> list[tuple[BlockKind, int]]:
    """Return the blocks of a Flux of this depth that a cross-attention follows, in the order of the
    adapter's file.
    """
    found: list[tuple[BlockKind, int]] = []
    found += [("double_block", number) for number in range(0, double_blocks, DOUBLE_INTERVAL)]
    found += [("single_block", number) for number in range(0, single_blocks, SINGLE_INTERVAL)]
    return found


@dataclass(frozen=True, eq=False)
class Influence:
    """One identity's tokens and weight for a batch.

    Shapes: tokens [n,T,C], one row for each row of the batch that it acts on; rows [n] says which,
    None for all; weight broadcasts to [n,L,1] over the picture's tokens, strength included.
    """

    tokens: Tensor
    weight: Tensor
    rows: Tensor | None = None


class CrossAttention(nn.Module):
    """Cross-attention of the picture's tokens to those of identities.

    Queries and output are computed once, however many identities there are.
    """

    def __init__(self, width: int, id_width: int, inner: int, operations: Any) -> None:
        super().__init__()
        self.heads = inner // CROSS_HEAD
        self.norm1, self.norm2 = operations.LayerNorm(id_width), operations.LayerNorm(width)
        self.to_q = operations.Linear(width, inner, bias=False)
        self.to_kv = operations.Linear(id_width, inner * 2, bias=False)
        self.to_out = operations.Linear(inner, width, bias=False)

    def forward(self, picture: Tensor, influences: Sequence[Influence]) -> Tensor:
        """Return the addition to the picture's tokens. Shapes: picture [B,L,C] -> same."""
        q = _heads(self.to_q(self.norm2(picture)), self.heads)
        total = q.new_zeros(q.shape[0], q.shape[2], self.to_q.out_features)
        for one in influences:
            k, v = self.to_kv(self.norm1(one.tokens)).chunk(2, -1)
            k = _heads(k, self.heads)
            v = _heads(v, self.heads)
            rows_q = q if one.rows is None else q.index_select(0, one.rows)
            out = _joined(F.scaled_dot_product_attention(rows_q, k, v)) * one.weight
            total = total + out if one.rows is None else total.index_add(0, one.rows, out)
        # Linear without a bias: one output layer for the sum of all identities.
        return self.to_out(total)


class PerceiverAttention(nn.Module):
    """Attention of latents to features and to each other."""

    def __init__(self, dim: int, inner: int, operations: Any) -> None:
        super().__init__()
        self.heads = inner // ENCODER_HEAD
        self.norm1, self.norm2 = operations.LayerNorm(dim), operations.LayerNorm(dim)
        self.to_q = operations.Linear(dim, inner, bias=False)
        self.to_kv = operations.Linear(dim, inner * 2, bias=False)
        self.to_out = operations.Linear(inner, dim, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        latents = self.norm2(latents)
        q = _heads(self.to_q(latents), self.heads)
        k, v = self.to_kv(torch.cat([self.norm1(features), latents], 1)).chunk(2, -1)
        k = _heads(k, self.heads)
        v = _heads(v, self.heads)
        return self.to_out(_joined(F.scaled_dot_product_attention(q, k, v)))


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """[B,L,heads*d] -> [B,heads,L,d]"""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)


def _joined(heads: Tensor) -> Tensor:
    """[B,heads,L,d] -> [B,L,heads*d]"""
    return heads.transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class EncoderSize:
    """The sizes of an identity encoder; all follow from its weights."""

    queries: int
    dim: int
    out: int
    face: int  # channels of the recogniser's vector and the vision tower's result together
    face_hidden: int
    face_tokens: int
    vision: int
    vision_hidden: int
    depth: int
    inner: int
    feed: int


class IdentityEncoder(nn.Module):
    """A recogniser's vector and a vision tower's states of one face become the tokens that
    cross-attention sees.
    """

    def __init__(self, size: EncoderSize, operations: Any) -> None:
        super().__init__()
        self._size = size
        self.latents = nn.Parameter(torch.empty(1, size.queries, size.dim))
        self.proj_out = nn.Parameter(torch.empty(size.dim, size.out))
        self.id_embedding_mapping = _mapping(
            size.face, size.face_hidden, size.dim * size.face_tokens, operations
        )
        for scale in range(SCALES):
            self.add_module(
                f"mapping_{scale}", _mapping(size.vision, size.vision_hidden, size.dim, operations)
            )
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PerceiverAttention(size.dim, size.inner, operations),
                    _feed_forward(size.dim, size.feed, operations),
                ]
            )
            for _ in range(size.depth)
        )

    def forward(self, face: Tensor, states: Sequence[Tensor]) -> Tensor:
        """Return the tokens of each face.

        Shapes: face [n,F], states SCALES of [n,P,V] -> [n,T,C].
        """
        of_face = self.id_embedding_mapping(face).unflatten(
            1, (self._size.face_tokens, self._size.dim)
        )
        latents = torch.cat([self.latents.to(face).expand(face.shape[0], -1, -1), of_face], 1)
        per_scale = self._size.depth // SCALES
        for scale, state in enumerate(states):
            features = torch.cat([of_face, self.get_submodule(f"mapping_{scale}")(state)], 1)
            for attention, feed_forward in self.layers[scale * per_scale : (scale + 1) * per_scale]:
                latents = attention(features, latents) + latents
                latents = feed_forward(latents) + latents
        return latents[:, : self._size.queries] @ self.proj_out.to(latents)

    @property
    def channels(self) -> tuple[int, int]:
        """The channels of faces and of states."""
        return self._size.face, self._size.vision


def _mapping(width: int, hidden: int, out: int, operations: Any) -> nn.Sequential:
    return nn.Sequential(
        operations.Linear(width, hidden),
        operations.LayerNorm(hidden),
        nn.LeakyReLU(),
        operations.Linear(hidden, hidden),
        operations.LayerNorm(hidden),
        nn.LeakyReLU(),
        operations.Linear(hidden, out),
    )


def _feed_forward(dim: int, hidden: int, operations: Any) -> nn.Sequential:
    return nn.Sequential(
        operations.LayerNorm(dim),
        operations.Linear(dim, hidden, bias=False),
        nn.GELU(),
        operations.Linear(hidden, dim, bias=False),
    )


def cross_attentions_of(weights: NetworkWeights, operations: Any = nn) -> nn.ModuleList:
    """Return the cross-attentions of a PuLID-FLUX file.

    Raises: FaceIDError where keys or shapes are not the published ones.
    """
    own = weights.below("pulid_ca.")
    width = own.size("0.norm2.weight", 0)
    inner = own.size("0.to_q.weight", 0)
    id_width = own.size("0.norm1.weight", 0)
    _whole_heads(own, inner, CROSS_HEAD)
    count = own.numbered("")
    return network_of(
        lambda ops: nn.ModuleList(
            CrossAttention(width, id_width, inner, ops) for _ in range(count)
        ),
        own,
        operations,
    )


def encoder_of(weights: NetworkWeights, operations: Any = nn) -> IdentityEncoder:
    """Return the identity encoder of a PuLID-FLUX file.

    Raises: FaceIDError where keys or shapes are not the published ones.
    """
    own = weights.below("pulid_encoder.")
    dim = own.size("latents", 2)
    inner = own.size("layers.0.0.to_q.weight", 0)
    depth = own.numbered("layers.")
    _whole_heads(own, inner, ENCODER_HEAD)
    if depth % SCALES:
        own.fail([f"{depth} encoder layers, expected a multiple of {SCALES}"])
    size = EncoderSize(
        queries=own.size("latents", 1),
        dim=dim,
        out=own.size("proj_out", 1),
        depth=depth,
        inner=inner,
        feed=own.size("layers.0.1.1.weight", 0),
        face=own.size("id_embedding_mapping.0.weight", 1),
        face_hidden=own.size("id_embedding_mapping.0.weight", 0),
        face_tokens=own.size("id_embedding_mapping.6.weight", 0) // dim,
        vision=own.size("mapping_0.0.weight", 1),
        vision_hidden=own.size("mapping_0.0.weight", 0),
    )
    return network_of(lambda ops: IdentityEncoder(size, ops), own, operations)


def _whole_heads(weights: NetworkWeights, inner: int, head: int) -> None:
    if inner % head:
        weights.fail([f"attention of {inner} channels, expected a multiple of {head}"])
