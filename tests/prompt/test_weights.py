"""The text that reaches the host's encoder.

The expected texts were compared with ComfyUI's own reading of them: `token_weights` for weights,
its tokenizer for embeddings.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import EmbeddingTag, PromptRequest, Segment, encoder_text
from comfyui_astria.nodes.prompt.weights import weigh

# text of a prompt -> (with weights, brackets as plain text)
GOLDEN = {
    "a cat": ("a cat", "a cat"),
    "a (cat) sits": ("a (cat:1.1) sits", r"a \(cat\) sits"),
    "((cat))": ("(cat:1.21)", r"\(\(cat\)\)"),
    "[cat]": ("(cat:0.9091)", "[cat]"),
    "[[cat]]": ("(cat:0.8264)", "[[cat]]"),
    "(cat:1.2)": ("(cat:1.2)", r"\(cat:1.2\)"),
    "(cat: 1.2 )": ("(cat:1.2)", r"\(cat: 1.2 \)"),
    "(cat:-0.5)": ("(cat:-0.5)", r"\(cat:-0.5\)"),
    "(cat:1)": ("cat", r"\(cat:1\)"),
    "(cat:fast)": ("(cat:fast:1.1)", r"\(cat:fast\)"),
    "(12:30)": ("(12:30)", r"\(12:30\)"),
    "[cat:1.2]": ("(cat:1.2:0.9091)", "[cat:1.2]"),
    "(a (b:1.5) c:2)": ("(a :2)(b:3)( c:2)", r"\(a \(b:1.5\) c:2\)"),
    "([a])": ("a", r"\([a]\)"),
    "(a)(b)": ("(ab:1.1)", r"\(a\)\(b\)"),
    r"\(a\) \[b\]": (r"\(a\) [b]", r"\\(a\\) \[b\]"),
    r"(a\): 2)": (r"(a\):2)", r"\(a\\): 2\)"),
    r"a \\ b\c": (r"a \ b\c", r"a \\ b\c"),
    r"a\\(b)": (r"(a\:1)(b:1.1)", r"a\\\(b\)"),
    "a (b": (r"a \(b", r"a \(b"),
    "a) b": (r"a\) b", r"a\) b"),
    ":) (b)": (r":\) (b:1.1)", r":\) \(b\)"),
    "(a [b) c": ("(a [b:1.1) c", r"\(a [b\) c"),
    "[a (b] c": (r"(a \(b:0.9091) c", r"[a \(b] c"),
    "()": ("", r"\(\)"),
    "(:2) a": (" a", r"\(:2\) a"),
    "<easy>": ("embedding:easy", "embedding:easy"),
    "a<easy>, b": ("a embedding:easy , b", "a embedding:easy , b"),
    "<easy><hard> b": ("embedding:easy embedding:hard b", "embedding:easy embedding:hard b"),
    "(<easy>:1.3)": ("(embedding:easy:1.3)", r"\( embedding:easy :1.3\)"),
    "(a <easy> b:1.3), c": ("(a embedding:easy b:1.3), c", r"\(a embedding:easy b:1.3\), c"),
    "(a <lora:x:1> b:1.3)": ("(a b:1.3)", r"\(a b:1.3\)"),
    "a\0(\0)b": ("ab", r"a\(\)b"),
}


@pytest.mark.parametrize("text", GOLDEN)
def test_the_encoder_gets_exactly_this_text(text: str) -> None:
    base = PromptRequest.require(text).base
    assert (encoder_text(base, use_lpw=True), encoder_text(base, use_lpw=False)) == GOLDEN[text]


def test_an_empty_segment_says_nothing() -> None:
    assert encoder_text(Segment(), use_lpw=True) == encoder_text(Segment(), use_lpw=False) == ""


def test_weights_multiply_and_brackets_without_a_partner_are_listed_by_place() -> None:
    weighing = weigh(["(a ", EmbeddingTag("easy"), ":2) ) [b"])
    assert [(run.weight, run.pieces) for run in weighing.runs] == [
        (2.0, ["a ", EmbeddingTag("easy")]),
        (1.0, [" ", ")", " ", "[", "b"]),
    ]
    assert weighing.unmatched == [(2, 4), (2, 6)]


def test_weights_beyond_100_are_listed_by_place_whatever_their_number() -> None:
    assert weigh(["a (b:101)"]).extreme == [(0, 3)]
    assert weigh(["(" * 48 + "x" + ")" * 48]).extreme == []
    assert weigh(["(" * 9000 + "x(y:0)" + ")" * 9000]).extreme == [(0, 9000), (0, 9002)]
