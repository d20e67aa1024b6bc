"""LoRAs by picture on a live host: what is listed, what is served, and what is not."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.parse
from collections.abc import Iterator

import numpy as np
import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from PIL import Image
from safetensors.numpy import save_file

NAME, TITLED = "cards/inky.safetensors", "cards/v2.safetensors"


@pytest.fixture(scope="module", autouse=True)
def inky(host: LiveHost) -> Iterator[None]:
    """A LoRA with a picture and trigger words, in a folder with a picture of nothing."""
    folder = host.loras / "cards"
    folder.mkdir(parents=True, exist_ok=True)
    write_tiny_lora(host.loras, "sd15", NAME)
    blank = {"a": np.zeros(1, np.float32)}
    save_file(blank, host.loras / TITLED, {"modelspec.title": "Wet ink"})
    Image.new("RGB", (800, 1200), "teal").save(folder / "inky.preview.png")
    Image.new("RGB", (8, 8), "teal").save(folder / "private.png")
    words = {"trainedWords": ["ink wash", "ohwx"]}
    (folder / "inky.civitai.info").write_text(json.dumps(words), encoding="utf-8")
    yield
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def picture(host: LiveHost, file: str) -> bytes:
    return host.client.get(f"/astria/editor/loras/picture?{urllib.parse.urlencode({'file': file})}")


def test_a_page_tells_tag_words_and_picture(host: LiveHost) -> None:
    found = host.client.get_json("/astria/editor/loras?search=wash+inky")
    assert found == {
        "loras": [
            {
                "file": NAME,
                "name": "cards/inky",
                "tag": "<lora:cards/inky:1.0> ink wash, ohwx",
                "words": "ink wash, ohwx",
                "picture": "/astria/editor/loras/picture?file=cards%2Finky.safetensors",
            }
        ],
        "total": 1,
    }
    assert host.client.get_json("/astria/editor/loras?search=wash+nothing")["total"] == 0


def test_its_picture_is_served_small(host: LiveHost) -> None:
    with Image.open(io.BytesIO(picture(host, NAME))) as shown:
        assert (shown.format, shown.size) == ("JPEG", (171, 256))


@pytest.mark.parametrize(
    "file",
    ["cards/private.png", "cards/private.safetensors", "../loras/cards/inky.safetensors", ""],
)
def test_nothing_beside_a_listed_lora_is_served(host: LiveHost, file: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        picture(host, file)
    with refused.value as answer:
        assert answer.code == 422


def test_completion_brings_the_words_that_the_prompt_lacks(host: LiveHost) -> None:
    def options(text: str, rest: str = "") -> list[dict]:
        body = {"text": text + rest, "offset": len(text)}
        return host.client.post_json("/astria/complete", body)[1]["options"]

    [one] = options("a cat <lora:cards/ink")
    assert one["text"] == "cards/inky:1.0> ink wash, ohwx"
    assert one["photo"].startswith("/astria/editor/loras/picture?")
    assert [one["text"] for one in options("ohwx <lora:cards/ink")] == ["cards/inky:1.0> ink wash"]
    assert [one["text"] for one in options("<lora:cards/ink", ":0.5>")] == ["cards/inky"]


def test_a_hover_tells_the_words_and_a_dragged_name_finds_its_file(host: LiveHost) -> None:
    body = {"text": "<lora:cards/inky:1.0>", "offset": 8}
    found = host.client.post_json("/astria/describe", body)[1]
    assert "Trigger words: ink wash, ohwx" in found["text"] and found["photo"]
    named = "/astria/editor/loras/named?name="
    assert host.client.get_json(f"{named}inky.safetensors")["file"] == NAME
    # As ComfyUI's model library shows them: without an ending, in its folder, or by their title.
    assert host.client.get_json(f"{named}cards/inky")["file"] == NAME
    assert host.client.get_json(f"{named}cards/Wet%20ink")["file"] == TITLED
    for absent in ("other.safetensors", "cards/", "ink"):
        assert host.client.get_json(f"{named}{absent}") == {"tag": ""}
