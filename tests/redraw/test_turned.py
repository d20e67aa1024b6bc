"""Heads that lie, hang or stand on end.

Cut upright, put back the way they were, everything around them untouched.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.redraw.blend import paste_faces
from comfyui_astria.nodes.redraw.crop import (
    CropOptions,
    FaceCrop,
    cut,
    cut_hint,
    plan_crop,
    window_mask,
)
from comfyui_astria.nodes.redraw.plan import plan_faces, report
from comfyui_astria.nodes.redraw.preview import matches_preview
from comfyui_astria.tests.swap.swap_support import smooth_picture
from skimage.draw import polygon
from torch import Tensor

SIZE = (300, 240)
OPTIONS = CropOptions(face_size_px=256, context=2.0, feather=0.25, multiple=8)
HARD = CropOptions(face_size_px=256, context=2.0, feather=0.0, multiple=8)
WIDTH, HEIGHT = 48.0, 64.0  # of the face while it stands
# Eyes, nose and mouth corners of a standing face, from its middle, in pixels.
POINTS = np.array([[-11.0, -8.0], [11.0, -8.0], [0.5, 5.0], [-9.0, 17.0], [9.0, 17.0]])
LYING = [40, 90, -90, 135, 180, -60.5]
RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def tilted(degrees: float, x: float = 150.0, y: float = 120.0, scale: float = 1.0) -> Face:
    """Return a face whose head is turned clockwise by the degrees, in the box that its ellipse
    fills.
    """
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    across, down = scale * np.linalg.norm(turn * (WIDTH, HEIGHT), axis=1)
    box = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
    return Face(box, scale * POINTS @ turn.T + (x, y))


def planned(face: Face, options: CropOptions = OPTIONS, size: tuple[int, int] = SIZE) -> FaceCrop:
    return plan_crop(face, 0, 0, size, options)


def places(width: int = SIZE[0], height: int = SIZE[1]) -> Tensor:
    """Return a picture [H,W,3] that says where each of its pixels is, as a share of 1000 px."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)], -1) / 1000


def plain(crop: FaceCrop, colour: tuple[float, ...]) -> Tensor:
    return torch.tensor(colour).expand(crop.target_height, crop.target_width, 3)


@pytest.mark.parametrize("degrees", LYING)
def test_a_tilted_head_stands_in_its_drawing(degrees: float) -> None:
    """Where each pixel of the drawing comes from.

    The eyes side by side, the mouth below them, in the middle, at the size of a standing face.
    """
    face, standing = tilted(degrees), planned(tilted(0))
    crop = planned(face)
    assert abs(math.remainder(math.degrees(crop.turn) + degrees, 360)) < 0.5
    assert (crop.width, crop.target_width, crop.feather_px) == pytest.approx(
        (standing.width, 256, standing.feather_px), abs=1
    )
    drawn = cut(places(), crop)[..., :2] * 1000
    at = [
        np.unravel_index(
            (drawn - torch.tensor(point, dtype=torch.float32)).norm(dim=-1).argmin().item(),
            (256, 256),
        )
        for point in face.points
    ]
    expected = 128 + POINTS[:, ::-1] * 256 / crop.width  # row, column
    assert np.abs(np.array(at) + 0.5 - expected).max() < 2.5


