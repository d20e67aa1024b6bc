"""The service's mock on the live host: tunes of branch fast, and their placeholders."""

from __future__ import annotations

import base64

import pytest
from comfyui_astria.tests.host.api_support import (
    SMALL,
    Api,
    Receiver,
    api_of,
    png,
    problems,
    settings_of,
    until,
)
from comfyui_astria.tests.host.fixtures import LiveHost

BUSINESS = "portrait of ohwx man wearing a business suit, {{eye_color}}, 80mm Sigma f/1.4"
PHOTO = base64.b64encode(png(seed=1)).decode()


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def fast(api: Api, title: str, **more: object) -> dict:
    sent = {"title": title, "branch": "fast", "images": [PHOTO], **more}
    answer = api.post("/tunes", json={"tune": sent})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_headshot_apps_whole_path_works_on_the_mock(api: Api, host: LiveHost) -> None:
    """It makes a tune of web addresses with two prompts, and waits for its webhooks."""
    with (
        Receiver() as trained,
        Receiver() as painted,
        settings_of(host, "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"),
    ):
        prompts = [
            {"text": text, "callback": painted.url, "num_images": 2}
            for text in (BUSINESS, "8k close up linkedin profile picture of ohwx man")
        ]
        photos = [f"http://127.0.0.1:{trained.port}/{number}.jpg" for number in range(4)]
        body = {
            "title": "headshots",
            "name": "man",
            "base_tune_id": 690204,
            "branch": "fast",
            "token": "ohwx",
            "image_urls": photos,
            "callback": trained.url,
            "characteristics": {"eye_color": "green eyes"},
            "prompts_attributes": prompts,
        }
        answer = api.post("/tunes", json={"tune": body})
        assert answer.status_code == 201, answer.text
        until(lambda: trained.arrived and len(painted.arrived) == 2)
    tune = answer.json()
    [(_, told)] = trained.arrived
    assert (told["tune"]["id"], told["id"]) == (tune["id"], tune["id"])
    assert told["trained_at"] == tune["trained_at"]
    assert tune["trained_at"] is not None
    assert api.picture(tune["orig_images"][3]).size == (64, 48)
    bodies = {body["text"]: body for _, body in painted.arrived}
    assert BUSINESS.replace("{{eye_color}}", "green eyes") in bodies
    for body in bodies.values():
        assert body["prompt"]["images"] == body["images"]
        pictures = [api.picture(url) for url in body["prompt"]["images"]]
        assert [picture.size for picture in pictures] == [(512, 512)] * 2
        assert pictures[0].tobytes() != pictures[1].tobytes()
        assert body["started_training_at"] <= body["trained_at"]
        assert "mock" in " ".join(body["notices"])
    assert {one["id"] for one in api.get(f"/tunes/{tune['id']}/prompts").json()} == {
        body["id"] for body in bodies.values()
    }


@pytest.mark.parametrize("kind", ["faceid", "lora", "checkpoint", "pti", None])
def test_a_mock_of_every_kind_is_ready_at_once_and_needs_no_model(
    api: Api, host: LiveHost, kind: str | None
) -> None:
    (host.state / "bindings.ini").write_text("", encoding="utf-8")
    tune = fast(api, f"mock {kind}", model_type=kind)
    assert (tune["branch"], tune["trained_at"] is not None) == ("fast", True)
    assert tune["model_type"] == ("lora" if kind == "pti" else kind)
    tag = f"<lora:{tune['id']}:1> <faceid:{tune['id']}:1>"
    prompt = api.create_prompt(f"{tag} ohwx man, <lora:nobody:1>", tune=tune["id"], w=72, h=40)
    assert [one for one in prompt["notices"] if "is not here" in one] == [
        "LoRA 'nobody' is not here: a mock needs none, a real base does."
    ]
    done = api.finished(prompt)
    assert done["user_error"] is None
    assert api.picture(done["images"][0]).size == (72, 40)
    assert api.delete(f"/tunes/{tune['id']}").status_code == 200
    api_of(host)


