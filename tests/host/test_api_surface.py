"""The documented routes on the live host, with what programs rely on in their answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from comfyui_astria.tests.host.api_support import (
    SMALL,
    Api,
    Receiver,
    api_of,
    faceid,
    png,
    settings_of,
    until,
)
from comfyui_astria.tests.host.fixtures import LiveHost


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


@pytest.fixture(scope="module")
def prompts(api: Api) -> Iterator[list[dict[str, Any]]]:
    """Three prompts that are done, the newest first."""
    made = [api.create_prompt(f"surface {number}", seed=number) for number in range(3)]
    yield [api.finished(one) for one in reversed(made)]
    for one in made:
        api.delete(f"/prompts/{one['id']}")


def ask(api: Api, method: str, path: str, **options: Any) -> requests.Response:
    return api.session.request(method, api.url + path, timeout=60, **options)


@pytest.mark.parametrize(
    "path",
    [
        "/tunes",
        "/tunes/690204",
        "/gallery/tunes",
        "/openapi",
        "/prompts",
        "/prompts/{id}",
        "/tunes/690204/prompts",
        "/tunes/690204/prompts/{id}",
    ],
)
def test_an_address_is_read_with_and_without_json_and_a_slash(
    api: Api, prompts: list[dict[str, Any]], path: str
) -> None:
    filled = path.format(id=prompts[0]["id"])
    answers = [api.get(filled + ending) for ending in ("", ".json", "/", ".json/")]
    assert [one.status_code for one in answers] == [200] * 4
    assert all(one.json() == answers[0].json() for one in answers)


def test_a_post_may_end_in_json_and_a_slash_too(api: Api) -> None:
    for path in ("/generate.json", "/tunes/690204/prompts/", "/tunes/690204/prompts.json"):
        made = api.post(path, json={"prompt": "a cat", **SMALL})
        assert made.status_code == 201, made.text
        assert api.delete(f"/prompts/{made.json()['id']}.json").status_code == 200


def test_all_prompts_are_listed_whatever_their_tune(
    api: Api, prompts: list[dict[str, Any]]
) -> None:
    other = api.create_prompt("surface of flux", tune=1504944)
    listed = api.get("/prompts", params={"text": "surface"}).json()
    assert [one["id"] for one in listed] == [other["id"], *(one["id"] for one in prompts)]
    assert [one["tune_id"] for one in listed[:2]] == [1504944, 690204]
    of_all = [{"tune_id": one, "text": "SURFACE of"} for one in ("01504944", "1504944.json")]
    only, same = (api.get("/prompts", params=one).json() for one in of_all)
    assert [one["id"] for one in same] == [other["id"]]
    assert api.get("/prompts", params={"tune_id": "two words"}).status_code == 400
    assert [one["id"] for one in only] == [other["id"]]
    assert api.get(f"/prompts/{other['id']}").json()["id"] == other["id"]
    gone = api.delete(f"/prompts/{other['id']}")
    assert gone.json() == {"id": other["id"], "message": "Prompt successfully deleted"}
    assert api.get(f"/prompts/{other['id']}").status_code == 404
    assert api.delete(f"/prompts/{other['id']}").status_code == 404


@pytest.mark.parametrize("path", ["/prompts", "/tunes/690204/prompts"])
def test_pages_of_prompts_go_by_before_id_to_an_empty_one(
    api: Api, prompts: list[dict[str, Any]], path: str
) -> None:
    first = api.get(path, params={"limit": 2, "text": "surface "}).json()
    assert first == prompts[:2]
    asked = {"limit": 2, "text": "surface ", "before_id": first[-1]["id"]}
    assert api.get(path, params=asked).json() == prompts[2:]
    assert api.get(path, params={**asked, "before_id": prompts[-1]["id"]}).json() == []


@pytest.mark.parametrize("path", ["/tunes", "/prompts", "/tunes/690204/prompts"])
def test_what_a_list_cannot_do_is_said_and_not_passed_over(api: Api, path: str) -> None:
    assert api.get(path, params={"limit": 120}).status_code == 200
    names = (
        "page",
        "page[number]",
        "after",
        "starting_after",
        "before_id[]",
        "limit[]",
        "offset[]",
    )
    passed = [{name: "2"} for name in names]
    for wrong in ({"limit": 121}, {"before_id": "x"}, {"is_video": "true"}, *passed):
        answer = api.get(path, params=wrong)
        assert answer.status_code == 400
        [name] = wrong
        assert name in answer.json()["message"]
    assert "before_id" in api.get(path, params={"page": 2}).json()["message"]


def test_tunes_are_asked_for_by_what_they_are(api: Api) -> None:
    man = faceid(api, "asked for").json()
    woman = faceid(api, "asked for", **{"tune[name]": "woman"}).json()
    assert ids(api, title="asked for") == [woman["id"], man["id"]]
    assert ids(api, title="asked for", before_id=woman["id"]) == [man["id"]]
    assert ids(api, **{"title": "asked for", "name[]": ["man", "dog"]}) == [man["id"]]
    assert ids(api, title="asked for", model_type="lora") == []
    for tune in (man, woman):
        deleted = api.delete(f"/tunes/{tune['id']}").json()
        assert deleted == {"id": tune["id"], "message": "Tune successfully deleted"}


def ids(api: Api, **asked: Any) -> list[int]:
    return [one["id"] for one in api.get("/tunes", params=asked).json()]


def test_a_prompt_is_made_once_more_with_what_is_changed(
    api: Api, host: LiveHost, prompts: list[dict[str, Any]]
) -> None:
    old = prompts[0]
    with settings_of(host, "idempotent = yes\n"):
        same = api.post(f"/prompts/{old['id']}/duplicate")
        other = api.post(
            f"/tunes/690204/prompts/{old['id']}/duplicate.json",
            json={"prompt": {"text": "surface changed"}, "image_index": 0},
        )
    assert (same.status_code, other.status_code) == (201, 201), other.text
    assert same.json()["id"] > old["id"]
    assert (other.json()["text"], other.json()["seed"]) == ("surface changed", old["seed"])
    assert other.json()["notices"][0].startswith("image_index has no effect")
    again, changed = api.finished(same.json()), api.finished(other.json())
    pictures = [api.picture(one["images"][0]).tobytes() for one in (old, again, changed)]
    assert pictures[0] == pictures[1] != pictures[2]
    assert api.post("/prompts/0/duplicate").status_code == 404
    refused = api.post(f"/prompts/{old['id']}/duplicate", json={"prompt": {"steps": 99}})
    assert refused.status_code == 422
    for one in (again, changed):
        api.delete(f"/prompts/{one['id']}")


def test_a_picture_stays_as_long_as_the_last_prompt_that_it_came_with(
    api: Api, host: LiveHost
) -> None:
    folder = host.base / "input" / "astria"
    before = set(folder.glob("*"))
    with Receiver() as own, settings_of(host, FETCHING):
        asked = {
            "text": "--outpaint center --outpaint_width 96 --outpaint_height 96",
            "denoising_strength": 0,
            "steps": 1,
            "input_image_url": f"http://127.0.0.1:{own.port}/once",
        }
        first = api.post("/tunes/690204/prompts", json={"prompt": asked}).json()
        assert first["input_image"] == asked["input_image_url"]
        second = api.post(f"/prompts/{first['id']}/duplicate").json()
        assert own.gets == ["/once"], "the picture is here, and its address may have expired"
    api.delete(f"/prompts/{first['id']}")
    shown = api.session.get(second["input_image"], timeout=60)
    assert shown.content == png()
    assert api.finished(second)["user_error"] is None
    third = api.post(
        f"/prompts/{second['id']}/duplicate",
        files={"prompt[input_image]": ("a.png", png(48, 48, seed=3))},
    ).json()
    assert api.session.get(third["input_image"], timeout=60).content == png(48, 48, seed=3)
    for one in (second, third):
        api.delete(f"/prompts/{one['id']}")
    assert set(folder.glob("*")) <= before


def test_likes_are_kept_and_shown(api: Api, prompts: list[dict[str, Any]]) -> None:
    path = f"/prompts/{prompts[1]['id']}"
    assert api.get(path).json()["liked"] is False
    for spelled in ("likes", "like"):
        liked = api.post(f"{path}/{spelled}")
        assert (liked.status_code, liked.json()) == (201, {**prompts[1], "liked": True})
        found = api.get("/prompts", params={"liked": "true", "text": "surface"}).json()
        assert [one["id"] for one in found] == [prompts[1]["id"]]
        assert api.delete(f"{path}/{spelled}").json()["liked"] is False
    assert api.get(path).json() == prompts[1]
    assert api.post("/prompts/0/likes").status_code == 404


def test_a_tune_is_changed_or_it_is_said_why_not(api: Api) -> None:
    tune = faceid(api, "to change").json()
    path = f"/tunes/{tune['id']}"
    changed = ask(
        api,
        "PATCH",
        path,
        json={"tune": {"title": "changed", "name": "woman", "auto_extend": True}},
    )
    assert changed.status_code == 200, changed.text
    assert (changed.json()["title"], changed.json()["name"]) == ("changed", "woman")
    assert changed.json()["notices"] == ["auto_extend has no effect here."]
    assert api.get(path).json()["title"] == "changed"
    form = ask(api, "PATCH", path, data={"tune[base_tune_id]": "1504944"})
    assert form.json()["base_tune_id"] == 1504944
    sent = {"title": "no", "branch": "flux1", "images": [], "token": "", "base_tune_id": "x"}
    refused = ask(api, "PATCH", path, json={"tune": sent})
    assert refused.status_code == 422
    told = refused.json()["error"]["extra_info"]["problems"]
    assert [one["field"] for one in told] == ["branch", "images", "token", "base_tune_id"]
    assert api.get(path).json()["title"] == "changed"
    assert ask(api, "PATCH", "/tunes/0", json={"title": "a"}).status_code == 404
    api.delete(path)


def test_the_gallery_lists_the_bases_that_are_bound(api: Api, host: LiveHost) -> None:
    bindings = host.state / "bindings.ini"
    before = bindings.read_text(encoding="utf-8")
    own = "\n[base 0042]\nfamily = sdxl\ncheckpoint = tiny_sdxl.safetensors\n"
    try:
        bindings.write_text(before + own, encoding="utf-8")
        found = api.get("/gallery/tunes", params={"limit": 200}).json()
        assert [(one["id"], one["title"], one["branch"]) for one in found] == [
            (1504944, "Flux1.dev", "flux1"),
            (690204, "Realistic Vision v5.1", "sd15"),
            (42, "Base 42", "sdxl1"),
        ]
        assert all(one["trained_at"] for one in found)
        assert api.session.get(found[0]["url"], timeout=60).json() == found[0]
        assert api.get("/gallery/tunes", params={"branch": "sdxl1"}).json() == found[2:]
        assert api.get("/gallery/tunes", params={"before_id": 690204}).json() == found[2:]
        made = api.create_prompt("a cat", tune="0042")
        assert (made["tune_id"], api.finished(made)["user_error"]) == (42, None)
        assert [one["id"] for one in api.get("/tunes/42/prompts").json()] == [made["id"]]
        api.delete(f"/prompts/{made['id']}")
    finally:
        bindings.write_text(before, encoding="utf-8")


def test_an_id_is_one_whatever_its_leading_zeros(api: Api) -> None:
    tune = faceid(api, "zeros").json()
    assert api.get(f"/tunes/00{tune['id']}.json").json()["title"] == "zeros"
    prompt = api.create_prompt("a cat", tune=f"00{tune['id']}")
    assert prompt["tune_id"] == tune["id"]
    assert api.get(f"/tunes/{tune['id']}/prompts/000{prompt['id']}").json()["id"] == prompt["id"]
    assert [one["id"] for one in api.get(f"/tunes/0{tune['id']}/prompts").json()] == [prompt["id"]]
    api.delete(f"/tunes/0{tune['id']}")
    assert api.get(f"/prompts/{prompt['id']}").status_code == 404


FETCHING = "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"


def test_no_prompt_outlives_its_tune(api: Api, host: LiveHost) -> None:
    """The tune goes while a prompt at it waits for its picture."""
    tune = faceid(api, "going").json()
    answers: list[requests.Response] = []
    with Receiver() as own, settings_of(host, FETCHING):
        asked = {"text": "a cat", "input_image_url": f"http://127.0.0.1:{own.port}/slow", **SMALL}
        thread = threading.Thread(
            target=lambda: answers.append(api.post(f"/tunes/{tune['id']}/prompts", json=asked))
        )
        thread.start()
        until(lambda: own.gets == ["/slow"])
        deleted = requests.delete(f"{api.url}/tunes/{tune['id']}", timeout=60)
        assert deleted.status_code == 200
        own.let_go.set()
        thread.join()
    [answer] = answers
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not-found")
    assert "was deleted" in answer.json()["message"]
    assert api.get("/prompts", params={"tune_id": tune["id"]}).json() == []
    assert api.get(f"/tunes/{tune['id']}/prompts").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/tunes", "GET, HEAD, POST"),
        ("GET", "/generate", "POST"),
        ("POST", "/tunes/1", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/prompts", "GET, HEAD"),
        ("PUT", "/prompts/1/", "DELETE, GET, HEAD"),
        ("POST", "/gallery/tunes.json", "GET, HEAD"),
        ("GET", "/parse", "POST"),
        ("POST", "/editor/models", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_told_in_json_with_the_right_ones(
    api: Api, method: str, path: str, allowed: str
) -> None:
    answer = ask(api, method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    told = answer.json()
    assert told["error"]["type"] == "wrong-method"
    assert told["message"].endswith(f"does not take {method}. It takes {allowed}.")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/users", "left out here: users and their accounts of the service"),
        ("/themes.json", "left out here: themes of the service"),
        ("/workspaces/1", "left out here: workspaces of the service"),
        ("/cli/models", "GET /gallery/tunes"),
        ("/nonsense", "there is nothing at '/nonsense'"),
        ("/tunes/1/nonsense", "openapi.json"),
        ("/editor/nonsense", "there is nothing at '/editor/nonsense'"),
        ("/tunes/%00/prompts", "there is no"),
        ("/tunes/..%2f", "there is"),
        ("", "there is nothing at '/'"),
        ("/", "there is nothing at '/'"),
    ],
)
def test_what_is_not_here_is_told_in_json(api: Api, path: str, said: str) -> None:
    for url in (api.url, api.url.replace("/astria", "/api/astria")):
        answer = api.session.get(url + path, timeout=60)
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "not-found"
        assert said in answer.json()["message"]


def test_a_key_is_asked_for_before_anything_is_told(api: Api, host: LiveHost) -> None:
    with settings_of(host, "key = a-secret-of-the-owner\n"):
        answers = [ask(api, "GET", "/users"), ask(api, "PUT", "/tunes")]
    assert [one.status_code for one in answers] == [401, 401]
    assert all(one.json()["error"]["type"] == "wrong-key" for one in answers)


def test_zero_steps_leave_the_steps_to_the_family(api: Api) -> None:
    for zero in (0, "0"):
        made = api.create_prompt("a cat", steps=zero)
        assert (made["steps"], made["notices"]) == (None, [])
        api.delete(f"/prompts/{made['id']}")
    tune = faceid(api, "no steps", **{"tune[steps]": "0"}).json()
    assert tune["steps"] is None
    api.delete(f"/tunes/{tune['id']}")


def test_attributes_of_the_service_without_meaning_here_are_told(api: Api) -> None:
    sent = {
        "base_pack_id": "88",
        "resolution": "2K",
        "video_model": "any",
        "image_reference_urls": ["https://example.com/a.jpg"],
        "theme": "",
    }
    made = api.create_prompt("a cat", **sent)
    assert made["notices"] == [
        "base_pack_id has no effect here.",
        "resolution has no effect here.",
        "video_model has no effect here.",
        "image_reference_urls has no effect here.",
    ]
    assert (made["base_pack_id"], made["resolution"], made["pack_id"]) == (88, None, None)
    found = api.get("/prompts", params={"base_pack_id": "88"}).json()
    assert [one["id"] for one in found] == [made["id"]]
    api.delete(f"/prompts/{made['id']}")
