"""What the tests of the API on the live host share: bindings of tiny models, and a client."""

from __future__ import annotations

import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy
import requests
from comfyui_astria.tests.host.fixtures import LiveHost
from PIL import Image

BINDINGS = """\
[base 690204]
family = sd15
checkpoint = tiny_sd15.safetensors

[base 1504944]
family = flux
diffusion_model = tiny_flux.safetensors
clip_l = tiny_clip_l.safetensors
t5xxl = tiny_t5.safetensors
vae = tiny_ae.safetensors
outpaint_model = tiny_fill.safetensors

[defaults]
base = 690204
"""
FILES = {
    "checkpoints": ["tiny_sd15.safetensors", "tiny_sdxl.safetensors"],
    "diffusion_models": ["tiny_flux.safetensors", "tiny_fill.safetensors"],
    "text_encoders": ["tiny_clip_l.safetensors", "tiny_t5.safetensors"],
    "vae": ["tiny_ae.safetensors"],
}
SMALL = {"w": 64, "h": 64, "steps": 1, "num_images": 1}

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def set_up(base: Path, *, bindings: str = BINDINGS, settings: str = "") -> Path:
    """Write bindings, settings and empty model files into a base directory.

    Return the pack's private folder there.
    """
    folder = base / "user" / "__astria"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bindings.ini").write_text(bindings, encoding="utf-8")
    (folder / "api.ini").write_text(settings, encoding="utf-8")
    for kind, names in FILES.items():
        (base / "models" / kind).mkdir(parents=True, exist_ok=True)
        for name in names:
            (base / "models" / kind / name).touch()
    return folder


class Api:
    """A program that speaks to the API."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = f"{url}/astria"
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy between us and this machine
        if key:
            self.session.headers["Authorization"] = f"Bearer {key}"

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=60, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.url + path, timeout=60, **options)

    def delete(self, path: str) -> requests.Response:
        return self.session.delete(self.url + path, timeout=60)

    def create_prompt(
        self, text: str, tune: int | str = 690204, **attributes: Any
    ) -> dict[str, Any]:
        answer = self.post(
            f"/tunes/{tune}/prompts", json={"prompt": {"text": text, **SMALL, **attributes}}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()

    def finished(self, prompt: dict[str, Any], timeout_s: float = 120) -> dict[str, Any]:
        """Wait until the prompt is done or has failed, and return its object."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = self.get(f"/tunes/{prompt['tune_id']}/prompts/{prompt['id']}").json()
            if found["trained_at"] or found["user_error"]:
                return found
            time.sleep(0.1)
        raise AssertionError(f"prompt {prompt['id']} did not end in {timeout_s} s")

    def picture(self, url: str) -> Image.Image:
        answer = self.session.get(url, timeout=60)
        answer.raise_for_status()
        return Image.open(io.BytesIO(answer.content))


def png(width: int = 64, height: int = 48, seed: int = 0) -> bytes:
    pixels = numpy.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=numpy.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def problems(answer: requests.Response) -> list[dict[str, Any]]:
    return answer.json()["error"]["extra_info"]["problems"]


def api_of(host: LiveHost) -> Api:
    set_up(host.base)
    return Api(host.url)


def until(condition: Callable[[], object], timeout_s: float = 90) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


@contextmanager
def settings_of(host: LiveHost, text: str) -> Iterator[None]:
    """Have these settings in api.ini for a while."""
    path = host.state / "api.ini"
    before = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(before, encoding="utf-8")


class Receiver:
    """A program's own server: notes the callbacks that arrive.

    While `holding`, it notes that they came and leaves them unanswered.

    The first ones are answered with `statuses`, and noted as refused. GET gives a picture, that of
    /large of 0.7 MB, that of /slow once `let_go` is set.
    """

    def __init__(self) -> None:
        self.holding = False
        self.let_go = threading.Event()
        self.arrived: list[tuple[str, dict[str, Any]]] = []
        self.held: list[str] = []
        self.statuses: list[int] = []
        self.refused: list[tuple[str, dict[str, Any]]] = []
        self.gets: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                delivery = self.headers["Astria-Delivery"]
                if outer.holding:
                    outer.held.append(delivery)
                    outer.let_go.wait(120)
                    return
                status = outer.statuses.pop(0) if outer.statuses else 200
                (outer.arrived if status == 200 else outer.refused).append((delivery, body))
                self.send_response(status)
                self.end_headers()

            def do_GET(self) -> None:
                outer.gets.append(self.path)
                if self.path == "/slow":
                    outer.let_go.wait(120)
                self.send_response(302 if self.path.startswith("/to/") else 200)
                self.send_header("Location", self.path.removeprefix("/to/"))
                self.end_headers()
                self.wfile.write(png(600, 400) if self.path == "/large" else png())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/done?user=1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=[0.02])

    def __enter__(self) -> Receiver:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def faceid(api: Api, title: str, **more: object) -> requests.Response:
    """Make a tune of two photos."""
    files = [("tune[images][]", ("1.png", png(seed=1))), ("tune[images][]", ("2.png", png(seed=2)))]
    data = {
        "tune[title]": title,
        "tune[name]": "man",
        "tune[model_type]": "faceid",
        "tune[base_tune_id]": 690204,
        **more,
    }
    return api.post("/tunes", data=data, files=files)
