"""Face parsing against the published network with torchvision's ResNet-18 as its trunk."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.faceid.bisenet import parser_of
from comfyui_astria.tests.faceid.pulid_support import (
    bisenet_shapes,
    empty_weights,
    random_weights,
    weights,
    worst,
)
from torch import Tensor
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

TENSORS = random_weights(bisenet_shapes())


def batch_norm(name: str, x: Tensor) -> Tensor:
    mean, variance, scale, shift = (
        TENSORS[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def block(name: str, x: Tensor) -> Tensor:
    kernel = TENSORS[f"{name}.conv.weight"]
    return batch_norm(f"{name}.bn", F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)).clamp(min=0)


def refined(name: str, x: Tensor) -> Tensor:
    features = block(f"{name}.conv", x)
    pooled = F.conv2d(F.adaptive_avg_pool2d(features, 1), TENSORS[f"{name}.conv_atten.weight"])
    return features * batch_norm(f"{name}.bn_atten", pooled).sigmoid()


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def oracle(pictures: Tensor) -> Tensor:
    """Sides must be multiples of 32 here."""
    net = resnet18(num_classes=1)
    trunk = {
        key.removeprefix("cp.resnet."): tensor
        for key, tensor in TENSORS.items()
        if key.startswith("cp.resnet.")
    }
    net.load_state_dict(trunk | {"fc.weight": torch.zeros(1, 512), "fc.bias": torch.zeros(1)})
    read = create_feature_extractor(net.eval(), {"layer2": "8", "layer3": "16", "layer4": "32"})(
        pictures
    )
    coarse = refined("cp.arm32", read["32"]) + block(
        "cp.conv_avg", F.adaptive_avg_pool2d(read["32"], 1)
    )
    middle = refined("cp.arm16", read["16"]) + block("cp.conv_head32", doubled(coarse))
    features = block(
        "ffm.convblk", torch.cat([read["8"], block("cp.conv_head16", doubled(middle))], 1)
    )
    weight = F.conv2d(
        F.conv2d(F.adaptive_avg_pool2d(features, 1), TENSORS["ffm.conv1.weight"]).clamp(min=0),
        TENSORS["ffm.conv2.weight"],
    ).sigmoid()
    scores = F.conv2d(
        block("conv_out.conv", features * weight + features), TENSORS["conv_out.conv_out.weight"]
    )
    return F.interpolate(scores, pictures.shape[2:], mode="bilinear", align_corners=True)


def test_parsing_is_the_published_network() -> None:
    pictures = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = oracle(pictures)
    assert expected.shape == (2, 19, 96, 64)
    actual = parser_of(weights(TENSORS))(pictures)
    assert worst(actual, expected) < 1e-5
    assert len(actual.argmax(1).unique()) > 3, "different parts win in different places"


def test_the_published_layout_is_read_whole() -> None:
    shapes = bisenet_shapes()
    tensors = empty_weights(shapes)
    assert (len(shapes), round(sum(tensor.numel() for tensor in tensors.values()) / 1e6, 1)) == (
        191,
        13.3,
    )
    assert set(parser_of(weights(tensors)).state_dict()) == {
        key for key in shapes if not key.startswith(("conv_out16", "conv_out32"))
    }


def test_a_file_without_the_counters_of_training_is_whole() -> None:
    parser = parser_of(
        weights(
            {
                key: tensor
                for key, tensor in TENSORS.items()
                if not key.endswith("num_batches_tracked")
            }
        )
    )
    assert not any(tensor.is_meta for tensor in parser.state_dict().values())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            {"cp.resnet.layer3.1.bn2.running_var": None},
            "missing: cp.resnet.layer3.1.bn2.running_var",
        ),
        (
            {"ffm.conv1.weight": torch.zeros(32, 256, 1, 1)},
            r"ffm.conv1.weight is \[32, 256, 1, 1\], expected \[64, 256, 1, 1\]",
        ),
        ({"conv_out.conv_out.weight": None}, "missing: conv_out.conv_out.weight"),
    ],
)
def test_a_damaged_file_says_what_is_wrong(change: dict[str, Tensor | None], fault: str) -> None:
    with pytest.raises(AstriaError, match=fault):
        parser_of(
            weights(
                {key: tensor for key, tensor in (TENSORS | change).items() if tensor is not None}
            )
        )
