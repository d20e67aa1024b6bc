"""The visual tower of EVA02-CLIP against its published equations, with positions as rotations of
complex numbers.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.faceid.eva_clip import vision_of
from comfyui_astria.tests.faceid.pulid_support import (
    TINY_EVA,
    EvaSize,
    empty_weights,
    eva_shapes,
    random_weights,
    weights,
    worst,
)
from torch import Tensor

TENSORS = random_weights(eva_shapes(TINY_EVA))


def norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return (x - mean) * (variance + 1e-6).rsqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]


def rotated(x: Tensor, row: int, column: int) -> Tensor:
    """Turn the 32 pairs of one token's head: 16 speeds by its row, 16 by its column."""
    speeds = torch.tensor([10000 ** (-pair / 16) for pair in range(16)], dtype=torch.float64)
    angles = torch.cat(
        [speeds * (row * 16 / TINY_EVA.grid), speeds * (column * 16 / TINY_EVA.grid)]
    )
    turned = torch.view_as_complex(x.reshape(32, 2).contiguous()) * torch.polar(
        torch.ones_like(angles), angles
    )
    return torch.view_as_real(turned).flatten()


def attention(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    """One picture [L,C], one head after another, one token after another."""
    q = x @ w[f"{name}.q_proj.weight"].T + w[f"{name}.q_bias"]
    k = x @ w[f"{name}.k_proj.weight"].T
    v = x @ w[f"{name}.v_proj.weight"].T + w[f"{name}.v_bias"]
    heads = []
    for start in range(0, x.shape[1], 64):
        part = slice(start, start + 64)
        turned = [
            torch.stack(
                [
                    one[0, part],
                    *(
                        rotated(token[part], *divmod(number, TINY_EVA.grid))
                        for number, token in enumerate(one[1:])
                    ),
                ]
            )
            for one in (q, k)
        ]
        heads.append((turned[0] @ turned[1].T / 8).softmax(-1) @ v[:, part])
    return (
        norm(w, f"{name}.inner_attn_ln", torch.cat(heads, 1)) @ w[f"{name}.proj.weight"].T
        + w[f"{name}.proj.bias"]
    )


def oracle(tensors: dict[str, Tensor], picture: Tensor) -> tuple[Tensor, list[Tensor]]:
    w = {key: tensor.double() for key, tensor in tensors.items()}
    patch, grid = TINY_EVA.patch, TINY_EVA.grid
    patches = (
        picture.double()
        .reshape(3, grid, patch, grid, patch)
        .permute(1, 3, 0, 2, 4)
        .reshape(grid**2, -1)
    )
    tokens = patches @ w["patch_embed.proj.weight"].flatten(1).T + w["patch_embed.proj.bias"]
    x = torch.cat([w["cls_token"][0], tokens]) + w["pos_embed"][0]
    states = []
    for number in range(TINY_EVA.depth):
        if number in (4, 8, 12, 16, 20):
            states.append(x)
        name = f"blocks.{number}"
        x = x + attention(w, f"{name}.attn", norm(w, f"{name}.norm1", x))
        inside = norm(w, f"{name}.norm2", x)
        gate, value = (
            inside @ w[f"{name}.mlp.{part}.weight"].T + w[f"{name}.mlp.{part}.bias"]
            for part in ("w1", "w2")
        )
        inside = norm(w, f"{name}.mlp.ffn_ln", gate / (1 + torch.exp(-gate)) * value)
        x = x + inside @ w[f"{name}.mlp.w3.weight"].T + w[f"{name}.mlp.w3.bias"]
    out = norm(w, "norm", x[:1]) @ w["head.weight"].T + w["head.bias"]
    return out[0] / out.square().sum().sqrt(), states


def test_the_tower_is_the_published_one() -> None:
    tower = vision_of(weights(TENSORS))
    side = TINY_EVA.patch * TINY_EVA.grid
    assert tower.image_size == side
    pictures = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    vectors, states = tower(pictures)
    assert len(states) == 5
    for number, picture in enumerate(pictures):
        vector, expected = oracle(TENSORS, picture)
        assert worst(vectors[number], vector) < 1e-5
        assert (
            max(worst(state[number], one) for state, one in zip(states, expected, strict=True))
            < 1e-5
        )


def test_the_published_layout_is_read_whole() -> None:
    shapes = eva_shapes(EvaSize())
    tower = vision_of(weights(empty_weights(shapes)))
    assert set(tower.state_dict()) == {key for key in shapes if "rope" not in key}
    assert (tower.image_size, tower.channels, len(tower.blocks)) == (336, (768, 1024), 24)


def test_the_text_tower_beside_it_is_left_alone() -> None:
    picture = torch.randn(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    alone = vision_of(weights(TENSORS))(picture)[0]
    text = {"text.token_embedding.weight": torch.zeros(9, 4), "logit_scale": torch.tensor(1.0)}
    for whole in (
        {f"visual.{key}": tensor for key, tensor in TENSORS.items()} | text,
        TENSORS | text,
    ):
        assert torch.equal(vision_of(weights(whole))(picture)[0], alone)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"visual.blocks.7.attn.inner_attn_ln.weight": None},
            "missing: visual.blocks.7.attn.inner_attn_ln.weight",
        ),
        ({"visual.cls_token": None}, "missing: visual.cls_token"),
        ({"visual.head.bias": torch.zeros(5)}, r"visual.head.bias is \[5\], expected \[24\]"),
        (
            {"visual.pos_embed": torch.zeros(1, 28, 128)},
            r"visual.pos_embed is \[1, 28, 128\], expected \[1, 26, 128\]",
        ),
        (
            {
                f"visual.{key}": None
                for key in TENSORS
                if key.startswith(("blocks.20.", "blocks.21."))
            },
            "20 layers, expected more than 20",
        ),
        (
            {f"visual.{key}": None for key in TENSORS}
            | {"text.token_embedding.weight": torch.zeros(9, 4)},
            "missing: visual.pos_embed|missing: pos_embed",
        ),
    ],
)
def test_a_damaged_file_says_what_is_wrong(change: dict[str, Tensor | None], fault: str) -> None:
    whole = {f"visual.{key}": tensor for key, tensor in TENSORS.items()}
    with pytest.raises(AstriaError, match=fault):
        vision_of(
            weights({key: tensor for key, tensor in (whole | change).items() if tensor is not None})
        )
