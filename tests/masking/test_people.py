"""One mask a person: the largest, left to right, each once."""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError, PromptError
from comfyui_astria.nodes.masking.people import find_people
from comfyui_astria.tests.masking.scripted import Scripted, rectangle

WIDTH, HEIGHT = 100, 50
IMAGE = torch.zeros(2, HEIGHT, WIDTH, 4)
LEFT, MIDDLE, RIGHT, SMALL = (2, 10, 20, 50), (40, 5, 60, 50), (70, 20, 90, 50), (25, 30, 30, 50)


def masks(*boxes: tuple[int, int, int, int]) -> torch.Tensor:
    return torch.stack([rectangle(box, WIDTH, HEIGHT).float() for box in boxes])


def test_the_largest_from_left_to_right() -> None:
    found = Scripted({"person": [RIGHT, SMALL, LEFT, MIDDLE]})
    assert torch.equal(find_people(IMAGE, found, 3).masks, masks(LEFT, MIDDLE, RIGHT))
    assert torch.equal(find_people(IMAGE, found, 2).masks, masks(LEFT, MIDDLE))
    assert torch.equal(find_people(IMAGE, found, 4).masks, masks(LEFT, SMALL, MIDDLE, RIGHT))


def test_more_people_or_pictures_than_asked_for_are_told() -> None:
    notes = find_people(IMAGE, Scripted({"person": [RIGHT, SMALL, LEFT]}), 2).notes
    assert notes == (
        "'person' was found 3 times; the largest 2 are taken. Draw masks to choose others.",
        (
            "People were looked for in the first of 2 pictures; they stand in the same places in"
            " all of them."
        ),
    )
    assert find_people(IMAGE[:1], Scripted({"person": [RIGHT, LEFT]}), 2).notes == ()


def test_one_person_found_twice_is_one_person() -> None:
    near = (3, 11, 21, 50)
    found = Scripted({"person": [LEFT, near, RIGHT]})
    assert torch.equal(find_people(IMAGE, found, 2).masks, masks(LEFT, RIGHT))


def test_fewer_are_said_with_both_numbers() -> None:
    with pytest.raises(
        ImageError, match=r"Found 2 of 3 persons: 'person' by scripted, highest score 0\.90\."
    ):
        find_people(IMAGE, Scripted({"person": [LEFT, RIGHT]}), 3)
    with pytest.raises(
        ImageError, match=r"Found 0 of 1 persons: 'person' by scripted, highest score 0\.20\."
    ):
        find_people(IMAGE, Scripted({"person": []}), 1)


def test_pieces_of_a_mask_where_the_model_knows_no_things() -> None:
    heat = masks(RIGHT, LEFT).amax(0) * 0.75
    heat[19, 69] = 0.75  # touches the right one at its corner
    heat[0, 0:2] = 0.75  # a speck
    heat[:, 30:60] = 0.375
    found = find_people(IMAGE, Scripted({"tall man": heat}), 2, "tall  man").masks
    assert torch.equal(found[0], masks(LEFT)[0])
    assert torch.equal(
        found[1] - masks(RIGHT)[0],
        torch.zeros(HEIGHT, WIDTH).index_put(
            (torch.tensor(19), torch.tensor(69)), torch.tensor(1.0)
        ),
    )
    with pytest.raises(ImageError, match="Found 2 of 3"):
        find_people(IMAGE, Scripted({"person": heat}), 3)


def test_only_the_first_picture_is_looked_at() -> None:
    found = Scripted({"person": [LEFT]})
    assert find_people(IMAGE, found, 1).masks.shape == (1, HEIGHT, WIDTH)
    assert found.asked == [("person",)]


@pytest.mark.parametrize("word", ["", "man, woman", '"man" woman'])
def test_one_word_or_phrase_is_expected(word: str) -> None:
    with pytest.raises(PromptError, match="expected one word or phrase"):
        find_people(IMAGE, Scripted({}), 1, word)
