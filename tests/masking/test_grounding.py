"""GroundingDINO and segment-anything through the loaders against their own libraries called
directly, with random weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import PromptError
from comfyui_astria.nodes.masking.grounding import (
    GroundingDino,
    find_boxes,
    load_model,
    load_processor,
)
from comfyui_astria.nodes.masking.segmenter import Box
from comfyui_astria.tests.masking.scripted import rectangle
from comfyui_astria.tests.masking.tiny_models import photo, write_grounding_dino

IMAGE = photo(70, 100)
WORDS = ("red hat", "clothes", "person")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grounding_dino(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple:
    return load_model(folder).eval(), load_processor(folder)


def whole_boxes(image: torch.Tensor, boxes: Sequence[Box]) -> Iterator[torch.Tensor]:
    """A cutter that takes all of each box."""
    for left, top, right, bottom in boxes:
        yield rectangle((left, top, right + 1, bottom + 1), image.shape[2], image.shape[1])


@torch.no_grad()
def theirs(folder: Path, caption: str) -> dict:
    """The model's documented use: every box whose best token scores above nothing."""
    from PIL import Image
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    picture = Image.fromarray((IMAGE[0] * 255).round().byte().numpy())
    inputs = processor(images=picture, text=caption, return_tensors="pt")
    outputs = model(**inputs)
    all_of_it = {"threshold": 0.0, "text_threshold": 0.0, "target_sizes": [(70, 100)]}
    [result] = processor.post_process_grounded_object_detection(
        outputs, inputs.input_ids, **all_of_it
    )
    return {
        **result,
        "logits": outputs.logits[0],
        "ids": inputs.input_ids[0],
        "decode": processor.tokenizer.convert_ids_to_tokens,
    }


def test_boxes_and_scores_are_those_of_transformers(folder: Path, loaded: tuple) -> None:
    with torch.no_grad():
        boxes, scores = find_boxes(*loaded, IMAGE, WORDS)
    expected = theirs(folder, "red hat. clothes. person.")
    assert torch.allclose(
        boxes, expected["boxes"].clamp(torch.zeros(4), torch.tensor([100, 70, 100, 70])), atol=1e-3
    )
    tokens = expected["decode"](expected["ids"])
    assert tokens == ["[CLS]", "red", "hat", ".", "cl", "##othes", ".", "person", ".", "[SEP]"]
    places = {"red hat": [1, 2], "clothes": [4, 5], "person": [7]}
    for number, word in enumerate(WORDS):
        assert torch.allclose(
            scores[:, number], expected["logits"].sigmoid()[:, places[word]].amax(1), atol=1e-5
        )


def test_every_box_belongs_to_the_word_it_fits_best(loaded: tuple) -> None:
    model, processor = loaded
    with torch.no_grad():
        boxes, scores = find_boxes(model, processor, IMAGE, WORDS)
    # The published threshold counts as 0.5.
    scores = torch.from_numpy(np.interp(scores.numpy(), [0, 0.35, 1], [0, 0.5, 1]))
    threshold = float(scores.amax(1).median()) - 1e-4
    found = GroundingDino(lambda: model, lambda: processor, whole_boxes).find(
        IMAGE, WORDS, threshold
    )
    best, owner = scores.max(1)
    kept = best > threshold
    assert 0 < kept.sum() < len(kept)
    for number, word in enumerate(WORDS):
        mine = boxes[kept & (owner == number)]
        assert sorted(one.box for one in found[word].instances) == sorted(
            tuple(box.tolist()) for box in mine
        )
        covered = torch.zeros(70, 100, dtype=torch.bool)
        for mask in whole_boxes(IMAGE, mine.tolist()):
            covered |= mask
        assert torch.equal(found[word].scores > 0, covered)
        assert found[word].best == pytest.approx(float(scores[:, number].max()), abs=1e-5)
        assert [one.score for one in found[word].instances] == sorted(
            (one.score for one in found[word].instances), reverse=True
        )


def test_nothing_above_the_threshold_cuts_nothing(loaded: tuple) -> None:
    def never(image: torch.Tensor, boxes: Sequence[Box]) -> Iterator[torch.Tensor]:
        raise AssertionError("There is no box to cut")

    found = GroundingDino(lambda: loaded[0], lambda: loaded[1], never).find(IMAGE, WORDS, 1.0)
    assert all(not one.scores.any() and not one.instances for one in found.values())


def test_a_full_stop_within_a_word_does_not_end_it(loaded: tuple) -> None:
    with torch.no_grad():
        assert torch.equal(
            find_boxes(*loaded, IMAGE, ("red.hat", "coat")).scores,
            find_boxes(*loaded, IMAGE, ("red hat", "coat")).scores,
        )


def test_words_that_the_model_cannot_read_are_refused(loaded: tuple) -> None:
    with pytest.raises(PromptError, match=r"GroundingDINO finds nothing to read in the word '\.'"):
        find_boxes(*loaded, IMAGE, ("hat", "."))
    fits = ("hat",) * 31  # with their full stops and both ends 64 tokens
    with torch.no_grad():
        assert find_boxes(*loaded, IMAGE, fits).scores.shape == (12, 31)
    with pytest.raises(
        PromptError, match="32 words at once are too long for GroundingDINO, which reads 64 tokens"
    ):
        find_boxes(*loaded, IMAGE, (*fits, "hat"))
