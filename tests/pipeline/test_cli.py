"""`explain` and `compile` on the command line, on model files that are only names."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from comfyui_astria.nodes.pipeline.cli import main

PROMPT = "<lora:1533312:0.5> a cat\nsuper_resolution=true\nw=640\nh=512"
BINDINGS = (
    "[base 690204]\nfamily = sd15\ncheckpoint = rv51.safetensors\n[tunes]\n1533312 ="
    " my_wife.safetensors\n"
)


class CommandLine:
    """Runs commands in a ComfyUI folder of the test; `said` is what they printed last."""

    def __init__(self, root: Path) -> None:
        self.root, self.said = root, ""
        self.state = root / "user" / "__astria"
        self.state.mkdir(parents=True)
        (self.state / "bindings.ini").write_text(BINDINGS, encoding="utf-8")
        self.prompt = root / "prompt.txt"
        self.prompt.write_text(PROMPT, encoding="utf-8")

    def add(self, name: str) -> None:
        path = self.root / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def run(self, *argv: str) -> int:
        lines: list[str] = []
        code = main(
            argv, folder=self.state, models=[self.root / "models"], bind="BIND", write=lines.append
        )
        self.said = "\n".join(lines)
        return code


@pytest.fixture
def comfy(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_explain_names_every_missing_file_and_the_command_to_bind_it(comfy: CommandLine) -> None:
    comfy.add("checkpoints/rv51.safetensors")
    comfy.add("loras/my_wifee.safetensors")
    assert comfy.run("explain", str(comfy.prompt)) == 1
    assert "found    checkpoints/rv51.safetensors" in comfy.said
    assert "'my_wife.safetensors' that LoRA 1533312 stands for was not found" in comfy.said
    assert "Did you mean 'my_wifee.safetensors'?" in comfy.said
    assert "BIND 1533312 FILE" in comfy.said
    assert "no upscaler is bound" in comfy.said
    assert "2. super_resolution: upscale model -> 2560x2048" in comfy.said


def test_explain_of_a_request_that_can_run_succeeds_and_makes_no_database(
    comfy: CommandLine,
) -> None:
    comfy.add("checkpoints/rv51.safetensors")
    comfy.add("loras/my_wife.safetensors")
    assert comfy.run("explain", str(comfy.prompt), "--missing-models", "skip") == 0
    assert "warning: Stage super_resolution is skipped" in comfy.said
    assert [path.name for path in comfy.state.iterdir()] == ["bindings.ini"]


def test_what_another_comfyui_binds_counts_where_the_first_binds_nothing(
    comfy: CommandLine, tmp_path: Path
) -> None:
    for name in (
        "checkpoints/rv51.safetensors",
        "loras/my_wife.safetensors",
        "loras/b.safetensors",
    ):
        comfy.add(name)
    first = tmp_path / "first" / "user" / "__astria"
    lines: list[str] = []

    def run() -> int:
        lines.clear()
        argv = ["explain", str(comfy.prompt), "--missing-models", "skip"]
        given = {"models": [comfy.root / "models"], "bind": "BIND", "beside": comfy.state}
        return main(argv, folder=first, write=lines.append, **given)

    assert run() == 0
    assert "found    loras/my_wife.safetensors" in lines[0]
    first.mkdir(parents=True)
    (first / "bindings.ini").write_text("[tunes]\n1533312 = b.safetensors\n", encoding="utf-8")
    assert run() == 0
    assert "found    loras/b.safetensors" in lines[0]


@pytest.mark.parametrize("form", ["ui", "api"])
def test_compile_writes_a_workflow_with_the_users_file_names(comfy: CommandLine, form: str) -> None:
    for name in ("checkpoints/rv51.safetensors", "loras/my_wife.safetensors"):
        comfy.add(name)
    output = comfy.root / "out.json"
    assert (
        comfy.run(
            "compile",
            str(comfy.prompt),
            "--form",
            form,
            "--missing-models",
            "skip",
            "--seed",
            "9",
            "-o",
            str(output),
        )
        == 0
    )
    assert "checkpoints/rv51.safetensors, loras/my_wife.safetensors" in comfy.said
    workflow = json.loads(output.read_text(encoding="utf-8"))
    if form == "api":
        assert workflow["base.noise"]["inputs"]["seed"] == 9
        assert workflow["base.lora_1"]["inputs"]["lora_name"] == "my_wife.safetensors"
    else:
        assert {node["type"] for node in workflow["nodes"]} >= {
            "CheckpointLoaderSimple",
            "AstriaLoadLora",
            "SaveImage",
            "MarkdownNote",
        }


def test_compile_without_a_bound_base_says_how_to_bind_one(comfy: CommandLine) -> None:
    (comfy.state / "bindings.ini").unlink()
    assert comfy.run("compile", str(comfy.prompt)) == 1
    assert "no default base is set" in comfy.said
    assert "BIND base.690204.checkpoint FILE" in comfy.said


def test_explain_without_a_bound_base_says_how_to_see_the_plan(comfy: CommandLine) -> None:
    (comfy.state / "bindings.ini").unlink()
    assert comfy.run("explain", str(comfy.prompt)) == 1
    assert "no default base is set" in comfy.said
    assert "add --family sdxl" in comfy.said
    comfy.run("explain", str(comfy.prompt), "--family", "sdxl")
    assert "Stages" in comfy.said


def test_the_prompt_may_come_from_standard_input(
    comfy: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a cat --outpaint topleft"))
    assert comfy.run("explain", "-", "--family", "flux") == 1
    assert "line 1, column 18" in comfy.said


def test_what_the_text_says_in_vain_is_told(comfy: CommandLine) -> None:
    comfy.add("checkpoints/rv51.safetensors")
    comfy.prompt.write_text("a cat --video\nsteps=20\nnot_known=1", encoding="utf-8")
    output = comfy.root / "out.json"
    for command in (("explain",), ("compile", "-o", str(output))):
        assert comfy.run(command[0], str(comfy.prompt), "--base", "690204", *command[1:]) == 0
        assert "line 1, column 7" in comfy.said
        assert "not_known" in comfy.said
    comfy.run("compile", str(comfy.prompt), "--base", "690204")
    assert json.loads(comfy.said), "what goes to the screen is the workflow alone"


@pytest.mark.parametrize("command", ["explain", "compile"])
def test_an_error_comes_with_the_warning_that_tells_why(comfy: CommandLine, command: str) -> None:
    comfy.prompt.write_text("a cat\nwidth=832\nh=1216", encoding="utf-8")
    assert comfy.run(command, str(comfy.prompt)) == 1
    assert "`width=` is not a known parameter" in comfy.said
    assert comfy.said.index("width=") < comfy.said.index("h= is set without w=")


def test_a_prompt_file_that_is_not_there(comfy: CommandLine) -> None:
    assert comfy.run("explain", "nowhere.txt", "--family", "flux") == 1
    assert comfy.said.startswith("nowhere.txt: ")
