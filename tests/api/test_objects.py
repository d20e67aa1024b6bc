"""The objects that the API answers with, and what it says of what is left out."""

from __future__ import annotations

import json

import pytest
from comfyui_astria.nodes.api.gallery import gallery_tune
from comfyui_astria.nodes.api.left_out import why_unanswered
from comfyui_astria.nodes.api.objects import (
    NULL_IN_PROMPT,
    NULL_IN_TUNE,
    NUMBERS,
    WHOLE,
    callback_body,
    prompt_object,
    tune_object,
)
from comfyui_astria.nodes.tunes.tune import Tune

ORIGIN = "http://127.0.0.1:8188"
TOLD = {
    "id": 1,
    "tune_id": "690204",
    "images": (),
    "notices": (),
    "liked": True,
    **dict.fromkeys(
        (
            "callback",
            "trained_at",
            "started_training_at",
            "created_at",
            "updated_at",
            "user_error",
        )
    ),
}
# As the service's pages and its own programs name them.
DOCUMENTED = """id callback trained_at started_training_at created_at updated_at tune_id text
    negative_prompt cfg_scale steps seed num_images scheduler w h ar aspect_ratio resolution style
    color_grading film_grain super_resolution hires_fix inpaint_faces face_correct face_swap use_lpw
    controlnet controlnet_conditioning_scale controlnet_txt2img denoising_strength backend_version
    prompt_expansion theme community workspace_id pack_id base_pack_id orig_prompt_id order_id
    cost_mc input_image mask_image image_references video_model video_prompt video_duration
    input_video url images"""
DOCUMENTED_OF_TUNE = """id title name is_api token base_tune_id args steps face_crop
    training_face_correct ckpt_url ckpt_urls eta callback trained_at started_training_at expires_at
    created_at branch model_type updated_at url orig_images preset characteristics auto_extend
    resolution pack_id order_id cost_mc"""


def test_every_documented_key_stands_in_the_objects() -> None:
    prompt = prompt_object(TOLD, {"text": "a cat"}, ORIGIN)
    assert set(DOCUMENTED.split()) <= set(prompt)
    assert {prompt[key] for key in NULL_IN_PROMPT} == {None}
    assert (prompt["image_references"], prompt["liked"]) == ([], True)
    tune = tune_object(Tune(title="a", id=3).to_json(), ORIGIN)
    assert set(DOCUMENTED_OF_TUNE.split()) <= set(tune)
    assert {tune[key] for key in NULL_IN_TUNE} == {None}


@pytest.mark.parametrize("key", sorted(WHOLE | NUMBERS))
def test_a_blank_number_is_not_set(key: str) -> None:
    for blank in (" ", "\u2028"):
        assert prompt_object(TOLD, {"text": "a", key: blank}, ORIGIN)[key] is None


@pytest.mark.parametrize("zero", [0, "0", "00", 0.0])
def test_zero_steps_are_not_set(zero: object) -> None:
    assert prompt_object(TOLD, {"text": "a", "steps": zero}, ORIGIN)["steps"] is None
    assert prompt_object(TOLD, {"text": "a", "seed": zero}, ORIGIN)["seed"] == 0


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (7, 7),
        ("0088", 88),
        ("x", None),
        ("", None),
        (True, None),
        ([1], None),
        (-1, None),
        ("9" * 5000, None),
    ],
)
def test_ids_that_a_prompt_was_sent_with_are_whole_numbers(sent: object, shown: object) -> None:
    assert prompt_object(TOLD, {"pack_id": sent}, ORIGIN)["pack_id"] == shown


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        ({"input_image_url": "https://example.com/a.jpg"}, "https://example.com/a.jpg"),
        (
            {"input_image": "astria/a b.png"},
            f"{ORIGIN}/view?filename=a+b.png&subfolder=astria&type=input",
        ),
        ({"input_image": "mine.png"}, f"{ORIGIN}/view?filename=mine.png&subfolder=&type=input"),
        ({"input_image": "data:image/png;base64,AAAA"}, None),
        ({"input_image": ["x"]}, None),
        ({}, None),
    ],
)
def test_the_picture_of_a_prompt_has_an_address(sent: dict, address: str | None) -> None:
    assert prompt_object(TOLD, sent, ORIGIN)["input_image"] == address


def test_a_callback_holds_the_object_twice() -> None:
    body = json.loads(callback_body("prompt", {"id": 1, "text": "ä"}))
    assert body == {"id": 1, "text": "ä", "prompt": {"id": 1, "text": "ä"}}


@pytest.mark.parametrize(
    ("id", "family", "shown"),
    [
        ("690204", "sd15", (690204, "Realistic Vision v5.1", "sd15")),
        ("mine", "flux_schnell", ("mine", "Base mine", "flux1")),
    ],
)
def test_a_base_is_shown_as_a_tune_that_is_ready(id: str, family: str, shown: tuple) -> None:
    told = tune_object(gallery_tune(id, family, 1700000000.9), ORIGIN)
    assert (told["id"], told["title"], told["branch"]) == shown
    assert told["trained_at"] == "2023-11-14T22:13:20.000Z"
    assert told["url"] == f"{ORIGIN}/astria/tunes/{id}.json"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/users", "left out here: users and their accounts of the service"),
        ("/users/invoices/", "left out here: users and their accounts of the service"),
        ("/themes.json", "left out here: themes of the service"),
        ("/video", "left out here: video of the service"),
        ("/usersx", "there is nothing at '/usersx'"),
    ],
)
def test_what_is_left_out_is_said_in_words(path: str, said: str) -> None:
    assert why_unanswered(path)[0] == said
