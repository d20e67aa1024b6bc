"""segment-anything: the architecture read off a file, and masks equal to those of its own
predictor.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.masking.sam import BOXES_AT_ONCE, BoxCutter, build_sam
from comfyui_astria.tests.masking.tiny_models import photo, write_sam

IMAGE = photo(70, 100)
BOXES = [(5.0, 10.0, 40.0, 60.0), (0.0, 0.0, 100.0, 70.0), (60.5, 20.25, 90.0, 50.0)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    path = tmp_path_factory.mktemp("sam") / "sam_tiny.pth"
    return path, write_sam(path)


@pytest.fixture(scope="module")
def ours(written: tuple[Path, torch.nn.Module]) -> torch.nn.Module:
    return build_sam(torch.load(written[0], weights_only=True), "sam_tiny.pth").eval()


def test_masks_are_those_of_the_librarys_predictor(
    written: tuple[Path, torch.nn.Module], ours: torch.nn.Module
) -> None:
    import numpy as np
    from segment_anything import SamPredictor

    predictor = SamPredictor(written[1])
    predictor.set_image((IMAGE[0] * 255).round().byte().numpy())
    masks = list(BoxCutter(lambda: ours)(IMAGE, BOXES))
    assert len(masks) == len(BOXES)
    for box, mask in zip(BOXES, masks, strict=True):
        expected, _, _ = predictor.predict(box=np.array(box), multimask_output=False)
        assert mask.dtype == torch.bool and torch.equal(mask, torch.from_numpy(expected[0]))
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == len(masks)


def test_the_picture_is_looked_at_once_for_many_boxes(ours: torch.nn.Module) -> None:
    looks = []
    hook = ours.image_encoder.register_forward_hook(lambda *_: looks.append(1))
    many = [BOXES[0]] * (BOXES_AT_ONCE + 3)
    masks = list(BoxCutter(lambda: ours)(IMAGE, many))
    hook.remove()
    assert len(looks) == 1 and len(masks) == len(many)
    assert all(torch.equal(mask, masks[0]) for mask in masks)


@pytest.mark.parametrize(
    ("name", "size"),
    [("vit_b", (768, 12, 12, [2, 5, 8, 11])), ("vit_l", (1024, 24, 16, [5, 11, 17, 23]))],
)
def test_the_published_sizes_are_recognised(name: str, size: tuple) -> None:
    """On shapes alone: the weights of the published models are large."""
    from comfyui_astria.nodes.masking.sam import _architecture
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        model = sam_model_registry[name]()
    encoder = model.image_encoder
    found = _architecture(model.state_dict())
    width, depth, heads, whole = size
    assert (
        found["embed_dim"],
        found["depth"],
        found["num_heads"],
        found["global_attn_indexes"],
    ) == (width, depth, heads, whole)
    assert (found["img_size"], found["patch_size"], found["window_size"], found["out_chans"]) == (
        encoder.img_size,
        16,
        14,
        256,
    )
    assert found["mlp_ratio"] == 4


def test_a_file_of_something_else_is_refused_by_name(ours: torch.nn.Module) -> None:
    with pytest.raises(
        MissingModelError, match=r"models/sams/x\.pth does not hold a model of segment-anything"
    ):
        build_sam({"model.weight": torch.zeros(1)}, "models/sams/x.pth")
    cut_short = dict(list(ours.state_dict().items())[:-1])
    with pytest.raises(MissingModelError, match="does not hold a model of segment-anything"):
        build_sam(cut_short, "x.pth")
