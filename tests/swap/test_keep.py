"""What a face swap or correction leaves as it is: the artist's mask, and hair, glasses and hands by
face parsing.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError, ImageError
from comfyui_astria.nodes.faces.align import FFHQ_512
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.swap.faces import report, swap
from comfyui_astria.nodes.swap.inswapper import load_swapper
from comfyui_astria.nodes.swap.keep import FACE_PARTS, MASKED, Keep, face_area, mask_of
from comfyui_astria.nodes.swap.restore import restore
from comfyui_astria.tests.faceid.pulid_support import bisenet_shapes, random_weights
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.swap.swap_support import face_at, identity, smooth_picture
from comfyui_astria.tests.testpack.swap_models import write_swapper
from torch import Tensor

SIZE = 256
SKIN, GLASSES, HAIR = 1, 6, 17
FACE = face_at(150, 100, 100, 0.3)


def negative(crops: Tensor) -> Tensor:
    return 1 - crops


def never(crops: Tensor) -> Tensor:
    raise AssertionError("no face is to be painted")


def half_hair(heads: Tensor) -> Tensor:
    """Hair in the upper 280 px of the head, skin below, glasses in a band of that."""
    parts = torch.full(heads.shape[:3], SKIN)
    parts[:, :280] = HAIR
    parts[:, 400:420] = GLASSES
    return parts


def kept_in_picture(face: Face, width: int, height: int) -> np.ndarray:
    """Where the picture shows the kept parts of `half_hair`, by OpenCV's own alignment."""
    matrix = cv2.estimateAffinePartial2D(face.points, FFHQ_512, method=cv2.LMEDS)[0]
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    row = matrix[1, 0] * across + matrix[1, 1] * down + matrix[1, 2]
    return (row < 279) | ((row > 400) & (row < 419))


def test_hair_and_glasses_stay_bit_for_bit_and_skin_is_restored() -> None:
    images = smooth_picture(300, 200)
    keep = Keep(parse=half_hair)
    found = restore(images, ((FACE,),), negative, SIZE, 1.0, keep)
    plain = restore(images, ((FACE,),), negative, SIZE, 1.0)
    kept = torch.from_numpy(kept_in_picture(FACE, 300, 200))[None]
    assert torch.equal(found.images[kept], images[kept]) and not found.masks[kept].any()
    painted = found.masks == plain.masks
    inside = painted & (plain.masks == 1)
    assert inside.sum() > 500
    torch.testing.assert_close(found.images[inside], plain.images[inside])
    assert (plain.masks[kept] == 1).sum() > 500, "without parsing the hair is painted"


def test_a_swap_keeps_the_same_parts(tmp_path: Path) -> None:
    swapper = load_swapper(write_swapper(tmp_path / "inswapper_test.onnx"))
    images, latent = smooth_picture(300, 200, channels=4), swapper.latent(identity(1))
    with swapper.opened([]) as network:
        found = swap(
            images, ((FACE,),), [[latent]], network, 0.1, lambda: None, Keep(parse=half_hair)
        )
    kept = torch.from_numpy(kept_in_picture(FACE, 300, 200))[None]
    assert torch.equal(found.images[kept], images[kept]) and (found.masks == 1).sum() > 300


def test_a_hand_is_background_to_face_parsing_and_stays() -> None:
    assert not {0, 6, 9, 14, 16, 17, 18} & set(FACE_PARTS)
    area = face_area(smooth_picture(300, 200)[0], FACE, lambda heads: heads[..., 0].int() * 0)
    assert not area.any()


@pytest.mark.parametrize("scale", [1, 2])
def test_only_inside_the_mask_is_painted(scale: int) -> None:
    images = smooth_picture(300, 200, batch=2)
    faces = ((FACE,), (FACE,))
    drawn = torch.zeros(1, 200, 300)
    drawn[:, :, :150] = 1
    small = torch.nn.functional.avg_pool2d(drawn, scale) if scale > 1 else drawn
    keep = Keep(mask_of(small, images))
    found = restore(images, faces, negative, SIZE, 1.0, keep)
    plain = restore(images, faces, negative, SIZE, 1.0)
    assert torch.equal(found.images[:, :, 152:], images[:, :, 152:])
    torch.testing.assert_close(found.images[:, :, :148], plain.images[:, :, :148])


def test_a_face_that_mask_or_parsing_leave_nothing_of_is_told_and_runs_no_model(
    tmp_path: Path,
) -> None:
    images = smooth_picture(300, 200)
    keep = Keep(mask_of(torch.zeros(1, 200, 300), images))
    found = restore(images, ((FACE,),), never, SIZE, 1.0, keep)
    assert torch.equal(found.images, images)
    assert found.report == f"Image 1: 0 face(s) restored, 1 {MASKED}."
    swapped = swap(images, ((FACE,),), [[np.zeros(512)]], Network(), 0.1, lambda: None, keep)
    assert torch.equal(swapped.images, images) and swapped.left == {(0, 0): MASKED}
    assert report([[None]], swapped.left) == f"Image 1: face 1 {MASKED}."


class Network:
    size = 128

    def __call__(self, crop: Tensor, latent: np.ndarray) -> Tensor:
        raise AssertionError("no face is to be painted")


def test_load_images_empty_mask_is_one_that_covers_nothing() -> None:
    """It has 64x64 pixels whatever the picture's size, and the node's note tells of it."""
    images = smooth_picture(300, 200, batch=2)
    assert torch.equal(mask_of(torch.zeros(1, 64, 64), images), torch.zeros(2, 200, 300))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(3, 200, 300), r"A mask of shape \(3, 200, 300\) for 2 image\(s\)"),
        (torch.zeros(1, 1, 200, 300), r"A mask of shape \(1, 1, 200, 300\)"),
        (torch.ones(1, 300, 300), "A mask of 300x300 px for images of 300x200 px"),
        (torch.full((1, 200, 300), torch.nan), "values that are no numbers"),
    ],
)
def test_error_a_mask_of_another_picture(mask: Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        mask_of(mask, smooth_picture(300, 200, batch=2))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The host's half, with a folder of face parsing models."""
    module = load("comfyui_astria.nodes.swap.host.models")
    monkeypatch.setattr(
        module.folder_paths, "get_full_path_or_raise", lambda _, name: str(tmp_path / name)
    )
    return module


def test_the_bound_parsing_model_is_asked_as_pulid_asks_it(
    models: ModuleType, tmp_path: Path
) -> None:
    """Normalised by ImageNet's mean and deviation, the likeliest part each pixel."""
    tensors = random_weights(bisenet_shapes())
    torch.save(tensors, tmp_path / "parsing_bisenet.pth")
    head = torch.rand(1, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    parser = load("comfyui_astria.nodes.faceid.host.pulid_loader").load_parser(
        str(tmp_path / "parsing_bisenet.pth")
    )
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        scores = parser.model(((head - mean) / deviation).permute(0, 3, 1, 2))
        parts = models.face_parser("parsing_bisenet.pth")(head)
    assert torch.equal(parts, scores.argmax(1)) and len(parts.unique()) > 3
    assert models.face_parser("none") is None


def test_error_a_file_that_is_no_parsing_model(models: ModuleType, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(AstriaError, match="is not the face parsing model BiSeNet"):
        models.face_parser("other.pth")
