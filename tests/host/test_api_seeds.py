"""API examples run by real curl, Node and Python against the live host.

The service's printed ones with the changes that docs/api.md tells, and those of docs/api.md itself
as they stand there.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema
import pytest
from comfyui_astria.devtools import examples
from comfyui_astria.tests.api.seed_examples import EXAMPLES
from comfyui_astria.tests.host.api_support import Api, set_up, until
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.testpack.face_models import astronaut
from comfyui_astria.tests.workflows.furnish import furnish
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## The service's printed examples")[2]
ROW = re.compile(
    r"^\| (all|HTTP|cURL|Node\.js|Python) \| (`+)(.+?)\2 \| (?:(`+)(.+?)\4 )?\|$", re.MULTILINE
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {
    title: FENCE.findall(text)
    for title, text in re.findall(r"^#+ (.+)\n((?:(?!^#+ ).*\n?)*)", PAGE, re.MULTILINE)
}
LANGUAGES = {"sh": "cURL", "js": "Node.js", "py": "Python", "http": "HTTP"}
HERE, THERE = "http://127.0.0.1:8188/astria", "http://127.0.0.1:8000"
RUN_S = 300


def photo(quality: int = 95) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "JPEG", quality=quality)
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
    """Where the examples are run.

    The API, a folder with the photos they name, and a server of the program's own.
    """

    api: Api
    folder: Path
    own: str
    called: list[str]

    def run(self, name: str, kind: str, text: str) -> str:
        """Apply the table and run the text."""
        changed = text
        for where, _, printed, _, yours in ROW.findall(TABLE):
            if where in ("all", LANGUAGES[kind]):
                changed = changed.replace(printed, yours)
        assert "astria.ai/tunes \\" not in changed
        return self.run_as_it_stands(name, kind, changed)

    def run_as_it_stands(self, name: str, kind: str, text: str) -> str:
        """Run the text, with the addresses and the id of the page for those that are here.

        It must end well. Return what it prints.
        """
        text = (
            text.replace(HERE, self.api.url)
            .replace(THERE, self.own)
            .replace("<faceid:1:1>", f"<faceid:{self.newest_tune()}:1>")
        )
        ending = {"js": "mjs", "http": "sh", "python": "py"}.get(kind, kind)
        path = self.folder / f"{name}.{ending}"
        path.write_text(text, encoding="utf-8")
        command = {
            "sh": ["bash", "-e", str(path)],
            "mjs": ["node", str(path)],
            "py": [sys.executable, str(path)],
        }[ending]
        variables = {**os.environ, "API_KEY": "any", "no_proxy": "*", "NO_PROXY": "*"}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"error"' not in done.stdout, done.stdout
        return done.stdout

    def newest_tune(self) -> int:
        tunes = self.api.get("/tunes", params={"limit": 1}).json()
        return tunes[0]["id"] if tunes else 0

    def prompts(self, base: int) -> list[dict]:
        return self.api.get(f"/tunes/{base}/prompts", params={"limit": 100}).json()


@pytest.fixture(scope="module")
def place(host: LiveHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    settings = "fetch_urls = yes\nprivate_hosts = 127.0.0.1\npeople_agreed = yes\n"
    folder = set_up(
        host.base,
        bindings=f"{examples.BINDINGS}[defaults]\nbase = {examples.FLUX}\n",
        settings=settings,
    )
    furnish(host)
    for kind, names in examples.FILES.items():
        for name in names:
            path = host.base / "models" / kind / name
            # Face packs are furnished whole.
            if not path.exists() and not name.startswith("models/"):
                path.parent.mkdir(exist_ok=True)
                path.touch()
    work = tmp_path_factory.mktemp("program")
    names = ("1.jpg", "2.jpg", "3.jpg", "4.jpg")
    for number, name in enumerate((*names, "samples/1.jpg", "samples/2.jpg", "assets/image.jpeg")):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_bytes(photo(95 - number))
    called: list[str] = []
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("OwnProgram", (Program,), {"picture": photo(), "called": called})
    )
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
        assert any(
            printed in text
            for (_, kind), text in EXAMPLES.items()
            if where in ("all", LANGUAGES[kind])
        ), printed


@pytest.mark.parametrize(("kind", "tunes"), [("sh", 3), ("js", 2), ("py", 1)])
def test_the_tune_examples_make_tunes_that_are_ready(place: Place, kind: str, tunes: int) -> None:
    before = {tune["id"] for tune in place.api.get("/tunes").json()}
    place.run("tune", kind, EXAMPLES["tune", kind])
    made = [tune for tune in place.api.get("/tunes").json() if tune["id"] not in before]
    assert [tune["title"] for tune in made] == ["John Doe - UUID - 1234-6789-1234-56789"] * tunes
    for tune in made:
        assert (tune["model_type"], tune["name"], tune["branch"]) == ("faceid", "man", "sd15")
        assert tune["trained_at"]
        assert len(tune["orig_images"]) in (2, 4)


def finished(place: Place, base: int, before: int, sizes: list[tuple[int, int]]) -> None:
    """Assert that new prompts of the base end with one picture each, of these sizes.

    A quarter of what is printed, see the test pack.
    """
    new = [prompt for prompt in reversed(place.prompts(base)) if prompt["id"] > before]
    assert len(new) == len(sizes)
    ended = [place.api.finished(prompt, RUN_S) for prompt in new]
    assert [one["user_error"] for one in ended] == [None] * len(sizes)
    assert sorted(place.api.picture(one["images"][0]).size for one in ended) == sorted(sizes), (
        "two calls of one program may overtake each other"
    )


def last_id(place: Place) -> int:
    return max(
        (prompt["id"] for base in (690204, 1504944) for prompt in place.prompts(base)), default=0
    )


# The one for Python sends a photo of 512x512 along.
@pytest.mark.parametrize(("kind", "side"), [("sh", 512), ("js", 512), ("py", 2048)])
def test_the_faceid_prompt_examples_give_a_picture(place: Place, kind: str, side: int) -> None:
    before = last_id(place)
    place.run("faceid_prompt", kind, EXAMPLES["prompt", kind])
    finished(place, 690204, before, [(side, side)])


@pytest.mark.parametrize("kind", ["sh", "js", "py"])
def test_the_outpainting_examples_give_a_picture(place: Place, kind: str) -> None:
    before = last_id(place)
    place.run("outpaint", kind, EXAMPLES["outpaint", kind])
    finished(place, 1504944, before, [(216, 324), (448, 256)])


def test_the_face_inpainting_example_gives_a_picture(place: Place) -> None:
    before = last_id(place)
    place.run("generate", "http", EXAMPLES["generate", "http"])
    finished(place, 1504944, before, [(896, 1152)])


def test_each_example_with_a_callback_was_called_back(place: Place) -> None:
    assert {path.partition("?")[2] for path in place.called} >= {
        "prompt_id=1",
        "user_id=1&tune_id=1",
    }


PROMPTS = {
    "A prompt with that person": (690204, (512, 512)),
    "Outpainting": (1504944, (216, 324)),
    "Generate": (1504944, (896, 1152)),
}
OWN = [
    (title, kind)
    for title in ("A tune of photos", "A tune of pictures on the web", *PROMPTS)
    for kind in ("sh", "js", "python")
]


@pytest.mark.parametrize(("title", "kind"), OWN)
def test_an_example_of_the_page_runs_as_it_stands(place: Place, title: str, kind: str) -> None:
    [text] = [text for fenced, text in SECTIONS[title] if fenced == kind]
    before, newest = last_id(place), place.newest_tune()
    printed = place.run_as_it_stands("own", kind, text)
    if title in PROMPTS:
        base, size = PROMPTS[title]
        finished(place, base, before, [size])
        told = place.prompts(base)[0]
    else:
        told = place.api.get("/tunes", params={"limit": 1}).json()[0]
        assert told["id"] > newest
        assert told["title"] in printed
        assert (told["model_type"], len(told["orig_images"])) == ("faceid", 2)
    for shown in (json.loads(text) for fenced, text in SECTIONS[title] if fenced == "json"):
        is_as_shown(place, told, shown)


@pytest.mark.parametrize("kind", ["sh", "js", "python"])
def test_the_training_example_trains_calls_back_and_paints(place: Place, kind: str) -> None:
    [text] = [text for fenced, text in SECTIONS["A person to be trained"] if fenced == kind]
    place.called.clear()
    printed = place.run_as_it_stands("trained", kind, text)
    tune = place.api.get("/tunes", params={"limit": 1}).json()[0]
    assert tune["title"] in printed
    assert (tune["preset"], tune["model_type"], tune["token"]) == (
        "flux-lora-portrait",
        "lora",
        "ohwx",
    )
    [prompt] = place.prompts(tune["id"])
    assert prompt["text"].startswith(f"<lora:{tune['id']}:1> a painting of ohwx man")
    if kind == "sh":  # the others send the same
        painted = place.api.finished(prompt, RUN_S)
        assert painted["user_error"] is None
        assert place.api.picture(painted["images"][0]).size == (256, 256)
        until(lambda: len(place.called) == 2)
        assert [path.partition("?")[0] for path in place.called] == ["/trained", "/painted"]
        assert place.api.get(f"/tunes/{tune['id']}").json()["trained_at"]
    place.api.delete(f"/tunes/{tune['id']}")


def is_as_shown(place: Place, told: dict, shown: dict) -> None:
    """Assert that an answer is like the one on the page, but for times, ids, addresses and what the
    run found in the pictures, and that the page's is one that is promised.
    """
    schemas = place.api.get("/openapi.json").json()["components"]["schemas"]
    jsonschema.Draft202012Validator(schemas["Prompt" if "tune_id" in shown else "Tune"]).validate(
        shown
    )
    assert list(shown) == list(told)
    own = {
        key
        for key in shown
        if key.endswith("_at")
        or key in ("eta", "id", "url", "orig_images", "images", "text", "callback", "notices")
    }
    assert {key: value for key, value in shown.items() if key not in own} == {
        key: value for key, value in told.items() if key not in own
    }


def test_the_page_begins_with_requests_that_run(place: Place) -> None:
    before = last_id(place)
    [(kind, text)] = SECTIONS["The service's HTTP API on your own ComfyUI"]
    assert kind == "sh"
    place.run_as_it_stands("first", kind, text)
    finished(place, 1504944, before, [(128, 128)])
