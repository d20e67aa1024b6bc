"""Pictures that a prompt brings itself, on the command line."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path

import pytest
from comfyui_astria.nodes.pipeline.cli import main
from PIL import Image

URL = "a cat\ninput_image_url=http://10.0.0.1/a.png"


class CommandLine:
    """Runs commands on a prompt, for a ComfyUI folder with one model.

    `said` is what they printed last.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.said = root, ""
        self.state = root / "user" / "__astria"
        self.state.mkdir(parents=True)
        (self.state / "bindings.ini").write_text(
            "[base 690204]\nfamily = sd15\ncheckpoint = rv51.safetensors\n", encoding="utf-8"
        )
        (root / "models" / "checkpoints").mkdir(parents=True)
        (root / "models" / "checkpoints" / "rv51.safetensors").touch()

    def run(self, command: str, text: str, *argv: str) -> int:
        (self.root / "prompt.txt").write_text(text, encoding="utf-8")
        lines: list[str] = []
        places = {"folder": self.state, "models": [self.root / "models"]}
        code = main(
            [command, str(self.root / "prompt.txt"), *argv],
            **places,
            bind="BIND",
            write=lines.append,
        )
        self.said = "\n".join(lines)
        return code

    def allow(self) -> None:
        (self.state / "api.ini").write_text("fetch_urls = yes\n", encoding="utf-8")


@pytest.fixture
def comfy(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def in_base64() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 30)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_compile_puts_a_picture_of_the_prompt_into_the_input_folder(comfy: CommandLine) -> None:
    assert comfy.run("compile", f"a cat\ninput_image_base64={in_base64()}", "--form", "api") == 0
    name = json.loads(comfy.said)["input.image"]["inputs"]["image"]
    assert name.startswith("astria/fetched/")
    assert (comfy.root / "input" / name).read_bytes() == base64.b64decode(in_base64())


def test_compile_fetches_only_where_it_is_allowed_and_only_from_public_hosts(
    comfy: CommandLine,
) -> None:
    assert comfy.run("compile", URL) == 1
    assert "fetch_urls = yes in api.ini" in comfy.said
    comfy.allow()
    assert comfy.run("compile", URL) == 1
    assert "10.0.0.1 is no public address" in comfy.said
    assert comfy.run("compile", URL, "--form", "api", "--image", "own.png") == 0
    assert json.loads(comfy.said)["input.image"]["inputs"]["image"] == "own.png"


def test_explain_fetches_nothing(comfy: CommandLine) -> None:
    assert comfy.run("explain", URL) == 1
    assert "1. base: img2img" in comfy.said
    assert "fetch_urls = yes in api.ini" in comfy.said
    comfy.allow()
    assert comfy.run("explain", URL) == 0
    assert "1. base: img2img" in comfy.said
    assert "The input image is fetched from http://10.0.0.1/... when the prompt runs." in comfy.said


def test_a_python_without_pillow_says_so(
    comfy: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"a cat\ninput_image_base64={in_base64()}"
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "comfyui_astria.nodes.net.files", raising=False)
    assert comfy.run("compile", text) == 1
    assert "this Python has no PIL" in comfy.said
    assert "Run this with the Python of ComfyUI" in comfy.said