@pytest.mark.parametrize("degrees", LYING)
@pytest.mark.parametrize(("size", "scale"), [(256, 1.0), (64, 1.5)])
def test_the_crop_is_opencv_s(degrees: float, size: int, scale: float) -> None:
    """Larger than the face and smaller; beyond the picture its last pixels go on."""
    picture = smooth_picture(*SIZE)[0]
    face = tilted(degrees, 60, 50, scale)
    crop = planned(face, CropOptions(size, 2.0, 0.25, 8))
    middle = np.array([60, 50]) - 0.5  # OpenCV counts from the middle of the first pixel
    matrix = cv2.getRotationMatrix2D(tuple(middle), degrees, size / crop.width)
    matrix[:, 2] += (np.array([60, 50]) - (crop.left, crop.top)) * size / crop.width - 0.5 - middle
    expected = cv2.warpAffine(
        picture.numpy(),
        matrix,
        (size, size),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    assert np.abs(cut(picture, crop).numpy() - expected).max() < 0.02


@pytest.mark.parametrize("degrees", LYING)
def test_a_crop_sees_the_pixels_around_it_up_to_its_very_edge(degrees: float) -> None:
    """In noise, where each neighbour counts: as torch samples the whole picture."""
    picture = torch.rand(SIZE[1], SIZE[0], 3, generator=torch.Generator().manual_seed(0))
    crop = planned(tilted(degrees, 150.3, 119.6))
    angle, half = -crop.turn, crop.width / 2  # the points say it to half a degree
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = turn @ torch.tensor([crop.left + half - 150.3, crop.top + half - 119.6]) + torch.tensor(
        [150.3, 119.6]
    )
    sides = torch.tensor(SIZE) / 2
    affine = torch.cat([turn * half / sides[:, None], (shift / sides - 1)[:, None]], 1)
    grid = F.affine_grid(affine[None], [1, 3, 256, 256], align_corners=False)
    expected = F.grid_sample(
        picture.movedim(-1, 0)[None],
        grid,
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )
    assert (cut(picture, crop) - expected[0].movedim(0, -1).clamp(0, 1)).abs().max() < 1e-3


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_lying_head_is_drawn_as_the_standing_one_of_the_turned_picture(degrees: int) -> None:
    picture = smooth_picture(*SIZE)[0]
    turned = torch.rot90(picture, -degrees // 90)  # clockwise
    standing = planned(tilted(0, 170, 110))
    x, y = {
        90: (SIZE[1] - 110, 170),
        180: (SIZE[0] - 170, SIZE[1] - 110),
        -90: (110, SIZE[0] - 170),
    }[degrees]
    crop = planned(tilted(degrees, x, y), size=(turned.shape[1], turned.shape[0]))
    assert crop.turn and not standing.turn
    assert (cut(turned, crop) - cut(picture, standing)).abs().max() < 0.01
    masks = [window_mask(one, 256, 256) for one in (crop, standing)]
    assert (masks[0] - masks[1]).abs().max() < 0.01


@pytest.mark.parametrize("degrees", LYING)
def test_the_mask_is_turned_with_the_head(degrees: float) -> None:
    crop = planned(tilted(degrees), HARD)
    _, mask = paste_faces(smooth_picture(*SIZE), [(crop, plain(crop, RED))])
    angle = math.radians(degrees)
    corners = np.array([[-WIDTH, -HEIGHT], [WIDTH, -HEIGHT], [WIDTH, HEIGHT], [-WIDTH, HEIGHT]]) / 2
    x, y = (
        corners @ [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
        + (150, 120)
    ).T
    expected = np.zeros(SIZE[::-1], bool)
    expected[polygon(y - 0.5, x - 0.5, expected.shape)] = True
    painted = mask[0].numpy() > 0.5
    assert (painted & expected).sum() > 0.97 * (painted | expected).sum()


@pytest.mark.parametrize("degrees", LYING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_outside_the_turned_mask_and_in_alpha_every_pixel_is_the_one_of_before(
    degrees: float, dtype: torch.dtype
) -> None:
    image = torch.rand(2, SIZE[1], SIZE[0], 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    crop = plan_crop(tilted(degrees), 1, 0, SIZE, OPTIONS)
    result, mask = paste_faces(image, [(crop, plain(crop, RED))])
    assert result.dtype == dtype and not mask[0].any()
    assert torch.equal(result[..., :3][mask == 0], image[..., :3][mask == 0])
    assert torch.equal(result[..., 3:], image[..., 3:])
    for x, y in tilted(degrees).points.astype(int):
        assert (result[1, y, x, :3] - torch.tensor(RED, dtype=dtype)).abs().max() < 1e-3


@pytest.mark.parametrize("degrees", LYING)
@pytest.mark.parametrize(
    ("place", "scale"),
    [((150, 120), 1.0), ((8, 200), 1.0), ((295, 5), 0.7), ((150, 120), 3.0), ((150, 120), 0.15)],
)
def test_a_head_drawn_as_it_was_changes_nearly_nothing(
    degrees: float, place: tuple[int, int], scale: float
) -> None:
    """In the middle, over the border, as large as the picture, tiny."""
    image = smooth_picture(*SIZE)
    crop = planned(tilted(degrees, *place, scale))
    assert crop.turn and crop.width <= max(240, 1.51 * HEIGHT * scale)
    result, mask = paste_faces(image, [(crop, cut(image[0], crop))])
    assert (result - image).abs().max() < 0.02
    assert abs((result - image).mean().item()) < 2e-5
    assert mask[0, place[1], place[0]] == 1
    assert torch.equal(result[mask == 0], image[mask == 0])


def test_a_nan_stays_inside_the_turned_mask() -> None:
    image, crop = smooth_picture(*SIZE), planned(tilted(50))
    result, mask = paste_faces(image, [(crop, plain(crop, RED) * float("nan"))])
    assert torch.equal(result.isnan().any(-1), mask > 0)


def test_a_lying_head_and_a_standing_one_side_by_side_do_not_paint_into_each_other() -> None:
    image = torch.full((1, SIZE[1], SIZE[0], 3), 0.5)
    faces = [tilted(0, 110, 120), tilted(90, 162, 120)]
    crops = [plan_crop(face, 0, number, SIZE, OPTIONS) for number, face in enumerate(faces)]
    assert [bool(crop.turn) for crop in crops] == [False, True] and crops[0].meets(crops[1])
    drawn = [(crop, plain(crop, colour)) for crop, colour in zip(crops, (RED, GREEN), strict=True)]
    result, mask = paste_faces(image, drawn)
    other, _ = paste_faces(image, drawn[::-1])
    assert (result - other).abs().max() < 1e-6
    assert (result[0, 120, 90:122] - torch.tensor(RED)).abs().max() < 1e-2
    assert (result[0, 120, 146:190] - torch.tensor(GREEN)).abs().max() < 1e-2
    # The old grey shows through nowhere between them.
    assert (mask[0, 120, 90:190] - 1).abs().max() < 1e-5
    far = plan_crop(tilted(45, 20, 20, 0.3), 0, 2, SIZE, OPTIONS)
    assert not far.meets(crops[1]) and not crops[0].meets(far)


def test_a_head_that_is_tilted_a_little_or_has_no_points_is_cut_as_it_stands() -> None:
    for degrees in (-28, 0, 28):
        face = tilted(degrees)
        assert planned(face) == planned(Face(face.box))
    assert planned(tilted(33)).turn and planned(tilted(-33)).turn
    # What is mostly beyond the picture cannot be looked at upright.
    outside = tilted(90, -20, 120)
    assert planned(outside) == planned(Face(outside.box))
    with pytest.raises(ImageError, match="The points of a face are all at"):
        planned(Face((10, 10, 50, 50), np.ones((5, 2))))


@pytest.mark.parametrize("degrees", [40, 180])
def test_a_hint_is_turned_with_its_face(degrees: float) -> None:
    crop = planned(tilted(degrees))
    expected = cut(places(), crop).movedim(-1, 0)[:2]
    half = F.avg_pool2d(places().movedim(-1, 0)[None], 2)  # a hint of half the picture's size
    assert (cut_hint(half, crop, SIZE)[0, :2] - expected).abs().max() < 1e-4


def test_the_report_and_the_picture_of_matches_show_the_turn() -> None:
    image = torch.full((1, SIZE[1], SIZE[0], 3), 0.5)
    faces = plan_faces(image, [[tilted(90)]], [], None, OPTIONS, "scene")
    assert (
        report(faces, (), 1, 1).splitlines()[1]
        == "image 1, face 1: scene, window 128x128 px turned by -90 degrees, drawn at 256x256"
    )
    diagonal = plan_faces(image, [[tilted(45)]], [], None, OPTIONS, "scene")
    changed = (matches_preview(image, diagonal, ()) - 128 / 255).abs().amax(-1)[0] > 0
    rows, columns = changed.nonzero().T
    assert columns.min() == pytest.approx(
        150 - 64 * math.sqrt(2), abs=2
    ) and rows.max() == pytest.approx(120 + 64 * math.sqrt(2), abs=2)
    assert not changed[52:60, 82:90].any()  # where a window that stood straight has its corner
