"""The service's HTTP API on the live host: prompts, what is refused and how it is told."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import requests
from comfyui_astria.tests.host.api_support import (
    SMALL,
    TIME,
    Api,
    api_of,
    faceid,
    png,
    problems,
    settings_of,
)
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from PIL import Image


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def test_a_prompt_is_run_and_lists_its_pictures(api: Api) -> None:
    prompt = api.create_prompt("a cat", seed=7, num_images=2)
    assert (prompt["images"], prompt["trained_at"], prompt["tune_id"], prompt["seed"]) == (
        [],
        None,
        690204,
        7,
    )
    done = api.finished(prompt)
    assert done["user_error"] is None
    assert TIME.fullmatch(done["trained_at"])
    assert TIME.fullmatch(done["started_training_at"])
    pictures = [api.picture(url) for url in done["images"]]
    assert [picture.size for picture in pictures] == [(64, 64)] * 2
    alone = api.finished(api.create_prompt("a cat", seed=8))
    first, second, alone_again = (
        np.asarray(one, int) for one in (*pictures, api.picture(alone["images"][0]))
    )
    # Two pictures at once are multiplied in another order than one, on some processors.
    assert abs(alone_again - second).max() <= 1 < abs(first - second).max()
    api.delete(f"/tunes/690204/prompts/{alone['id']}")
    assert api.get("/tunes/690204/prompts").json()[0] == done
    assert api.session.get(done["url"], timeout=60).json() == done
    assert api.delete(f"/tunes/690204/prompts/{done['id']}").status_code == 200
    assert api.get(f"/tunes/690204/prompts/{done['id']}").status_code == 404


def test_what_the_nodes_of_a_run_found_is_told_when_it_has_ended(api: Api, host: LiveHost) -> None:
    """Also of a run whose nodes ComfyUI's cache answers for."""
    path = write_tiny_lora(host.loras, "sd15", "api_told.safetensors")
    mask = base64.b64encode(png(64, 16)).decode()
    photo = base64.b64encode(png(64, 64)).decode()
    asked = {"seed": 5, "input_image_base64": photo, "mask_image_base64": mask}
    for _ in range(2):
        prompt = api.create_prompt("<lora:api_told:0.6> a cat", **asked)
        done = api.finished(prompt)
        assert not any("fits" in notice or "64x16" in notice for notice in prompt["notices"])
        more = done["notices"][len(prompt["notices"]) :]
        assert done["notices"][: -len(more)] == prompt["notices"]
        assert (
            "LoRA 'api_told.safetensors' at 0.6 on the whole model: fits 18 of 18 tensors." in more
        )
        assert any("64x16" in notice for notice in more)
        assert len(more) == 2
        assert api.get("/tunes/690204/prompts").json()[0]["notices"] == done["notices"]
    path.unlink()


def test_a_damaged_lora_is_named_with_what_to_do(api: Api, host: LiveHost) -> None:
    """On the whole picture and on a person."""
    path = write_tiny_lora(host.loras, "sd15", "sub/api_cut.safetensors")
    path.write_bytes(path.read_bytes()[:3000])
    for text, on in (
        ("<lora:sub/api_cut:1> a cat", "base.lora_1"),
        ("a street BREAK BREAK <lora:sub/api_cut:1> a woman", ""),
    ):
        done = api.finished(api.create_prompt(text))
        assert done["user_error"].startswith(f"node {on}")
        assert "The LoRA 'sub/api_cut.safetensors' cannot be read: " in done["user_error"]
        assert "download it again" in done["user_error"]
        assert str(host.base) not in done["user_error"]
    path.unlink()


def test_one_request_gives_one_picture_whatever_its_spelling(api: Api) -> None:
    form = {
        f"prompt[{key}]": value
        for key, value in {"text": "a dog", "seed": 5, "film_grain": False, **SMALL}.items()
    }
    multipart = {key: (None, str(value)) for key, value in form.items()}
    plain = {"text": "a dog", "seed": 5, **SMALL}
    spellings = ({"data": form}, {"files": multipart}, {"json": {"prompt": plain}}, {"json": plain})
    answers = [api.post("/tunes/690204/prompts", **how) for how in spellings]
    answers.append(api.post("/generate", json={"prompt": "a dog", "seed": 5, **SMALL}))
    done = [api.finished(answer.json()) for answer in answers]
    assert {api.picture(one["images"][0]).tobytes() for one in done} == {
        api.picture(done[0]["images"][0]).tobytes()
    }
    assert {one["text"] for one in done} == {"a dog"}
    assert {one["steps"] for one in done} == {1}


