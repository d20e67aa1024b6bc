"""kill -9 of the host at ten random moments of a training, of its callback and of its prompt.

And three times in a row in the midst of one training.
"""

from __future__ import annotations

import base64
import random
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.nodes.training.progress import DONE, read_progress
from comfyui_astria.tests.host.api_support import SMALL, Api, Receiver, png, set_up, until
from safetensors.torch import load_file

SETTINGS = "people_agreed = yes\nprivate_hosts = 127.0.0.1\nidempotent = yes\n"
KILLS = 10
TRIES = 3
STEPS = 400  # states are written every hundred
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


@pytest.mark.long
def test_after_three_crashes_it_fails_plainly_and_goes_on_to_the_same_file(tmp_path: Path) -> None:
    """Each time it goes on from its last state; with *Go on* it becomes what it would have been."""
    folder = set_up(tmp_path, settings=SETTINGS)
    options = HostOptions(tmp_path, test_pack=True)
    with Receiver() as receiver:
        sent = {**asked(1, receiver.url), "steps": STEPS}
        id = 0
        for crash in range(TRIES):
            process = Host(current(), options)
            process.start()
            try:
                api = Api(process.url)
                id = id or api.post("/tunes", json={"tune": sent}).json()["id"]
                wait_for_step(folder, id, crash * 100 + 110)
                assert process.process is not None
                process.process.kill()
            finally:
                process.stop()
            begun = f"the training of tune {id} goes on at step {crash * 100}"
            assert crash == 0 or begun in process.log_text()
        with Host(current(), options) as process:
            api = Api(process.url)
            failed = api.get(f"/tunes/{id}").json()
            said = "ComfyUI ended 3 times while this tune was trained."
            assert (failed["user_error"], failed["trained_at"]) == (said, None)
            [prompt] = api.get(f"/tunes/{id}/prompts").json()
            assert api.finished(prompt)["user_error"].startswith(f"Tune {id} was not trained: ")
            act = {"title": sent["title"], "act": "go on"}
            path = f"{process.url}/astria/editor/tunes/{id}/training"
            assert requests.post(path, json=act, timeout=60).ok
            until(lambda: api.get(f"/tunes/{id}").json()["trained_at"], 240)
            again = {**sent, "title": "uninterrupted", "prompts_attributes": []}
            whole = api.post("/tunes", json={"tune": again}).json()["id"]
            until(lambda: api.get(f"/tunes/{whole}").json()["trained_at"], 240)
            until(lambda: sorted(told(receiver, "tune").values()) == sorted([id, whole]))
    files = [
        load_file(tmp_path / "models" / "loras" / "astria" / f"tune-{one}.safetensors")
        for one in (id, whole)
    ]
    assert files[0].keys() == files[1].keys()
    assert all((files[0][key] == files[1][key]).all() for key in files[0])


def wait_for_step(folder: Path, id: int, step: int) -> None:
    """Wait until a training has told of so many steps."""

    def is_there() -> bool:
        progress = read_progress(folder, id)
        return progress is not None and progress.step >= step

    until(is_there, 240)


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
