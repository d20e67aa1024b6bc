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
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.tests.fleet.cluster import (
    MACHINES,
    WAIT_S,
    Cluster,
    cluster_in,
    prompt_of,
    until,
)

PROMPTS = 40
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not (FLEET_VENV / ".packages").is_file(),
    reason="a fleet runs on Linux, after `python dev.py fleet setup`",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_in(tmp_path_factory.mktemp("fleet"), FAKE_SECONDS="0.5") as found:
        found.furnish()
        found.start_dispatcher()
        until(lambda: len(found.status()["workers"]) == len(MACHINES), found)
        yield found


def kill_comfyui(cluster: Cluster) -> None:
    cluster.fake_of("m1").kill()


def kill_actor(cluster: Cluster) -> None:
    parent = cluster.fake_of("m2").parent()
    assert parent is not None
    parent.kill()


def kill_node(cluster: Cluster) -> None:
    cluster.kill_node("m3")
    cluster.start_node("m3")


def kill_dispatcher(cluster: Cluster) -> None:
    cluster.stop_dispatcher()
    cluster.start_dispatcher()


@pytest.mark.parametrize("kill", [kill_comfyui, kill_actor, kill_dispatcher, kill_node])
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
    stored = [store.add(prompt_of(number)) for number in range(30)]
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


@pytest.mark.parametrize("token", ["", "0" * 64], ids=["no-token", "another-token"])
def test_a_stranger_is_refused(cluster: Cluster, token: str, tmp_path: Path) -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    if token:
        given |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    line = f"import ray; ray.init(address={cluster.address!r}); print('inside')"
    tried = subprocess.run(
        [str(venv_python(FLEET_VENV)), "-c", line],
        env={**given, "HOME": str(tmp_path)},  # where Ray looks for a token, too
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert tried.returncode != 0
    assert "inside" not in tried.stdout
    assert "InvalidAuthToken" in tried.stderr


def test_rays_variables_never_reach_comfyui(cluster: Cluster) -> None:
    given = cluster.fake_of("m2").environ()
    assert given["FAKE_RUNS"]
    assert [one for one in given if one.startswith("RAY_")] == []
