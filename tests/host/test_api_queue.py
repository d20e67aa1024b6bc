"""The API's side of ComfyUI's queue while a tune goes, inside the test process."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.net.settings import ApiSettings
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.api_support import until
from comfyui_astria.tests.regions.comfy_inprocess import load


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    state = load("comfyui_astria.nodes.api.host.state")
    monkeypatch.setattr(state, "state_folder", lambda: tmp_path)
    return load("comfyui_astria.nodes.api.host.queue")


def test_no_prompt_is_admitted_while_its_tune_goes(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored in between it would go with the tune, and its run would stay on ComfyUI's queue."""
    tunes, prompts = TuneStore(tmp_path), PromptStore(tmp_path)
    tune = tunes.create(title="going", model_type="lora", file="a.safetensors")
    prompt = Prompt(str(tune.id), {"text": "a"}, "digest", "http://127.0.0.1:8188", {})
    prepared = load("comfyui_astria.nodes.api.host.prompts").Prepared(prompt, tune=tune.id)
    put: list[Any] = []
    host_queue = load("comfyui_astria.nodes.api.host.entry.host_queue")

    async def run() -> BaseException | None:
        monkeypatch.setattr(
            host_queue, "PromptServer", SimpleNamespace(instance=SimpleNamespace(number=0))
        )
        monkeypatch.setattr(module.Queue, "_item", lambda self, prompt: asyncio.sleep(0))
        monkeypatch.setattr(module.Queue, "_put", lambda self, item, stored: put.append(stored))
        queue, loop = module.Queue(lambda: None), asyncio.get_running_loop()
        admitted: list[Future] = []

        def delete() -> bool:
            future = asyncio.run_coroutine_threadsafe(queue.admit(prepared, ApiSettings()), loop)
            admitted.append(future)
            # It has gone through, or waits for its turn.
            until(lambda: future.done() or queue._order._waiters)
            return tunes.delete(tune.id)

        assert await queue.delete_with_tune(str(tune.id), delete) is True
        found = await asyncio.to_thread(admitted[0].exception)
        queue.close()
        return found

    with ThreadPoolExecutor(1) as thread:  # other tests may have an event loop running in this one
        refused = thread.submit(lambda: asyncio.run(run())).result()
    assert isinstance(refused, ApiError), refused
    assert (refused.status, refused.code, put) == (404, "not-found", [])
    assert prompts.list(str(tune.id), limit=9, offset=0) == []


def test_an_end_that_cannot_be_noted_ends_no_other(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = PromptStore(tmp_path)
    stored = [
        prompts.add(Prompt("690204", {"text": "a"}, str(run), "http://127.0.0.1:8188", {}))
        for run in range(2)
    ]
    ended = module.ends.ended

    def sometimes(prompt: Prompt, entry: Any) -> Prompt:
        if prompt.id == stored[0].id:
            raise ValueError("could not convert string to float: ' '")
        return ended(prompt, entry)

    async def run() -> None:
        entries = SimpleNamespace(
            get_current_queue_volatile=lambda: ([], []),
            get_history=lambda prompt_id, map_function: {},
        )
        server = SimpleNamespace(number=0, prompt_queue=entries)
        host_queue = load("comfyui_astria.nodes.api.host.entry.host_queue")
        monkeypatch.setattr(host_queue, "PromptServer", SimpleNamespace(instance=server))
        monkeypatch.setattr(module.ends, "ended", sometimes)
        queue = module.Queue(lambda: None)
        queue._followed = {one.run_id: one.id for one in stored}
        await queue._look()
        assert queue._followed == {}
        queue.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(run())).result()
    assert [prompts.get(one.id).status for one in stored] == ["running", "failed"]
