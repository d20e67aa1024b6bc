"""Prompts that come at once: stored together, in the order of coming, each with its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.net.settings import ApiSettings
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore
from comfyui_astria.nodes.tunes.store import DATABASE_FILE
from comfyui_astria.nodes.tunes.tune import TuneError
from comfyui_astria.tests.regions.comfy_inprocess import load

REFUSED = "refused by ComfyUI"
UNSTORABLE = "https://a.example/\ud800"  # no UTF-8
PICTURE = "astria/a.png"


@dataclass
class Door:
    """The way in, with stand-ins for ComfyUI's check and queue, on a folder of its own."""

    module: ModuleType
    store: PromptStore
    input: Path
    transactions: list[int] = field(default_factory=list)  # how many prompts each stored
    put: list[Prompt] = field(default_factory=list)

    def sent(self, text: str, pictures: Sequence[str] = (), **more: Any) -> Any:
        prompt = Prompt(
            "7", {"text": text}, f"digest of {text}", "", {}, inputs=tuple(pictures), **more
        )
        return load("comfyui_astria.nodes.api.host.prompts").Prepared(
            prompt, dict.fromkeys(pictures, b"a picture")
        )

    def ask(
        self, *prepared: Any, settings: ApiSettings | None = None, cancel: int | None = None
    ) -> list[Any]:
        """Ask for all at once; return each one's prompt or error."""

        async def check(prompt: Prompt) -> tuple:
            await asyncio.sleep(0)
            if prompt.fields["text"] == REFUSED:
                raise ApiError(REFUSED, code="refused")
            assert all((self.input / name).is_file() for name in prompt.inputs)
            return (prompt.run_id,)

        def put(item: tuple, prompt: Prompt) -> None:
            assert item == (prompt.run_id,)
            assert self.store.get(prompt.id) == prompt, "it is stored before it is queued"
            self.put.append(prompt)

        async def run() -> list[Any]:
            admission = self.module.Admission(asyncio.Lock(), check, put)
            tasks = [
                asyncio.create_task(admission.admit(one, settings or ApiSettings()))
                for one in prepared
            ]
            if cancel is not None:
                asyncio.get_running_loop().call_soon(tasks[cancel].cancel)
            return await asyncio.gather(*tasks, return_exceptions=True)

        return _in_a_loop(run())

    def ids(self) -> list[int]:
        return [one.id for one in self.put]


def test_the_server_keeps_the_database_s_log_open_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = load("comfyui_astria.nodes.api.host.state")
    monkeypatch.setattr(state, "state_folder", lambda: tmp_path)
    log = tmp_path / f"{DATABASE_FILE}-wal"
    state.prompts().queue_callback("https://a.example/x", "{}")
    assert log.stat().st_size > 0
    state.close()
    assert not log.exists()


def test_two_that_come_first_at_once_hold_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load("comfyui_astria.nodes.api.host.queue")
    host_queue = load("comfyui_astria.nodes.api.host.entry.host_queue")
    monkeypatch.setattr(host_queue, "PromptServer", SimpleNamespace(instance=None))
    monkeypatch.setattr(
        load("comfyui_astria.nodes.api.host.state"), "state_folder", lambda: tmp_path
    )

    async def run() -> list[bool]:
        queue = module.Queue(lambda: None)
        found = await asyncio.gather(queue.is_only_one(), queue.is_only_one())
        queue.close()
        return found

    assert _in_a_loop(run()) == [True, True]


def _in_a_loop(work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    # The browser of other tests has an event loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Door:
    store = PromptStore(tmp_path / "private")
    found = Door(load("comfyui_astria.nodes.api.host.entry.admission"), store, tmp_path / "input")
    store_them = store.add_together

    def counted(
        prompts: Sequence[tuple[Prompt, int | None]],
    ) -> Sequence[Prompt | None]:
        found.transactions.append(len(prompts))
        return store_them(prompts)

    monkeypatch.setattr(store, "add_together", counted)
    monkeypatch.setattr(found.module.state, "prompts", lambda: store)
    monkeypatch.setattr(load("folder_paths"), "get_input_directory", lambda: str(found.input))
    return found


def test_what_comes_at_once_is_stored_at_once_and_in_its_order(door: Door) -> None:
    answers = door.ask(*(door.sent(str(number)) for number in range(40)))
    assert [one.fields["text"] for one in answers] == [str(number) for number in range(40)]
    assert [one.id for one in answers] == door.ids() == list(range(1, 41))
    assert door.transactions == [32, 8]


def test_one_that_is_refused_keeps_no_other_out(door: Door) -> None:
    first, second, third = door.ask(
        door.sent("1"), door.sent(REFUSED, [PICTURE]), door.sent("3", ["astria/b.png"])
    )
    assert (first.id, str(second), third.id) == (1, REFUSED, 2)
    assert door.ids() == [1, 2]
    assert [path.name for path in door.input.rglob("*.png")] == ["b.png"]


def test_one_that_cannot_be_stored_keeps_no_other_out(door: Door) -> None:
    first, second, third = door.ask(
        door.sent("1"), door.sent("2", callback=UNSTORABLE), door.sent("3")
    )
    assert isinstance(second, UnicodeEncodeError)
    assert [first.id, third.id] == door.ids()
    assert [one.fields["text"] for one in door.store.open()] == ["1", "3"]


def test_a_picture_that_another_one_brought_too_stays(door: Door) -> None:
    refused, taken = door.ask(door.sent(REFUSED, [PICTURE]), door.sent("2", [PICTURE]))
    assert (str(refused), taken.inputs) == (REFUSED, (PICTURE,))
    assert (door.input / PICTURE).read_bytes() == b"a picture"


def test_equal_requests_at_once_are_one_prompt_where_that_is_asked_for(door: Door) -> None:
    sent = [door.sent("a cat"), door.sent("a dog"), door.sent("a cat"), door.sent("a cat")]
    cat, dog, *again = door.ask(*sent, settings=ApiSettings(idempotent=True))
    assert {one.id for one in again} == {cat.id}
    assert door.ids() == [cat.id, dog.id]
    assert len({one.id for one in door.ask(*sent)}) == 4


def test_no_more_wait_than_may(door: Door) -> None:
    door.ask(door.sent("before"))
    answers = door.ask(
        *(door.sent(text) for text in ("1", REFUSED, "2", "3")), settings=ApiSettings(max_waiting=3)
    )
    assert [getattr(one, "code", "") for one in answers] == ["", "refused", "", "queue-full"]
    assert door.store.count_open() == 3


def test_a_database_that_cannot_be_used_is_told_to_all(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unusable() -> int:
        raise TuneError("the disk is full", code="tunes-database")

    with monkeypatch.context() as broken:
        broken.setattr(door.store, "count_open", unusable)
        answers = door.ask(door.sent("1"), door.sent("2"))
    assert [str(one) for one in answers] == ["the disk is full"] * 2
    assert door.put == []


def test_a_program_that_went_away_takes_nothing_with_it(door: Door) -> None:
    first, second, third = door.ask(*(door.sent(text) for text in "123"), cancel=1)
    assert isinstance(second, asyncio.CancelledError)
    assert [first.id, third.id] == [one.id for one in door.put if one.fields["text"] != "2"]
    assert len(door.store.open()) == len(door.put), "what is stored is queued"