def test_a_placeholder_has_the_size_of_what_was_asked(api: Api) -> None:
    tune = fast(api, "sizes", base_tune_id=1504944)
    picture = base64.b64encode(png(80, 56)).decode()
    asked = {
        (896, 1152): {"ar": "4:5"},
        (1024, 1024): {},
        (80, 56): {"input_image_base64": picture},
        (96, 64): {"input_image_base64": picture, "w": 96, "h": 64, "super_resolution": True},
        (120, 88): {
            "text": "--outpaint center --outpaint_width 120 --outpaint_height 88",
            "input_image_base64": picture,
        },
    }
    found = {}
    for size, attributes in asked.items():
        sent = {"text": "a cat", **attributes}
        answer = api.post(f"/tunes/{tune['id']}/prompts", json={"prompt": sent})
        assert answer.status_code == 201, answer.text
        found[size] = answer.json()
    sizes = {size: api.picture(api.finished(one)["images"][0]).size for size, one in found.items()}
    assert sizes == {size: size for size in asked}
    again = [api.finished(api.create_prompt("a cat", tune=tune["id"], seed=7)) for _ in range(2)]
    assert len({api.picture(one["images"][0]).tobytes() for one in again}) == 1


def test_errors_of_the_text_are_told_and_a_mock_is_no_model_elsewhere(api: Api) -> None:
    tune = fast(api, "wrong", model_type="faceid")
    path = f"/tunes/{tune['id']}/prompts"
    answer = api.post(path, json={"text": "a <lora:x:abc> cat --nothing", "steps": -1})
    assert answer.status_code == 422
    assert sorted(one["field"] for one in problems(answer)) == ["steps", "text", "text"]
    missing = api.post(path, json={"text": "a cat", "input_image": "nowhere.png"})
    assert (missing.status_code, problems(missing)[0]["code"]) == (422, "picture-name")
    for tag in ("lora", "faceid"):
        text = f"a <{tag}:{tune['id']}:1> man"
        refused = api.post("/tunes/690204/prompts", json={"text": text, **SMALL})
        assert refused.status_code == 422
        [told] = problems(refused)
        assert f"tune {tune['id']} 'wrong' is a mock (branch=fast)" in told["message"]
        assert text[told["start"] : told["end"]] == f"<{tag}:{tune['id']}:1>"
    typed = {"text": "<faceid:wrong", "offset": 13}
    offered = api.session.post(f"{api.url}/complete", json=typed, timeout=60).json()["options"]
    assert not [one for one in offered if "wrong" in one["label"]]
    shown = api.session.get(f"{api.url}/editor/tunes", timeout=60).json()["tunes"][0]
    assert (shown["title"], shown["kind"], shown["tags"]) == ("wrong", "mock", [])
    bad = api.post("/tunes", json={"tune": {"title": "x", "branch": "fast", "model_type": "dog"}})
    assert (bad.status_code, problems(bad)[0]["field"]) == (422, "model_type")


def test_a_mocks_pictures_are_put_away_with_its_prompt(api: Api, host: LiveHost) -> None:
    folder = host.base / "input" / "astria"
    tune = fast(api, "swept")
    before = set(folder.glob("*"))
    done = api.finished(api.create_prompt("a cat", tune=tune["id"]))
    [picture] = set(folder.glob("*")) - before
    assert "astria_mock" in done["images"][0]
    api.delete(f"/tunes/{tune['id']}/prompts/{done['id']}")
    assert not picture.exists()


def test_a_mocks_prompt_made_again_has_the_picture_that_was_sent(api: Api, host: LiveHost) -> None:
    tune = fast(api, "again")
    own_file = host.base / "input" / "own_of_mock.png"
    own_file.write_bytes(png(80, 56))
    made = []
    with Receiver() as own, settings_of(host, "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"):
        address = f"http://127.0.0.1:{own.port}/once"
        for given in ({"input_image": own_file.name}, {"input_image_url": address}):
            sent = {"text": "a cat", **given}
            answer = api.post(f"/tunes/{tune['id']}/prompts", json={"prompt": sent})
            assert answer.status_code == 201, answer.text
            again = api.post(f"/prompts/{answer.json()['id']}/duplicate")
            assert again.status_code == 201, again.text
            made.append((answer.json(), again.json()))
        assert own.gets == ["/once"], "the picture is here, and its address may have expired"
    [(named, named_again), (_, fetched_again)] = made
    assert named_again["input_image"] == named["input_image"]
    shown = api.session.get(fetched_again["input_image"], timeout=60)
    assert shown.content == png()
    for one in (one for pair in made for one in pair):
        assert api.finished(one)["user_error"] is None
        api.delete(f"/prompts/{one['id']}")
    own_file.unlink()
