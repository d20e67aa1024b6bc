"""Words -> mask: the order of the steps, heat maps against masks, batches, and pictures in which
nothing is found.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.base.fit import fit_image
from comfyui_astria.nodes.errors import ImageError, MissingModelError, PromptError
from comfyui_astria.nodes.masking.adjust import Adjustment
from comfyui_astria.nodes.masking.morphology import feather, grow
from comfyui_astria.nodes.masking.prompt_mask import MaskRequest, prompt_mask
from comfyui_astria.nodes.masking.segmenter import RoutedSegmenter
from comfyui_astria.tests.masking.scripted import ByBrightness, Scripted, rectangle
from comfyui_astria.tests.regions.comfy_inprocess import load

WIDTH, HEIGHT = 60, 40
IMAGE = torch.zeros(1, HEIGHT, WIDTH, 3)
BODY, SHIRT, HAT, DOOR = (10, 5, 40, 35), (10, 20, 40, 35), (15, 0, 25, 8), (45, 10, 55, 40)
THINGS = Scripted(
    {
        "foreground": [BODY],
        "clothes": [SHIRT],
        "hat": [HAT],
        "door": [DOOR],
        "cat": [],
        "windows": [HAT, DOOR],
    },
    "things",
)


def mask_of(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    return torch.stack([rectangle(box, WIDTH, HEIGHT) for box in boxes]).any(0)


def run(
    positive: str, negative: str = "", segmenter=THINGS, image: torch.Tensor = IMAGE, **options
):
    return prompt_mask(image, segmenter, MaskRequest(positive, negative, **options))


def test_union_of_the_words_less_union_of_the_negative_ones() -> None:
    assert torch.equal(run("foreground door").mask[0] > 0, mask_of(BODY, DOOR))
    assert torch.equal(
        run("foreground door", "clothes hat").mask[0] > 0,
        mask_of(BODY, DOOR) & ~mask_of(SHIRT, HAT),
    )
    assert torch.equal(run("foreground", "cat").mask, run("foreground").mask)


def test_then_inverted_then_dilated_then_feathered() -> None:
    """`--mask_prompt foreground --mask_negative clothes --mask_invert --mask_dilate -20` keeps 20
    px more around what is kept.
    """
    words = (mask_of(BODY) & ~mask_of(SHIRT)).float()[None]
    changed = run(
        "foreground",
        "clothes",
        adjustment=Adjustment(invert=True, dilate="-10%", shape="diamond", feather_px=2),
    ).mask
    assert torch.equal(changed, feather(grow(1 - words, -4, "diamond"), 2))
    kept = run("foreground", "clothes", adjustment=Adjustment(invert=True, dilate="-4")).mask == 0
    assert torch.equal(kept, grow(words, 4) > 0)


def test_heat_maps_of_one_model_give_a_pixel_to_the_surer_word() -> None:
    ramp = torch.linspace(0, 1, WIDTH).expand(HEIGHT, WIDTH)
    heat = Scripted(
        {"person": ramp, "dog": torch.full((HEIGHT, WIDTH), 0.75), "hill": ramp.flip(1)}, "heat"
    )
    assert torch.equal(run("person", segmenter=heat).mask[0] > 0, ramp > 0.5)
    assert torch.equal(run("person", "dog", segmenter=heat).mask[0] > 0, ramp >= 0.75)
    assert torch.equal(
        run("person hill", "dog", segmenter=heat, threshold=0.25).mask[0] > 0,
        torch.maximum(ramp, ramp.flip(1)) >= 0.75,
    )
    assert torch.equal(run("person", "person", segmenter=heat).mask[0] > 0, ramp > 0.5), (
        "ties go to what is wanted"
    )


def test_a_mask_is_cut_by_a_heat_map_of_another_model_at_the_threshold() -> None:
    ramp = torch.linspace(0, 1, WIDTH).expand(HEIGHT, WIDTH)
    both = RoutedSegmenter((THINGS, Scripted({"sky": ramp}, "heat")), "")
    assert torch.equal(
        run("foreground", "sky", both, threshold=0.4).mask[0] > 0, mask_of(BODY) & (ramp <= 0.4)
    )
    assert torch.equal(
        run("sky", "foreground", both, threshold=0.4).mask[0] > 0, (ramp > 0.4) & ~mask_of(BODY)
    )


def test_each_picture_of_a_batch_gets_its_own_mask_and_alpha_is_not_looked_at() -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.rand(3, 24, 30, 4, generator=generator)
    together = prompt_mask(
        batch, ByBrightness(), MaskRequest("light", adjustment=Adjustment(dilate="1"))
    )
    for picture, mask in zip(batch, together.mask, strict=True):
        alone = prompt_mask(
            picture[None], ByBrightness(), MaskRequest("light", adjustment=Adjustment(dilate="1"))
        )
        assert torch.equal(alone.mask[0], mask)
        assert torch.equal(
            mask > 0, grow((picture[..., :3].mean(-1) > 0.5).float()[None], 1)[0] > 0
        )
    assert len(together.boxes) == 3 and together.mask.dtype == torch.float32


def test_half_precision_pictures() -> None:
    image = torch.rand(1, 24, 30, 3, generator=torch.Generator().manual_seed(0)).half()
    result = prompt_mask(image, ByBrightness(), MaskRequest("light"))
    assert (
        torch.equal(result.mask[0] > 0, image[0].float().mean(-1) > 0.5)
        and result.mask.dtype == torch.float32
    )


def test_boxes_are_those_of_the_wanted_things_as_the_host_writes_them() -> None:
    [boxes] = run("windows", "foreground").boxes
    assert boxes == [
        {"x": 15, "y": 0, "width": 10, "height": 8, "label": "windows", "score": 0.9},
        {"x": 45, "y": 10, "width": 10, "height": 30, "label": "windows", "score": 0.8},
    ]
    heat = torch.zeros(HEIGHT, WIDTH)
    heat[3:7, 20:50] = 0.75
    [[box]] = run("glow", segmenter=Scripted({"glow": heat})).boxes
    assert box == {"x": 20, "y": 3, "width": 30, "height": 4, "label": "glow", "score": 0.75}


def test_the_info_says_what_was_found_by_what_and_what_was_not() -> None:
    info = run("windows cat", "door").info
    assert info.startswith(
        "picture 1: 'windows' 0.90 by things, 2 of them, 'cat' not found by things (highest score"
        " 0.20, threshold 0.5), "
    )
    assert info.endswith("; the mask covers 3.3%")


@pytest.mark.parametrize(("on_empty", "value"), [("zeros", 0.0), ("ones", 1.0)])
def test_a_picture_without_what_is_wanted_gets_the_mask_asked_for(
    on_empty: str, value: float
) -> None:
    batch = torch.stack([torch.ones(8, 9, 3), torch.zeros(8, 9, 3)])
    request = MaskRequest(
        "light", on_empty=on_empty, adjustment=Adjustment(invert=True, dilate="2")
    )
    result = prompt_mask(batch, ByBrightness(), request)
    assert (result.mask == value).all(), "of what is found everywhere, nothing is left to invert"
    assert [len(boxes) for boxes in result.boxes] == [1, 0]
    grown = prompt_mask(
        torch.cat([batch, batch[:1]]),
        ByBrightness(),
        MaskRequest("light", on_empty=on_empty, adjustment=Adjustment(dilate="2")),
    )
    assert (
        (grown.mask[0] == 1).all() and (grown.mask[1] == value).all() and (grown.mask[2] == 1).all()
    )


def test_empty_pictures_are_an_error_that_names_each() -> None:
    batch = torch.stack([torch.full((8, 9, 3), level) for level in (0.25, 0.75, 0.5)])
    with pytest.raises(ImageError) as caught:
        prompt_mask(batch, ByBrightness(), MaskRequest("light"))
    assert str(caught.value).splitlines() == [
        (
            "Nothing to mask was found in picture 1: 'light' not found by brightness (highest score"
            " 0.25, threshold 0.5)"
        ),
        "picture 3: 'light' not found by brightness (highest score 0.50, threshold 0.5)",
        (
            "Use other words, or a --mask_dilate that takes less away; in Astria Prompt Mask also a"
            " lower threshold, or on_empty set to zeros or ones."
        ),
    ]


@pytest.mark.parametrize(
    ("negative", "adjustment", "why"),
    [
        (
            "foreground",
            Adjustment(),
            (
                "'clothes' 0.90 by things, 'foreground' 0.90 by things; the negative words leave"
                " nothing of it"
            ),
        ),
        (
            "foreground",
            Adjustment(invert=True),
            (
                "'clothes' 0.90 by things, 'foreground' 0.90 by things; the negative words leave"
                " nothing of it"
            ),
        ),
        (
            "",
            Adjustment(dilate="-10"),
            "'clothes' 0.90 by things; inverted and dilated, none of it is left",
        ),
        (
            "",
            Adjustment(invert=True, dilate="-60"),
            "'clothes' 0.90 by things; inverted and dilated, none of it is left",
        ),
    ],
)
def test_a_mask_of_which_nothing_is_left_is_empty(
    negative: str, adjustment: Adjustment, why: str
) -> None:
    with pytest.raises(ImageError) as caught:
        run("clothes", negative, adjustment=adjustment)
    assert caught.value.message == f"Nothing to mask was found in picture 1: {why}"
    assert (run("clothes", negative, adjustment=adjustment, on_empty="zeros").mask == 0).all()
    assert (run("clothes", negative, adjustment=adjustment, on_empty="ones").mask == 1).all()


def test_grey_pictures() -> None:
    image = torch.rand(2, 8, 9, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        run("light", segmenter=ByBrightness(), image=image).mask > 0, image[..., 0] > 0.5
    )


def test_no_word_and_bad_dilations_are_refused_before_anything_is_looked_for() -> None:
    with pytest.raises(PromptError, match="The mask prompt is empty"):
        run('""')
    never = Scripted({"foreground": [BODY]})
    with pytest.raises(ImageError, match="expected pixels such as 20"):
        run("foreground", segmenter=never, adjustment=Adjustment(dilate="much"))
    assert never.asked == []


@pytest.mark.parametrize(
    "adjustment",
    [
        Adjustment(invert=True, dilate="10"),
        Adjustment(dilate="-10"),
        Adjustment(dilate="20%", feather_px=4),
    ],
)
def test_the_padding_of_a_fitted_picture_is_no_part_of_it(adjustment: Adjustment) -> None:
    image = torch.zeros(2, 61, 97, 3)
    image[0, :, 60:] = 1
    image[1, 40:, :50] = 1
    fitted, fit = fit_image(image, 0, 0, 8)
    alone = prompt_mask(image, ByBrightness(), MaskRequest("light", adjustment=adjustment))
    result = prompt_mask(
        fitted,
        ByBrightness(),
        MaskRequest("light", adjustment=adjustment, width=fit.width, height=fit.height),
    )
    assert (
        torch.equal(result.mask[:, :61, :97], alone.mask) and result.mask.shape == fitted.shape[:3]
    )
    assert not result.mask[:, 61:].any() and not result.mask[:, :, 97:].any()
    assert (result.boxes, result.info) == (alone.boxes, alone.info)


def test_the_node_leaves_the_padding_out_where_it_is_told_of_it() -> None:
    fitted, fit = fit_image(torch.ones(1, 75, 100, 3), 0, 0, 8)
    words = {"mask_prompt": "light", "mask_negative": "", "mask_invert": False, "mask_dilate": "10"}
    given = {**words, "shape": "round", "feather_px": 0, "threshold": 0.5, "on_empty": "error"}
    mask, _, info = (
        load("comfyui_astria.nodes.masking.nodes")
        .AstriaPromptMask.execute(fitted, ByBrightness(), **given, fit=fit)
        .result
    )
    assert mask.shape == (1, 80, 104) and mask[:, :75, :100].all() and mask.sum() == 75 * 100
    assert info.endswith("the mask covers 100.0%")


def test_words_go_to_the_first_model_that_takes_them_all_at_once() -> None:
    first = Scripted({"a": [BODY], "b": [HAT]}, "first")
    second = Scripted({"a": [DOOR], "c": [DOOR], "d": []}, "second")
    found = RoutedSegmenter((first, second), "advice").find(IMAGE, ("d", "a", "c", "b"), 0.5)
    assert list(found) == ["d", "a", "c", "b"]
    assert {word: one.source for word, one in found.items()} == {
        "a": "first",
        "b": "first",
        "c": "second",
        "d": "second",
    }
    assert (first.asked, second.asked) == ([("a", "b")], [("d", "c")])


def test_a_word_that_no_model_takes_stops_everything_before_a_model_runs() -> None:
    first = Scripted({"a": [BODY]}, "first")
    with pytest.raises(MissingModelError) as caught:
        RoutedSegmenter((first,), "- sam3: get it").find(IMAGE, ("a", "clothes", "subject"), 0.5)
    assert (
        caught.value.message
        == "No model of this segmenter can look for 'clothes', 'subject'; it has first. "
        "They may also be said by name, such as `person`."
    )
    assert caught.value.hint == "Choose one more in Astria Load Segmenter:\n- sam3: get it"
    assert first.asked == []
