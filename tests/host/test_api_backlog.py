"""Many prompts that were left by the last run: taken up page by page, in the order of their coming.

And what is not kept for ever.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from comfyui_astria.nodes.net.fleet_files import FOLDERS_FILE, STATUS_FILE
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.net.settings import ApiSettings
from comfyui_astria.nodes.training.asked import Training, TrainingStore
from comfyui_astria.nodes.training.fleet_runs import FleetRuns
from comfyui_astria.nodes.training.progress import (
    INTERRUPTED,
    TRAINING,
    change_progress,
    read_progress,
)
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.nodes.tunes.tune import now
from comfyui_astria.tests.fleet.cluster import asked_training, training_of
from comfyui_astria.tests.regions.comfy_inprocess import load

LEFT = 25
PAGE = 10
_TOLD = {"node_id": "-", "node_type": "-", "exception_message": "no memory"}
FAILED = {"status_str": "error", "messages": [["execution_error", _TOLD]]}


class HostQueue:
    """A queue that ComfyUI's would be, on which a test ends the first run."""

    def __init__(self) -> None:
        self.put_runs: list[str] = []
        self.waits: list[str] = []

    async def item(self, run_id: str, workflow: Any) -> tuple:
        return ()

    def put(self, item: tuple, run_id: str) -> None:
        self.put_runs.append(run_id)
        self.waits.append(run_id)

    def remove(self, run_id: str) -> None:
        self.waits = [one for one in self.waits if one != run_id]

    def now(self) -> tuple[set[str], set[str]]:
        return set(), set(self.waits)

    def has(self, run_id: str) -> bool:
        return False

    def ended(self, run_id: str) -> dict[str, Any]:
        return {"outputs": {}, "status": {"status_str": "success"}}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    state = load("comfyui_astria.nodes.api.host.state")
    monkeypatch.setattr(state, "state_folder", lambda: tmp_path)
    monkeypatch.setattr(state, "input_folder", lambda: tmp_path / "input")
    fleet = load("comfyui_astria.nodes.api.host.entry.fleet")
    monkeypatch.setattr(fleet, "state_folder", lambda: tmp_path)
    fleet_queue = load("comfyui_astria.nodes.api.host.entry.fleet_queue")
    trainings = load("comfyui_astria.nodes.api.host.training.trainings")
    for one in (fleet_queue, trainings):
        monkeypatch.setattr(one, "state_folder", lambda: tmp_path)
    monkeypatch.setattr(trainings, "readable_progress", lambda id: read_progress(tmp_path, id))
    found = load("comfyui_astria.nodes.api.host.queue")
    monkeypatch.setattr(found, "HostQueue", HostQueue)
    monkeypatch.setattr(found, "_PAGE", PAGE)
    monkeypatch.setattr(found, "mark_pictures", lambda prompt: [])
    return found


def prompt_of(text: str) -> Prompt:
    return Prompt("690204", {"text": text}, text, "http://127.0.0.1:8188", {})


