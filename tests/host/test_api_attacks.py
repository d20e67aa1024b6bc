"""Requests made to stop the server, or to make it tell what it should not.

The host may take 3 GB here: what once took ten fails by itself, and nothing else with it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from comfyui_astria.nodes.api.limits import MAX_FIELDS, MAX_TEXT_BYTES
from comfyui_astria.nodes.net.files import MAX_PIXELS
from comfyui_astria.nodes.tunes.tune import MAX_TEXTS
from comfyui_astria.tests.host.api_support import (
    SMALL,
    Api,
    api_of,
    png,
    set_up,
    settings_of,
    until,
)
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.test_api_hostile import BOUNDARY, END, FACEID, LORA, part

MOST_MEMORY = 3 << 30
LEAST_ROOM = 1 << 30  # beside what the models of the tests before hold
FORM = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
FOREVER_S = 60


@pytest.fixture(scope="module", autouse=True)
def cap(host: LiveHost) -> Iterator[None]:
    """Bound what the host's process can take for itself. Of the systems that run it, Linux can."""
    if sys.platform != "linux":
        yield
        return
    import resource

    assert host.process.process is not None
    pid = host.process.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_DATA)
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    taken = int(status.partition("VmData:")[2].split()[0]) * 1024
    most = max(MOST_MEMORY, taken + LEAST_ROOM)
    resource.prlimit(pid, resource.RLIMIT_DATA, (most, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_DATA, before)


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def refused(answer: requests.Response, status: int, *said: str) -> None:
    assert answer.status_code == status, answer.text[:500]
    for one in said:
        assert one in answer.json()["error"]["message"]


def form_of(text: bytes) -> bytes:
    return b"prompt[text]=" + text


MANY_KEYS = {str(number): number for number in range(330_000)}
TOO_MUCH = {
    "a form field of escapes": (FORM, form_of(b"%41" * 8_000_000)),
    "a form of nothing": (FORM, b"&" * 20_000_000),
    "a part of text": (MULTIPART, part("prompt[text]", b"a" * 20_000_000) + END),
    "a JSON text": ("application/json", b'{"prompt": {"text": "' + b"a" * 20_000_000 + b'"}}'),
    "lists": ("application/json", b'{"prompt": [' + b"[]," * 10_000_000 + b"[]]}"),
    "quotes": ("application/json", b'{"prompt": "' + b'\\"' * 10_000_000 + b'"}'),
    "keys": ("application/json", json.dumps({"prompt": MANY_KEYS}).encode()),
}


@pytest.mark.parametrize("what", TOO_MUCH)
def test_text_is_bounded_before_it_is_read(api: Api, host: LiveHost, what: str) -> None:
    kind, body = TOO_MUCH[what]
    for url in (f"{api.url}/generate", f"{api.url}/tunes", f"{host.url}/astria/editor/tunes"):
        answer = api.session.post(url, data=body, headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code == 413, f"{url} {answer.text[:300]}"
        assert any(str(most) in answer.text for most in (MAX_TEXT_BYTES, MAX_FIELDS)), answer.text


def test_what_is_stored_and_listed_is_bounded(api: Api, host: LiveHost) -> None:
    many = {f"{number:0100}": number for number in range(1200)}
    for attributes in (many, {"a": [many]}):
        answer = api.post("/generate", json={"prompt": "a cat", **attributes, **SMALL})
        refused(answer, 413, "characters; expected at most 100000")
    for key, most in MAX_TEXTS.items():
        sent = {"title": "t", "model_type": "faceid", key: "a" * (most + 1)}
        refused(
            api.post("/tunes", json=sent), 422, f"{key} has {most + 1} characters", f"most {most}"
        )
    data = {"title": "a" * 501, "name": "b"}
    url = f"{host.url}/astria/editor/tunes"
    answer = api.session.post(url, files={"images[]": ("1.png", png())}, data=data, timeout=60)
    refused(answer, 422, "title has 501 characters; expected at most 500")
    assert len(api.get("/tunes?limit=100").content) < 1_000_000


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        ends = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + ends

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


def bomb_webp() -> bytes:
    """16384x16384 in 30 bytes, for which a decoder takes 2 GB before it reads on."""
    data = b"\x2f" + struct.pack("<I", 0x3FFF | 0x3FFF << 14) + bytes(5)
    chunk = b"VP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def test_pictures_are_bounded_by_what_a_run_holds(api: Api) -> None:
    for content in (bomb_png(9216, 9216), bomb_webp()):
        for path, data, name in (
            ("/tunes", FACEID, "tune[images][]"),
            ("/generate", part("prompt", b"a cat"), "mask_image"),
        ):
            body = data + part(name, content, "a.png") + END
            answer = api.post(path, data=body, headers={"Content-Type": MULTIPART})
            refused(answer, 422, f"pixels; expected at most {MAX_PIXELS}")


def test_a_prompt_is_bounded_by_all_its_pixels(api: Api, host: LiveHost) -> None:
    (host.base / "input" / "large.png").write_bytes(bomb_png(9000, 9000))
    many = {"w": 4096, "h": 4096, "num_images": 8, "steps": 1}
    with settings_of(host, "max_megapixels = 100\n"):
        answer = api.post("/generate", json={"prompt": "a cat", **many})
        refused(answer, 422, "8 picture(s) of 4096x4096", "134 megapixels; expected at most 100")
    refused(
        api.post("/generate", json={"prompt": "", "input_image": "large.png"}), 422, "9000x9000"
    )


@contextlib.contextmanager
def silent_server(connections: int) -> Iterator[tuple[int, threading.Event]]:
    """A server that takes connections and says nothing; the event is set when all have come."""
    came = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as taken:

        def take() -> None:
            for _ in range(connections):
                taken.enter_context(server.accept()[0])
            came.set()

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1], came
        thread.join(FOREVER_S)


def test_slow_addresses_hold_up_nothing_else(api: Api, host: LiveHost) -> None:
    ended: list[int] = []
    with settings_of(host, "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"):
        with silent_server(4) as (port, came):

            def ask() -> None:
                sent = {
                    "title": "slow",
                    "model_type": "faceid",
                    "image_urls": [f"http://127.0.0.1:{port}/"],
                }
                ended.append(Api(host.url).post("/tunes", json=sent).status_code)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            assert came.wait(FOREVER_S)
            prompt = api.create_prompt("a cat")
            assert ended == []
        for thread in threads:
            thread.join(FOREVER_S)
    assert ended == [422] * 4
    assert api.finished(prompt)["images"]


def test_a_model_files_header_is_bounded(api: Api) -> None:
    for text in (b"[" * 26_000_000, b'{"a": [' + b"[]," * 300_000 + b"[]]}"):
        weights = struct.pack("<Q", len(text)) + text
        body = LORA + part("tune[file]", weights, "a.safetensors") + END
        answer = api.post("/tunes", data=body, headers={"Content-Type": MULTIPART})
        refused(answer, 422, "its header has", "expected at most")


def test_secrets_of_addresses_are_told_to_nobody(api: Api, host: LiveHost) -> None:
    with settings_of(host, "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"):
        for address in (
            "http://127.0.0.1:9/s3cret?token=s3cret",
            "http://s3cret:s3cret@example.com/",
            "http://10.0.0.1/?s3cret",
            "ftp://example.com/?s3cret",
        ):
            faceid = {"title": "t", "model_type": "faceid"}
            prompt = {"prompt": "a cat", **SMALL}
            for path, sent in (
                ("/tunes", {**faceid, "image_urls": [address]}),
                ("/generate", {**prompt, "input_image_url": address}),
                ("/generate", {**prompt, "input_image_url": "nothing", "callback": address}),
            ):
                answer = api.post(path, json=sent)
                assert answer.status_code == 422, answer.text
                assert "s3cret" not in answer.text
    assert "s3cret" not in host.log_of_module()


def test_errors_name_no_folder_of_the_machine(api: Api, host: LiveHost) -> None:
    prompt = {"prompt": "a cat <lora:nowhere:1> <faceid:77:1>", **SMALL}
    answers = [
        api.post("/generate", json=prompt),
        api.post("/generate", json={"prompt": "a", "input_image": "gone.png [output]", **SMALL}),
        api.post("/tunes", json={"title": "t", "model_type": "lora", "file": "gone.safetensors"}),
        api.post("/tunes/77/prompts", json={"prompt": {"text": "a"}}),
    ]
    (host.base / "input" / "text.png").write_text("no picture")
    failed = api.finished(api.create_prompt("a", input_image="text.png", denoising_strength=0))
    set_up(host.base, bindings="nonsense")
    answers.append(api.post("/generate", json=prompt))
    set_up(host.base)
    assert [one.status_code for one in answers] == [422, 422, 422, 404, 503]
    for text in (*(one.text for one in answers), failed["user_error"]):
        assert str(host.base) not in text and str(Path.home()) not in text
    assert "models/loras" in answers[0].text
    assert "gone.png [output]" in answers[1].text
    assert "input/text.png" in failed["user_error"]


def test_a_picture_of_the_output_folder_is_named_as_comfyui_names_it(
    api: Api, host: LiveHost
) -> None:
    (host.base / "output" / "made.png").write_bytes(png())
    kept = {"input_image": "made.png [output]", "denoising_strength": 0, "w": None, "h": None}
    done = api.finished(api.create_prompt("", **kept))
    assert done["user_error"] is None and api.picture(done["images"][0]).size == (64, 48)
    answer = api.post("/generate", json={"prompt": "", "input_image": "made.png[output]"})
    refused(answer, 422, "is not the name of a file")


def half(host: LiveHost, path: str, sent: bytes, size: int) -> socket.socket:
    """Send a request that announces more than comes."""
    peer = socket.create_connection(("127.0.0.1", int(host.url.rpartition(":")[2])), FOREVER_S)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n"
    peer.sendall(f"{head}Content-Type: {MULTIPART}\r\n\r\n".encode() + sent)
    return peer


def test_a_body_that_stops_arriving_is_given_up(api: Api, host: LiveHost) -> None:
    paths = ("/astria/generate", "/astria/tunes", "/astria/editor/tunes")
    with settings_of(host, "read_timeout_s = 1\n"), contextlib.ExitStack() as open_ones:
        peers = [open_ones.enter_context(half(host, path, FACEID[:30], 1000)) for path in paths]
        for peer in peers:
            answer = peer.recv(10_000)
            assert b" 408 " in answer.split(b"\r\n")[0], answer
            assert b"too-slow" in answer


def test_all_bodies_that_are_here_at_once_are_bounded(api: Api, host: LiveHost) -> None:
    large = FACEID + part("tune[images][]", bytes(950_000), "a.png")

    def status() -> int:
        headers = {"Content-Type": MULTIPART}
        return api.post("/tunes", data=large + END, headers=headers).status_code

    prompts = []

    def is_busy() -> bool:
        with contextlib.ExitStack() as open_ones:
            for _ in range(3):
                open_ones.enter_context(half(host, "/astria/tunes", large, len(large) + 100))
            # One of the three is refused instead where it was still arriving.
            if status() != 503:
                return False
            prompts.append(api.create_prompt("a cat"))
        return True

    with settings_of(host, "max_request_mb = 1\n"):
        until(is_busy)
        until(lambda: status() == 422)
    assert api.finished(prompts[0])["images"]


def test_the_server_never_stumbled(host: LiveHost) -> None:
    """Last in this file, as in that of the hostile requests."""
    log = host.log_of_module()
    assert "Traceback" not in log.replace("\\", "/").partition("comfyui_astria/nodes")[2]
    assert "MemoryError" not in log and "Unhandled exception" not in log
