"""The plan of face inpainting, its end, and the batches in between: everything but the model."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError, PlanError
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.redraw.chunks import cut_up, grouped, largest_batch
from comfyui_astria.nodes.redraw.crop import CropOptions
from comfyui_astria.nodes.redraw.plan import finish, label, person_names, plan_faces, report
from comfyui_astria.nodes.redraw.preview import matches_preview
from comfyui_astria.nodes.redraw.texts import face_text, kind_of, stacked, with_control
from comfyui_astria.nodes.regions.layout import columns
from comfyui_astria.nodes.regions.person import Person
from torch import Tensor

OPTIONS = CropOptions(face_size_px=64, context=2.0, feather=0.25, multiple=8)
FACES = ((Face((20, 20, 40, 44)), Face((100, 20, 124, 44))), (), (Face((60, 20, 80, 40)),))
PEOPLE = [Person([]), Person([])]


def pictures(batch: int = 3) -> Tensor:
    return torch.rand(batch, 80, 160, 3, generator=torch.Generator().manual_seed(0))


def test_every_face_of_every_picture_is_planned_in_order() -> None:
    planned = plan_faces(pictures(), FACES, PEOPLE, None, OPTIONS, "scene")
    assert [
        (face.crop.image, face.crop.number, face.person, face.region, face.drawn)
        for face in planned
    ] == [(0, 0, 0, 1, True), (0, 1, 1, 2, True), (2, 0, 0, 1, True)]


@pytest.mark.parametrize(("unmatched", "drawn"), [("scene", True), ("skip", False)])
def test_faces_that_are_nobodys_follow_the_policy(unmatched: str, drawn: bool) -> None:
    planned = plan_faces(pictures(), FACES, PEOPLE[:1], None, OPTIONS, unmatched)
    # The larger one is the person.
    assert [(face.person, face.drawn) for face in planned] == [(None, drawn), (0, True), (0, True)]
    assert [face.drawn for face in plan_faces(pictures(), FACES, [], None, OPTIONS, unmatched)] == [
        drawn
    ] * 3


def test_faces_of_another_number_of_pictures_are_refused() -> None:
    with pytest.raises(ImageError, match=r"The faces of 3 image\(s\) are given for 2 image\(s\)"):
        plan_faces(pictures(2), FACES, [], None, OPTIONS, "scene")


def test_faces_found_before_an_upscaling_are_drawn_where_they_are_behind_it() -> None:
    image = pictures(1)
    early = Face((10.0, 10.0, 20.0, 22.0), picture=(80, 40))
    [found] = plan_faces(image, ((early,),), [], None, OPTIONS, "scene")
    [expected] = plan_faces(image, ((Face((20, 20, 40, 44)),),), [], None, OPTIONS, "scene")
    assert found == expected
    with pytest.raises(ImageError, match="Faces of a picture of 80x40 px are used on one of"):
        plan_faces(image[:, :60], ((early,),), [], None, OPTIONS, "scene")


def test_a_face_without_numbers_stays_as_it_was_and_that_is_said() -> None:
    image = pictures()
    planned = plan_faces(image, FACES, PEOPLE, None, OPTIONS, "scene")
    drawings = [torch.zeros(64, 64, 3), torch.zeros(64, 64, 3), torch.zeros(64, 64, 3)]
    drawings[1][5, 5] = float("nan")
    result, mask, outcome = finish(image, planned, drawings)
    assert result.isfinite().all()
    assert torch.equal(result[0, :, 90:], image[0, :, 90:])
    assert result[0, 20:44, 20:40].max() == 0
    assert mask[2, 30, 70] == 1
    assert "no numbers" in report(outcome, ("1", "2"), 3, 1).splitlines()[2]


def test_the_report_says_who_each_face_is_and_how_it_was_drawn() -> None:
    planned = plan_faces(pictures(), FACES, PEOPLE[:1], None, OPTIONS, "skip")
    assert report(planned, ("1",), 3, 2).splitlines() == [
        "2 of 3 face(s) in 3 image(s) drawn anew in 2 sampler call(s).",
        "image 1, face 1: skipped, window 48x48 px",
        "image 1, face 2: person 1, left to right, window 48x48 px, drawn at 64x64",
        "image 3, face 1: person 1, left to right, window 40x40 px, drawn at 64x64",
        "image 2: no face",
    ]


def test_persons_are_named_as_their_regions_are() -> None:
    layout = columns(2, 160, 80, softness_px=0).named(["ohwx woman", "ohwx man"])
    assert person_names(PEOPLE, layout) == ("1: ohwx woman", "2: ohwx man")
    assert person_names(PEOPLE, None) == ("1", "2")
    planned = plan_faces(pictures(), FACES, PEOPLE, layout, OPTIONS, "scene")
    assert label(planned[1], layout.names) == "person 2: ohwx man"


def test_the_picture_of_matches_draws_each_persons_face_in_its_own_colour() -> None:
    image = torch.full((3, 80, 160, 4), 0.5)
    image[0, 0, 0] = float("nan")
    planned = plan_faces(image, FACES, PEOPLE, None, OPTIONS, "scene")
    shown = matches_preview(image, planned, ("1", "2"))
    assert shown.shape == (3, 80, 160, 3)
    assert torch.equal(shown[1], torch.full_like(shown[1], 128 / 255))
    assert (shown[0, 43, 20:40] != 128 / 255).any()
    assert not torch.equal(shown[0, 43, 30], shown[0, 43, 115])


def text(length: int, seed: int = 0, **extra) -> list:
    generator = torch.Generator().manual_seed(seed)
    return [
        [
            torch.randn(1, length, 8, generator=generator),
            {"pooled_output": torch.randn(1, 4, generator=generator), **extra},
        ]
    ]


def test_texts_become_one_batch_row_by_row_and_shorter_ones_repeat() -> None:
    short, long = text(2, 1), text(3, 2)
    [[texts, extra]] = stacked([short, long, short])
    assert texts.shape == (3, 6, 8)
    assert torch.equal(texts[0], short[0][0][0].repeat(3, 1))
    assert torch.equal(texts[1], long[0][0][0].repeat(2, 1))
    assert torch.equal(extra["pooled_output"][1], long[0][1]["pooled_output"][0])


def test_only_conditionings_of_one_kind_run_together() -> None:
    same = kind_of(text(3, 1, guidance=3.5), equal_lengths=True)
    assert kind_of(text(3, 2, guidance=3.5), equal_lengths=True) == same
    assert kind_of(text(4, 2, guidance=3.5), equal_lengths=True) != same
    assert kind_of(text(4, 2, guidance=3.5), equal_lengths=False) == kind_of(
        text(3, 1, guidance=3.5), equal_lengths=False
    )
    assert kind_of(text(3, 1, guidance=30.0), equal_lengths=True) != same
    assert kind_of(text(3, 1, guidance=3.5) * 2, equal_lengths=True) != same
    assert kind_of([[text(3)[0][0], {"guidance": 3.5}]], equal_lengths=True) != same
    hint = torch.zeros(1)
    assert kind_of(text(3, control=hint), equal_lengths=True) == kind_of(
        text(3, 2, control=hint), equal_lengths=True
    )
    assert kind_of(text(3, control=hint), equal_lengths=True) != kind_of(
        text(3, control=torch.zeros(1)), equal_lengths=True
    )


def test_a_persons_text_takes_what_the_scene_has_and_forgets_the_pictures_size() -> None:
    control = object()
    scene = text(3, 1, guidance=30.0, control=control, width=4096, concat_mask=1)
    own = text(
        3, 2, width=4096, height=4096, crop_w=8, target_width=4096, concat_latent_image=object()
    )
    [[embedding, extra]] = face_text(own, scene, 0, "x")
    assert torch.equal(embedding, own[0][0])
    assert extra == {"guidance": 30.0, "control": control, "pooled_output": extra["pooled_output"]}
    assert torch.equal(extra["pooled_output"], own[0][1]["pooled_output"])
    assert face_text(text(3, 2, guidance=4.0), scene, 0, "x")[0][1]["guidance"] == 4.0
    [[embedding, extra]] = face_text(None, scene, 0, "x")
    assert torch.equal(embedding, scene[0][0])
    assert sorted(extra) == ["control", "guidance", "pooled_output"]


def test_a_conditioning_with_a_row_for_each_picture_gives_each_picture_its_own() -> None:
    texts = torch.randn(2, 3, 8)
    scene = [[texts, {"pooled_output": torch.tensor([[1.0], [2.0]])}]]
    [[embedding, extra]] = face_text(None, scene, 1, "x")
    assert torch.equal(embedding, texts[1:])
    assert extra["pooled_output"].item() == 2


def test_all_parts_of_a_conditioning_are_kept() -> None:
    both = [*text(3, 1), *text(3, 2, start_percent=0.5)]
    assert [entry[1].get("start_percent") for entry in face_text(both, text(3), 0, "x")] == [
        None,
        0.5,
    ]


@pytest.mark.parametrize("key", ["area", "mask", "gligen"])
def test_what_is_meant_for_a_place_in_the_picture_is_refused_by_name(key: str) -> None:
    with pytest.raises(PlanError, match=f"The text of person 1 carries '{key}'"):
        face_text(text(3, **{key: (1, 2)}), text(3), 0, "The text of person 1")
    with pytest.raises(PlanError, match="holds no text"):
        face_text([], text(3), 0, "The text")


def test_controlnets_are_replaced_in_every_entry() -> None:
    entries = [*text(3, control="a"), *text(3)]
    assert [entry[1].get("control") for entry in with_control(entries, str.upper)] == ["A", None]


def test_chunks_are_few_and_even() -> None:
    assert list(cut_up(range(7), 3)) == [[0, 1], [2, 3], [4, 5, 6]]
    assert list(cut_up(range(4), 9)) == [[0, 1, 2, 3]]
    assert list(cut_up([5, 9], 1)) == [[5], [9]]
    assert grouped(["a", "b", "a"], str) == [[0, 2], [1]]


def test_the_largest_batch_that_fits_the_memory() -> None:
    assert largest_batch(lambda count: 10 * count + 5, 40, 8) == 3
    assert largest_batch(lambda count: 10 * count, 1000, 8) == 8
    assert largest_batch(lambda count: 10 * count, 5, 8) == 1
    assert largest_batch(lambda count: 10 * count, -5, 8) == 1
