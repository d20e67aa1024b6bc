"""The sidebar's routes on a live host."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import requests
from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.nodes.tunes.bindings import load
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from PIL import Image

BINDINGS = """\
# mine
[tunes]
1533312 = panel_test.safetensors
wife = gone.safetensors

[roles]
face_analysis = panel_pack
upscaler = gone.pth

[base 690204]
family = sd15
"""


def jpeg(pixels: Any = None, color: str = "navy") -> bytes:
    buffer = io.BytesIO()
    (Image.new("RGB", (300, 200), color) if pixels is None else Image.fromarray(pixels)).save(
        buffer, "JPEG"
    )
    return buffer.getvalue()


class Panel:
    """Asks the routes as the sidebar does."""

    def __init__(self, host: LiveHost) -> None:
        self.url = f"{host.url}/astria/editor"
        self.session = requests.Session()
        self.session.trust_env = False

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        answer = self.session.request(method, f"{self.url}/{path}", timeout=60, **options)
        assert answer.status_code == status, answer.text
        return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer

    def create(self, photos: list[bytes], status: int = 200, **fields: str) -> Any:
        return self.ask(
            "POST",
            "tunes",
            status,
            data=fields,
            files=[("images[]", (f"{number}.jpg", one)) for number, one in enumerate(photos)],
        )


@pytest.fixture
def panel(host: LiveHost) -> Iterator[Panel]:
    host.clean()
    yield Panel(host)
    host.clean()


@pytest.fixture
def bindings(host: LiveHost) -> Path:
    """A bindings file of which two files are missing, and a LoRA and a face pack that are there."""
    host.loras.mkdir(parents=True, exist_ok=True)
    (host.loras / "panel_test.safetensors").touch()
    write_face_pack(host.base / "models" / "insightface" / "models" / "panel_pack")
    host.state.mkdir(parents=True, exist_ok=True)
    path = host.state / "bindings.ini"
    path.write_text(BINDINGS, encoding="utf-8")
    return path


ROUTES = (
    ("GET", "tunes"),
    ("POST", "tunes"),
    ("GET", "tunes/1/photo"),
    ("GET", "tunes/1/sample"),
    ("POST", "tunes/1/training"),
    ("DELETE", "tunes/1"),
    ("GET", "bindings"),
    ("GET", "bindings/choices"),
    ("PUT", "bindings"),
    ("DELETE", "bindings"),
    ("GET", "models"),
    ("GET", "loras"),
    ("GET", "loras/named"),
    ("GET", "loras/picture"),
    ("GET", "fleet"),
)
KEY = "the-key-of-this-machine"


def test_the_table_of_routes_is_whole() -> None:
    source = (ROOT / "nodes" / "editor" / "host" / "panel.py").read_text(encoding="utf-8")
    found = re.findall(r'routes\.(\w+)\("/astria/editor/([^"]+)"\)', source)
    shown = {(method.upper(), path.replace("{id}", "1")) for method, path in found}
    assert shown == {*ROUTES, ("POST", "key")}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=["rebound name", "other origin", "both", "says so"],
)
def test_another_sites_page_reaches_nothing(panel: Panel, headers: dict[str, str]) -> None:
    for method, path in ROUTES:
        panel.ask(method, path, 403, headers=headers)
    for route in ("parse", "complete", "describe", "explain"):
        panel.ask("POST", f"../{route}", 403, headers=headers, json={"text": "a", "offset": 0})


def test_beyond_this_machine_the_sidebar_asks_for_the_key_once(
    host: LiveHost, panel: Panel
) -> None:
    settings = host.state / "api.ini"
    before = settings.read_bytes() if settings.exists() else None
    host.state.mkdir(parents=True, exist_ok=True)
    panel.session.headers["X-Forwarded-For"] = "203.0.113.9"
    try:
        settings.write_text("", encoding="utf-8")
        for method, path in ROUTES:
            told = panel.ask(method, path, 401)
            assert told["error"]["type"] == "no-key-set"
        settings.write_text(f"key = {KEY}\n", encoding="utf-8")
        for method, path in ROUTES:
            assert panel.ask(method, path, 401)["error"]["type"] == "sidebar-key"
        for wrong in ("", "another-key"):
            panel.ask("POST", "key", 401, json={"key": wrong})
        assert not panel.session.cookies
        panel.ask("POST", "key", json={"key": KEY})
        [cookie] = panel.session.cookies
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "Strict"
        assert KEY not in cookie.value
        assert panel.ask("GET", "tunes")["tunes"] == []
        panel.ask("GET", "tunes", 403, headers={"Origin": "http://evil.example"})
        settings.write_text("key = another-key-now\n", encoding="utf-8")
        assert panel.ask("GET", "tunes", 401)["error"]["type"] == "sidebar-key"
    finally:
        settings.unlink()
        if before is not None:
            settings.write_bytes(before)


def test_looking_makes_no_database(host: LiveHost, panel: Panel) -> None:
    before = (host.state / "tunes.sqlite3").exists()
    told = panel.ask("GET", "tunes")
    assert (told["tunes"], told["total"]) == ([], 0)
    assert "No face pack is bound" in told["check"]
    assert (host.state / "tunes.sqlite3").exists() == before


def test_a_tune_is_made_listed_shown_and_deleted(host: LiveHost, panel: Panel) -> None:
    made = panel.create([jpeg(), jpeg(color="red")], title="Anna", name="woman", token="ohwx")
    assert made["is_new"]
    assert made["notes"] == ["The photos are not checked for faces: no face_analysis is bound."]
    number = made["tune"]["id"]
    told = panel.ask("GET", "tunes")
    assert told["tunes"] == [made["tune"]]
    assert made["tune"] | {"created": ""} == {
        "id": number,
        "title": "Anna",
        "name": "woman",
        "token": "ohwx",
        "kind": "faceid",
        "file": "",
        "photos": 2,
        "photo": f"/astria/editor/tunes/{number}/photo",
        "created": "",
        "tags": [f"<faceid:{number}:1.0>"],
        "goes_with_it": {"file": False, "prompts": False},
        "training": None,
    }
    answer = panel.ask("GET", f"tunes/{number}/photo")
    assert answer.headers["Cache-Control"] == "no-store"
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert (shown.format, shown.size) == ("JPEG", (192, 128))
        assert shown.getpixel((96, 64))[2] > 100, "the first photo, which is blue"
    refused = panel.ask("DELETE", f"tunes/{number}", 422, json={"title": "Eva"})
    assert refused["error"]["type"] == "tune-title-differs"
    assert "are deleted" in panel.ask("DELETE", f"tunes/{number}", json={"title": "Anna"})["text"]
    assert panel.ask("GET", "tunes")["total"] == 0
    assert panel.ask("GET", f"tunes/{number}/photo", 422)["error"]["type"] in (
        "tune-photos",
        "tune-unknown",
    )
    assert (
        panel.ask("DELETE", f"tunes/{number}", 422, json={"title": "Anna"})["error"]["type"]
        == "tune-unknown"
    )
    assert not list((host.state / "photos").rglob("*.jpg"))


def test_a_pack_that_is_there_and_not_bound_is_named(panel: Panel, host: LiveHost) -> None:
    write_face_pack(host.base / "models" / "insightface" / "models" / "buffalo_l")
    assert panel.ask("GET", "tunes")["check"].startswith(
        "No face pack is bound; buffalo_l will be."
    )
    made = panel.create([jpeg(astronaut()), jpeg()], title="Eileen")
    assert made["tune"]["photos"] == 1
    assert "The pack buffalo_l looks at them." in panel.ask("GET", "tunes")["check"]


def test_photos_are_checked_where_a_pack_is_bound(panel: Panel, bindings: Path) -> None:
    assert "The pack panel_pack looks at them." in panel.ask("GET", "tunes")["check"]
    made = panel.create([jpeg(astronaut()), jpeg()], title="Eileen")
    assert (made["tune"]["photos"], made["notes"]) == (1, ["Photo 2: not used: no face was found."])
    refused = panel.create([jpeg()], 422, title="Nobody")["error"]
    assert refused["type"] == "no-usable-face"
    assert "Photo 1: not used: no face was found." in refused["message"]
    assert refused["details"].startswith("Use sharp photos")
    assert [one["title"] for one in panel.ask("GET", "tunes")["tunes"]] == ["Eileen"]


def test_small_photos_are_taken_where_that_is_asked_for(panel: Panel, bindings: Path) -> None:
    small = jpeg(numpy.asarray(Image.fromarray(astronaut()).resize((256, 256))))
    refused = panel.create([small], 422, title="Eileen")["error"]
    assert "44 px wide; expected at least 64 px" in refused["message"]
    assert "lower min_face_px" in refused["details"]
    for wrong in ("15", "4097", "few"):
        refused = panel.create([small], 422, title="Eileen", min_face_px=wrong)["error"]
        assert (refused["type"], wrong in refused["message"]) == ("bad-field", True)
    made = panel.create([small], title="Eileen", min_face_px="40")
    assert made["tune"]["photos"] == 1
    assert made["notes"] == [
        "Photo 1: the largest face is 44 px wide, and below 64 px the likeness suffers."
    ]


@pytest.mark.parametrize(
    ("photos", "fields", "status", "kind"),
    [
        ([], {"title": "Anna"}, 422, "tune-photos"),
        ([b"no picture"], {"title": "Anna"}, 422, "bad-picture"),
        ([jpeg()], {}, 422, "tune-title"),
        ([jpeg()], {"title[]": "Anna"}, 400, "bad-field"),
        ([jpeg()[:200]], {"title": "Anna"}, 422, "bad-picture"),
    ],
)
def test_a_tune_that_cannot_be_is_refused(
    panel: Panel, photos: list[bytes], fields: dict[str, str], status: int, kind: str
) -> None:
    answer = (
        panel.create(photos, status, **fields)
        if photos
        else panel.ask("POST", "tunes", status, data=fields)
    )
    assert answer["error"]["type"] == kind
    assert panel.ask("GET", "tunes")["total"] == 0


def test_tunes_are_searched_by_words_and_given_by_page(host: LiveHost, panel: Panel) -> None:
    store = TuneStore(host.state)
    for number in range(23):
        store.create(
            title=f"Person {number}",
            model_type="faceid",
            photos=[jpeg()],
            token="sks" if number % 2 else "ohwx",
        )
    lora = store.create(
        title="Style", model_type="lora", file="styles/noir.safetensors", photos=[jpeg()]
    )
    first = panel.ask("GET", "tunes")
    assert (first["total"], len(first["tunes"]), first["tunes"][0]["title"]) == (24, 20, "Style")
    assert first["tunes"][0]["tags"] == [f"<lora:{lora.id}:1.0>", f"<faceid:{lora.id}:1.0>"]
    second = panel.ask("GET", "tunes?offset=20")
    assert [one["title"] for one in second["tunes"]] == [
        "Person 3",
        "Person 2",
        "Person 1",
        "Person 0",
    ]
    odd = [one["title"] for one in panel.ask("GET", "tunes?search=SKS%20person%201")["tunes"]]
    assert [title for title in odd if title[:8] == "Person 1"] == [
        f"Person {number}" for number in (19, 17, 15, 13, 11, 1)
    ]
    assert [one["title"] for one in panel.ask("GET", "tunes?search=noir")["tunes"]] == ["Style"]
    assert panel.ask("GET", "tunes?offset=-1", 400)["error"]["type"] == "bad-field"


def test_bindings_are_shown_with_what_is_missing(
    panel: Panel, bindings: Path, host: LiveHost
) -> None:
    told = panel.ask("GET", "bindings")
    assert told["file"] == str(bindings)
    rows = {row["key"]: row for row in told["rows"]}
    assert list(rows) == [
        "1533312",
        "tunes.wife",
        "face_analysis",
        "upscaler",
        "base.690204.family",
    ]
    assert {key for key, row in rows.items() if row["problem"]} == {
        "tunes.wife",
        "upscaler",
        "base.690204.family",
    }
    assert "'gone.safetensors'" in rows["tunes.wife"]["problem"]
    assert rows["tunes.wife"]["hint"] == "Put it into the model folder loras, or choose another."
    assert (
        "names neither a checkpoint nor a diffusion_model" in rows["base.690204.family"]["problem"]
    )
    assert rows["upscaler"]["about"] == "super-resolution and hires fix"


def test_an_id_is_bound_to_a_listed_file_and_removed(panel: Panel, bindings: Path) -> None:
    assert "panel_test.safetensors" in panel.ask("GET", "bindings/choices?key=77")["choices"]
    assert "panel_pack" in panel.ask("GET", "bindings/choices?key=face_analysis_pulid")["choices"]
    told = panel.ask("PUT", "bindings", json={"key": "77", "file": "panel_test.safetensors"})
    assert ("77", "panel_test.safetensors", "") in [
        (row["key"], row["file"], row["problem"]) for row in told["rows"]
    ]
    assert load(bindings).tunes["77"] == "panel_test.safetensors"
    assert bindings.read_text(encoding="utf-8").startswith("# mine\n"), "what a person wrote stays"
    for key, file, kind in (
        ("77", "other.safetensors", "bindings-choice"),
        ("77", "../x", "bindings-choice"),
        ("upscalr", "x", "bindings-key"),
    ):
        assert (
            panel.ask("PUT", "bindings", 422, json={"key": key, "file": file})["error"]["type"]
            == kind
        )
    told = panel.ask("DELETE", "bindings", json={"key": "77"})
    assert "77" not in [row["key"] for row in told["rows"]]
    assert (
        panel.ask("DELETE", "bindings", 422, json={"key": "77"})["error"]["type"]
        == "bindings-unbound"
    )
    assert panel.ask("PUT", "bindings", 400, json={"key": "77"})["error"]["type"] == "missing-field"


def test_what_a_prompt_can_be_explained_for(panel: Panel, bindings: Path) -> None:
    told = panel.ask("GET", "models")
    assert {"name": "flux", "title": "Flux.1 dev"} in told["families"]
    assert told["bases"] == [{"id": "690204", "title": "Realistic Vision v5.1", "family": "sd15"}]


def test_a_bindings_file_that_cannot_be_read_is_said(panel: Panel, bindings: Path) -> None:
    bindings.write_text("[tunes]\nnonsense\n", encoding="utf-8")
    assert "line 2" in panel.ask("GET", "bindings", 422)["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "tunes"),
        ("POST", "tunes"),
        ("GET", "tunes/1/photo"),
        ("DELETE", "tunes/1"),
        ("GET", "bindings"),
        ("PUT", "bindings"),
        ("DELETE", "bindings"),
        ("GET", "bindings/choices"),
        ("GET", "models"),
    ],
)
def test_pages_of_other_sites_reach_no_route(panel: Panel, method: str, path: str) -> None:
    headers = {"Origin": "https://example.com", "Sec-Fetch-Site": "cross-site"}
    answer = panel.session.request(method, f"{panel.url}/{path}", headers=headers, timeout=60)
    assert answer.status_code == 403
