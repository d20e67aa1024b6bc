"""The prompt editor's routes on a live host."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost

TITLE = "Ann of the editor's test"
ROUTES = ("parse", "complete", "describe", "names", "explain", "step", "mask", "as_nodes")


def ask(host: LiveHost, route: str, **body: Any) -> dict[str, Any]:
    status, answer = host.client.post_json(f"/astria/{route}", body)
    assert status == 200, answer
    return answer


def taken(host: LiveHost, marked: str, **body: Any) -> list[dict[str, Any]]:
    """Return the options at the `|` in a text without wide characters."""
    before, _, after = marked.partition("|")
    return ask(host, "complete", text=before + after, offset=len(before), **body)["options"]


@pytest.fixture(scope="module")
def names(host: LiveHost) -> Iterator[int]:
    """A LoRA, an embedding, a bound id and a photo set; the id of the latter."""
    state = host.base / "user" / "__astria"
    state.mkdir(parents=True, exist_ok=True)
    bindings = state / "bindings.ini"
    before = bindings.read_bytes() if bindings.exists() else None
    bindings.write_text("[tunes]\n1533312 = editor_test.safetensors\n", encoding="utf-8")
    files = [
        host.loras / "editor_test.safetensors",
        host.base / "models" / "embeddings" / "editor_negative.safetensors",
    ]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    tune = TuneStore(state).create(
        photos=[b"\xff\xd8\xff, and no more of a picture"], title=TITLE, model_type="faceid"
    )
    yield tune.id
    TuneStore(state).delete(tune.id)
    for file in files:
        file.unlink()
    if before is None:
        bindings.unlink()
    else:
        bindings.write_bytes(before)


def test_what_is_missing_names_no_folder_of_the_machine(host: LiveHost) -> None:
    [found] = ask(host, "names", text="<lora:999999:1> a cat")["diagnostics"]
    assert "Searched loras (models/loras, output/loras), checkpoints" in found["message"]
    assert str(host.base) not in found["message"]


def test_parse_counts_as_the_browser_does(host: LiveHost) -> None:
    text = "😀😀 --outpaint topleft BREAK x\nw=7"
    answer = ask(host, "parse", text=text)
    units = text.encode("utf-16-le")
    painted = [
        (kind, units[2 * start : 2 * end].decode("utf-16-le"))
        for kind, start, end in answer["marks"]
    ]
    assert painted == [
        ("flag-name", "--outpaint"),
        ("flag-value", "topleft"),
        ("break", "BREAK"),
        ("key", "w"),
        ("param-value", "7"),
    ]
    anchor = next(found for found in answer["diagnostics"] if found["code"] == "bad-anchor")
    assert units[2 * anchor["start"] : 2 * anchor["end"]].decode("utf-16-le") == "topleft"
    assert (anchor["severity"], anchor["line"], anchor["column"]) == ("error", 1, 15)
    assert "Did you mean top-left?" in anchor["hint"]
    assert [(number, title) for number, title, *_ in answer["parts"]] == [
        (0, "base prompt"),
        (1, "common prompt"),
    ]


def test_settings_of_another_program_come_with_the_text_to_write_instead(host: LiveHost) -> None:
    text = "\U0001f600 a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, Seed: 7"
    answer = ask(host, "parse", text=text)
    [found] = answer["diagnostics"]
    assert (found["code"], found["severity"]) == ("foreign-settings", "info")
    assert found["rewrite"] == {
        "start": 0,
        "end": len(text) + 1,  # the face is two code units
        "text": "\U0001f600 a cat\nnegative_prompt=dog\nseed=7\nsteps=20\nscheduler=euler_a",
        "label": "Write as key=value",
    }
    assert not ask(host, "parse", text=found["rewrite"]["text"])["diagnostics"]
    [other] = ask(host, "parse", text="a --foo")["diagnostics"]
    assert other["rewrite"] is None


def test_completion_offers_the_users_own_names(host: LiveHost, names: int) -> None:
    assert {one["label"]: one["text"] for one in taken(host, "a <lora:|")}.items() >= {
        ("1533312", "1533312:1.0>"),
        ("editor_test", "editor_test:1.0>"),
    }
    assert [(one["label"], one["text"]) for one in taken(host, "a <faceid:|>")] == [
        (f"{names} {TITLE}", str(names))
    ]
    assert "editor_negative>" in [one["text"] for one in taken(host, "a <|")]
    assert [one["label"] for one in taken(host, "a <lora:edtest|")] == ["editor_test"], (
        "typed characters narrow the list"
    )


def test_completion_counts_as_the_browser_does(host: LiveHost) -> None:
    text = "😀 --outpaint to"
    answer = ask(host, "complete", text=text, offset=len(text) + 1)
    assert (answer["start"], answer["end"]) == (len(text) - 1, len(text) + 1)
    assert answer["options"][0]["text"] == "top-left"


def test_hovering_over_a_tag_says_what_stands_behind_it(host: LiveHost, names: int) -> None:
    text = f"a <lora:1533312:0.5> <lora:nobody> <faceid:{names}>"
    bound, unknown, photos = (
        ask(host, "describe", text=text, offset=text.index(name))["text"]
        for name in ("1533312", "nobody", "faceid")
    )
    assert bound == "LoRA 1533312, weight 0.5.\nFile: editor_test.safetensors"
    assert "LoRA 'nobody' (not bound, no such tune) was not found" in unknown
    assert f"Tune {names}: {TITLE}, 1 photo" in photos
    assert ask(host, "describe", text="plain", offset=2) == {}


def test_explain_tells_the_plan_or_the_errors(host: LiveHost) -> None:
    told = ask(
        host,
        "explain",
        text="a cat --outpaint center --outpaint_width 800 --outpaint_height 640",
        family="flux",
    )
    assert told["runs"]
    assert "Model family: Flux.1 dev" in told["report"]
    assert "800x640" in told["report"]
    wrong = ask(host, "explain", text="a cat --outpaint topleft", family="flux")
    assert not wrong["runs"]
    assert "line 1, column 18" in wrong["report"]
    status, answer = host.client.post_json("/astria/explain", {"text": "a", "family": "dall-e"})
    assert (status, answer["error"]["type"]) == (422, "unknown-family")


def test_explain_knows_what_the_connected_model_is_called(host: LiveHost) -> None:
    fast = {"model": "checkpoints/fast/juggernautXL_lightning.safetensors", "family": "sdxl"}
    told = ask(host, "explain", text="a cat", **fast)["report"]
    assert "juggernautXL_lightning.safetensors was made for few steps" in told
    lcm = {"model": "checkpoints/dreamshaper_8LCM.safetensors", "family": "sd15"}
    told = ask(host, "explain", text="a cat\nscheduler=lcm", **lcm)["report"]
    assert "default with an LCM: dreamshaper_8LCM.safetensors" in told
    assert "no model or LoRA is named as one" not in told


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "bad-json"),
        (b"[" * 100_000, 413, "too-large"),
        (b"\xff", 400, "bad-json"),
        (b"[]", 400, "bad-json"),
        (b"{}", 400, "missing-field"),
        (b'{"text": 1, "offset": 0}', 400, "bad-field"),
        (b'{"text": "a", "offset": true}', 400, "bad-field"),
        (b'{"text": "' + b"a" * (1 << 20) + b'", "offset": 0}', 413, "too-large"),
    ],
)
def test_what_cannot_be_read_is_refused(
    host: LiveHost, body: bytes, status: int, kind: str
) -> None:
    request = urllib.request.Request(
        f"{host.url}/astria/complete", data=body, headers={"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.code == status
        assert json.load(answer)["error"]["type"] == kind


def test_lone_surrogates_and_strange_offsets_have_an_answer(host: LiveHost) -> None:
    text = "\ud800 <lora:\udfff> --x"
    assert ask(host, "parse", text=text)["diagnostics"]
    for offset in (-5, 0, 9, 10_000):
        assert "options" in ask(host, "complete", text=text, offset=offset, asked=True)
        ask(host, "describe", text=text, offset=offset)


@pytest.mark.parametrize("route", ROUTES)
def test_pages_of_other_sites_reach_no_route(host: LiveHost, route: str) -> None:
    headers = {
        "Content-Type": "application/json",
        "Origin": "https://example.com",
        "Sec-Fetch-Site": "cross-site",
    }
    request = urllib.request.Request(
        f"{host.url}/astria/{route}", data=b'{"text": "a", "offset": 0}', headers=headers
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.code == 403


def test_a_broken_bindings_file_is_said(host: LiveHost, names: int) -> None:
    path = host.base / "user" / "__astria" / "bindings.ini"
    before = path.read_text(encoding="utf-8")
    path.write_text("[tunes]\nnonsense\n", encoding="utf-8")
    try:
        status, answer = host.client.post_json("/astria/complete", {"text": "<lora:", "offset": 6})
    finally:
        path.write_text(before, encoding="utf-8")
    assert status == 422
    assert "line 2" in answer["error"]["message"]
