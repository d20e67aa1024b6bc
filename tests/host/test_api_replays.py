"""What public programs of the service do, written anew: each path from its first request on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

FETCHING = "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


@pytest.fixture
def app(host: LiveHost) -> Iterator[Receiver]:
    """A program's own server, which the API may fetch from and call back."""
    with Receiver() as own, settings_of(host, FETCHING):
        yield own


def test_a_headshot_app_gets_its_tune_and_then_its_pictures(api: Api, app: Receiver) -> None:
    """It makes a tune of photos on the web with its prompts, and then only listens."""
    own = f"http://127.0.0.1:{app.port}"
    known = "user_id=a-user&model_id=7&webhook_secret=s3cret"
    texts = ["portrait of ohwx man in a suit", "close up of ohwx man, glass building"]
    tune = {
        "title": "Jane's headshots",
        "base_tune_id": 690204,
        "name": "man",
        "branch": "sd15",
        "token": "ohwx",
        "model_type": "faceid",
        "image_urls": [f"{own}/photo-{number}" for number in range(4)],
        "callback": f"{own}/train-webhook?{known}",
        "prompts_attributes": [
            {
                "text": text,
                "callback": f"{own}/prompt-webhook?{known}",
                **SMALL,
                "num_images": 2,
            }
            for text in texts
        ],
    }
    created = api.post("/tunes", json={"tune": tune})
    assert created.status_code == 201, created.text
    until(lambda: len(app.arrived) == 3)
    bodies = [body for _, body in app.arrived]
    [trained] = [body for body in bodies if "tune" in body]
    assert trained["tune"]["id"] == created.json()["id"] == trained["id"]
    assert trained["tune"]["trained_at"], "it takes any such call as success"
    drawn = [body for body in bodies if "prompt" in body]
    assert sorted(body["prompt"]["text"] for body in drawn) == sorted(texts)
    for body in drawn:
        assert {key: body[key] for key in body["prompt"]} == body["prompt"], "bare fields as well"
        assert body["prompt"]["tune_id"] == trained["tune"]["id"]
        assert [api.picture(url).size for url in body["prompt"]["images"]] == [(64, 64)] * 2
    assert api.delete(f"/tunes/{created.json()['id']}").json()["id"] == created.json()["id"]


def test_a_refused_tune_calls_nobody_back(api: Api, app: Receiver) -> None:
    """Any callback of a tune means success to the apps, so a failure is told in the answer only."""
    sent = {"title": "t", "model_type": "lora", "callback": app.url}
    refused = api.post("/tunes", json={"tune": {**sent, "image_urls": []}})
    assert refused.status_code == 422
    bad = {"prompts_attributes": [{"text": "<lora:nobody:1>"}]}
    photo = {"image_urls": [f"http://127.0.0.1:{app.port}/1"], "model_type": "faceid"}
    refused = api.post("/tunes", json={"tune": {**sent, **photo, **bad}})
    assert refused.status_code == 422
    # Callbacks go in the order that they are owed in: one that comes after is the first.
    made = faceid(api, "after", **{"tune[callback]": app.url}).json()
    until(lambda: app.arrived)
    assert [body["tune"]["title"] for _, body in app.arrived] == ["after"]
    api.delete(f"/tunes/{made['id']}")


class CommandLine:
    """A client that works as the service's own command-line program does."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Return the answer's JSON; of a refusal raise what it shows to a person."""
        headers = {"Accept": "application/json", "X-Workspace-Id": "all"}
        answer = self.api.session.request(
            method, self.api.url + path, headers=headers, timeout=60, **options
        )
        told = answer.json()
        if answer.status_code >= 400:
            raise ValueError(f"HTTP {answer.status_code}: {told['message']}")
        return told

    def create(self, path: str, wrapper: str, **fields: Any) -> Any:
        form = [
            (f"{wrapper}[{key}]", value if isinstance(value, tuple) else (None, str(value)))
            for key, value in fields.items()
        ]
        return self.ask("POST", path, files=form)

    def wait(self, id: int) -> dict[str, Any]:
        """Poll by the id of the prompt alone until it has pictures or an error."""
        found: dict[str, Any] = {}

        def is_settled() -> bool:
            found.update(self.ask("GET", f"/prompts/{id}.json"))
            return bool(found["images"] or found["user_error"])

        until(is_settled)
        return found


def test_a_command_line_client_creates_waits_and_downloads(api: Api) -> None:
    client = CommandLine(api)
    [base] = client.ask("GET", "/gallery/tunes?branch=sd15&limit=200")
    title = {"title": "Studio shot", "name": "woman", "model_type": "faceid"}
    photo = ("face.png", png(seed=5))
    tune = client.create("/tunes", "tune", **title, base_tune_id=base["id"], **{"images][": photo})
    assert client.ask("GET", f"/tunes/{tune['id']}")["name"] == "woman"
    updated = client.ask("PATCH", f"/tunes/{tune['id']}", files=[("tune[title]", (None, "Ring"))])
    assert updated["title"] == "Ring"
    made = client.create(
        f"/tunes/{base['id']}/prompts", "prompt", text="white studio", **{**SMALL, "num_images": 2}
    )
    done = client.wait(made["id"])
    shown = {"text": "white studio", "num_images": 2, "cost_mc": None, "resolution": None}
    shown |= {"aspect_ratio": None, "pack_id": None, "order_id": None, "tune_id": base["id"]}
    assert {key: done[key] for key in shown} == shown
    assert [api.picture(url).size for url in done["images"]] == [(64, 64)] * 2
    with pytest.raises(ValueError, match=r"HTTP 422: .*steps.* Expected a whole number from 1"):
        client.create(f"/tunes/{base['id']}/prompts", "prompt", text="a", steps=99)
    with pytest.raises(ValueError, match="HTTP 404: left out here: users and their accounts"):
        client.ask("GET", "/users")
    for path in (f"/prompts/{done['id']}", f"/tunes/{tune['id']}"):
        assert client.ask("DELETE", path)["message"].endswith("successfully deleted")


def pages(ask: Callable[[dict[str, Any]], list[dict[str, Any]]], by: str) -> list[int]:
    """List as scripts do: until an empty page."""
    found: list[int] = []
    while page := ask({by: found[-1] if by == "before_id" else len(found)} if found else {}):
        found += [one["id"] for one in page]
        assert len(found) < 1000, "it would go on for ever"
    return found


@pytest.mark.parametrize("by", ["before_id", "offset"])
def test_a_script_lists_all_until_a_page_is_empty(api: Api, by: str) -> None:
    tunes = [faceid(api, f"listed {number}").json()["id"] for number in range(3)]
    made = [api.create_prompt(f"listed {number}")["id"] for number in range(3)]

    def of(path: str) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
        return lambda asked: requests.get(
            api.url + path, params={"limit": 2, **asked}, timeout=60
        ).json()

    listed = pages(of("/tunes"), by)
    assert listed[:3] == tunes[::-1]
    assert len(set(listed)) == len(listed)
    for path in ("/prompts", "/tunes/690204/prompts"):
        listed = pages(of(path), by)
        assert listed[:3] == made[::-1]
        assert len(set(listed)) == len(listed)
    for id in tunes:
        api.delete(f"/tunes/{id}")
    for id in made:
        api.delete(f"/prompts/{id}")
