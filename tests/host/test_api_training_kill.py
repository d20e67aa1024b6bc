"""kill -9 of the host at ten random moments of a training, of its callback and of its prompt."""

from __future__ import annotations

import base64
import random
import time
from pathlib import Path
from typing import Any

import pytest
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.nodes.training.progress import DONE, read_progress
from comfyui_astria.tests.host.api_support import SMALL, Api, Receiver, png, set_up, until

SETTINGS = "people_agreed = yes\nprivate_hosts = 127.0.0.1\nidempotent = yes\n"
KILLS = 10
LONGEST_S = 8.0  # a training of these takes about as long, its prompt included


def asked(number: int, callback: str) -> dict[str, Any]:
    return {
        "title": f"person {number}",
        "name": "woman",
        "model_type": "lora",
        "steps": 3,
        "images": [base64.b64encode(png(64, 64, number * 4 + one)).decode() for one in range(4)],
        "callback": callback,
        "prompts_attributes": [{"text": f"photo {number}", "callback": callback, **SMALL}],
    }


def is_over(api: Api, id: int) -> bool:
    tune = api.get(f"/tunes/{id}").json()
    assert tune["user_error"] is None
    [prompt] = api.get(f"/tunes/{id}/prompts").json()
    assert prompt["user_error"] is None
    return bool(tune["trained_at"] and prompt["trained_at"])


def wait_for(api: Api, ids: list[int]) -> None:
    until(lambda: all(is_over(api, id) for id in ids), 240)


@pytest.mark.long
def test_kill_9_at_ten_moments_loses_and_doubles_no_training(tmp_path: Path) -> None:
    folder = set_up(tmp_path, settings=SETTINGS)
    options = HostOptions(tmp_path, test_pack=True)
    moments = random.Random(17)
    ids: list[int] = []
    with Receiver() as receiver:
        for number in range(KILLS):
            process = Host(current(), options)
            process.start()
            try:
                api = Api(process.url)
                wait_for(api, ids)  # the one that was cut off before goes on
                made = api.post("/tunes", json={"tune": asked(number, receiver.url)})
                assert made.status_code == 201, made.text
                ids.append(made.json()["id"])
                time.sleep(moments.uniform(0, LONGEST_S))
                assert process.process is not None
                process.process.kill()
            finally:
                process.stop()
        with Host(current(), options) as process:
            api = Api(process.url)
            wait_for(api, ids)
            for number, id in enumerate(ids):
                again = api.post("/tunes", json={"tune": asked(number, receiver.url)}).json()
                assert again["id"] == id, "the same title is the same tune"
            until(lambda: len(told(receiver, "tune")) >= KILLS + KILLS)
            until(lambda: len(told(receiver, "prompt")) >= KILLS)
            check(api, tmp_path, folder, ids, receiver)


def told(receiver: Receiver, kind: str) -> dict[str, int]:
    """Return the deliveries about objects of a kind, each with the object's id."""
    return {one: body["id"] for one, body in list(receiver.arrived) if kind in body}


def check(api: Api, base: Path, folder: Path, ids: list[int], receiver: Receiver) -> None:
    """Assert that there is one of everything."""
    assert len(set(ids)) == KILLS
    # Once when it was trained, and once for the request that was sent again.
    assert sorted(told(receiver, "tune").values()) == sorted(ids + ids)
    prompts = [one["id"] for id in ids for one in api.get(f"/tunes/{id}/prompts").json()]
    assert sorted(told(receiver, "prompt").values()) == sorted(prompts)
    assert len(prompts) == KILLS
    assert {path.name for path in (base / "models" / "loras" / "astria").iterdir()} == {
        f"tune-{id}.safetensors" for id in ids
    }
    for id in ids:
        progress = read_progress(folder, id)
        assert progress is not None
        assert (progress.state, progress.step) == (DONE, 3)
        [prompt] = api.get(f"/tunes/{id}/prompts").json()
        assert len(prompt["images"]) == 1
        assert api.picture(prompt["images"][0]).size == (64, 64)
