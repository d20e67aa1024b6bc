"""What nodes tell, gathered: each line once, nothing for those that have nothing to tell."""

from __future__ import annotations

from comfyui_astria.nodes.graph.graph import Socket
from comfyui_astria.nodes.pipeline.notes import added
from comfyui_astria.nodes.pipeline.plan import encode_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.pipeline.support import EQUIPPED, resolver, sources


def test_a_line_is_told_once_and_silence_adds_none() -> None:
    assert added("a\nb", "b\n\nc\nc") == "a\nb\nc"
    assert added("a", "") == "a"
    assert added("a\n\nb", "b") == "a\n\nb", "the report's own lines stay as they are"


def test_an_encoded_request_tells_what_its_author_should_know() -> None:
    request = PromptRequest.require("a cat, embedding:nothere")
    _, problems = encode_request(request, sources("sd15"), resolver(EQUIPPED), Socket("regions"))
    assert [problem.code for problem in problems] == ["no-embedding"]
