"""PuLID's cross-attention and identity encoder against the reference's arithmetic."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.faceid.pulid import Influence, cross_attentions_of, encoder_of, places
from comfyui_astria.tests.faceid.pulid_oracle import Oracle
from comfyui_astria.tests.faceid.pulid_support import (
    TINY,
    PulidSize,
    empty_weights,
    pulid_shapes,
    random_weights,
    weights,
    worst,
)
from torch import Tensor

TENSORS = random_weights(pulid_shapes(TINY))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_cross_attention_is_the_references() -> None:
    blocks, oracle = cross_attentions_of(weights(TENSORS)), Oracle(TENSORS)
    tokens, picture = noise(3, TINY.queries, TINY.out), noise(3, 20, TINY.width, seed=1)
    for number, block in enumerate(blocks):
        assert (
            worst(
                block(picture, [Influence(tokens, torch.ones(1, 1, 1))]),
                oracle.cross_attention(number, tokens, picture),
            )
            < 1e-5
        )


def test_identities_add_up_each_by_its_weight_and_in_its_rows() -> None:
    block, oracle = cross_attentions_of(weights(TENSORS))[0], Oracle(TENSORS)
    one = noise(3, TINY.queries, TINY.out)
    other = noise(2, TINY.queries, TINY.out, seed=2)
    picture = noise(3, 20, TINY.width, seed=1)
    mask = torch.rand(1, 20, 1, generator=torch.Generator().manual_seed(3))
    strengths = torch.tensor([0.3, -1.4])[:, None, None]
    rows = torch.tensor([0, 2])
    expected = mask * oracle.cross_attention(0, one, picture)
    expected[rows] += strengths * oracle.cross_attention(0, other, picture[rows])
    assert (
        worst(block(picture, [Influence(one, mask), Influence(other, strengths, rows)]), expected)
        < 1e-5
    )


def test_the_encoder_is_the_references() -> None:
    encoder = encoder_of(weights(TENSORS))
    face, states = noise(2, TINY.face), [noise(2, 26, TINY.vision, seed=seed) for seed in range(5)]
    expected = Oracle(TENSORS).encoder(face, states)
    assert expected.shape == (2, TINY.queries, TINY.out)
    assert worst(encoder(face, states), expected) < 1e-5
    assert worst(encoder(face, states[::-1]), expected) > 1e-3, "each depth has its own mapping"


def test_the_published_layout_is_read_whole() -> None:
    shapes = pulid_shapes(PulidSize())
    tensors = empty_weights(shapes)
    assert round(sum(tensor.numel() for tensor in tensors.values()) / 1e6) == 571
    blocks, encoder = cross_attentions_of(weights(tensors)), encoder_of(weights(tensors))
    read = {f"pulid_ca.{key}" for key in blocks.state_dict()} | {
        f"pulid_encoder.{key}" for key in encoder.state_dict()
    }
    assert read == set(shapes)
    assert (blocks[0].heads, encoder.layers[0][0].heads, encoder.channels) == (16, 16, (1280, 1024))


def test_the_published_places() -> None:
    expected = [
        *(("double_block", number) for number in (0, 2, 4, 6, 8, 10, 12, 14, 16, 18)),
        *(("single_block", number) for number in (0, 4, 8, 12, 16, 20, 24, 28, 32, 36)),
    ]
    assert places(19, 38) == expected


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"pulid_ca.1.to_q.weight": None}, "missing: pulid_ca.1.to_q.weight"),
        ({"pulid_ca.0.norm2.weight": None}, "missing: pulid_ca.0.norm2.weight"),
        (
            {"pulid_ca.1.norm1.bias": torch.zeros(3)},
            r"of another shape: pulid_ca.1.norm1.bias is \[3\], expected \[48\]",
        ),
        ({"pulid_ca.1.extra": torch.zeros(3)}, "unknown: pulid_ca.1.extra"),
        (
            {"pulid_ca.0.to_q.weight": torch.zeros(100, 128)},
            "attention of 100 channels, expected a multiple of 128",
        ),
        ({"pulid_encoder.latents": None}, "missing: pulid_encoder.latents"),
        (
            {"pulid_encoder.latents": torch.zeros(4)},
            r"pulid_encoder.latents is \[4\], expected at least 3 dimensions",
        ),
        (
            {"pulid_encoder.layers.3.1.1.weight": None, "pulid_encoder.mapping_2.4.bias": None},
            "missing: pulid_encoder.mapping_2.4.bias, pulid_encoder.layers.3.1.1.weight",
        ),
        (
            {key: None for key in TENSORS if key.startswith("pulid_encoder.layers.9.")},
            "9 encoder layers, expected a multiple of 5",
        ),
        (
            {key: None for key in TENSORS if key.startswith("pulid_encoder.layers.8.")},
            (
                "missing: pulid_encoder.layers.8.0.norm1.weight,"
                " pulid_encoder.layers.8.0.norm1.bias, pulid_encoder.layers.8.0.norm2.weight and 8"
                " more"
            ),
        ),
    ],
)
def test_a_damaged_file_says_what_is_wrong(change: dict[str, Tensor | None], fault: str) -> None:
    damaged = weights(
        {key: tensor for key, tensor in (TENSORS | change).items() if tensor is not None}
    )
    with pytest.raises(AstriaError, match=fault) as raised:
        (cross_attentions_of if any("pulid_ca" in key for key in change) else encoder_of)(damaged)
    assert raised.value.code == "pulid-file"
    assert "folder/file.safetensors" in raised.value.message
