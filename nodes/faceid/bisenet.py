"""BiSeNet: which part of a face each pixel is.

Source: Yu et al., BiSeNet (arXiv 1808.00897), as trained on CelebAMask-HQ and published by
github.com/xinntao/facexlib (MIT).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pulid_weights import NetworkWeights, network_of

# Of ImageNet, on which its trunk was trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PARTS = 19  # of CelebAMask-HQ, from 0: background, skin, brows, eyes, glasses ... hair, hat


class ConvBNReLU(nn.Module):
    """A convolution with norm and rectifier."""

    def __init__(self, width: int, out: int, kernel: int, operations: Any) -> None:
        super().__init__()
        self.conv = operations.Conv2d(width, out, kernel, padding=kernel // 2, bias=False)
        self.bn = operations.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class BasicBlock(nn.Module):
    """The block of ResNet-18."""

    def __init__(self, width: int, out: int, stride: int, operations: Any) -> None:
        super().__init__()
        self.conv1 = operations.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.bn1 = operations.BatchNorm2d(out)
        self.conv2 = operations.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = operations.BatchNorm2d(out)
        self.downsample = (
            nn.Sequential()
            if stride == 1
            else nn.Sequential(
                operations.Conv2d(width, out, 1, stride, bias=False), operations.BatchNorm2d(out)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.downsample(x) + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Trunk(nn.Module):
    """ResNet-18 without its classifier, read at an eighth, a sixteenth and a thirty-second of the
    size.
    """

    def __init__(self, operations: Any) -> None:
        super().__init__()
        self.conv1 = operations.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = operations.BatchNorm2d(64)
        for number, (width, out) in enumerate(((64, 64), (64, 128), (128, 256), (256, 512)), 1):
            stride = 1 if number == 1 else 2
            self.add_module(
                f"layer{number}",
                nn.Sequential(
                    BasicBlock(width, out, stride, operations), BasicBlock(out, out, 1, operations)
                ),
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class AttentionRefinement(nn.Module):
    """Features weighted by what the whole picture makes of their channels."""

    def __init__(self, width: int, out: int, operations: Any) -> None:
        super().__init__()
        self.conv = ConvBNReLU(width, out, 3, operations)
        self.conv_atten = operations.Conv2d(out, out, 1, bias=False)
        self.bn_atten = operations.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        return features * torch.sigmoid(
            self.bn_atten(self.conv_atten(features.mean((2, 3), keepdim=True)))
        )


class ContextPath(nn.Module):
    """The trunk's coarse features at an eighth of the picture's size."""

    def __init__(self, operations: Any) -> None:
        super().__init__()
        self.resnet = Trunk(operations)
        self.arm16 = AttentionRefinement(256, 128, operations)
        self.arm32 = AttentionRefinement(512, 128, operations)
        self.conv_head32, self.conv_head16 = (ConvBNReLU(128, 128, 3, operations) for _ in range(2))
        self.conv_avg = ConvBNReLU(512, 128, 1, operations)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        eighth, sixteenth, coarse = self.resnet(x)
        whole = self.conv_avg(coarse.mean((2, 3), keepdim=True))
        up = self.conv_head32(
            F.interpolate(self.arm32(coarse) + whole, sixteenth.shape[2:], mode="nearest")
        )
        return eighth, self.conv_head16(
            F.interpolate(self.arm16(sixteenth) + up, eighth.shape[2:], mode="nearest")
        )


class FeatureFusion(nn.Module):
    """Fine and coarse features, joined."""

    def __init__(self, operations: Any) -> None:
        super().__init__()
        self.convblk = ConvBNReLU(256, 256, 1, operations)
        self.conv1 = operations.Conv2d(256, 64, 1, bias=False)
        self.conv2 = operations.Conv2d(64, 256, 1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        features = self.convblk(torch.cat([fine, coarse], 1))
        return features + features * torch.sigmoid(
            self.conv2(F.relu(self.conv1(features.mean((2, 3), keepdim=True))))
        )


class Output(nn.Module):
    """One score per part and cell."""

    def __init__(self, parts: int, operations: Any) -> None:
        super().__init__()
        self.conv = ConvBNReLU(256, 256, 3, operations)
        self.conv_out = operations.Conv2d(256, parts, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class FaceParser(nn.Module):
    """Face parsing: the part, of `parts`, of each pixel of a face."""

    def __init__(self, parts: int, operations: Any) -> None:
        super().__init__()
        self.parts = parts
        self.cp = ContextPath(operations)
        self.ffm = FeatureFusion(operations)
        self.conv_out = Output(parts, operations)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the parts' scores.

        Shapes: pictures [n,3,H,W], normalised by MEAN and STD -> [n,parts,H,W].
        """
        scores = self.conv_out(self.ffm(*self.cp(pictures)))
        return F.interpolate(scores, pictures.shape[2:], mode="bilinear", align_corners=True)


def parts_of(crops: Tensor, parser: FaceParser) -> Tensor:
    """Return which part each pixel is.

    Shapes: crops [n,H,W,3] float 0..1 -> [n,H,W] int, below the parser's `parts`.
    """
    mean, std = (torch.tensor(values, device=crops.device) for values in (MEAN, STD))
    return parser(((crops - mean) / std).movedim(-1, 1)).argmax(1)  # BHWC -> BCHW


def parser_of(weights: NetworkWeights, operations: Any = nn) -> FaceParser:
    """Return the network of a parsing_bisenet file.

    Raises: FaceIDError where keys or shapes are not the published ones.
    """
    own = weights.excluding("conv_out16.", "conv_out32.")  # scores on the way, for training only
    parts = own.size("conv_out.conv_out.weight", 0)
    return network_of(lambda ops: FaceParser(parts, ops), own, operations)
