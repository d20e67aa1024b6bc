"""A fleet of two real ComfyUIs on tiny models, behind a real API: each part is killed in the middle
of 40 prompts, and a ComfyUI in the middle of a training.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_astria.devtools.base import TEST_PACK_FOLDER
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.devtools.paths import FLEET_VENV
from comfyui_astria.nodes.training.progress import read_progress
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.tests.fleet.cluster import Cluster, cluster_in, until
from comfyui_astria.tests.fleet.kills import KILLS, kill_dispatcher
from comfyui_astria.tests.host.api_support import SMALL, Api, Receiver, png, set_up

PROMPTS = int(os.environ.get("FLEET_PROMPTS", "40"))
KILLED_AT = PROMPTS // 4  # done
STEPS = 150  # of a training; its state is written every hundred
MACHINES = ("m1", "m2")
WAIT_S = 900
SETTINGS = "fleet = yes\nprivate_hosts = 127.0.0.1\npeople_agreed = yes\nmark_pictures = no\n"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        sys.platform != "linux" or not (FLEET_VENV / ".packages").is_file(),
        reason="a fleet runs on Linux, after `python dev.py fleet setup`",
    ),
]


class Fleet:
    """The API, its workers, and a program's server."""

    def __init__(self, cluster: Cluster, api: Api, receiver: Receiver) -> None:
        self.cluster = cluster
        self.api = api
        self.receiver = receiver
        self.pictures: dict[int, bytes] = {}  # by seed

    def answered(self, kind: str = "prompt") -> list[int]:
        """Return the ids of what the callbacks told of."""
        return [body["id"] for _, body in list(self.receiver.arrived) if kind in body]

    def start_workers(self, *machines: str) -> None:
        self.cluster.start_nodes(*machines)
        states = ("idle", "running")
        until(
            lambda: (
                [one["state"] in states for one in self.cluster.status()["workers"].values()]
                == [True] * len(MACHINES)
            ),
            self.cluster,
            WAIT_S,
        )


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    set_up(folder / "api", settings=SETTINGS)
    here = current()
    with (
        Receiver() as receiver,
        Host(here, HostOptions(folder / "api", test_pack=True)) as host,
        cluster_in(folder, (), here.comfyui, (TEST_PACK_FOLDER,)) as cluster,
    ):
        found = Fleet(cluster, Api(host.url), receiver)
        cluster.start_dispatcher()
        found.start_workers(*MACHINES)
        yield found


@pytest.mark.parametrize("kill", KILLS)
def test_40_prompts_on_tiny_models_are_answered_once(
    fleet: Fleet, kill: Callable[[Cluster], None], capsys: pytest.CaptureFixture[str]
) -> None:
    began, store = time.monotonic(), PromptStore(fleet.cluster.state)
    before, rerun = len(fleet.answered()), fleet.cluster.status()["rerun"]
    asked = {"callback": fleet.receiver.url}
    made = [fleet.api.create_prompt("a cat", seed=seed, **asked) for seed in range(PROMPTS)]
    until(lambda: store.count_open() <= PROMPTS - KILLED_AT, fleet.cluster, WAIT_S)
    kill(fleet.cluster)
    until(lambda: not store.count_open(), fleet.cluster, WAIT_S)
    until(lambda: len(fleet.answered()) >= before + PROMPTS, fleet.cluster, WAIT_S)
    assert sorted(fleet.answered()[before:]) == [one["id"] for one in made], "each once"
    for seed, one in enumerate(made):
        found = store.get(one["id"])
        assert (found.user_error, len(found.images)) == (None, 1)
        picture = fleet.api.picture(fleet.api.finished(one)["images"][0]).tobytes()
        assert fleet.pictures.setdefault(seed, picture) == picture, "by whomever it was painted"
    assert len(set(fleet.pictures.values())) == PROMPTS
    output = sorted((fleet.cluster.folder / "api" / "output").glob("astria_*"))
    assert len(output) == made[-1]["id"], "one picture for each prompt so far"
    with capsys.disabled():
        more = fleet.cluster.status()["rerun"]
        more -= 0 if kill is kill_dispatcher else rerun
        took = time.monotonic() - began
        sys.stdout.write(f"\n{kill.__name__}: {PROMPTS} answered once, {more} run again,")
        sys.stdout.write(f" {took:.0f} s\n")


def test_a_training_is_killed_and_goes_on_and_what_waits_for_it_is_painted(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    began, before = time.monotonic(), len(fleet.answered())
    answer = fleet.api.post("/tunes", json={"tune": asked(fleet.receiver.url)})
    assert answer.status_code == 201, answer.text
    id = answer.json()["id"]

    def tune() -> dict[str, Any]:
        return fleet.api.get(f"/tunes/{id}").json()

    def step() -> int:
        progress = read_progress(fleet.cluster.state, id)
        return 0 if progress is None else progress.step

    until(lambda: step() > 110, fleet.cluster, WAIT_S)
    assert tune()["eta"], "how far it is comes here while it runs"
    workers = fleet.cluster.status()["workers"]
    [name] = [name for name, one in workers.items() if one["state"] == "running"]
    fleet.cluster.fake_of(name.partition("/")[0]).kill()
    until(lambda: tune()["trained_at"] or tune()["user_error"], fleet.cluster, WAIT_S)
    assert tune()["user_error"] is None
    begun = f"the training of tune {id} goes on at step"
    assert sum(begun in log_of(fleet, one) for one in MACHINES) == 1
    until(lambda: len(fleet.answered()) > before, fleet.cluster, WAIT_S)
    [waited] = fleet.api.get(f"/tunes/{id}/prompts").json()
    assert (waited["user_error"], len(waited["images"])) == (None, 1)
    assert fleet.answered("tune") == [id]
    check_file(fleet, id)
    with capsys.disabled():
        sys.stdout.write(f"\na training killed once: {time.monotonic() - began:.0f} s\n")


def asked(callback: str) -> dict[str, Any]:
    """Return what a program sends to have a person trained."""
    return {
        "title": "Ann",
        "name": "woman",
        "model_type": "lora",
        "base_tune_id": 690204,
        "steps": STEPS,
        "images": [base64.b64encode(png(64, 64, one)).decode() for one in range(4)],
        "callback": callback,
        "prompts_attributes": [{"text": "photo", "callback": callback, **SMALL}],
    }


def check_file(fleet: Fleet, id: int) -> None:
    """Assert that what was trained is here, comes to both machines, and goes with its tune."""
    below = Path("models") / "loras" / "astria" / f"tune-{id}.safetensors"
    file = fleet.cluster.folder / "api" / below
    assert file.stat().st_size > 1000
    more = [fleet.api.create_prompt("in a park", tune=id, seed=one) for one in range(6)]
    assert {fleet.api.finished(one, WAIT_S)["user_error"] for one in more} == {None}
    bases = [fleet.cluster.folder / one / "cpu-1" for one in MACHINES]
    assert all((one / below).exists() for one in bases), "one of them had it brought"
    fleet.api.delete(f"/tunes/{id}")
    left = [file, *(one / below for one in bases)]
    left += [one / "user" / "__astria" / "photos" / str(id) for one in bases]
    until(lambda: not any(one.exists() for one in left), fleet.cluster, WAIT_S)


def log_of(fleet: Fleet, machine: str) -> str:
    """Return what the ComfyUI of a machine wrote."""
    path = fleet.cluster.folder / machine / "cpu-1" / "comfyui.log"
    return path.read_text(encoding="utf-8", errors="replace")