@pytest.mark.parametrize("how", ["file", "as printed", "base64", "data"])
def test_an_input_picture_comes_with_the_request(api: Api, host: LiveHost, how: str) -> None:
    content = png(64, 48, seed=9)
    folder = host.base / "input" / "astria"
    before = set(folder.glob("*"))
    sent = base64.b64encode(content).decode()
    attributes = {
        "text": "--outpaint center --outpaint_width 96 --outpaint_height 64",
        "denoising_strength": 0,
        "steps": 1,
    }
    if how in ("file", "as printed"):
        form = {f"prompt[{key}]": value for key, value in attributes.items()}
        name = (
            "prompt[input_image]" if how == "file" else "tune[prompts_attributes][0][input_image]"
        )
        answer = api.post(
            "/tunes/690204/prompts", data=form, files={name: ("../../x.png", content)}
        )
    else:
        picture = (
            {"input_image_base64": sent}
            if how == "base64"
            else {"input_image": f"data:image/png;base64,{sent}"}
        )
        answer = api.post("/tunes/690204/prompts", json={"prompt": {**attributes, **picture}})
    assert answer.status_code == 201, answer.text
    done = api.finished(answer.json())
    result = api.picture(done["images"][0]).convert("RGB")
    assert result.size == (96, 64)
    with Image.open(io.BytesIO(content)) as source:
        assert result.crop((16, 8, 80, 56)).tobytes() == source.convert("RGB").tobytes()
    api.delete(f"/tunes/690204/prompts/{done['id']}")
    assert set(folder.glob("*")) == before


def test_every_problem_of_a_prompt_is_told_at_once(api: Api) -> None:
    answer = api.post(
        "/tunes/690204/prompts",
        json={"prompt": {"text": "a <lora:x:abc> cat", "w": "abc", "steps": -1}},
    )
    assert answer.status_code == 422
    *told, missing = problems(answer)
    found = {one["field"]: one for one in told}
    assert set(found) == {"text", "w", "steps"}
    assert (missing["code"], missing["start"]) == ("missing-model", 2), "nor is there such a LoRA"
    text = "a <lora:x:abc> cat"
    assert text[found["text"]["start"] : found["text"]["end"]] == "abc"
    assert (found["text"]["line"], found["text"]["column"]) == (1, 11)
    assert all(one["hint"] for one in found.values())


def places(answer: requests.Response, text: str) -> dict[str, list[str]]:
    """Return code -> what each problem of it is about.

    The text between its offsets, else its field.
    """
    found: dict[str, list[str]] = {}
    for one in problems(answer):
        found.setdefault(one["code"], []).append(
            text[one["start"] : one["end"]] if one["field"] in ("text", "prompt") else one["field"]
        )
    return found


def test_problems_of_every_layer_are_told_together(api: Api, host: LiveHost) -> None:
    text = "a cat\n<lora:x:abc> <lora:nobody:1> --remove_background <faceid:noone:1>"
    sent = {
        "text": text,
        "steps": "abc",
        "callback": "http://127.0.0.1/",
        "input_image_base64": base64.b64encode(b"no picture").decode(),
        "mask_image_url": "https://example.com/a.png",
        "super_resolution": True,
    }
    answer = api.post("/tunes/690204/prompts", json=sent)
    assert answer.status_code == 422
    assert places(answer, text) == {
        "bad-address": ["callback"],
        "bad-picture": ["input_image_base64"],
        "fetching-is-off": ["mask_image_url"],
        "bad-number": ["abc", "steps"],
        "missing-model": ["", "<lora:x:abc>", "<lora:nobody:1>", "<faceid:noone:1>"],
    }
    nobody = next(one for one in problems(answer) if "nobody" in one["message"])
    assert (nobody["line"], nobody["column"]) == (2, 14)
    assert "upscaler" in next(one["message"] for one in problems(answer) if one["field"] == "")
    assert all(one["message"] in answer.json()["error"]["message"] for one in problems(answer))
    unknown = api.post("/tunes/31337/prompts", json=sent)
    assert unknown.status_code == 404
    assert places(unknown, text)["missing-base"] == [""]
    assert places(unknown, text)["missing-model"] == [
        "<lora:x:abc>",
        "<lora:nobody:1>",
        "<faceid:noone:1>",
    ]


