"""Texts that the editor's dynamic prompts would change reach the queue as they were written."""

from __future__ import annotations

import random

from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.dynamic_prompts import words_apart
from comfyui_astria.nodes.graph.graph import Graph
from comfyui_astria.nodes.graph.ui_form import ui_workflow
from comfyui_astria.tests.web.browser import Editor
from comfyui_astria.tests.web.test_workflows import by_name

TEXTS = (
    "a {red|green|blue} car",
    "see https://example.com/a//b // a remark",
    "a /* b */ c",
    r"\(plain\) \{a\|b\}",
    r"\\{a} \\\{b\\\\|c",
    "{{|}} }{ ///* /*/",
    "first // one\nsecond /* two\n */ third",
    r"\//x \\//y \/*z*/",
)


def with_encoders(texts: list[str]) -> Graph:
    graph = Graph()
    clip = graph.add(
        "models.text_encoders",
        "CLIPLoader",
        clip_name="clip_l.safetensors",
        type="flux",
        device="default",
    )
    for number, text in enumerate(texts):
        graph.add(f"base.text_{number}", "CLIPTextEncode", clip=clip, text=text)
    return words_apart(graph)


def queued(editor: Editor, texts: list[str]) -> list[str]:
    graph = with_encoders(texts)
    workflow = ui_workflow(graph, snapshot(), "")
    editor.load(workflow)
    prompt = by_name(editor.prompt(), workflow)
    given = [prompt[f"base.text_{number}"]["inputs"]["text"] for number in range(len(texts))]
    return [
        prompt[text[0]]["inputs"]["value"] if isinstance(text, list) else text for text in given
    ]


def test_prompt_texts_arrive_unchanged(editor: Editor) -> None:
    chance = random.Random(5)
    drawn = ["".join(chance.choice("\\{}|/*a\n(") for _ in range(12)) + "." for _ in range(150)]
    texts = [*TEXTS, *drawn]
    assert queued(editor, texts) == texts


def test_the_editor_does_change_unguarded_texts(editor: Editor) -> None:
    """Without this the test above would pass on an editor that leaves texts alone, and the guarding
    could go.
    """
    number = editor.add("CLIPTextEncode")
    script = "([id, text]) => { app.graph.getNodeById(id).widgets[0].value = text; }"
    editor.page.evaluate(script, [number, r"{a|a} // b"])
    assert editor.prompt()[str(number)]["inputs"]["text"] == "a "
