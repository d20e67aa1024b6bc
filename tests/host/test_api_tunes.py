"""The service's HTTP API on the live host: tunes, and the bases and roles that stand for files."""

from __future__ import annotations

import base64

import pytest
from comfyui_astria.nodes.api.objects import NULL_IN_TUNE
from comfyui_astria.tests.host.api_support import SMALL, TIME, Api, api_of, faceid, png, problems
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def test_a_faceid_tune_is_ready_at_once(api: Api) -> None:
    answer = faceid(api, "John Doe")
    assert answer.status_code == 201, answer.text
    tune = answer.json()
    assert tune.pop("notices") == [
        "The photos are not checked for faces: no face_analysis is bound."
    ]
    assert list(tune) == [
        "id",
        "title",
        "name",
        "is_api",
        "token",
        "base_tune_id",
        "args",
        "steps",
        "face_crop",
        "training_face_correct",
        "ckpt_url",
        "ckpt_urls",
        "eta",
        "trained_at",
        "started_training_at",
        "expires_at",
        "created_at",
        "branch",
        "model_type",
        "updated_at",
        "url",
        "orig_images",
        "characteristics",
        "pack_id",
        "preset",
        "user_error",
        *NULL_IN_TUNE,
    ]
    assert (tune["title"], tune["name"], tune["base_tune_id"], tune["branch"]) == (
        "John Doe",
        "man",
        690204,
        "sd15",
    )
    assert TIME.fullmatch(tune["trained_at"])
    photos = [api.session.get(url, timeout=60).content for url in tune["orig_images"]]
    assert photos == [png(seed=1), png(seed=2)]
    assert (
        api.session.get(tune["url"], timeout=60).json()
        == api.get(f"/tunes/{tune['id']}").json()
        == tune
    )


def test_a_photo_set_is_told_that_it_is_not_trained(api: Api) -> None:
    sent = {"tune[steps]": "300", "tune[face_crop]": "true", "tune[training_face_correct]": "0"}
    tune = faceid(api, "not trained", **sent).json()
    assert (tune["steps"], tune["face_crop"]) == (300, True)
    assert tune["notices"][1:] == [
        f"{key} is kept and has no effect: this tune is not trained."
        for key in ("steps", "face_crop")
    ]
    api.delete(f"/tunes/{tune['id']}")


def test_tunes_are_listed_in_pages_and_deleted(api: Api) -> None:
    ids = [faceid(api, f"page {number}").json()["id"] for number in range(3)]
    newest = [tune["id"] for tune in api.get("/tunes", params={"limit": 2}).json()]
    assert newest == ids[:0:-1]
    assert [
        tune["id"] for tune in api.get("/tunes", params={"offset": 2, "limit": 1}).json()
    ] == ids[:1]
    assert [tune["id"] for tune in api.get("/tunes", params={"title": "page 1"}).json()] == [ids[1]]
    assert api.delete(f"/tunes/{ids[1]}").status_code == 200
    assert api.get(f"/tunes/{ids[1]}").status_code == 404
    assert api.delete(f"/tunes/{ids[1]}").status_code == 404
    for page in (
        {"limit": "121"},
        {"limit": "-1"},
        {"limit": "x"},
        {"offset": "1.5"},
        {"offset": "9" * 30},
    ):
        assert {
            api.get(path, params=page).status_code for path in ("/tunes", "/tunes/690204/prompts")
        } == {400}


def test_every_problem_of_a_tune_is_told_at_once(api: Api) -> None:
    before = api.get("/tunes").json()
    wrong = {
        "base_tune_id": "x",
        "branch": "sd9",
        "callback": "http://127.0.0.1/",
        "steps": "many",
        "images": ["%", base64.b64encode(b"no").decode()],
        "image_urls": ["https://example.com/a.jpg"],
    }
    answer = api.post("/tunes", json={"tune": wrong})
    assert answer.status_code == 422
    told = [one["field"] for one in problems(answer) if one["code"] != "training-agreement"]
    assert told == [
        "callback",
        "base_tune_id",
        "steps",
        "title",
        "branch",
        "images",
        "images",
        "image_urls",
    ]
    bad = ({"text": "a", "seed": "abc"}, {"text": "a"}, {"text": "<lora:nobody:1>", "steps": "-1"})
    prompts = {
        f"tune[prompts_attributes][{number}][{key}]": value
        for number, one in enumerate(bad)
        for key, value in one.items()
    }
    refused = faceid(api, "with bad ones", **prompts)
    assert refused.status_code == 422
    assert [one["field"] for one in problems(refused)] == [
        f"prompts_attributes[{name}" for name in ("0][seed]", "2][steps]", "2][text]")
    ]
    assert api.get("/tunes").json() == before


