"""Callbacks that do not arrive at once.

Tried again, given up, held up by a slip in the settings, turned off after they were stored.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from comfyui_astria.nodes.api import callbacks
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.nodes.tunes.store import DATABASE_FILE
from comfyui_astria.tests.host.api_support import Receiver
from comfyui_astria.tests.regions.comfy_inprocess import load

WAIT_S = 60


@dataclass(frozen=True)
class Sender:
    """The part of the server that sends callbacks, on a folder of its own."""

    module: ModuleType
    folder: Path
    store: PromptStore

    def set(self, text: str) -> None:
        (self.folder / "api.ini").write_text(text, encoding="utf-8")

    def rows(self) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.folder / DATABASE_FILE)) as connection:
            return connection.execute("SELECT attempts, problem FROM callbacks").fetchall()

    def deliver_until(self, *conditions: Callable[[], object]) -> None:
        """Send what is owed until the conditions hold, one after the other."""

        async def come_about() -> None:
            for condition in conditions:
                while not condition():
                    await asyncio.sleep(0.01)

        async def run() -> None:
            task = asyncio.create_task(self.module.Callbacks().deliver())
            await asyncio.wait_for(come_about(), WAIT_S)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        # The browser of other tests has an event loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(run())).result()


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sender:
    monkeypatch.setattr(
        load("comfyui_astria.nodes.api.host.state"), "state_folder", lambda: tmp_path
    )
    monkeypatch.setattr(callbacks, "DELAYS_S", (0.05, 0.1))
    module = load("comfyui_astria.nodes.api.host.callbacks")
    monkeypatch.setattr(module, "TIMEOUT_S", 0.5)
    found = Sender(module, tmp_path, PromptStore(tmp_path))
    found.set("private_hosts = 127.0.0.1\n")
    return found


def test_a_callback_that_another_process_owes_is_sent(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wakes nobody here."""
    monkeypatch.setattr(sender.module, "_LOOK_S", 0.05)
    looked: list[float | None] = []
    real = PromptStore.next_callback_due

    def look(store: PromptStore) -> float | None:
        looked.append(real(store))
        return looked[-1]

    monkeypatch.setattr(PromptStore, "next_callback_due", look)
    with Receiver() as receiver:
        sender.deliver_until(
            lambda: looked == [None],
            lambda: sender.store.queue_callback(receiver.url, '{"id": 1}') is None,
            lambda: receiver.arrived and not sender.rows(),
        )


def test_a_callback_that_is_refused_comes_again_as_the_same(sender: Sender) -> None:
    with Receiver() as receiver:
        receiver.statuses = [500, 500]
        sender.store.queue_callback(receiver.url, '{"id": 1}')
        sender.deliver_until(lambda: receiver.arrived and not sender.rows())
    assert [body for _, body in (*receiver.refused, *receiver.arrived)] == [{"id": 1}] * 3
    assert len({delivery for delivery, _ in (*receiver.refused, *receiver.arrived)}) == 1


def test_a_callback_that_is_always_refused_is_given_up_and_kept_for_the_owner(
    sender: Sender,
) -> None:
    with Receiver() as receiver:
        receiver.statuses = [500] * 9
        sender.store.queue_callback(receiver.url, '{"id": 1}')
        sender.deliver_until(lambda: sender.rows()[0][1])
    [(attempts, problem)] = sender.rows()
    assert attempts == len(receiver.refused) == 3
    assert "it answered with HTTP 500" in problem
    assert sender.store.next_callback_due() is None


def test_a_slip_in_the_settings_holds_callbacks_up_and_costs_no_attempt(
    sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    def mended() -> bool:
        assert (sender.rows(), receiver.refused, receiver.arrived) == ([(0, None)], [], [])
        sender.set("private_hosts = 127.0.0.1\n")
        return True

    with Receiver() as receiver:
        sender.set("private_host = 127.0.0.1\n")
        sender.store.queue_callback(receiver.url, '{"id": 1}')
        sender.deliver_until(
            lambda: "'private_host' is no setting" in caplog.text, mended, lambda: not sender.rows()
        )
        assert len(receiver.arrived) == 1


def test_a_stored_callback_is_not_sent_once_they_are_turned_off(sender: Sender) -> None:
    with Receiver() as receiver:
        sender.set("private_hosts = 127.0.0.1\ncallbacks = no\n")
        sender.store.queue_callback(receiver.url, '{"id": 1}')
        sender.deliver_until(lambda: sender.rows()[0][1])
        assert (receiver.refused, receiver.arrived) == ([], [])
    assert sender.rows() == [(1, "callbacks = no in api.ini")]
