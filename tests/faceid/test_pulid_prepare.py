"""A face as PuLID looks at it: what becomes white, what grey, and how large it is seen."""

from __future__ import annotations

import torch
from comfyui_astria.nodes.faceid.eva_clip import vision_of
from comfyui_astria.nodes.faceid.pulid_prepare import features_only, for_vision
from comfyui_astria.tests.faceid.pulid_support import TINY_EVA, eva_shapes, random_weights, weights
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import normalize, resize, rgb_to_grayscale

# CelebAMask-HQ's parts in the order of facexlib's model.
PARTS = (
    "background",
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "glasses",
    "left ear",
    "right ear",
    "earring",
    "nose",
    "mouth",
    "upper lip",
    "lower lip",
    "neck",
    "necklace",
    "cloth",
    "hair",
    "hat",
)
KEPT = {
    "skin",
    "left brow",
    "right brow",
    "left eye",
    "right eye",
    "glasses",
    "nose",
    "mouth",
    "upper lip",
    "lower lip",
    "hair",
}


def test_the_face_is_grey_and_the_rest_white() -> None:
    """Each column of the crop is another part."""
    crops = torch.rand(2, 8, len(PARTS), 3, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []

    def parser(pictures: Tensor) -> Tensor:
        seen.append(pictures)
        return torch.eye(len(PARTS))[None, :, None].expand(2, -1, 8, -1)

    features = features_only(crops, parser)
    pictures = crops.movedim(-1, 1)
    torch.testing.assert_close(
        seen[0], normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    grey = 0.299 * pictures[:, 0] + 0.587 * pictures[:, 1] + 0.114 * pictures[:, 2]
    torch.testing.assert_close(grey, rgb_to_grayscale(pictures)[:, 0], atol=2e-3, rtol=0)
    for column, part in enumerate(PARTS):
        expected = grey[:, :, column] if part in KEPT else torch.ones(2, 8)
        torch.testing.assert_close(features[:, :, :, column], expected[:, None].expand(-1, 3, -1))


def test_the_tower_sees_it_small_and_normalised() -> None:
    """As torchvision's resize of tensors without smoothing, which the reference pins."""
    tower = vision_of(weights(random_weights(eva_shapes(TINY_EVA))))
    features = torch.rand(2, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    small = resize(features, [20, 20], InterpolationMode.BICUBIC, antialias=False)
    expected = normalize(
        small, [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    )
    torch.testing.assert_close(for_vision(features, tower), expected, atol=1e-5, rtol=0)
