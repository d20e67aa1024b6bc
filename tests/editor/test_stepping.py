"""What Ctrl+Up and Ctrl+Down make of the value or the words at the cursor."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.editor.stepping import Stride, step
from comfyui_astria.nodes.prompt.catalog import SCHEDULERS
from comfyui_astria.nodes.prompt.source import Span


def stepped(marked: str, *, up: bool = True, delta: float = 0.05) -> str:
    """Step at the cursor `|`, or with two of them on what stands between, and return the text."""
    start, text = marked.index("|"), marked.replace("|", "", 1)
    end, text = (text.index("|"), text.replace("|", "")) if "|" in text else (start, text)
    found = step(text, Span(start, end), Stride(delta, up))
    if found is None:
        return text
    return text[: found.span.start] + found.text + text[found.span.end :]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a <lora:a:1|.0>", "a <lora:a:1.05>"),
        ("a <lo|ra:a:1.0> b", "a <lora:a:1.05> b"),
        ("a <lora:a|> b", "a <lora:a:1.05> b"),
        ("<lora:a:0.5|:1>", "<lora:a:0.55:1>"),
        ("<lora:a:0.5:1|>", "<lora:a:0.5:1.05>"),
        ("<faceid:7:10|>", "<faceid:7:10>"),
        ("a cat\nw=51|2", "a cat\nw=520"),
        ("a cat\n|w=512", "a cat\nw=520"),
        ("a cat\ncfg_scale=7|", "a cat\ncfg_scale=7.05"),
        ("a cat\nseed=|9", "a cat\nseed=10"),
        ("a cat\nsteps=50|", "a cat\nsteps=50"),
        ("a cat\nface_swap=true|", "a cat\nface_swap=false"),
        ("a cat\nscheduler=e|uler", "a cat\nscheduler=euler_a"),
        (f"a cat\nscheduler={SCHEDULERS[-1]}|", f"a cat\nscheduler={SCHEDULERS[0]}"),
        ("a --outpaint top-|left", "a --outpaint top-center"),
        ("a --outpaint_width 640|", "a --outpaint_width 641"),
        ("a --mask_prompt face --mask_dilate -20%|", "a --mask_prompt face --mask_dilate -19%"),
        ("a --controlnet_weights 0.5 0.7|", "a --controlnet_weights 0.5 0.75"),
        ("a ca|t", "a (cat:1.05)"),
        ("a |big cat| b", "a (big cat:1.05) b"),
        ("a (big c|at:1.1) b", "a (big cat:1.15) b"),
        ("a (cat:0.95|)", "a cat"),
        ("a cat\nnegative_prompt=ugly| dog", "a cat\nnegative_prompt=(ugly:1.05) dog"),
        ('a --outpaint center --outpaint_prompt "a se|a"', None),
        ("a\U0001f600 ca|t", "a\U0001f600 (cat:1.05)"),
        ("a BRE|AK b BREAK c", "a BREAK b BREAK c"),
        ("|a <lora:a:1> b|", "a <lora:a:1> b"),
        ("a --mul|ti", "a --multi"),
        ("a cat\nw=|", "a cat\nw="),
        ("a cat\nw=abc|", "a cat\nw=abc"),
    ],
)
def test_up(before: str, after: str | None) -> None:
    if after is None:
        after = before.replace("|", "").replace("sea", "(sea:1.05)")
    assert stepped(before) == after


def test_down_undoes_up_and_the_step_is_as_asked() -> None:
    assert stepped("<lora:a:1.05|>", up=False) == "<lora:a:1>"
    assert stepped("a cat\nw=8|", up=False) == "a cat\nw=8"
    assert stepped("a ca|t", up=False, delta=0.1) == "a (cat:0.9)"
    assert stepped("a --outpaint top-lef|t", up=False) == "a --outpaint bottom-right"
