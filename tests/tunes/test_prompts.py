"""The prompts and callbacks of the API on the disk."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore, Sought
from comfyui_astria.nodes.tunes.schema import kept_open, only_one
from comfyui_astria.nodes.tunes.state import tunes_in
from comfyui_astria.nodes.tunes.store import DATABASE_FILE, TuneStore
from comfyui_astria.nodes.tunes.tune import TuneError, now

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def prompts(tmp_path: Path) -> PromptStore:
    return PromptStore(tmp_path / "private")


def sent(text: str = "a cat", **more: object) -> Prompt:
    workflow = {"output.save": {"class_type": "SaveImage"}}
    return Prompt(
        "690204",
        {"text": text, "w": 64},
        f"digest of {text}",
        "http://127.0.0.1:8188",
        workflow,
        **more,
    )


def test_a_prompt_comes_back_as_it_went(prompts: PromptStore, tmp_path: Path) -> None:
    stored = prompts.add(
        sent(callback="https://a.example/x", inputs=("astria/a.png",), notices=("one",))
    )
    assert stored.id == 1
    assert PromptStore(tmp_path / "private").get(1) == stored
    assert prompts.get(2) is prompts.get(0) is prompts.get(2**70) is None
    assert prompts.inputs_in_use() == {"astria/a.png"}


def test_prompts_lie_beside_the_tunes(prompts: PromptStore, tmp_path: Path) -> None:
    prompts.add(sent())
    tunes = TuneStore(tmp_path / "private")
    assert tunes.create(title="a", model_type="lora", file="a.safetensors").id == 1
    assert prompts.get(1) is not None


def test_lists_are_of_one_tune_and_newest_first(prompts: PromptStore) -> None:
    ids = [prompts.add(sent(str(number))).id for number in range(5)]
    prompts.add(replace(sent(), tune_id="7"))
    assert [one.id for one in prompts.list("690204", limit=2, offset=1)] == ids[3:1:-1]
    assert [one.tune_id for one in prompts.list("7", limit=9, offset=0)] == ["7"]
    assert [one.workflow for one in prompts.list("7", limit=9, offset=0)] == [{}]


def test_prompts_are_stored_together_or_not_at_all(prompts: PromptStore) -> None:
    stored = prompts.add_together([(sent("a"), None), (sent("b"), None)])
    assert [(one.id, one.fields["text"]) for one in stored] == [(1, "a"), (2, "b")]
    assert prompts.open() == stored
    with pytest.raises(UnicodeEncodeError):
        prompts.add_together(
            [(sent("c"), None), (sent("d", callback="https://a.example/\ud800"), None)]
        )
    assert prompts.open() == stored


def test_the_log_stays_while_a_connection_is_kept(prompts: PromptStore, tmp_path: Path) -> None:
    database = tmp_path / "private" / DATABASE_FILE
    log = database.with_name(f"{DATABASE_FILE}-wal")
    prompts.add(sent("a"))
    assert not log.exists(), "the last to close brings it into the database"
    kept = kept_open(database)
    prompts.add(sent("b"))
    assert log.stat().st_size > 0
    kept.close()
    assert not log.exists()
    assert prompts.count_open() == 2


def test_the_tunes_of_a_folder_are_opened_once(tmp_path: Path) -> None:
    assert tunes_in(tmp_path) is None
    assert not (tmp_path / DATABASE_FILE).exists(), "looking makes no database"
    tune = TuneStore(tmp_path).create(title="a", model_type="lora", file="a.safetensors")
    found = tunes_in(tmp_path)
    assert found is not None and found is tunes_in(tmp_path)
    assert found.get(tune.id) == tune


def test_a_search_fits_everything_that_is_set(prompts: PromptStore) -> None:
    first = prompts.add(sent("A Red hat"))
    second = prompts.add(replace(sent("a red shoe"), tune_id="7", fields={**PACKED}))
    third = prompts.add(replace(sent("blue"), fields={"text": "blue", "pack_id": "88"}))
    assert prompts.like(second.id, liked=True) is True
    assert prompts.like(99, liked=True) is False
    for sought, found in (
        (Sought(), [third, second, first]),
        (Sought(before=third.id), [second, first]),
        (Sought("7"), [second]),
        (Sought(text="rED"), [second, first]),
        (Sought(text="\ud800"), []),
        (Sought(text="%"), []),
        (Sought(liked=True), [second]),
        (Sought(liked=False), [third, first]),
        (Sought(attributes={"pack_id": "88"}), [third, second]),
        (Sought(attributes={"pack_id": "88"}, liked=False, before=third.id), []),
    ):
        ids = [one.id for one in prompts.search(sought, limit=9, offset=0)]
        assert ids == [one.id for one in found], sought
    assert [one.id for one in prompts.search(Sought(), limit=1, offset=1)] == [second.id]
    assert prompts.get(second.id).liked is True
    prompts.like(second.id, liked=False)
    assert prompts.get(second.id) == second


@pytest.mark.parametrize("asked", ["7", "007", "0", "00"])
@pytest.mark.parametrize("name", ["pack_id", "order_id"])
def test_leading_zeros_change_no_id_that_is_searched_for(
    prompts: PromptStore, name: str, asked: str
) -> None:
    for value in ("007", "7", 7, "70", "", None, "0", 0):
        prompts.add(replace(sent(), fields={"text": "a", name: value}))
    found = prompts.search(Sought(attributes={name: asked}), limit=9, offset=0)
    same = [0, "0"] if int(asked) == 0 else [7, "7", "007"]
    assert [one.fields[name] for one in found] == same


PACKED = {"text": "a red shoe", "pack_id": 88}


def test_no_prompt_is_stored_for_a_tune_that_is_gone(prompts: PromptStore, tmp_path: Path) -> None:
    tunes = TuneStore(tmp_path / "private")
    tune = tunes.create(title="a", model_type="lora", file="a.safetensors")
    other = prompts.add(sent())
    of_tune = prompts.add(replace(sent(), tune_id=str(tune.id)), tune.id)
    assert of_tune is not None
    assert tunes.delete(tune.id) is True
    assert prompts.get(of_tune.id) is None, "they go in one transaction"
    assert prompts.get(other.id) == other
    late = replace(sent(), tune_id=str(tune.id))
    assert prompts.add(late, tune.id) is None
    [gone, kept] = prompts.add_together([(late, tune.id), (sent("b"), None)])
    assert gone is None, "it keeps no other out"
    assert kept is not None and prompts.get(kept.id) == kept
    assert prompts.list(str(tune.id), limit=9, offset=0) == []


def test_the_way_of_a_prompt(prompts: PromptStore) -> None:
    stored = prompts.add(sent(callback="https://a.example/x"))
    assert [one.id for one in prompts.open()] == [1]
    assert prompts.start(1, "another") is False, "it waits for a run of another id"
    assert prompts.start(1, stored.run_id) is True
    assert prompts.start(1, stored.run_id) is False, "looked at twice"
    running = prompts.get(1)
    assert (running.status, running.runs) == ("running", 1)
    assert running.started_training_at is not None
    assert prompts.requeue([replace(running, run_id="another-run")]) == {1}
    assert (prompts.get(1).status, prompts.get(1).run_id, prompts.count_open()) == (
        "queued",
        "another-run",
        1,
    )
    image = {"filename": "a.png", "subfolder": "", "type": "output"}
    late = replace(stored, status="done", images=(image,), trained_at=now())
    assert prompts.finish(late, "late") is False, "a run that another took the place of"
    done = replace(late, run_id="another-run")
    assert prompts.finish(done, '{"id": 1}') is True
    assert prompts.finish(replace(done, status="failed"), "twice") is False, (
        "what ended does not end again, and calls back once"
    )
    assert (prompts.get(1).status, prompts.get(1).images, prompts.count_open()) == (
        "done",
        (image,),
        0,
    )
    assert (stored.workflow != {}, prompts.get(1).workflow) == (True, {})
    [owed] = prompts.claim_callbacks(0, 9, 60)
    assert (owed.url, owed.body, owed.attempts) == ("https://a.example/x", '{"id": 1}', 0)
    assert prompts.delete(1) is True
    assert prompts.delete(1) is False
    assert prompts.requeue([running]) == frozenset(), "it is gone"
    assert prompts.claim_callbacks(60, 9, 60) == [owed], "a callback outlives its prompt"


def test_what_is_claimed_is_nobody_elses(prompts: PromptStore) -> None:
    stored = [prompts.add(sent(str(number), callback="https://a.example")) for number in range(4)]
    held = prompts.add(sent("held", waits_for=7))
    assert prompts.claim({1: "a", 2: "b", held.id: "c", 99: "d"}) == {1, 2}
    assert prompts.claim({2: "other", 3: "c"}) == {3}
    assert prompts.run_ids([1, 2, 3, 99]) == {1: "a", 2: "b", 3: "c"}
    ends = [
        (replace(one, run_id=run, status="done"), f"{one.id}")
        for one, run in zip(stored, ["a", "other", "c", stored[3].run_id], strict=True)
    ]
    assert prompts.finish_many(ends) == {1, 3, 4}, "an end of another run changes nothing"
    assert (prompts.get(2).status, prompts.get(2).run_id, prompts.get(2).runs) == (
        "running",
        "b",
        1,
    )
    assert [one.body for one in prompts.claim_callbacks(0, 9, 60)] == ["1", "3", "4"]


def test_a_failing_end_takes_no_other_with_it_into_the_table(prompts: PromptStore) -> None:
    first, second = (prompts.add(sent(one, callback="https://a.example")) for one in "ab")
    with pytest.raises(TuneError):
        prompts.finish_many([(first, "1"), (replace(second, status="lost"), "2")])
    assert [one.id for one in prompts.open()] == [1, 2]
    assert prompts.claim_callbacks(0, 9, 60) == []


def test_a_hundred_thousand_waiting_prompts_are_read_in_pages(
    prompts: PromptStore, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "private" / DATABASE_FILE)) as connection, connection:
        prompts.add(sent())
        columns = [one[1] for one in connection.execute("PRAGMA table_info(prompts)")]
        copied = ", ".join(one for one in columns if one != "id")
        numbers = "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        connection.execute(
            f"INSERT INTO prompts ({copied}) {numbers} SELECT {copied} FROM prompts, n WHERE id = 1"
        )
    start = time.perf_counter()
    page = prompts.open(after=50_000, limit=100)
    assert [one.id for one in page] == list(range(50_001, 50_101))
    assert time.perf_counter() - start < 1, "the whole would take ten seconds"
    assert prompts.count_open() == 100_000
    assert prompts.forget(now(), 100) == 0, "what is open stays"


def test_what_ended_long_ago_is_forgotten(prompts: PromptStore) -> None:
    ends = [prompts.add(sent(str(number))) for number in range(4)]
    old = now() - timedelta(days=3)
    ended = [(replace(one, status="done", updated_at=old), "") for one in ends[:3]]
    prompts.finish_many(ended)
    prompts.like(2, liked=True)
    prompts.queue_callback("https://a.example", "{}")
    [owed] = prompts.claim_callbacks(0, 9, 60)
    prompts.fail_callback(owed.id, "nobody there")
    before = now() - timedelta(days=2)
    assert prompts.forget(old, 9) == 1, "only the callback, which was due long ago"
    assert (prompts.forget(before, 1), prompts.forget(before, 9), prompts.forget(before, 9)) == (
        1,
        1,
        0,
    )
    assert [one.id for one in prompts.list("690204", limit=9, offset=0)] == [4, 2]


def test_equal_requests_are_found_unless_they_failed(prompts: PromptStore) -> None:
    stored = prompts.add(sent())
    assert prompts.find("690204", "digest of a cat").id == stored.id
    assert prompts.find("7", "digest of a cat") is None
    prompts.finish(replace(stored, status="failed", user_error="no"), "{}")
    assert prompts.find("690204", "digest of a cat") is None


def test_callbacks_wait_and_are_given_up(prompts: PromptStore) -> None:
    for number in range(3):
        prompts.queue_callback(f"https://a.example/{number}", "{}")
    first, second, third = prompts.claim_callbacks(0, 9, 60)
    assert prompts.claim_callbacks(59, 9, 60) == [], "another sender is not given them meanwhile"
    assert len({first.delivery, second.delivery, third.delivery}) == 3
    prompts.mark_delivered(first.id)
    prompts.retry_callback(second.id, 500.0)
    prompts.fail_callback(third.id, "nobody there")
    assert prompts.claim_callbacks(499, 9, 60) == []
    assert prompts.next_callback_due() == 500.0
    [again] = prompts.claim_callbacks(500, 9, 60)
    assert (again.delivery, again.attempts) == (second.delivery, 1)


def test_many_writers_lose_nothing(prompts: PromptStore, tmp_path: Path) -> None:
    def write(name: str) -> None:
        own = PromptStore(tmp_path / "private")
        for number in range(10):
            own.add(sent(f"{name} {number}"))

    threads = [threading.Thread(target=write, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = prompts.list("690204", limit=99, offset=0)
    assert len({one.fields["text"] for one in found}) == len({one.id for one in found}) == 40


HOLDER = """
import sys, importlib.util
spec = importlib.util.spec_from_file_location("pack_loader", sys.argv[1])
loader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(loader)
loader.load()
from pathlib import Path
from comfyui_astria.nodes.tunes.schema import only_one
held = only_one(Path(sys.argv[2]))
print(held is not None, flush=True)
sys.stdin.read()
"""


def test_one_process_holds_the_folder_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "private" / "api.lock"
    command = [sys.executable, "-c", HOLDER, str(ROOT / "pack_loader.py"), str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert only_one(path) is None
        other.kill()
    held = only_one(path)
    assert held is not None
    assert only_one(path) is None
    held.close()
