"""Round after round of kill -9 while thirty programs make tunes and prompts."""

from __future__ import annotations

import itertools
import logging
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.api_support import Api, Receiver, png, set_up, until

ROUNDS = 15
PROGRAMS = 30
ANSWERS = (10, 120)  # after so many of a round the host is killed
TUNE_IN = 3  # of so many requests one makes a tune
SETTINGS = "private_hosts = 127.0.0.1\nmax_waiting = 1000000\n"
ENDED_S = 900
ALL = 1_000_000

_log = logging.getLogger(__name__)


@dataclass
class Storm:
    """What was asked for, by a name of its own each, and the ids that were answered."""

    callback: str
    seeds: Iterator[int] = field(default_factory=itertools.count)
    asked: set[str] = field(default_factory=set)
    tunes: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, int] = field(default_factory=dict)

    @property
    def answers(self) -> int:
        return len(self.tunes) + len(self.prompts)

    def ask(self, api: Api, name: str, number: int) -> None:
        """Make a tune of a photo, or a prompt with a picture that paints nothing."""
        self.asked.add(name)
        # Each has one of its own: ComfyUI does not run again what it has run before.
        photo = ("1.png", png(seed=next(self.seeds)))
        if number % TUNE_IN == 0:
            data = {"tune[title]": name, "tune[model_type]": "faceid"}
            answer = api.post("/tunes", data=data, files={"tune[images][]": photo})
            made = self.tunes
        else:
            attributes = {"text": name, "denoising_strength": "0", "callback": self.callback}
            data = {f"prompt[{key}]": value for key, value in attributes.items()}
            files = {"prompt[input_image]": photo}
            answer = api.post("/tunes/690204/prompts", data=data, files=files)
            made = self.prompts
        assert answer.status_code == 201, answer.text
        made[name] = answer.json()["id"]


@pytest.mark.long
def test_rounds_of_kill_9_lose_and_double_nothing(tmp_path: Path) -> None:
    folder = set_up(tmp_path, settings=SETTINGS)
    moments = random.Random(14)
    with Receiver() as receiver:
        storm = Storm(receiver.url)
        for turn in range(ROUNDS):
            _round(storm, tmp_path, turn, moments.randint(*ANSWERS))
        store = PromptStore(folder)
        with Host(current(), HostOptions(tmp_path, test_pack=True)):
            until(lambda: store.count_open() == 0 and store.next_callback_due() is None, ENDED_S)
        tunes = TuneStore(folder).list(limit=ALL)
        prompts = store.list("690204", limit=ALL, offset=0)
    there = (Counter(one.title for one in tunes), Counter(one.fields["text"] for one in prompts))
    answered = (storm.tunes, storm.prompts)
    lost = [
        sum(name not in found for name in ids) for found, ids in zip(there, answered, strict=True)
    ]
    doubled = [sum(count > 1 for count in found.values()) for found in there]
    _log.info(
        "%d rounds: answered %d tunes and %d prompts, lost %s, doubled %s, there %d and %d",
        ROUNDS,
        *map(len, answered),
        lost,
        doubled,
        *map(len, there),
    )
    assert (lost, doubled) == ([0, 0], [0, 0])
    assert set(there[0]) | set(there[1]) <= storm.asked
    _check_ids({one.title: one.id for one in tunes}, storm.tunes)
    _check_ids({one.fields["text"]: one.id for one in prompts}, storm.prompts)
    assert {(one.status, one.user_error, len(one.images)) for one in prompts} == {("done", None, 1)}
    pictures = Counter(one.images[0]["filename"] for one in prompts)
    assert max(pictures.values()) == 1, "each has a picture of its own"
    calls = Counter(id for _, id in {(name, body["id"]) for name, body in receiver.arrived})
    assert calls == Counter(one.id for one in prompts), "each was called back under one name"


def _round(storm: Storm, base: Path, turn: int, answers: int) -> None:
    """Let all programs ask until so many more are answered, and kill the host while they ask."""
    enough = storm.answers + answers
    host = Host(current(), HostOptions(base, test_pack=True))
    host.start()
    assert host.process is not None
    try:
        with ThreadPoolExecutor(PROGRAMS) as pool:
            programs = [
                pool.submit(_program, storm, host.url, turn, number) for number in range(PROGRAMS)
            ]
            try:
                until(
                    lambda: storm.answers >= enough or any(one.done() for one in programs), ENDED_S
                )
            finally:
                host.process.kill()
        for one in programs:
            one.result()
    finally:
        host.stop()


def _program(storm: Storm, url: str, turn: int, number: int) -> None:
    """Ask until the host is gone."""
    api = Api(url)
    with suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        for asked in itertools.count():
            storm.ask(api, f"{turn}-{number}-{asked}", number + asked)


def _check_ids(there: Mapping[str, int], answered: Mapping[str, int]) -> None:
    assert {name: there[name] for name in answered} == answered
