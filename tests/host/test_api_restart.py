"""kill -9 of the host in the middle of making, running and calling back.

And many programs at once.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import requests
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.nodes.training.asked import Training, TrainingStore
from comfyui_astria.nodes.tunes.prompts import PromptStore
from comfyui_astria.nodes.tunes.store import DATABASE_FILE, TuneStore
from comfyui_astria.tests.host.api_support import Api, Receiver, api_of, png, set_up, until
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora

SETTINGS = "idempotent = yes\nprivate_hosts = 127.0.0.1\n"
KEY = "a-key-of-the-owner"
SLOW = {"w": 128, "h": 128, "steps": 50, "num_images": 2}
STORM = 60
PACK = {
    "title": "of the storm",
    "branch": "fast",
    "model_type": "checkpoint",
    "prompts_attributes": [{"text": "one"}, {"text": "two"}],
}
MOST_LEFT = 40_000  # bytes of memory a prompt


class Request:
    """One of the requests that are under way when the host dies.

    By its number a photo set, a prompt with a picture, or an uploaded LoRA.
    """

    def __init__(self, number: int, lora: bytes, callback: str) -> None:
        self.number = number
        self.title = f"storm {number}"
        self.is_prompt = number % 3 == 1
        if self.is_prompt:
            attributes = {"text": self.title, "denoising_strength": "0", "callback": callback}
            self.path = "/tunes/690204/prompts"
            self.data = {f"prompt[{key}]": value for key, value in attributes.items()}
            self.files = {"prompt[input_image]": ("a.png", png(seed=number))}
        else:
            kind = "faceid" if number % 3 == 0 else "lora"
            self.path, self.data = "/tunes", {"tune[title]": self.title, "tune[model_type]": kind}
            self.files = (
                {"tune[images][]": ("1.png", png(seed=number))}
                if kind == "faceid"
                else {"tune[file]": ("a.safetensors", lora)}
            )

    def send(self, api: Api) -> dict[str, Any]:
        answer = api.post(self.path, data=self.data, files=self.files)
        assert answer.status_code == 201, answer.text
        return answer.json()


def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    folder = set_up(tmp_path, settings=SETTINGS)
    write_tiny_lora(tmp_path, "sd15", "a.safetensors")
    with Receiver() as receiver, Receiver() as packed:
        requests_ = [
            Request(number, (tmp_path / "a.safetensors").read_bytes(), receiver.url)
            for number in range(STORM)
        ]
        sent, answered = _until_killed(tmp_path, receiver, packed.url, requests_)
        assert packed.arrived == []
        _leave_more(tmp_path, folder)
        hopeless = _as_started_too_often(folder / DATABASE_FILE, sent[0]["id"])
        untrained = _as_trained_too_often(folder)
        receiver.holding = False
        # Without a key the same host is not to be reached: it listens everywhere now.
        options = HostOptions(tmp_path, test_pack=True, extra_args=("--listen", "0.0.0.0"))
        with Host(current(), options) as process:
            assert (code := Api(process.url).get("/tunes")).status_code == 401
            assert code.json()["error"]["type"] == "no-key-set"
            (folder / "api.ini").write_text(f"{SETTINGS}key = {KEY}\n", encoding="utf-8")
            assert (
                Api(process.url, "another-key")
                .post("/generate", json={"prompt": "a cat"})
                .status_code
                == 401
            )
            api = Api(process.url, KEY)
            _check_leavings(tmp_path, folder)
            _check_storm(api, folder, requests_, answered)
            tune = api.get(f"/tunes/{untrained}").json()
            said = "ComfyUI ended 3 times while this tune was trained."
            assert (tune["user_error"], tune["trained_at"]) == (said, None)
            _check_prompts(api, receiver, sent)
            failed = api.get(f"/tunes/690204/prompts/{hopeless}").json()
            assert failed["user_error"] == "ComfyUI ended 3 times while this prompt was running."
            _check_callbacks(api, receiver)
            until(lambda: packed.arrived)
            [(_, prompts)] = packed.arrived
            assert [one["text"] for one in prompts] == ["one", "two"]
            assert all(one["images"] for one in prompts)
            assert [one["slug"] for one in api.get("/packs").json()] == ["of-the-storm"]


def _until_killed(
    base: Path, receiver: Receiver, packed: str, requests_: Sequence[Request]
) -> tuple[list[dict], dict[int, dict]]:
    """Kill the host while it calls back, runs a prompt, has others waiting, and makes things.

    Return those prompts, and what was answered.
    """
    answered: dict[int, dict] = {}
    process = Host(current(), HostOptions(base, test_pack=True))
    process.start()
    try:
        api = Api(process.url)
        receiver.holding = True
        done = api.finished(api.create_prompt("done before", callback=receiver.url))
        until(lambda: receiver.held)
        running = api.create_prompt("slow", callback=receiver.url, **SLOW)
        waiting = [
            api.create_prompt(f"waiting {number}", callback=receiver.url) for number in range(3)
        ]
        made = api.post("/packs", json=PACK)
        path = f"/p/{made.json()['id']}/tunes"
        assert api.post(path, json={"title": "mine", "prompts_callback": packed}).ok
        until(
            lambda: api.get(f"/tunes/690204/prompts/{running['id']}").json()["started_training_at"]
        )

        def make(request: Request) -> None:
            with suppress(requests.ConnectionError):
                answered[request.number] = request.send(Api(process.url))

        with ThreadPoolExecutor(6) as pool:
            for request in requests_:
                pool.submit(make, request)
            until(lambda: len(answered) >= 9)
            assert process.process is not None
            process.process.kill()
    finally:
        process.stop()
    assert len(answered) < len(requests_)
    return [done, running, *waiting], answered


OWN = "own.safetensors"


def _leave_more(base: Path, folder: Path) -> None:
    """Leave what a host leaves that dies in the few moments between a file and its line in the
    database; and a file of the owner's.
    """
    loras = base / "models" / "loras" / "astria"
    for path in (
        loras / f"upload-{'a' * 32}.safetensors",
        loras / f"upload-{'b' * 32}.safetensors.partial",
        folder / "uploads" / "tmp1.partial",
        base / "input" / "astria" / f"{'c' * 64}.png",
        loras / OWN,
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left")


def _as_started_too_often(database: Path, id: int) -> int:
    """Copy a prompt as one that was running when the host ended, for the third time.

    And have owed callbacks tried without a wait.
    """
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE callbacks SET due = 0")
        names = [
            row[1]
            for row in connection.execute("PRAGMA table_info(prompts)")
            if row[1] not in ("id", "status", "runs", "callback")
        ]
        listed = ", ".join(names)
        cursor = connection.execute(
            f"INSERT INTO prompts (status, runs, {listed}) SELECT 'running', 3, {listed} FROM"
            " prompts WHERE id = ?",
            [id],
        )
        return cursor.lastrowid or 0


def _as_trained_too_often(folder: Path) -> int:
    """Leave a tune whose training was running when the host ended, for the third time."""
    request = {"photos": 4, "name": "woman", "model_type": "lora"}
    training = Training(request, "http://127.0.0.1", status="running", runs=3)
    beside = TrainingStore.beside(training)
    tune = TuneStore(folder).create(title="untrained", model_type="lora", beside=beside)
    return tune.id


def _check_leavings(base: Path, folder: Path) -> None:
    """Assert that every file belongs to something that is in the database.

    What was under way has left none.
    """
    assert list((folder / "uploads").glob("*")) == []
    tunes = TuneStore(folder)
    assert {path.name for path in (base / "models" / "loras" / "astria").glob("*")} == {
        OWN,
        *(name.rpartition("/")[2] for name in tunes.files()),
    }
    assert {f"astria/{path.name}" for path in (base / "input" / "astria").glob("*")} == PromptStore(
        folder
    ).inputs_in_use()
    assert {path.name for path in (folder / "photos").iterdir()} == {
        str(tune.id) for tune in tunes.list(limit=100) if tune.orig_images
    }


def _check_storm(
    api: Api, folder: Path, requests_: Sequence[Request], answered: dict[int, dict]
) -> None:
    """Assert that what was answered is there, and that everything sent again is there once."""
    for request in requests_:
        again = request.send(api)
        before = answered.get(request.number, again)
        assert (again["id"], again["created_at"]) == (before["id"], before["created_at"])
    told = api.get("/tunes", params={"limit": 100}).json()
    tunes = [tune["title"] for tune in told if tune["title"].startswith("storm")]
    assert sorted(tunes) == sorted(one.title for one in requests_ if not one.is_prompt)
    prompts = [
        prompt["text"]
        for prompt in api.get("/tunes/690204/prompts", params={"limit": 100}).json()
        if prompt["text"].startswith("storm")
    ]
    assert sorted(prompts) == sorted(one.title for one in requests_ if one.is_prompt)
    store = TuneStore(folder)
    for number in range(0, STORM, 3):
        tune = store.find_by_title(f"storm {number}")
        assert tune is not None
        assert [path.read_bytes() for path in store.photo_paths(tune.id)] == [png(seed=number)]


def _check_prompts(api: Api, receiver: Receiver, sent: Sequence[dict]) -> None:
    ended = [api.finished(prompt) for prompt in sent]
    assert [one["user_error"] for one in ended] == [None] * len(sent)
    assert [one["text"] for one in ended] == [
        "done before",
        "slow",
        "waiting 0",
        "waiting 1",
        "waiting 2",
    ]
    assert [len(one["images"]) for one in ended] == [1, 2, 1, 1, 1]
    files = [_files_of(one)[0] for one in ended]
    assert files == sorted(files), "they are made in the order of their coming"
    again = api.create_prompt("waiting 1", callback=receiver.url)
    assert again["id"] == ended[3]["id"], "the same attributes are the same prompt"


def _check_callbacks(api: Api, receiver: Receiver) -> None:
    """Assert that each prompt with a callback was called back once, as it is.

    The call that was cut off came again under its own name.
    """
    ended = {
        one["id"]: api.finished(one)
        for one in api.get("/tunes/690204/prompts", params={"limit": 100}).json()
        if one["callback"]
    }
    assert len(ended) == 5 + STORM // 3
    until(lambda: len(receiver.arrived) >= len(ended))
    assert (
        len({delivery for delivery, _ in receiver.arrived}) == len(receiver.arrived) == len(ended)
    )
    assert {body["id"]: _files_of(body) for _, body in receiver.arrived} == {
        id: _files_of(one) for id, one in ended.items()
    }
    assert set(receiver.held) <= {delivery for delivery, _ in receiver.arrived}


def _files_of(prompt: dict) -> list[str]:
    """The pictures of a prompt; the hosts before and after the kill have ports of their own."""
    return [url.partition("/view?")[2] for url in prompt["images"]]


def test_twenty_programs_at_once(host: LiveHost) -> None:
    """Prompts that paint nothing: what is measured is the way to the queue and back."""
    api = api_of(host)
    host.client.upload_image(png(), "crowd.png")
    together = threading.Barrier(20)

    def program(number: int, turns: int) -> list[dict]:
        own = Api(host.url)
        together.wait(60)
        return [
            own.create_prompt(
                "",
                input_image="crowd.png",
                denoising_strength=0,
                w=48 + 8 * number,
                h=48 + 8 * turn,
            )
            for turn in range(turns)
        ]

    def crowd(turns: int) -> list[list[dict]]:
        with ThreadPoolExecutor(20) as pool:
            sent = list(pool.map(program, range(20), [turns] * 20))
        return [[api.finished(one) for one in prompts] for prompts in sent]

    assert host.process.process is not None
    memory = psutil.Process(host.process.process.pid).memory_info
    held, ended = [memory().rss], []
    for _ in range(2):
        ended = crowd(10)
        held.append(memory().rss)
    # The first 200 fill caches and pools; what the second 200 add is what prompts leave behind,
    # ComfyUI's history of them included.
    assert held[2] - held[1] < 200 * MOST_LEFT, (
        f"{held[1] - held[0]} bytes by the first 200, {held[2] - held[1]} by the second"
    )
    flat = sorted((one for prompts in ended for one in prompts), key=lambda one: one["id"])
    assert [one["user_error"] for one in flat] == [None] * 200
    assert len({one["id"] for one in flat}) == len({one["images"][0] for one in flat}) == 200
    assert all(prompts == sorted(prompts, key=lambda one: one["id"]) for prompts in ended), (
        "each program's in the order of its asking"
    )
    for key in ("created_at", "started_training_at", "trained_at"):
        assert [one[key] for one in flat] == sorted(one[key] for one in flat)
    for one in flat[::20]:
        assert api.picture(one["images"][0]).size == (one["w"], one["h"])
