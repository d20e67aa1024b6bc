"""The service's printed API examples, run by real curl, Node and Python against the live host, with the changes that docs/api.md tells."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from comfyui_astria.devtools import examples
from comfyui_astria.tests.api.seed_examples import EXAMPLES
from comfyui_astria.tests.host.api_support import Api, set_up
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.testpack.face_models import astronaut
from comfyui_astria.tests.workflows.furnish import furnish
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TABLE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").partition("## The service's printed examples")[2]
ROW = re.compile(r"^\| (all|cURL|Node\.js|Python) \| (`+)(.+?)\2 \| (?:(`+)(.+?)\4 )?\|$", re.MULTILINE)
LANGUAGES = {"sh": "cURL", "js": "Node.js", "py": "Python", "http": "HTTP"}
HERE, THERE = "http://127.0.0.1:8188/astria", "http://127.0.0.1:8000"
RUN_S = 300


def photo() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


class Program(BaseHTTPRequestHandler):
    """The program's own server: pictures for GET, callbacks by POST."""

    picture: bytes
    called: list[str]

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.picture)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.called.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Place:
    """Where the examples are run: the API, a folder with the photos they name, and a server of the program's own."""

    api: Api
    folder: Path
    own: str
    called: list[str]

    def run(self, name: str, kind: str, text: str) -> None:
        """Apply the table and run the text; it must end well."""
        changed = text
        for where, _, printed, _, yours in ROW.findall(TABLE):
            if where in ("all", LANGUAGES[kind]):
                changed = changed.replace(printed, yours)
        changed = changed.replace(HERE, self.api.url).replace(THERE, self.own).replace("<faceid:1:1>", f"<faceid:{self.newest_tune()}:1>")
        assert "astria.ai/tunes \\" not in changed
        ending = "mjs" if kind == "js" else kind
        path = self.folder / f"{name}.{ending}"
        path.write_text(changed, encoding="utf-8")
        command = {"sh": ["bash", "-e", str(path)], "mjs": ["node", str(path)], "py": [sys.executable, str(path)]}[ending]
        variables = {**os.environ, "API_KEY": "any", "no_proxy": "*", "NO_PROXY": "*"}
        done = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, timeout=RUN_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"error"' not in done.stdout, done.stdout

    def newest_tune(self) -> int:
        tunes = self.api.get("/tunes", params={"limit": 1}).json()
        return tunes[0]["id"] if tunes else 0

    def prompts(self, base: int) -> list[dict]:
        return self.api.get(f"/tunes/{base}/prompts", params={"limit": 100}).json()


@pytest.fixture(scope="module")
def place(host: LiveHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    settings = "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"
    folder = set_up(host.base, bindings=f"{examples.BINDINGS}[defaults]\nbase = {examples.FLUX}\n", settings=settings)
    furnish(host)
    for kind, names in examples.FILES.items():
        for name in names:
            path = host.base / "models" / kind / name
            if not path.exists() and not name.startswith("models/"):  # face packs are furnished whole
                path.parent.mkdir(exist_ok=True)
                path.touch()
    work = tmp_path_factory.mktemp("program")
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "samples/1.jpg", "samples/2.jpg", "assets/image.jpeg"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_bytes(photo())
    called: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnProgram", (Program,), {"picture": photo(), "called": called}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Place(Api(host.url), work, f"http://127.0.0.1:{server.server_address[1]}", called)
    server.shutdown()
    thread.join()
    server.server_close()
    (folder / "api.ini").unlink()
    (folder / "bindings.ini").unlink()


def test_every_row_of_the_table_is_read_and_changes_an_example() -> None:
    rows = ROW.findall(TABLE)
    assert len(rows) == TABLE.count("\n| ") - 1, "all but the head"
    for where, _, printed, *_ in rows:
        assert any(printed in text for (_, kind), text in EXAMPLES.items() if where in ("all", LANGUAGES[kind])), printed


PYTHON_NAMES = 'API_KEY = "any"\nfrom types import SimpleNamespace\ntune = SimpleNamespace(images=["1.jpg", "2.jpg"])\n'


def tune_programs(kind: str) -> list[str]:
    text = EXAMPLES["tune", kind]
    if kind == "js":
        return text.split("/// With form-data, fetch()")
    return [PYTHON_NAMES + text] if kind == "py" else [text]


@pytest.mark.parametrize(("kind", "tunes"), [("sh", 3), ("js", 2), ("py", 1)])
def test_the_tune_examples_make_tunes_that_are_ready(place: Place, kind: str, tunes: int) -> None:
    before = {tune["id"] for tune in place.api.get("/tunes").json()}
    for number, text in enumerate(tune_programs(kind)):
        place.run(f"tune_{number}", kind, text)
    made = [tune for tune in place.api.get("/tunes").json() if tune["id"] not in before]
    assert [tune["title"] for tune in made] == ["John Doe - UUID - 1234-6789-1234-56789"] * tunes
    for tune in made:
        assert (tune["model_type"], tune["name"], tune["branch"]) == ("faceid", "man", "sd15")
        assert tune["trained_at"]
        assert len(tune["orig_images"]) in (2, 4)


def finished(place: Place, base: int, before: int, expected: int, sizes: list[tuple[int, int]]) -> None:
    """Assert that so many new prompts of the base end with one picture each, of these sizes: a quarter of what is printed, see the test pack."""
    new = [prompt for prompt in reversed(place.prompts(base)) if prompt["id"] > before]
    assert len(new) == expected
    ended = [place.api.finished(prompt, RUN_S) for prompt in new]
    assert [one["user_error"] for one in ended] == [None] * expected
    assert [place.api.picture(one["images"][0]).size for one in ended] == sizes


def last_id(place: Place) -> int:
    return max((prompt["id"] for base in (690204, 1504944) for prompt in place.prompts(base)), default=0)


@pytest.mark.parametrize("kind", ["sh", "js", "py"])
def test_the_faceid_prompt_examples_give_a_picture(place: Place, kind: str) -> None:
    before = last_id(place)
    place.run("faceid_prompt", kind, EXAMPLES["prompt", kind])
    finished(place, 690204, before, 1, [(512, 512)])


def outpaint_programs(kind: str) -> list[str]:
    text = EXAMPLES["outpaint", kind]
    if kind == "py":
        return [text.replace("data=data)", "data=data, files=files)", 1)]
    if kind == "sh":
        return [text]
    first, second = text.split("// txt2img + outpainting example")
    head, call = first.partition("const form")[0], "fetch(API_URL" + first.rpartition("fetch(API_URL")[2]
    return [first, head + second + call]


@pytest.mark.parametrize("kind", ["sh", "js", "py"])
def test_the_outpainting_examples_give_a_picture(place: Place, kind: str) -> None:
    before = last_id(place)
    for number, text in enumerate(outpaint_programs(kind)):
        place.run(f"outpaint_{number}", kind, text)
    finished(place, 1504944, before, 2, [(216, 324), (448, 256)])


def test_the_face_inpainting_example_gives_a_picture(place: Place) -> None:
    line, _, body = EXAMPLES["generate", "http"].partition("\n")
    before = last_id(place)
    assert line == "POST https://api.astria.ai/generate"
    command = f"curl -sS -X POST -H 'Content-Type: application/json' https://api.astria.ai/generate --data '{body.strip()}'\n"
    place.run("generate", "sh", command)
    finished(place, 1504944, before, 1, [(896, 1152)])


def test_each_example_with_a_callback_was_called_back(place: Place) -> None:
    assert {path.partition("?")[2] for path in place.called} >= {"prompt_id=1", "user_id=1&tune_id=1"}
