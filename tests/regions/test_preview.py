"""The preview: whose region is where, in colours that differ, with a name inside its own region."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.regions.layout import RegionLayout, columns, from_masks
from comfyui_astria.nodes.regions.preview import GREY, TINT_STRENGTH, TINTS, preview

LONG = (
    "ohwx woman with determined expression, retro updo hairstyle, bright red lipstick, black and"
    " yellow color-blocked dress"
)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def tinted(pixel: torch.Tensor, region: int) -> torch.Tensor:
    return pixel + TINT_STRENGTH * (torch.tensor(TINTS[region]) / 255 - pixel)


def assert_plate_in_tint(shown: torch.Tensor, region: int, place: tuple[slice, slice]) -> None:
    """A name's plate is a block of its region's full tint with black letters on it."""
    area = shown[0][place]
    plate = (area - torch.tensor(TINTS[region]) / 255).abs().amax(-1) < 0.01
    assert plate.sum() > 200
    assert (area.amax(-1) < 0.02).sum() > 20


@pytest.mark.parametrize("count", [1, 2, 8])
def test_each_region_has_its_own_tint_and_the_scene_is_grey(count: int) -> None:
    shown = preview(None, columns(count, 512, 512, softness_px=0))
    assert shown.shape == (1, 512, 512, 3)
    for person in range(count):
        torch.testing.assert_close(
            shown[0, 200, int((person + 0.5) * 512 / count)],
            tinted(torch.full((3,), GREY), person + 1),
        )
    torch.testing.assert_close(shown[0, 3, 3], tinted(torch.full((3,), GREY), 0))
    assert len({TINTS[region] for region in range(9)}) == 9


def test_the_picture_shows_through_and_a_batch_is_shown_whole() -> None:
    image = noise(2, 256, 512, 3)
    before = image.clone()
    shown = preview(image, columns(2, 512, 256, softness_px=0))
    assert shown.shape == image.shape
    torch.testing.assert_close(shown[:, 60:150, 60:200], tinted(image[:, 60:150, 60:200], 1))
    torch.testing.assert_close(shown[:, 60:150, 300:450], tinted(image[:, 60:150, 300:450], 2))
    assert torch.equal(image, before)


def test_soft_shares_are_seen_as_mixed_tints() -> None:
    shown = preview(None, columns(2, 512, 256, softness_px=100, margin=0))
    left, middle, right = (shown[0, 128, x] for x in (100, 230, 400))
    assert ((middle - left) * (right - middle) >= 0).all()
    assert (middle - left).abs().max() > 0.02


@pytest.mark.parametrize(
    ("count", "size"),
    [
        (2, (512, 512)),
        (4, (512, 512)),
        (2, (1024, 576)),
        (2, (576, 1024)),
        (4, (2050, 700)),
        # Both numbers in each shape: what differs is in the cases above.
        *(
            pytest.param(count, size, marks=pytest.mark.long)
            for count, size in ((4, (1024, 576)), (4, (576, 1024)), (2, (2050, 700)))
        ),
    ],
)
def test_names_stand_inside_their_own_region(count: int, size: tuple[int, int]) -> None:
    width, height = size
    layout = columns(count, width, height, softness_px=16)
    shown = preview(None, layout.named([LONG] * count))
    for person in range(count):
        own = slice(round(person * width / count), round((person + 1) * width / count))
        assert_plate_in_tint(shown, person + 1, (slice(height // 2, height), own))
        other = ["x" if one == person else LONG for one in range(count)]
        changed = (preview(None, layout.named(other)) != shown).any(-1)[0]
        assert changed.any()
        changed[:, own] = False
        assert not changed.any()


def test_the_scene_is_named_where_it_has_room() -> None:
    assert_plate_in_tint(
        preview(None, columns(2, 512, 512, softness_px=16)), 0, (slice(0, 60), slice(0, 512))
    )


def test_there_is_no_name_for_a_scene_that_is_not_there() -> None:
    shown = preview(None, columns(1, 128, 128, softness_px=0, margin=0))
    grey = (shown - torch.tensor(TINTS[0]) / 255).abs().amax(-1) < 0.01
    assert not grey.any()


def test_regions_are_outlined_in_their_tint() -> None:
    shown = preview(None, columns(2, 512, 512, softness_px=0, margin=0))
    torch.testing.assert_close(shown[0, 200, 255], torch.tensor(TINTS[1]) / 255)
    torch.testing.assert_close(shown[0, 200, 256], torch.tensor(TINTS[2]) / 255)
    torch.testing.assert_close(shown[0, 200, 250], tinted(torch.full((3,), GREY), 1))


def test_a_person_who_shares_every_pixel_is_named_too() -> None:
    drawn = torch.ones(2, 256, 256)
    drawn[1] *= 0.6
    shown = preview(None, from_masks(drawn, 2, 256, 256, softness_px=4))
    assert ((shown - torch.tensor(TINTS[2]) / 255).abs().amax(-1) < 0.01).sum() > 50


def test_a_person_thinner_than_a_cell_of_a_large_picture_is_named_too() -> None:
    thin = torch.zeros(1, 64, 2100)
    thin[:, :, 1001] = 1
    layout = from_masks(thin, 1, 2100, 64, softness_px=0)
    changed = (preview(None, layout) != preview(None, layout.named(["somebody"]))).any(-1)[0]
    assert changed[:, 900:1100].any()


@pytest.mark.parametrize("size", [(8, 8), (40, 9), (9, 200)])
def test_a_picture_too_small_for_names_is_shown_all_the_same(size: tuple[int, int]) -> None:
    width, height = size
    shown = preview(None, columns(3, width, height, softness_px=2).named([LONG, "", "x"]))
    assert shown.shape == (1, height, width, 3)
    assert torch.isfinite(shown).all()


def test_a_picture_with_alpha_is_shown_without_it() -> None:
    picture, layout = torch.rand(2, 24, 32, 4), columns(2, 32, 24, softness_px=4)
    assert torch.equal(preview(picture, layout), preview(picture[..., :3], layout))


def test_a_picture_of_another_size_is_refused() -> None:
    layout = RegionLayout(torch.ones(1, 8, 8), ("1",))
    with pytest.raises(ImageError) as caught:
        preview(torch.zeros(1, 8, 9, 3), layout)
    assert (
        caught.value.message
        == "The picture to show regions on has shape (1, 8, 9, 3); expected [batch, 8, 8, 3], as"
        " the regions."
    )
    assert "at the size it is generated at" in caught.value.hint


def test_a_layout_loses_what_a_picture_was_padded_with() -> None:
    layout = columns(2, 640, 368, softness_px=32)
    kept = layout.within(640, 360)
    assert torch.equal(kept.masks, layout.masks[:, :360]) and kept.names == layout.names
    with pytest.raises(
        ImageError, match=r"laid out for 640x368 px, less than the 640x400 before the padding"
    ):
        layout.within(640, 400)
