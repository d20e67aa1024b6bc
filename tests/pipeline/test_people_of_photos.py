"""The people of an input image in a plan: found, kept in place, drawn again by later stages."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.graph.graph import Link, Socket

from .support import equipped, plan_text, store_with_photos

TWO_OF_A_PHOTO = "BREAK BREAK <lora:1533312:1> ohwx woman BREAK <lora:1558021:1> ohwx man"


@pytest.mark.parametrize("how", ["denoising_strength=0", "--only_upscale"])
def test_persons_count_where_only_the_faces_of_a_photo_are_drawn(how: str) -> None:
    nodes = equipped(
        f"{TWO_OF_A_PHOTO}"
        f" {how if '--' in how else ''}\ninpaint_faces=true\n{how if '=' in how else ''}",
        image=True,
    ).graph.nodes
    faces = nodes["inpaint_faces.faces"].inputs
    assert faces["persons"] == Link("inpaint_faces.person_2")
    assert nodes["inpaint_faces.person_1"].inputs["loras"] == Link("inpaint_faces.person_1_lora_1")
    assert nodes["inpaint_faces.person_2_positive"].inputs["text"] == "ohwx man"
    assert "regions" not in faces, (
        "nobody has laid out where they are: faces go by likeness, then from left to right"
    )


def test_persons_count_where_a_photo_is_only_enlarged_and_sampled_again() -> None:
    nodes = equipped(
        f"{TWO_OF_A_PHOTO}\nhires_fix=true\ninpaint_faces=true\ndenoising_strength=0", image=True
    ).graph.nodes
    assert nodes["hires_fix.regions"].inputs["masks"] == Link("hires_fix.find_people")
    assert (
        nodes["hires_fix.find_people"].inputs["image"]
        == nodes["hires_fix.regions"].inputs["image"]
        == Link("hires_fix.upscale")
    )
    assert nodes["hires_fix.guider"].inputs["model"] == Link("hires_fix.regional")
    faces = nodes["inpaint_faces.faces"].inputs
    assert (faces["persons"], faces["regions"]) == (
        Link("hires_fix.person_2"),
        Link("hires_fix.regions"),
    )
    drawn = equipped(
        f"{TWO_OF_A_PHOTO}\nhires_fix=true\ndenoising_strength=0", image=True, person_masks=True
    ).graph.nodes
    assert drawn["hires_fix.regions"].inputs["masks"] == Link("hires_fix.fit_people")


def test_the_background_is_kept_through_hires_fix() -> None:
    nodes = plan_text(f"{TWO_OF_A_PHOTO}\nhires_fix=true", image=True).graph.nodes
    assert nodes["hires_fix.mask_picture"].inputs["mask"] == Link("base.regions", 2)
    assert nodes["hires_fix.keep_unmasked"].inputs["original"] == Link("hires_fix.upscale")
    assert (
        "hires_fix.keep_unmasked"
        not in plan_text(f"a street {TWO_OF_A_PHOTO}\nhires_fix=true", image=True).graph.nodes
    )


@pytest.mark.parametrize("later", ["inpaint_faces=true", "face_swap=true", "hires_fix=true"])
def test_stages_behind_a_padded_picture_get_regions_without_the_padding(
    tmp_path: Path, later: str
) -> None:
    """640x360 is padded to 640x368 for Flux, an input image to what it needs."""
    text = f"a street BREAK BREAK <faceid:7:1> woman BREAK <faceid:8:1> man\n{later}"
    store = store_with_photos(tmp_path, 7, 8)
    new = equipped(f"{text}\nw=640\nh=360", "flux", store=store).graph.nodes
    assert (new["base.regions"].inputs["height"], new["base.kept.regions"].inputs["height"]) == (
        368,
        360,
    )
    assert new["base.crop_people"].inputs == {
        "mask": Link("base.regions", 1),
        "x": 0,
        "y": 0,
        "width": 640,
        "height": 360,
    }
    assert new["base.kept.regions"].inputs["masks"] == Link("base.crop_people")
    photo = equipped(text, "flux", store=store, image=True).graph.nodes
    kept = photo["base.kept.regions"].inputs
    assert (kept["masks"], kept["fit"], kept["image"]) == (
        Link("base.regions", 1),
        Link("base.fit", 2),
        Link("base.fit"),
    )
    stage = {"inpaint_faces=true": "inpaint_faces.faces", "face_swap=true": "face_swap.swap"}.get(
        later
    )
    if stage is not None:
        assert (
            new[stage].inputs["regions"]
            == photo[stage].inputs["regions"]
            == Link("base.kept.regions")
        )
    assert (
        "base.kept.regions"
        not in equipped(f"{text}\nw=640\nh=352", "flux", store=store).graph.nodes
    )


def test_people_who_touch_are_told_apart_by_who_finds_them_and_not_by_their_drawn_skeletons() -> (
    None
):
    text = "a street BREAK BREAK ohwx woman BREAK ohwx man\ncontrolnet=pose"
    found = equipped(text, image=True).graph.nodes
    assert found["base.regions"].inputs["masks"] == Link("base.find_people")
    assert "pose_image" not in found["base.regions"].inputs
    assert found["base.control_pose"].inputs["image"] == Link("base.pose_map")


def test_people_of_a_picture_that_only_steers_are_found_too() -> None:
    text = (
        "a street BREAK BREAK ohwx woman BREAK ohwx man\ncontrolnet=canny\ncontrolnet_txt2img=true"
    )
    assert equipped(text, image=True).graph.nodes["base.regions"].inputs["masks"] == Link(
        "base.find_people"
    )


def test_people_of_an_input_image_are_found_by_a_segmenter_and_otherwise_it_is_said() -> None:
    text = "BREAK BREAK ohwx woman BREAK ohwx man"
    nodes = plan_text(text, image=True, segmenter=True).graph.nodes
    assert nodes["base.find_people"].inputs == {
        "image": Link("base.fit"),
        "segmenter": Socket("segmenter"),
        "persons": 2,
        "word": "person",
    }
    assert nodes["base.regions"].inputs["masks"] == Link("base.find_people")
    without = plan_text(text, image=True)
    assert [one.code for one in without.problems] == ["people-not-found"]
    assert "masks" not in without.graph.nodes["base.regions"].inputs
    drawn = plan_text(text, image=True, segmenter=True, person_masks=True).graph.nodes
    assert drawn["base.regions"].inputs["masks"] == Link("base.fit_people")
    assert "base.find_people" not in drawn
