"""The dispatcher's logic, without Ray, processes or a database."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import pytest
from comfyui_astria.fleet import dispatcher as dispatching
from comfyui_astria.fleet.choosing import (
    MOST_BYPASSES,
    Line,
    Models,
    Waiting,
    choose,
    models_of,
)
from comfyui_astria.fleet.dispatcher import Dispatcher
from comfyui_astria.fleet.runs import Run
from comfyui_astria.nodes.tunes.prompts import Prompt
from comfyui_astria.tests.fleet.pretended import MODEL, MemorySource, ScriptedPool, workflow_of


def waiting(id: int, base: str, lora: str = "") -> Waiting:
    return Waiting(id, models_of(workflow_of(base, lora)))


def line_of(*bases: str) -> Line:
    line = Line()
    line.add(waiting(number, base) for number, base in enumerate(bases, start=1))
    return line


def held(base: str, lora: str = "") -> Models:
    return models_of(workflow_of(base, lora))


def test_a_workers_own_base_comes_first_then_one_that_nobody_has_then_the_oldest() -> None:
    others = {held("a").base}
    assert line_of("a", "b", "c").take(held("c"), others).id == 3
    assert line_of("a", "b", "c").take(held("d"), others).id == 2
    assert line_of("a", "a").take(held("d"), others).id == 1
    assert line_of("a", "b").take(None, set()).id == 1
    assert Line().take(None, set()) is None


def test_of_several_free_workers_each_gets_what_it_has_loaded() -> None:
    free = {"m/0": held("b"), "m/1": None, "m/2": held("a"), "m/3": held("c")}
    bases = Counter(one.base for one in free.values() if one)
    line = line_of("a", "d", "c")
    assert [(worker, taken.id) for worker, taken in choose(line, free, bases, 4)] == [
        ("m/2", 1),
        ("m/3", 3),
        ("m/1", 2),
    ], "who has nothing loads d, and m/0 keeps b"
    assert (len(line), +bases) == (0, Counter(held(one).base for one in "abcd"))


def test_of_its_own_base_the_one_with_its_loras_comes_first() -> None:
    line = Line()
    line.add([waiting(1, "a", "x"), waiting(2, "a", "y")])
    assert line.take(held("a", "y"), set()).id == 2


def test_none_is_passed_over_more_often_than_the_bound() -> None:
    line = line_of("b", *["a"] * (MOST_BYPASSES + 5))
    order = [line.take(held("a"), set()).id for _ in range(MOST_BYPASSES + 1)]
    assert order[-1] == 1
    assert order[:-1] == list(range(2, MOST_BYPASSES + 2))


def test_whatever_comes_none_is_passed_over_more_often_than_the_bound() -> None:
    chance = random.Random(1)
    line, passed = Line(), dict.fromkeys(range(1, 1001), 0)
    line.add(waiting(number, chance.choice("abcdefg")) for number in passed)
    loaded: list[Models | None] = [None, None, None]
    most = 0
    while len(line):
        place = chance.randrange(3)
        taken = line.take(loaded[place], {one.base for one in loaded if one is not None})
        loaded[place] = taken.models
        most = max(most, passed.pop(taken.id))
        for id in passed:
            passed[id] += id < taken.id
    assert not passed
    assert most == MOST_BYPASSES


def test_many_workers_may_pass_over_a_prompt_more_often() -> None:
    line = line_of("b", *["a"] * (3 * MOST_BYPASSES))
    order = [line.take(held("a"), set(), workers=2).id for _ in range(2 * MOST_BYPASSES + 1)]
    assert order.index(1) == 2 * MOST_BYPASSES


def test_what_comes_back_stands_in_its_old_place() -> None:
    line = line_of("a", "a", "a")
    first = line.take(None, set())
    line.add([first])
    assert line.take(None, set()).id == 1


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def pool() -> ScriptedPool:
    return ScriptedPool()


def test_each_worker_has_one_run_and_each_prompt_ends_once(
    source: MemorySource, pool: ScriptedPool
) -> None:
    ids = [source.add() for _ in range(5)]
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    pool.appears("m/1")
    for _ in range(6):
        service.step(0)
        for worker in list(pool.under_way):
            pool.ends(worker)
    service.step(0)
    assert sorted(source.ends) == [(id, "done") for id in ids]
    assert service.is_idle()
    assert sorted(pool.acknowledged) == sorted(run for _, run in pool.started)
    assert (service.counts.done, service.counts.rerun, service.counts.loads) == (5, 0, 2)


@pytest.mark.parametrize("way", ["dies", "loses"])
def test_a_death_is_run_again_and_three_are_a_failure(
    source: MemorySource, pool: ScriptedPool, way: str
) -> None:
    source.add()
    service = Dispatcher(source, pool)
    for time in range(3):
        pool.appears("m/0")
        service.step(0)
        assert len(pool.started) == time + 1
        getattr(pool, way)("m/0")
        service.step(0)
        assert len(pool.started) == time + 1, "idle is only who answers"
    service.step(0)
    assert source.ends == [(1, "failed")]
    assert len({run for _, run in pool.started}) == 3, "each run has an id of its own"


def test_a_late_end_of_a_run_that_was_given_up_is_no_second_answer(
    source: MemorySource, pool: ScriptedPool
) -> None:
    source.add()
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    service.step(0)
    late = pool.under_way["m/0"]
    pool.dies("m/0")
    pool.appears("m/1")
    service.step(0)
    assert pool.started[-1][0] == "m/1"
    pool.appears("m/0", late.run_id)  # it was only away
    service.step(0)
    assert late.run_id in pool.acknowledged
    assert late.run_id in pool.interrupted
    pool.ends("m/1")
    service.step(0)
    assert source.ends == [(1, "done")]


def test_a_new_dispatcher_takes_over_what_runs_and_runs_the_rest_again(
    source: MemorySource, pool: ScriptedPool
) -> None:
    for _ in range(3):
        source.add()
    first = Dispatcher(source, pool)
    pool.appears("m/0")
    pool.appears("m/1")
    first.step(0)
    kept, gone = pool.under_way["m/0"].run_id, pool.under_way["m/1"].run_id
    again = ScriptedPool(settled=False)
    second = Dispatcher(source, again)
    again.appears("m/0", kept)
    second.step(0)
    assert again.awaited == [("m/0", kept)]
    assert again.started == [], "m/1 may come still"
    again.settled = True
    again.appears("m/2")
    second.step(0)
    second.step(0)
    assert [worker for worker, _ in again.started] == ["m/2"]
    assert source.prompts[2].runs == 2
    assert gone not in {run for _, run in again.started}
    again.ends("m/0")
    again.ends("m/2")
    for _ in range(2):
        second.step(0)
        for worker in list(again.under_way):
            again.ends(worker)
    second.step(0)
    assert sorted(source.ends) == [(1, "done"), (2, "done"), (3, "done")]


def test_what_is_deleted_is_interrupted_and_not_answered(
    source: MemorySource, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "_LOOK_S", 0)
    for _ in range(2):
        source.add()
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    service.step(0)
    source.prompts.clear()
    service.step(0)
    [(_, run_id)] = pool.started
    assert pool.interrupted == [run_id]
    pool.ends("m/0")
    service.step(0)
    assert (source.ends, service.is_idle(), len(pool.started)) == ([], True, 1)


def test_a_drained_worker_ends_its_run_and_gets_no_other(
    source: MemorySource, pool: ScriptedPool
) -> None:
    for _ in range(3):
        source.add()
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    pool.appears("n/0")
    service.step(0)
    service.drained = ["m"]
    pool.ends("m/0")
    pool.ends("n/0")
    service.step(0)
    assert [worker for worker, _ in pool.started] == ["m/0", "n/0", "n/0"]


def test_what_waits_for_a_training_is_read_when_it_is_free(
    source: MemorySource, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "_RESCAN_S", -1)
    source.add()
    source.add()
    source.prompts[1] = replace(source.prompts[1], waits_for=7)
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    service.step(0)
    pool.ends("m/0")
    source.prompts[1] = replace(source.prompts[1], waits_for=None)
    service.step(0)
    pool.ends("m/0")
    service.step(0)
    assert [id for id, _ in source.ends] == [2, 1]


def test_a_training_stands_in_line_by_its_coming_and_ends_once(
    source: MemorySource, pool: ScriptedPool
) -> None:
    first, second = source.add(), source.add()
    training = source.train(behind=first)
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    for _ in range(3):
        service.step(0)
        pool.ends("m/0")
    service.step(0)
    assert [id for id, _ in source.ends] == [first, training, second]


def test_a_training_is_asked_for_what_is_new_and_only_while_it_counts(
    source: MemorySource, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "_ASK_S", 0)
    source.train()
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    service.step(0)
    [(_, run_id)] = pool.started
    service.step(0)
    assert pool.asked == [("m/0", run_id, {})]
    pool.tells("m/0", 5, b"half")
    service.step(0)
    assert source.kept == [(run_id, {"progress.json": b"half"})]
    assert pool.asked[-1] == ("m/0", run_id, {"progress.json": 5})
    pool.tells("m/0", 6, b"late")
    pool.dies("m/0")
    pool.waiting_events.reverse()
    service.step(0)
    assert len(source.kept) == 1, "what it told came after its end"


def test_what_a_worker_lacks_is_brought_and_the_run_begins_once(
    source: MemorySource, pool: ScriptedPool
) -> None:
    source.modelled = True
    source.add()
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    service.step(0)
    assert pool.under_way["m/0"].models[MODEL].content is None
    pool.lacks("m/0")
    service.step(0)
    assert pool.under_way["m/0"].models[MODEL].content == b"x"
    assert len({run for _, run in pool.started}) == 1, "the same run"
    assert (service.members["m/0"].brought, source.ends) == ({MODEL}, [])
    pool.ends("m/0")
    service.step(0)
    assert source.ends == [(1, "done")]


def test_a_file_that_is_gone_when_it_is_to_be_brought_fails_its_prompt_alone(
    source: MemorySource, pool: ScriptedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.modelled = True
    source.add()
    source.add()
    service = Dispatcher(source, pool)
    pool.appears("m/0")
    service.step(0)
    real = source.run_of

    def gone(prompt: Prompt, bring: Collection[str] = ()) -> Run:
        if bring:
            raise FileNotFoundError(2, "No such file or directory")
        return real(prompt, bring)

    monkeypatch.setattr(source, "run_of", gone)
    pool.lacks("m/0")
    service.step(0)
    assert source.ends == [(1, "failed")]
    pool.ends("m/0")
    service.step(0)
    assert source.ends == [(1, "failed"), (2, "done")]