def test_a_lora_tune_takes_a_file_on_the_disk_or_an_upload(api: Api, host: LiveHost) -> None:
    write_tiny_lora(host.loras, "sd15", "api_person.safetensors")
    named = api.post(
        "/tunes",
        data={"tune[title]": "on disk", "tune[model_type]": "lora", "tune[file]": "api_person"},
    ).json()
    content = (host.loras / "api_person.safetensors").read_bytes()
    sent = api.post(
        "/tunes",
        data={"tune[title]": "sent", "tune[model_type]": "lora"},
        files={"tune[file]": ("../p.safetensors", content)},
    ).json()
    for tune in (named, sent):
        assert (
            api.finished(api.create_prompt(f"<lora:{tune['id']}:1> ohwx man", seed=3))["user_error"]
            is None
        )
    assert len(list((host.loras / "astria").iterdir())) == 1
    assert api.delete(f"/tunes/{sent['id']}").status_code == 200
    assert list((host.loras / "astria").iterdir()) == []
    absent = api.post(
        "/tunes",
        data={"tune[title]": "no", "tune[model_type]": "lora", "tune[file]": "../api_person"},
    )
    assert (absent.status_code, absent.json()["error"]["type"]) == (422, "missing-model")


def test_a_checkpoint_tune_paints_its_own_prompts(api: Api) -> None:
    sent = {
        "title": "own model",
        "model_type": "checkpoint",
        "branch": "sdxl1",
        "file": "tiny_sdxl.safetensors",
    }
    tune = api.post("/tunes", json={"tune": sent}).json()
    assert api.finished(api.create_prompt("a cat", tune=tune["id"]))["user_error"] is None


def test_prompts_come_with_their_tune_or_not_at_all(api: Api) -> None:
    attributes = {
        "tune[prompts_attributes][0][text]": "a cat",
        "tune[prompts_attributes][0][steps]": 1,
        "tune[prompts_attributes][0][w]": 64,
        "tune[prompts_attributes][0][h]": 64,
    }
    tune = faceid(api, "with prompts", **attributes).json()
    [prompt] = api.get(f"/tunes/{tune['id']}/prompts").json()
    assert api.finished(prompt)["images"]
    before = api.get("/tunes").json()
    refused = faceid(
        api,
        "with a bad one",
        **attributes,
        **{"tune[prompts_attributes][1][text]": "<lora:nobody:1>"},
    )
    assert refused.status_code == 422
    assert api.get("/tunes").json() == before
    api.delete(f"/tunes/{tune['id']}")
    assert api.get(f"/tunes/{tune['id']}/prompts").status_code == 404


def test_a_base_that_is_not_bound_is_guessed_and_written_down(api: Api, host: LiveHost) -> None:
    bindings = host.base / "user" / "__astria" / "bindings.ini"
    before = bindings.read_text(encoding="utf-8")
    model = host.base / "models" / "checkpoints" / "realisticVisionV51.safetensors"
    was_there = model.exists()
    bindings.write_text("# mine\n", encoding="utf-8")
    try:
        model.touch()
        prompt = api.create_prompt("a cat")
        assert prompt["notices"][0].startswith("Base 690204 was not bound; it is now")
        text = (
            "# mine\n\n[base 690204]\nfamily = sd15\ncheckpoint = realisticVisionV51.safetensors\n"
        )
        assert bindings.read_text(encoding="utf-8") == text
        assert api.finished(prompt)["user_error"] is None
        assert (
            api.finished(api.post("/generate", json={"prompt": "a cat", **SMALL}).json())["tune_id"]
            == 690204
        )
    finally:
        bindings.write_text(before, encoding="utf-8")
        if not was_there:
            model.unlink()


def test_a_role_that_is_not_bound_is_guessed_too(api: Api, host: LiveHost) -> None:
    bindings = host.state / "bindings.ini"
    model = host.base / "models" / "upscale_models" / "4x-UltraSharp.pth"
    before = bindings.read_text(encoding="utf-8")
    asked = {"json": {"text": "a cat", "super_resolution": True, **SMALL}}
    assert api.post("/tunes/690204/prompts", **asked).status_code == 422
    model.parent.mkdir(exist_ok=True)
    model.touch()
    try:
        made = api.post("/tunes/690204/prompts", **asked).json()
        assert "upscaler = 4x-UltraSharp.pth" in made["notices"][0]
        assert (
            bindings.read_text(encoding="utf-8")
            == f"{before}\n[roles]\nupscaler = 4x-UltraSharp.pth\n"
        )
        assert api.picture(api.finished(made)["images"][0]).size == (256, 256)
        assert not any(
            "not bound" in notice
            for notice in api.post("/tunes/690204/prompts", **asked).json()["notices"]
        )
    finally:
        bindings.write_text(before, encoding="utf-8")
        model.unlink()
