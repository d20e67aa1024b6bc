"""CLIPSeg through the loader against transformers called directly, with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_astria.nodes.masking.clipseg import ClipSeg, load_model, load_processor
from comfyui_astria.tests.masking.tiny_models import photo, write_clipseg

WORDS = ("red hat", "person", "coat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clipseg(tmp_path_factory.mktemp("clipseg"))


@pytest.fixture(scope="module")
def ours(folder: Path) -> ClipSeg:
    model, processor = load_model(folder).eval(), load_processor(folder)
    return ClipSeg(lambda: model, lambda: processor)


def theirs(folder: Path, image: torch.Tensor, word: str) -> torch.Tensor:
    """The model's documented use, a word at a time, brought to the picture's size."""
    from PIL import Image
    from transformers import AutoProcessor, CLIPSegForImageSegmentation

    model = CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    picture = Image.fromarray((image[0] * 255).round().byte().numpy())
    inputs = processor(text=[word], images=[picture], padding=True, return_tensors="pt")
    with torch.no_grad():
        scores = model(**inputs).logits.sigmoid()
    return torch.nn.functional.interpolate(
        scores.reshape(1, 1, 64, 64), size=image.shape[1:3], mode="bilinear"
    )[0, 0]


@pytest.mark.parametrize("size", [(64, 64), (70, 101)])
def test_scores_are_those_of_transformers(
    folder: Path, ours: ClipSeg, size: tuple[int, int]
) -> None:
    image = photo(*size)
    found = ours.find(image, WORDS, 0.5)
    for word in WORDS:
        assert torch.allclose(found[word].scores, theirs(folder, image, word), atol=2e-4)
        assert found[word].is_heat_map and found[word].best == pytest.approx(
            float(found[word].scores.max())
        )
    assert (found["person"].scores - found["coat"].scores).abs().max() > 0.01


def test_one_word_gives_what_it_gives_among_several(ours: ClipSeg) -> None:
    image = photo(50, 60)
    alone = ours.find(image, WORDS[:1], 0.5)[WORDS[0]].scores
    assert alone.shape == (50, 60)
    assert torch.allclose(alone, ours.find(image, WORDS, 0.5)[WORDS[0]].scores, atol=2e-4)


def test_words_for_background_removal_are_left_to_it(ours: ClipSeg) -> None:
    assert [
        word for word in ("foreground", "subject", "background", "person") if ours.takes(word)
    ] == ["person"]
