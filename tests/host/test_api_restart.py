"""kill -9 of the host in the middle of making, running and calling back; the key; many programs at once."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import requests
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.nodes.tunes.store import DATABASE_FILE, TuneStore
from comfyui_astria.tests.host.api_support import SMALL, Api, api_of, png, set_up
from comfyui_astria.tests.host.fixtures import LiveHost

SETTINGS = "idempotent = yes\nprivate_hosts = 127.0.0.1\n"
KEY = "a-key-of-the-owner"
SLOW = {"w": 192, "h": 192, "steps": 50, "num_images": 2}
MB = 1_000_000


class Receiver:
    """A program's own server: notes the callbacks that arrive, and refuses them while `refusing`."""

    def __init__(self) -> None:
        self.refusing = False
        self.arrived: list[tuple[str, dict]] = []
        self.tries = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.tries += 1
                if not outer.refusing:
                    outer.arrived.append((self.headers["Astria-Delivery"], body))
                self.send_response(500 if outer.refusing else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/done?user=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    one.thread.start()
    yield one
    one.server.shutdown()
    one.thread.join()
    one.server.server_close()


def until(condition, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def tune_form(number: int) -> dict:
    files = [("tune[images][]", ("1.png", png(seed=number)))]
    return {"data": {"tune[title]": f"tune {number}", "tune[model_type]": "faceid"}, "files": files}


def test_kill_9_loses_and_doubles_nothing(tmp_path: Path, receiver: Receiver) -> None:
    folder = set_up(tmp_path, settings=SETTINGS)
    options = HostOptions(tmp_path, test_pack=True)
    process = Host(current(), options)
    process.start()
    try:
        api = Api(process.url)
        receiver.refusing = True
        done = api.finished(api.create_prompt("done before", callback=receiver.url))
        until(lambda: receiver.tries > 0)
        running = api.create_prompt("slow", callback=receiver.url, **SLOW)
        waiting = [api.create_prompt(f"waiting {number}", callback=receiver.url) for number in range(3)]
        until(lambda: api.get(f"/tunes/690204/prompts/{running['id']}").json()["started_training_at"])
        made = _tunes_until_killed(api, process)
    finally:
        process.stop()
    hopeless = _as_started_too_often(folder / DATABASE_FILE, done["id"])
    receiver.refusing = False
    (folder / "api.ini").write_text(f"{SETTINGS}key = {KEY}\n", encoding="utf-8")
    with Host(current(), HostOptions(tmp_path, test_pack=True, extra_args=("--listen", "0.0.0.0"))) as process:
        assert Api(process.url).get("/tunes").status_code == 401
        assert Api(process.url, "another-key").post("/generate", json={"prompt": "a cat"}).status_code == 401
        api = Api(process.url, KEY)
        _check_prompts(api, receiver, [done, running, *waiting])
        failed = api.get(f"/tunes/690204/prompts/{hopeless}").json()
        assert failed["user_error"] == "ComfyUI ended 3 times while this prompt was running."
        _check_tunes(api, folder, made)


def _tunes_until_killed(api: Api, process: Host) -> list[int]:
    """Make tunes from several programs, kill the host in the middle, and return those that were answered."""
    made: list[int] = []

    def make(number: int) -> None:
        with suppress(requests.ConnectionError):
            if api.post("/tunes", **tune_form(number)).status_code == 201:
                made.append(number)

    with ThreadPoolExecutor(4) as pool:
        for number in range(40):
            pool.submit(make, number)
        until(lambda: len(made) >= 5)
        assert process.process is not None
        process.process.kill()
    assert len(made) < 40
    return made


def _as_started_too_often(database: Path, id: int) -> int:
    """Copy a prompt as one that was running when the host ended, for the third time; and have owed callbacks tried without a wait."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE callbacks SET due = 0")
        names = [row[1] for row in connection.execute("PRAGMA table_info(prompts)") if row[1] not in ("id", "status", "runs", "callback")]
        listed = ", ".join(names)
        cursor = connection.execute(f"INSERT INTO prompts (status, runs, {listed}) SELECT 'running', 3, {listed} FROM prompts WHERE id = ?", [id])
        return cursor.lastrowid or 0


def _check_prompts(api: Api, receiver: Receiver, sent: list[dict]) -> None:
    ended = [api.finished(prompt) for prompt in sent]
    assert [one["user_error"] for one in ended] == [None] * len(sent)
    assert [one["text"] for one in ended] == ["done before", "slow", "waiting 0", "waiting 1", "waiting 2"]
    assert [len(one["images"]) for one in ended] == [1, 2, 1, 1, 1]
    files = [files_of(one)[0] for one in ended]
    assert files == sorted(files), "they are made in the order of their coming"
    listed = [one["id"] for one in api.get("/tunes/690204/prompts").json()]
    assert sorted(set(listed)) == sorted(listed)
    assert set(listed) >= {one["id"] for one in sent}
    until(lambda: {body["id"] for _, body in receiver.arrived} == {one["id"] for one in sent})
    by_delivery = dict(receiver.arrived)
    assert len(by_delivery) == len(sent)
    told = {body["id"]: files_of(body) for body in by_delivery.values()}
    assert told == {one["id"]: files_of(one) for one in ended}
    again = api.create_prompt("waiting 1", callback=receiver.url)
    assert again["id"] == ended[3]["id"], "the same attributes are the same prompt"


def files_of(prompt: dict) -> list[str]:
    """The pictures of a prompt; the hosts before and after the kill have ports of their own."""
    return [url.partition("/view?")[2] for url in prompt["images"]]


def _check_tunes(api: Api, folder: Path, made: list[int]) -> None:
    def titles() -> list[str]:
        return [tune["title"] for offset in range(0, 60, 20) for tune in api.get("/tunes", params={"offset": offset}).json()]

    before = titles()
    assert len(before) == len(set(before))
    assert set(before) >= {f"tune {number}" for number in made}
    for number in range(40):
        assert api.post("/tunes", **tune_form(number)).status_code == 201
    assert sorted(titles()) == sorted(f"tune {number}" for number in range(40))
    store = TuneStore(folder)
    for number in range(40):
        tune = store.find_by_title(f"tune {number}")
        assert tune is not None
        assert [path.read_bytes() for path in store.photo_paths(tune.id)] == [png(seed=number)]
    assert list((folder / "uploads").glob("*")) == []


def test_twenty_programs_at_once(host: LiveHost) -> None:
    """Prompts that paint nothing: what is measured is the way to the queue and back."""
    api = api_of(host)
    host.client.upload_image(png(), "crowd.png")

    def program(number: int) -> list[dict]:
        own = Api(host.url)
        return [own.create_prompt("", input_image="crowd.png", denoising_strength=0, w=48 + 8 * number, h=48 + 8 * turn) for turn in range(5)]

    def wave() -> list[dict]:
        with ThreadPoolExecutor(20) as pool:
            sent = [one for prompts in pool.map(program, range(20)) for one in prompts]
        return [api.finished(one) for one in sent]

    assert host.process.process is not None
    memory = psutil.Process(host.process.process.pid).memory_info
    first = wave()
    between = memory().rss
    ended = [*first, *wave()]
    assert memory().rss - between < 60 * MB
    assert len({one["id"] for one in ended}) == 200
    assert [one["user_error"] for one in ended] == [None] * 200
    started = [one["started_training_at"] for one in sorted(ended, key=lambda one: one["id"])]
    assert started == sorted(started)
    for one in ended[::20]:
        assert api.picture(one["images"][0]).size == (one["w"], one["h"])
    assert SMALL["num_images"] == 1
