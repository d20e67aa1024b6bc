"""The visual tower of EVA02-CLIP, whose states at several depths say what a face looks like.

Source: Sun et al., EVA-CLIP (arXiv 2303.15389); configuration EVA02-CLIP-L-14-336 of
github.com/baaivision/EVA (MIT).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pulid_weights import NetworkWeights, network_of

HEAD = 64  # channels of an attention head
# Patches a side at which positions were learned; finer grids are squeezed into the same range.
TRAINED_GRID = 16
EPSILON = 1e-6
READ_BEFORE = (4, 8, 12, 16, 20)  # blocks whose inputs are handed out
# Of CLIP's training pictures.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class VisionSize:
    """The sizes of a visual tower; all follow from its weights."""

    width: int
    patch: int
    grid: int  # patches a side
    depth: int
    hidden: int
    out: int


class Attention(nn.Module):
    """Self-attention with rotary positions on all tokens but the first, and a norm on what was
    seen.
    """

    def __init__(self, width: int, operations: Any) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (
            operations.Linear(width, width, bias=False) for _ in range(3)
        )
        self.q_bias = nn.Parameter(torch.empty(width))
        self.v_bias = nn.Parameter(torch.empty(width))
        self.inner_attn_ln = operations.LayerNorm(width, eps=EPSILON)
        self.proj = operations.Linear(width, width)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        q = self.q_proj(x) + self.q_bias.to(x)
        k = self.k_proj(x)
        v = self.v_proj(x) + self.v_bias.to(x)
        q, k, v = (part.unflatten(-1, (-1, HEAD)).transpose(1, 2) for part in (q, k, v))
        seen = F.scaled_dot_product_attention(_turned(q, turns), _turned(k, turns), v)
        return self.proj(self.inner_attn_ln(seen.transpose(1, 2).flatten(2)))


class SwiGLU(nn.Module):
    """A feed-forward in which one half of the hidden channels gates the other, normed before it
    comes out.
    """

    def __init__(self, width: int, hidden: int, operations: Any) -> None:
        super().__init__()
        self.w1, self.w2 = operations.Linear(width, hidden), operations.Linear(width, hidden)
        self.ffn_ln = operations.LayerNorm(hidden, eps=EPSILON)
        self.w3 = operations.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.w3(self.ffn_ln(F.silu(self.w1(x)) * self.w2(x)))


class Block(nn.Module):
    """One layer of the tower."""

    def __init__(self, width: int, hidden: int, operations: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = (operations.LayerNorm(width, eps=EPSILON) for _ in range(2))
        self.attn = Attention(width, operations)
        self.mlp = SwiGLU(width, hidden, operations)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attn(self.norm1(x), turns)
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    """Pictures cut into patches, a token each."""

    def __init__(self, width: int, patch: int, operations: Any) -> None:
        super().__init__()
        self.proj = operations.Conv2d(3, width, patch, patch)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.proj(pictures).flatten(2).transpose(1, 2)


class VisionTower(nn.Module):
    """EVA02-CLIP's view of pictures: one vector each, and the states on the way to it."""

    def __init__(self, size: VisionSize, operations: Any) -> None:
        super().__init__()
        self._size = size
        self.patch_embed = PatchEmbed(size.width, size.patch, operations)
        self.cls_token = nn.Parameter(torch.empty(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.empty(1, size.grid**2 + 1, size.width))
        self.blocks = nn.ModuleList(
            Block(size.width, size.hidden, operations) for _ in range(size.depth)
        )
        self.norm = operations.LayerNorm(size.width, eps=EPSILON)
        self.head = operations.Linear(size.width, size.out)

    @property
    def image_size(self) -> int:
        """The side of the pictures it sees, in pixels."""
        return self._size.grid * self._size.patch

    @property
    def channels(self) -> tuple[int, int]:
        """The channels of its vectors and of its states."""
        return self._size.out, self._size.width

    def forward(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return each picture's vector, of length 1, and the states before the blocks READ_BEFORE.

        Shapes: pictures [n,3,S,S], S the image size, normalised -> [n,out], 5 of
        [n,1+patches,width].
        """
        patches = self.patch_embed(pictures)
        x = torch.cat(
            [self.cls_token.to(patches).expand(patches.shape[0], -1, -1), patches], 1
        ) + self.pos_embed.to(patches)
        turns = _turns(self._size.grid, patches)
        states = []
        for number, block in enumerate(self.blocks):
            if number in READ_BEFORE:
                states.append(x)
            x = block(x, turns)
        return F.normalize(self.head(self.norm(x)[:, 0]), dim=-1), states


def _turns(grid: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine [patches,HEAD/2] of the angle by which each pair of channels is
    turned: rows in the first half of them, then columns.
    """
    quarter = HEAD // 4
    speeds = 10000.0 ** (-torch.arange(quarter, device=like.device, dtype=torch.float32) / quarter)
    place = torch.arange(grid, device=like.device, dtype=torch.float32) * (TRAINED_GRID / grid)
    angles = place[:, None] * speeds
    both = torch.cat(
        [angles[:, None].expand(-1, grid, -1), angles[None].expand(grid, -1, -1)], 2
    ).flatten(0, 1)
    return both.cos().to(like.dtype), both.sin().to(like.dtype)


def _turned(heads: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Return [B,heads,L,HEAD] with neighbouring channels of every token but the first turned by its
    position.
    """
    cosine, sine = turns
    even, odd = heads[:, :, 1:, 0::2], heads[:, :, 1:, 1::2]
    patches = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], -1).flatten(-2)
    return torch.cat([heads[:, :, :1], patches], 2)


def vision_of(weights: NetworkWeights, operations: Any = nn) -> VisionTower:
    """Return the visual tower of an EVA02-CLIP file, whole or cut to the tower.

    Raises: FaceIDError where keys or shapes are not the published ones.
    """
    whole = any(key.startswith("visual.") for key in weights.tensors)
    own = weights.below("visual.") if whole else weights.excluding("text.", "logit_scale")
    # Tables of the rotary positions, which are computed here.
    own = NetworkWeights(
        {key: tensor for key, tensor in own.tensors.items() if "rope.freqs_" not in key},
        own.title,
        own.path,
        own.prefix,
    )
    tokens, width = own.size("pos_embed", 1), own.size("cls_token", 2)
    size = VisionSize(
        width=width,
        patch=own.size("patch_embed.proj.weight", 2),
        grid=math.isqrt(tokens - 1),
        depth=own.numbered("blocks."),
        hidden=own.size("blocks.0.mlp.w1.weight", 0),
        out=own.size("head.weight", 0),
    )
    if size.depth <= READ_BEFORE[-1]:
        own.fail([f"{size.depth} layers, expected more than {READ_BEFORE[-1]}"])
    if width % HEAD:
        own.fail([f"a width of {width}, expected a multiple of {HEAD}"])
    return network_of(lambda ops: VisionTower(size, ops), own, operations)
