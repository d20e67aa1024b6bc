"""kill -9 of each part of a fleet in the middle of 40 prompts, on a cluster of three nodes here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comfyui_astria.devtools.paths import FLEET_VENV, venv_python
from comfyui_astria.nodes.training.progress import read_progress
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.fleet.cluster import (
    MACHINES,
    WAIT_S,
    Cluster,
    asked_training,
    cluster_in,
    prompt_of,
    until,
)
from comfyui_astria.tests.fleet.kills import KILLS

PROMPTS = 40
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not (FLEET_VENV / ".packages").is_file(),
    reason="a fleet runs on Linux, after `python dev.py fleet setup`",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("fleet"), (), FAKE_SECONDS="0.25") as found:
        found.furnish()
        found.start_dispatcher()  # which takes a while, as do the nodes
        found.start_nodes(*MACHINES)
        until(lambda: len(found.status()["workers"]) == len(MACHINES), found)
        yield found


@pytest.mark.parametrize("kill", KILLS)
@pytest.mark.usefixtures("strangers")
def test_40_prompts_are_answered_once(
    cluster: Cluster, kill: Callable[[Cluster], None], capsys: pytest.CaptureFixture[str]
) -> None:
    store = PromptStore(cluster.state)
    before = len(cluster.runs)
    began = time.monotonic()
    stored = [store.add(prompt_of(number)) for number in range(PROMPTS)]
    ids = [one.id for one in stored]
    until(lambda: store.count_open() < PROMPTS - 8, cluster)
    kill(cluster)
    until(lambda: not store.count_open(), cluster)
    ended = [store.get(id) for id in ids]
    assert [one.user_error for one in ended] == [None] * PROMPTS
    names = [image["filename"] for one in ended for image in one.images]
    assert names == [f"astria_{id:06d}_01.png" for id in ids], "one picture each, under its id"
    pictures = sorted((cluster.folder / "api" / "output").iterdir())
    assert len(pictures) == ids[-1], "of all prompts so far, and no other"
    rerun = len(cluster.runs) - before - PROMPTS
    assert 0 <= rerun <= len(MACHINES)
    with capsys.disabled():
        took = time.monotonic() - began
        sys.stdout.write(f"\n{kill.__name__}: 40 answered once, {rerun} run again, {took:.1f} s\n")


def test_deleted_prompts_are_interrupted(cluster: Cluster, tmp_path: Path) -> None:
    store = PromptStore(cluster.state)
    # So long that none ends by itself, however slow the machine is.
    stored = [store.add(prompt_of(number, seconds=2 * WAIT_S)) for number in range(30)]
    until(lambda: store.get(stored[0].id).status == "running", cluster)
    for one in stored:
        store.delete(one.id)
    before = len(cluster.runs)
    last = store.add(prompt_of(1))
    until(lambda: store.get(last.id).status == "done", cluster)
    assert len(cluster.runs) - before <= 4, "those that were under way, and the last"


def test_a_drained_machine_is_ended_and_taken_back(cluster: Cluster) -> None:
    from comfyui_astria.fleet.serving import drain

    store = PromptStore(cluster.state)
    drain(cluster.state, ["m1"], is_on=True)
    until(lambda: cluster.status()["workers"]["m1/cpu-1"]["state"] == "drained", cluster)
    until(lambda: not _is_up(cluster, "m1"), cluster)
    one = store.add(prompt_of(1))
    until(lambda: store.get(one.id).status == "done", cluster)
    drain(cluster.state, ["m1"], is_on=False)
    until(lambda: cluster.status()["workers"]["m1/cpu-1"]["state"] == "idle", cluster)
    assert _is_up(cluster, "m1")


def test_a_training_goes_on_after_a_kill_and_its_file_is_brought_to_who_needs_it(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    tune_id = asked_training(cluster.state, 400, "https://a.example")

    def step() -> int:
        progress = read_progress(cluster.state, tune_id)
        return 0 if progress is None else progress.step

    def trains() -> list[str]:
        workers = cluster.status()["workers"]
        return [name for name, one in workers.items() if one["state"] == "running"]

    until(step, cluster)
    until(trains, cluster)
    [name] = trains()
    cluster.fake_of(name.partition("/")[0]).kill()
    tunes = TuneStore(cluster.state)
    until(lambda: tunes.get(tune_id).trained_at, cluster)
    at = [int(one.rpartition(" ")[2]) for one in cluster.runs if " training of " in one]
    assert len(at) == 2
    assert at[0] == 0 < at[1], "it went on from the state that was brought here"
    file = f"astria/tune-{tune_id}.safetensors"
    assert (cluster.folder / "api" / "models" / "loras" / file).read_text() == f"trained {tune_id}"
    store = PromptStore(cluster.state)
    [owed] = store.claim_callbacks(time.time(), 9, 60)
    assert owed.tune_id == tune_id, "the training's callback, once"
    done = [store.add(prompt_of(one, lora_name=file)).id for one in range(9)]
    until(lambda: not store.count_open(), cluster)
    assert {store.get(id).user_error for id in done} == {None}
    there = [cluster.folder / one / "cpu-1" / "models" / "loras" / file for one in MACHINES]
    assert sum(one.exists() for one in there) > 1, "others had it brought"
    tunes.delete(tune_id)
    until(lambda: not any(one.exists() for one in there), cluster)
    with capsys.disabled():
        took = time.monotonic() - began
        sys.stdout.write(f"\na training killed once: gone on at step {at[1]}, {took:.1f} s\n")


def _is_up(cluster: Cluster, machine: str) -> bool:
    try:
        return cluster.fake_of(machine).is_running()
    except LookupError:
        return False


def test_no_ping_leaves_the_machine(cluster: Cluster) -> None:
    """What Ray would send, and where it would ask whose machine this is, arrives on the loopback:
    with `fleet head` at a port on which nobody listens.
    """
    asked = "169.254.169.254"
    until(lambda: any(asked in one for one in cluster.pings), cluster)
    until(lambda: any(one.startswith("POST") for one in cluster.pings), cluster)


@pytest.fixture(scope="module")
def strangers(cluster: Cluster) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Programs that try to join the cluster, for long: the other tests go on meanwhile."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    given["HOME"] = str(cluster.folder / "stranger")  # where Ray looks for a token, too
    line = f"import ray; ray.init(address={cluster.address!r}); print('inside')"
    tokens = {"no token": "", "another token": "0" * 64}
    tried = {
        what: subprocess.Popen(
            [str(venv_python(FLEET_VENV)), "-c", line],
            env={**given, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for what, token in tokens.items()
    }
    yield tried
    for one in tried.values():
        one.kill()
        one.communicate()


@pytest.mark.parametrize("what", ["no token", "another token"])
def test_a_stranger_is_refused(strangers: dict[str, subprocess.Popen[str]], what: str) -> None:
    said, complained = strangers[what].communicate(timeout=WAIT_S)
    assert strangers[what].returncode != 0
    assert "inside" not in said
    assert "InvalidAuthToken" in complained


def test_rays_variables_never_reach_comfyui(cluster: Cluster) -> None:
    given = cluster.fake_of("m2").environ()
    assert given["FAKE_RUNS"]
    assert [one for one in given if one.startswith("RAY_")] == []


def test_a_dispatcher_ends_as_a_service_manager_asks(cluster: Cluster) -> None:
    """Without the lines that Ray writes of a crash."""
    assert cluster.dispatcher is not None
    log = cluster.folder / "dispatcher.log"
    before = len(log.read_text(encoding="utf-8"))
    cluster.dispatcher.terminate()
    assert cluster.dispatcher.wait(30) == 0
    said = log.read_text(encoding="utf-8")[before:]
    assert "ended; the same command goes on" in said
    assert "SIGTERM" not in said
    cluster.start_dispatcher()
