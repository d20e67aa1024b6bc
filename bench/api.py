"""The API on a real host, in closed loops of 1 and of 30 programs, beside ComfyUI's POST /prompt.

ComfyUI's queue is held by one run that waits, so that what is measured is the way into the queue
and not the running; the workflow posted to ComfyUI directly is the one that the prompts became.
"""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import statistics
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from comfyui_astria.bench._figures import figure
from comfyui_astria.devtools.client import Client
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions

ROUNDS = 3
CROWD = 30
# Programs -> how often each asks in a round.
ASKED = {1: 40, CROWD: 6}
# Programs that go on asking for something else while the crowd makes prompts.
BESIDE = {"get a prompt": 4, "list 20 prompts": 4, "make a tune": 2}
MADE, POSTED = "make a prompt", "POST /prompt of the same workflow"
BUDGET_MS = 300  # for the median of a crowd that makes prompts
_OTHERS = ", beside other work"
BASE = "/astria/tunes/690204/prompts"
BINDINGS = "[base 690204]\nfamily = sd15\ncheckpoint = any.safetensors\n"
SETTINGS = "max_waiting = 1000000\n"
TEXT = "portrait of a lighthouse keeper, (weathered face:1.2), overcast light"

Ask = Callable[["Program"], object]


class Program:
    """A program that asks over one connection."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        self._connection.connect()  # no part of an answer's time

    def get(self, path: str) -> Any:
        """Return the decoded JSON of a GET."""
        return self._asked("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the decoded JSON of a POST of JSON."""
        return self._asked("POST", path, json.dumps(body).encode())

    def _asked(self, method: str, path: str, body: bytes | None) -> Any:
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path}: HTTP {answer.status}: {content[:500]!r}")
        return json.loads(content)


def run() -> list[dict]:
    """Return the figures, medians and 99th percentiles over all rounds."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _furnish(base)
        with Host(current(), HostOptions(base, test_pack=True)) as host, _held(host.client):
            return _figures(host)


def _furnish(base: Path) -> None:
    for path, text in (
        (base / "user" / "__astria" / "bindings.ini", BINDINGS),
        (base / "user" / "__astria" / "api.ini", SETTINGS),
        (base / "models" / "checkpoints" / "any.safetensors", ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@contextmanager
def _held(client: Client) -> Iterator[None]:
    """Let a run wait in ComfyUI, and all others behind it."""
    client.queue({"1": {"class_type": "AstriaTestWait", "inputs": {}}})
    try:
        yield
    finally:
        client.post_json("/queue", {"clear": True})
        client.interrupt()


def _figures(host: Host) -> list[dict]:
    kinds = _kinds(host)
    taken: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for programs, times in ASKED.items():
            for name, ask in kinds.items():
                taken.setdefault(f"{name}, {programs} at once", []).extend(
                    _asking(host.url, ask, programs, times)
                )
        for name in (MADE, POSTED):
            with _going_on(host.url, [(kinds[other], count) for other, count in BESIDE.items()]):
                taken.setdefault(f"{name}, {CROWD} at once{_OTHERS}", []).extend(
                    _asking(host.url, kinds[name], CROWD, ASKED[CROWD])
                )
    return [
        *(row for name, seconds in taken.items() for row in _rows(name, seconds)),
        *(
            figure(
                f"making a prompt against POST /prompt, {those}",
                round(
                    statistics.median(taken[f"{MADE}, {those}"])
                    / statistics.median(taken[f"{POSTED}, {those}"]),
                    2,
                ),
                "x",
            )
            for those in (
                *(f"{programs} at once" for programs in ASKED),
                f"{CROWD} at once{_OTHERS}",
            )
        ),
    ]


def _kinds(host: Host) -> dict[str, Ask]:
    """Return what programs ask for, by name."""
    first = Program(host.url)
    number = itertools.count()
    made = first.post(BASE, _prompt(next(number)))
    graph = next(
        item[2] for item in first.get("/queue")["queue_pending"] if "output.save" in item[2]
    )
    photo = _photo()
    return {
        MADE: lambda program: program.post(BASE, _prompt(next(number))),
        POSTED: lambda program: program.post("/prompt", {"prompt": _reseeded(graph, next(number))}),
        "get a prompt": lambda program: program.get(f"{BASE}/{made['id']}"),
        "list 20 prompts": lambda program: program.get(BASE),
        "make a tune": lambda program: program.post("/astria/tunes", _tune(next(number), photo)),
    }


def _prompt(number: int) -> dict[str, Any]:
    return {
        "prompt": {"text": TEXT, "negative_prompt": "blurry", "seed": number, "w": 512, "h": 768}
    }


def _tune(number: int, photo: str) -> dict[str, Any]:
    return {
        "tune": {"title": f"t{number}", "name": "man", "model_type": "faceid", "images": [photo]}
    }


def _photo() -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (512, 512), (90, 120, 150)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _reseeded(graph: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the workflow with another seed: it is one that was not posted before."""
    return {
        name: {**node, "inputs": {**node["inputs"], "seed": seed}}
        if isinstance(node["inputs"].get("seed"), int)
        else node
        for name, node in graph.items()
    }


def _asking(url: str, ask: Ask, programs: int, times: int) -> list[float]:
    """Return the seconds of each answer to programs that ask at once, each `times` in turn."""
    together = threading.Barrier(programs)

    def one(_: int) -> list[float]:
        program = Program(url)
        together.wait()
        return [_seconds(ask, program) for _ in range(times)]

    with ThreadPoolExecutor(programs) as pool:
        return [taken for times in pool.map(one, range(programs)) for taken in times]


def _seconds(ask: Ask, program: Program) -> float:
    start = time.perf_counter()
    ask(program)
    return time.perf_counter() - start


@contextmanager
def _going_on(url: str, asks: Sequence[tuple[Ask, int]]) -> Iterator[None]:
    """Let programs ask for other things until the end."""
    ended = threading.Event()

    def go_on(ask: Ask) -> None:
        program = Program(url)
        while not ended.is_set():
            ask(program)

    with ThreadPoolExecutor(sum(count for _, count in asks)) as pool:
        going = [pool.submit(go_on, ask) for ask, count in asks for _ in range(count)]
        try:
            yield
        finally:
            ended.set()
    for one in going:
        one.result()


def _rows(name: str, seconds: Sequence[float]) -> list[dict]:
    ordered = sorted(seconds)
    median_ms = statistics.median(ordered) * 1000
    last_ms = ordered[int(len(ordered) * 0.99)] * 1000
    is_kept = median_ms <= BUDGET_MS if name.startswith(f"{MADE}, {CROWD}") else None
    return [
        figure(f"{name}: p50", round(median_ms, 1), "ms", is_kept),
        figure(f"{name}: p99", round(last_ms, 1), "ms"),
    ]