def run(act: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(1) as thread:  # other tests may have an event loop running in this one
        thread.submit(lambda: asyncio.run(act())).result()


def test_a_start_puts_one_page_and_all_follow_in_their_order(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, tunes = PromptStore(tmp_path), TuneStore(tmp_path)
    left = [store.add(prompt_of(str(number))) for number in range(LEFT // 2)]
    tune = tunes.create(
        title="trained",
        model_type="lora",
        file="a.safetensors",
        beside=TrainingStore.beside(Training({"sizes_px": [512]}, "http://127.0.0.1:8188")),
    )
    left += [store.add(prompt_of(str(number))) for number in range(LEFT // 2, LEFT)]
    monkeypatch.setattr(
        load("comfyui_astria.nodes.api.host.training.trainings"), "workflow_of", lambda one: {}
    )
    prepared = load("comfyui_astria.nodes.api.host.prompts").Prepared(prompt_of("new"))

    async def act() -> None:
        queue = module.Queue(lambda: None)
        host = queue._host
        await queue.resume()
        assert len(host.put_runs) == PAGE, "the others wait in the database"
        new = await queue.admit(prepared, ApiSettings())
        assert len(host.put_runs) == PAGE, "what comes meanwhile stands behind them"
        await queue.delete(store.get(left[PAGE].id))
        follow = asyncio.create_task(queue.follow())
        while store.count_open():
            host.waits = host.waits[1:]
            await asyncio.sleep(0.01)
        follow.cancel()
        order = host.put_runs
        ids = {store.get(one.id).run_id: one.id for one in [*left, new] if store.get(one.id)}
        trained = TrainingStore(tmp_path).get(tune.id)
        place = order.index(trained.run_id)
        assert place == LEFT // 2 - 1, "the training between those that came before and after"
        started = [ids[one] for one in order if one != trained.run_id]
        kept = [one.id for one in left if one.id != left[PAGE].id]
        assert started == [*kept, new.id], "each once, in order"
        queue.close()

    run(act)


def test_what_ended_is_kept_as_long_as_the_owner_says(module: ModuleType, tmp_path: Path) -> None:
    store = PromptStore(tmp_path)
    for days in range(4):
        moment = now() - timedelta(days=days, hours=1)
        ended = replace(store.add(prompt_of(str(days))), status="failed", updated_at=moment)
        store.finish(ended, "")

    async def act() -> None:
        queue = module.Queue(lambda: None)
        await queue.forget(ApiSettings())
        assert len(store.list("690204", limit=9, offset=0)) == 4, "without the setting for ever"
        await queue.forget(ApiSettings(keep_days=2))
        assert [one.id for one in store.list("690204", limit=9, offset=0)] == [2, 1]
        queue.close()

    run(act)


def test_an_end_of_a_run_that_another_took_the_place_of_is_passed_over(
    module: ModuleType, tmp_path: Path
) -> None:
    store = PromptStore(tmp_path)
    stored = store.add(prompt_of("a"))
    store.claim({stored.id: "another"})

    async def act() -> None:
        queue = module.Queue(lambda: None)
        queue._followed = {stored.run_id: stored.id}
        await queue._look()
        queue.close()

    run(act)
    assert (store.get(stored.id).status, store.get(stored.id).run_id) == ("running", "another")


def test_a_fleets_prompts_are_stored_and_nothing_runs_here(
    module: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "api.ini").write_text("fleet = yes\n", encoding="utf-8")
    store = PromptStore(tmp_path)
    left = store.add(prompt_of("left"))
    store.claim({left.id: "of a worker"})
    prepared = load("comfyui_astria.nodes.api.host.prompts").Prepared(prompt_of("new"))

    async def act() -> None:
        queue = module.Queue(lambda: None)
        await queue.resume()
        admitted = await queue.admit(prepared, ApiSettings(fleet=True))
        assert queue._host.put_runs == []
        assert store.get(admitted.id).status == "queued"
        assert store.get(left.id).run_id == "of a worker", "it runs on, whatever ends here"
        packs = load("comfyui_astria.nodes.api.host.state").packs()
        await queue.begin_run("https://a.example", [admitted])
        follow = asyncio.create_task(queue.follow())
        store.finish(replace(admitted, status="done"), "")
        while packs.has_runs():
            await asyncio.sleep(0.05)
        follow.cancel()
        queue.close()

    run(act)
    assert set(json.loads((tmp_path / FOLDERS_FILE).read_text())) == {
        *("input", "output", "temp", "loras", "checkpoints")
    }
    fleet = load("comfyui_astria.nodes.api.host.entry.fleet")
    (tmp_path / STATUS_FILE).write_text('{"waiting": 3}')
    assert fleet.fleet_status(ApiSettings(fleet=True)) == {"waiting": 3}
    with pytest.raises(ApiError, match="no fleet runs here"):
        fleet.fleet_status(ApiSettings())
    fleet.tell_fleet(False)
    assert not (tmp_path / FOLDERS_FILE).exists(), "no dispatcher starts beside its own queue"


def test_a_fleets_trainings_wait_for_a_worker_and_outlive_this_comfyui(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "api.ini").write_text("fleet = yes\n", encoding="utf-8")
    trainings = load("comfyui_astria.nodes.api.host.training.trainings")
    monkeypatch.setattr(trainings, "workflow_of", lambda one: training_of(one.tune_id, 9))
    tune_id = asked_training(tmp_path, 9)
    runs, store = FleetRuns(tmp_path), TrainingStore(tmp_path)
    runs.remove(store.get(tune_id).run_id)
    ended: list[str] = []

    async def note_end() -> None:
        ended.append(store.get(tune_id).status)

    async def act() -> None:
        first = module.Queue(lambda: None)
        await first.train(tune_id)
        assert first._host.put_runs == [], "nothing runs here"
        [asked] = runs.open()
        runs.claim({asked.id: "of a worker"})
        first.close()
        again = module.Queue(lambda: None)
        await again.resume()
        again.trainings._on_end = note_end
        await again.trainings._look()
        assert (store.get(tune_id).status, ended) == ("running", [])
        assert [one.run_id for one in runs.open()] == ["of a worker"], "it goes on there"
        runs.end(asked.id, "of a worker", {"outputs": {}, "status": FAILED})
        await again.trainings._look()
        again.close()

    run(act)
    assert ended == ["failed"]
    assert TuneStore(tmp_path).get(tune_id).user_error == "node - (-): no memory"


def test_a_training_that_is_stopped_is_taken_from_the_fleet(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "api.ini").write_text("fleet = yes\n", encoding="utf-8")
    trainings = load("comfyui_astria.nodes.api.host.training.trainings")
    monkeypatch.setattr(trainings, "workflow_of", lambda one: training_of(one.tune_id, 9))
    tune_id = asked_training(tmp_path, 9)
    change_progress(tmp_path, tune_id, state=TRAINING, step=3)

    async def act() -> None:
        queue = module.Queue(lambda: None)
        await queue.resume()
        await queue.trainings.stop(tune_id)
        queue.close()

    run(act)
    assert FleetRuns(tmp_path).open() == []
    assert read_progress(tmp_path, tune_id).state == INTERRUPTED
    assert TrainingStore(tmp_path).get(tune_id).status == "failed"