def test_what_is_missing_is_told_with_the_place_of_its_tag(api: Api) -> None:
    text = "<lora:nobody:1> a cat, <lora:noone:.5>"
    for path, field in (("/tunes/690204/prompts", "text"), ("/generate", "prompt")):
        missing = api.post(
            path, json={field: text, "negative_prompt": "<nothing>", "super_resolution": True}
        )
        assert missing.status_code == 422
        assert places(missing, text) == {
            "missing-model": ["<lora:nobody:1>", "<lora:noone:.5>", "negative_prompt", ""]
        }
        assert {one["field"] for one in problems(missing)} == {field, "negative_prompt", ""}
    text = "<faceid:nobody:1> --only_upscale"
    both = api.post("/tunes/690204/prompts", json={"text": text})
    assert places(both, text) == {
        "no-input-image": [""],
        "missing-model": ["<faceid:nobody:1>"],
    }, "planning ended before the tag"


def test_what_is_read_from_another_programs_settings_is_told_with_what_to_write(api: Api) -> None:
    text = "a cat\nSteps: 2, Sampler: Euler a, Seed: 5, Clip skip: 2"
    sent = {"text": text, "w": 64, "h": 64, "width": 64}
    prompt = api.post("/tunes/690204/prompts", json={"prompt": sent}).json()
    told = "\n".join(prompt["notices"])
    assert "Steps as steps=2, Seed as seed=5, Sampler as scheduler=euler_a" in told
    assert "`Clip skip: 2` is left out. Put CLIP Set Last Layer" in told
    assert "`width` is not a known parameter. Did you mean w=?" in told


def test_fields_beside_the_object_are_told(api: Api) -> None:
    prompt = api.post(
        "/tunes/690204/prompts", json={"prompt": {"text": "a cat", **SMALL}, "seed": 5}
    ).json()
    assert prompt["notices"] == [
        "'seed' is not read: attributes stand inside prompt, as prompt[...]."
    ]
    assert prompt["seed"] is None
    tune = faceid(api, "beside", steps="7").json()
    assert tune["notices"][0] == "'steps' is not read: attributes stand inside tune, as tune[...]."
    assert tune["steps"] is None


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/tunes/31337/prompts", 404, "missing-base"),
        ("/tunes/..%2f/prompts", 404, None),
        ("/tunes/1504944x/prompts", 404, "missing-base"),
    ],
)
def test_an_id_that_nothing_has_is_not_found(
    api: Api, path: str, status: int, code: str | None
) -> None:
    answer = api.post(path, json={"text": "a cat"})
    assert answer.status_code == status
    assert code is None or answer.json()["error"]["type"] == code
    assert code is None or "there is no tune" in answer.json()["message"]
    assert api.get(path).status_code == 404


def test_a_tune_or_base_without_prompts_lists_none(api: Api) -> None:
    tune = faceid(api, "no prompts").json()
    listed = api.get(f"/tunes/{tune['id']}/prompts")
    assert (listed.status_code, listed.json()) == (200, [])
    base = api.get("/tunes/1504944/prompts")
    assert base.status_code == 200
    assert {one["tune_id"] for one in base.json()} <= {1504944}, "of other tests"


def test_a_run_that_fails_says_why(api: Api, host: LiveHost) -> None:
    (host.base / "input" / "broken.png").write_bytes(b"no picture")
    prompt = api.create_prompt(
        "--outpaint center --outpaint_width 96 --outpaint_height 96",
        input_image="broken.png",
        denoising_strength=0,
    )
    done = api.finished(prompt)
    assert "input.image (LoadImage)" in done["user_error"]
    assert (done["images"], done["trained_at"]) == ([], None)


def test_fetching_is_off_until_the_owner_turns_it_on(api: Api, host: LiveHost) -> None:
    url = "https://example.com/a.jpg"
    for answer in (
        api.post(
            "/tunes", json={"tune": {"title": "t", "model_type": "faceid", "image_urls": [url]}}
        ),
        api.post("/tunes/690204/prompts", json={"text": "a cat", "input_image_url": url}),
    ):
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "fetching-is-off")
        assert "fetch_urls = yes" in answer.json()["error"]["details"]


def test_finished_pictures_say_that_a_model_made_them(api: Api, host: LiveHost) -> None:
    def mark(prompt: dict) -> bool:
        picture = api.picture(api.finished(prompt)["images"][0])
        picture.load()
        assert "prompt" in picture.info
        return "trainedAlgorithmicMedia" in picture.info.get("XML:com.adobe.xmp", "")

    assert mark(api.create_prompt("a cat", seed=1))
    with settings_of(host, "mark_pictures = no\n"):
        assert not mark(api.create_prompt("a cat", seed=2))
    mock = api.post("/tunes", json={"title": "mock", "branch": "fast"}).json()
    assert not mark(api.create_prompt("a cat", tune=mock["id"]))
