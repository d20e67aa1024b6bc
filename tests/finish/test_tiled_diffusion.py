"""Tiled diffusion on tiny models.

Each tile is a picture of its own, and what speaks of places is cut with it.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.finish.tiles import Tile, tiling
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.finish.tiled_support import (
    HEIGHT,
    OVERLAP,
    SIZE,
    WIDTH,
    by_hand,
    noise_of,
    pointwise,
    tiled,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import (
    base_of,
    denoised,
    difference,
    model_of,
    one_thread,
    with_control_patch,
    with_regions,
)
from torch import Tensor


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_tiles_are_pictures_of_their_own_blended_by_weight(family: str) -> None:
    """For SDXL that includes the size it is told."""
    model, noise, positive = model_of(family), noise_of(family), text(family, 1)
    actual = denoised(tiled(model), family, positive, noise=noise)
    expected = by_hand(noise, lambda tile, own: denoised(model, family, positive, noise=own))
    assert difference(actual, expected) < 1e-5
    assert difference(actual, denoised(model, family, positive, noise=noise)) > 1e-3


def test_sdxl_keeps_the_sizes_that_its_text_was_encoded_with() -> None:
    [[embedding, extra]] = text("sdxl", 1)
    positive = [
        [
            embedding,
            {
                **extra,
                "width": 900,
                "height": 700,
                "crop_w": 8,
                "crop_h": 0,
                "target_width": 1024,
                "target_height": 512,
            },
        ]
    ]
    model, noise = model_of("sdxl"), noise_of("sdxl")
    actual = denoised(tiled(model), "sdxl", positive, noise=noise)
    assert (
        difference(
            actual, by_hand(noise, lambda tile, own: denoised(model, "sdxl", positive, noise=own))
        )
        < 1e-5
    )
    assert difference(actual, denoised(tiled(model), "sdxl", text("sdxl", 1), noise=noise)) > 1e-4


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "sd15_inpaint"])
@pytest.mark.parametrize("size", [(16, 16), (9, 12), (16, 5)])
def test_one_tile_is_the_model_itself_to_the_bit(family: str, size: tuple[int, int]) -> None:
    model, noise, positive = model_of(family), noise_of(family, size=size), text(base_of(family), 1)
    plain = denoised(model, family, positive, noise=noise, cfg=4.0)
    assert torch.equal(denoised(tiled(model), family, positive, noise=noise, cfg=4.0), plain)


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (16, 33), (40, 7), (31, 64)])
@pytest.mark.parametrize("overlap", [0, 24, 64])
def test_a_model_that_sees_single_pixels_does_not_see_tiles(
    size: tuple[int, int], overlap: int
) -> None:
    noise, positive, negative = noise_of("sd15", size=size), text("sd15", 1), text("sd15", 2)
    plain = denoised(pointwise(), "sd15", positive, negative, noise=noise, cfg=5.0)
    assert (
        difference(
            denoised(
                tiled(pointwise(), overlap=overlap),
                "sd15",
                positive,
                negative,
                noise=noise,
                cfg=5.0,
            ),
            plain,
        )
        < 1e-5
    )


def test_a_batch_is_its_single_images() -> None:
    model, noise, positive = tiled(model_of("sd15")), noise_of("sd15", batch=3), text("sd15", 1)
    batch = denoised(model, "sd15", positive, noise=noise, cfg=3.0)
    singles = torch.cat(
        [denoised(model, "sd15", positive, noise=one[None], cfg=3.0) for one in noise]
    )
    assert difference(batch, singles) < 1e-5


def placed(seed: int, **places: Any) -> list:
    [[embedding, extra]] = text("sd15", seed)
    return [[embedding, {**extra, **places}]]


def test_areas_and_masks_lie_where_they_lie_in_the_whole() -> None:
    """Areas that start before, inside and after a tile, one beside them all, with strengths.

    A soft mask for each image.
    """
    positive = [
        *text("sd15", 1),
        *placed(5, area=(6, 20, 11, 9), strength=0.7),
        *placed(6, area=("percentage", 0.5, 0.4, 0.5, 0.6), strength=1.5),
        *placed(
            7,
            mask=torch.rand(2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1)),
            mask_strength=0.6,
        ),
        *placed(8, mask=torch.ones(1, HEIGHT, WIDTH), area=(5, 5, 20, 28)),
        *placed(9, area=(8, 8, 0, 0), start_percent=0.9),  # not in the first step
    ]
    noise = noise_of("sd15", batch=2)
    plain = denoised(pointwise(), "sd15", positive, noise=noise)
    assert difference(denoised(tiled(pointwise()), "sd15", positive, noise=noise), plain) < 1e-5
    assert difference(denoised(pointwise(), "sd15", text("sd15", 1), noise=noise), plain) > 1e-2


def test_a_default_conditioning_fills_what_masks_leave() -> None:
    mask = torch.zeros(1, HEIGHT, WIDTH)
    mask[:, 4:20, 10:25] = 1
    positive, noise = [*placed(5, mask=mask), *placed(6, default=True)], noise_of("sd15")
    plain = denoised(pointwise(), "sd15", positive, noise=noise)
    assert difference(denoised(tiled(pointwise()), "sd15", positive, noise=noise), plain) < 1e-5


def test_inpaint_latents_are_cut_with_the_tiles() -> None:
    family, noise = "sd15_inpaint", noise_of("sd15")
    picture, mask = torch.randn_like(noise), torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 5:20, 12:30] = 1

    def text_for(tile: Tile) -> list:
        return placed(1, concat_latent_image=tile.of(picture), concat_mask=tile.of(mask))

    actual = denoised(
        tiled(model_of(family)), family, text_for(Tile(0, 0, HEIGHT, WIDTH)), noise=noise
    )
    expected = by_hand(
        noise, lambda tile, own: denoised(model_of(family), family, text_for(tile), noise=own)
    )
    assert difference(actual, expected) < 1e-5
    assert (
        difference(actual, denoised(tiled(model_of(family)), family, text("sd15", 1), noise=noise))
        > 1e-3
    )


def test_a_noise_mask_keeps_what_it_keeps() -> None:
    noise = noise_of("sd15")
    latent = noise_of("sd15").flip(3)
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 10:, 10:] = 1
    arguments = (1, 1.0, "euler", "simple", text("sd15", 1), text("sd15", 2), latent)
    with one_thread():
        result = load("comfy.sample").sample(
            tiled(pointwise()), noise, *arguments, noise_mask=mask, disable_pbar=True, seed=0
        )
        plain = load("comfy.sample").sample(
            pointwise(), noise, *arguments, noise_mask=mask, disable_pbar=True, seed=0
        )
    assert difference(result, plain) < 1e-5
    # The noise is 14 times as large.
    assert torch.allclose(result[..., :10, :], latent[..., :10, :], atol=1e-4)


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "zimage"])
def test_regions_are_cut_with_the_tiles(family: str) -> None:
    model = model_of(family)
    noise = noise_of(family, size=(26, 34))
    texts = [text(family, seed) for seed in (1, 5, 6)]
    across = torch.linspace(-3, 5, 34).expand(26, 34)
    masks = torch.stack(
        [across.clamp(0, 1) * 0.5, 1 - across.clamp(0, 1), across.clamp(0, 1) * 0.5]
    )

    def regional(own: Tensor) -> Any:
        return with_regions(model, own, texts, [text(family, 2)])

    expected = by_hand(
        noise, lambda tile, own: denoised(regional(tile.of(masks)), family, texts[0], noise=own)
    )
    for one in (
        tiled(regional(masks)),
        with_regions(tiled(model), masks, texts, [text(family, 2)]),
    ):
        assert difference(denoised(one, family, texts[0], noise=noise), expected) < 1e-5
    assert difference(expected, denoised(tiled(model), family, texts[0], noise=noise)) > 1e-3


def test_each_tile_has_an_id_of_its_own_that_lasts() -> None:
    """Packs that reuse a step's result for the next one go by it."""
    seen: list[Any] = []
    model = tiled(pointwise())

    def look(executor: Any, x: Tensor, *rest: Any, **named: Any) -> Any:
        seen.append(tuple(rest[4]["uuids"]))
        return executor(x, *rest, **named)

    model.add_wrapper_with_key("apply_model", "test", look)
    noise = noise_of("sd15")
    with one_thread():
        load("comfy.sample").sample(
            model,
            noise,
            2,
            1.0,
            "euler",
            "simple",
            text("sd15", 1),
            text("sd15", 2),
            noise * 0,
            disable_pbar=True,
            seed=0,
        )
    tiles = len(tiling(HEIGHT, WIDTH, SIZE // 8, OVERLAP // 8))
    assert seen[:tiles] == seen[tiles:]
    assert len(set(seen)) == tiles


def test_the_host_makes_room_for_one_tile() -> None:
    seen: list[list[int]] = []
    model = tiled(pointwise())

    def look(executor: Any, model: Any, shape: list[int], *rest: Any, **named: Any) -> Any:
        seen.append(list(shape))
        return executor(model, shape, *rest, **named)

    model.add_wrapper_with_key("prepare_sampling", "test", look)
    denoised(model, "sd15", text("sd15", 1), noise=noise_of("sd15", size=(12, WIDTH)))
    assert seen == [[1, 4, 12, 16]]


def test_an_interrupt_stops_between_tiles() -> None:
    management, calls = load("comfy.model_management"), []
    model = pointwise().clone()

    def stop(executor: Any, *arguments: Any, **named: Any) -> Tensor:
        calls.append(1)
        management.interrupt_current_processing()
        return executor(*arguments, **named)

    model.add_wrapper_with_key("diffusion_model", "stop", stop)
    model.wrappers["diffusion_model"] = dict(reversed(model.wrappers["diffusion_model"].items()))
    with pytest.raises(management.InterruptProcessingException):
        denoised(tiled(model), "sd15", text("sd15", 1), noise=noise_of("sd15"))
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("size", "overlap", "message"),
    [
        (100, 16, "tile_size is 100; expected a multiple of 64."),
        (0, 0, "tile_size is 0; expected a multiple of 64."),
        (512, 257, "overlap is 257 with tiles of 512 px; expected 0 to 256, half a tile."),
        (512, -1, "overlap is -1 with tiles of 512 px; expected 0 to 256, half a tile."),
    ],
)
def test_sizes_that_do_not_fit_are_refused(size: int, overlap: int, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        tiled(model_of("sd15"), size, overlap)


def test_tiles_are_not_applied_twice_and_leave_the_model_as_it_was() -> None:
    model = model_of("sd15")
    patched = tiled(model)
    assert model.get_wrappers("calc_cond_batch", "astria_tiles") == []
    with pytest.raises(PlanError, match="already runs in tiles"):
        tiled(patched)


def test_what_cannot_be_cut_is_refused() -> None:
    model, noise = tiled(pointwise()), noise_of("sd15")
    with pytest.raises(PlanError, match="carries 'gligen', which cannot be cut into tiles"):
        denoised(model, "sd15", placed(1, gligen=("position", model_of("sd15"), [])), noise=noise)


def test_a_controlnet_that_is_a_patch_of_the_model_is_refused() -> None:
    """Each tile would get the whole of its picture."""
    model = tiled(with_control_patch(model_of("zimage")))
    with pytest.raises(PlanError, match="ZImageControlPatch"):
        denoised(model, "zimage", text("zimage", 1), noise=noise_of("zimage"))


def test_a_person_with_an_own_model_is_drawn_whole_behind_regions_and_refused_before() -> None:
    """A mask of the whole picture says nothing right about a tile."""
    apply = load("comfyui_astria.nodes.regions.host.checkpoints").apply_person_models
    noise, texts = noise_of("sd15"), [text("sd15", 1), text("sd15", 2)]
    left = (torch.arange(WIDTH) < 12).float().expand(1, HEIGHT, WIDTH)
    own = model_of("sd15", 9)
    people = [Person(texts[0], texts[1], (), model=own)]

    def with_person(model: Any) -> Any:
        return apply(model, torch.cat([1 - left, left]), people, lambda model, numbers, run: model)

    def once(model: Any) -> Tensor:
        return denoised(model, "sd15", *texts, noise=noise, cfg=3.0)

    expected = torch.where(left > 0, once(own), once(tiled(model_of("sd15"))))
    assert difference(once(tiled(with_person(model_of("sd15")))), expected) < 1e-5
    with pytest.raises(
        PlanError, match="A person with a model of their own cannot be cut into tiles"
    ):
        once(with_person(tiled(model_of("sd15"))))
