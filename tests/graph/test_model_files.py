"""Which files a node of a plan names."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.graph.graph import NodeCall
from comfyui_astria.nodes.graph.model_files import ModelFile, files_of
from comfyui_astria.nodes.pipeline.build.text import joined_text
from comfyui_astria.nodes.prompt import EmbeddingTag, Segment

HANDS, STYLE = "bad-hands-5.pt", "styles/old_film.v2.safetensors"


@pytest.mark.parametrize("use_lpw", [True, False])
def test_the_embeddings_of_a_text_are_files_that_it_needs(use_lpw: bool) -> None:
    """Alone, before a comma, and in brackets that become a weight."""
    segment = Segment(
        ("(", EmbeddingTag(STYLE), ") a street, ", EmbeddingTag(HANDS), ", ", EmbeddingTag(STYLE))
    )
    text = joined_text([segment], use_lpw=use_lpw)
    named = dict.fromkeys(files_of(NodeCall("base.negative", "CLIPTextEncode", {"text": text})))
    assert list(named) == [ModelFile("embeddings", STYLE), ModelFile("embeddings", HANDS)]


@pytest.mark.parametrize(
    "text",
    ["the word embedding: file.pt", "myembedding:file.pt", "embedding:not_there", "embedding"],
)
def test_other_words_are_no_files(text: str) -> None:
    assert files_of(NodeCall("base.positive", "CLIPTextEncode", {"text": text})) == ()
