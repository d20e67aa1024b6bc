"""Faces and persons: by region, by likeness, left to right; too few and too many of either."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.match import (
    BY_LIKENESS,
    BY_PLACE,
    BY_REGION,
    Assignment,
    match_faces,
)
from comfyui_astria.nodes.regions.layout import columns, from_masks
from comfyui_astria.nodes.regions.person import Person

SIZE = (300, 200)


def face(
    left: float,
    top: float,
    side: float = 40,
    embedding: np.ndarray | None = None,
    recogniser: str = "buffalo_l",
) -> Face:
    return Face(
        (left, top, left + side, top + side),
        embedding=embedding,
        recogniser=None if embedding is None else recogniser,
    )


def people(count: int) -> list[Person]:
    return [Person([f"person {number}"]) for number in range(count)]


def looks(number: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return an embedding of somebody, of any length."""
    return 20 * np.eye(512)[number] + noise * np.random.default_rng(seed).normal(size=512)


def known(*photos: np.ndarray, recogniser: str = "buffalo_l") -> Person:
    identity = SimpleNamespace(embeddings=torch.tensor(np.stack(photos)), recogniser=recogniser)
    return Person(["text"], faceids=(SimpleNamespace(identity=identity),))


def test_each_face_gets_the_person_in_whose_region_it_is() -> None:
    layout = columns(3, *SIZE, softness_px=16)
    faces = [face(30, 60), face(130, 60), face(230, 60)]
    for order in itertools.permutations(range(3)):
        found = match_faces([faces[place] for place in order], people(3), layout, SIZE)
        assert found.persons == {place: person for place, person in enumerate(order)}
        assert set(found.how.values()) == {BY_REGION}


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_picture_may_be_larger_than_the_layout(scale: int) -> None:
    layout = columns(2, *SIZE, softness_px=0)
    faces = [Face(tuple(scale * side for side in face(left, 60).box)) for left in (200, 50)]
    assert match_faces(faces, people(2), layout, (SIZE[0] * scale, SIZE[1] * scale)).persons == {
        0: 1,
        1: 0,
    }


def test_regions_that_cross_decide_and_not_the_order_from_left_to_right() -> None:
    masks = torch.zeros(2, 200, 300)
    masks[0, :, 150:] = 1
    masks[1, :, :150] = 1
    layout = from_masks(masks, 2, *SIZE, softness_px=0)
    assert match_faces([face(30, 60), face(230, 60)], people(2), layout, SIZE).persons == {
        0: 1,
        1: 0,
    }


def test_nobody_has_two_faces_and_bystanders_stay_nobodys() -> None:
    layout = columns(2, *SIZE, softness_px=0)
    # Two faces in the left region: the one that is wholly inside is the person.
    found = match_faces([face(0, 100), face(60, 60), face(200, 60)], people(2), layout, SIZE)
    assert found.persons == {1: 0, 2: 1}
    # One with a corner in a region is not its person.
    masks = torch.zeros(1, 200, 300)
    masks[0, :, :100] = 1
    assert (
        match_faces([face(94, 60)], people(1), from_masks(masks, 1, *SIZE, softness_px=0), SIZE)
        == Assignment()
    )


def test_a_face_smaller_than_a_pixel_of_the_layout_still_has_a_region() -> None:
    layout = columns(2, 30, 20, softness_px=0)
    assert match_faces([Face((2001, 900, 2009, 908))], people(2), layout, (3000, 2000)).persons == {
        0: 1
    }


def test_without_regions_faces_that_look_like_a_persons_photos_are_that_person() -> None:
    persons = [known(looks(1), looks(2)), known(looks(3)), known(looks(4))]
    faces = [
        face(0, 0, embedding=looks(3, 0.2)),
        face(100, 0, embedding=looks(4, 0.2)),
        face(200, 0, embedding=5 * looks(2, 0.2)),
    ]
    found = match_faces(faces, persons, None, SIZE)
    assert found.persons == {0: 1, 1: 2, 2: 0}
    assert set(found.how.values()) == {BY_LIKENESS}


def test_likeness_is_shared_out_so_that_the_sum_is_best() -> None:
    """Both faces look most like the first person.

    The one that looks less like the second one gets the first.
    """
    persons = [known(looks(1)), known(looks(2))]
    faces = [face(0, 0, embedding=looks(1) + 0.9 * looks(2)), face(100, 0, embedding=looks(1))]
    assert match_faces(faces, persons, None, SIZE).persons == {0: 1, 1: 0}


def test_faces_and_photos_of_different_recognisers_are_not_held_against_each_other() -> None:
    persons = [known(looks(1), recogniser="antelopev2"), known(looks(2))]
    faces = [face(0, 0, embedding=looks(2, 0.1)), face(100, 0, embedding=looks(1, 0.1))]
    found = match_faces(faces, persons, None, SIZE)
    assert found.persons == {0: 1, 1: 0}
    assert found.how == {
        0: BY_LIKENESS,
        1: (
            f"{BY_PLACE} (the face was read by buffalo_l, the photos by antelopev2: these do not"
            " compare)"
        ),
    }
    # Nobody compares: by place alone. The numbers of another recogniser would have said otherwise.
    strangers = [
        face(0, 0, embedding=looks(2), recogniser="antelopev2"),
        face(100, 0, embedding=looks(1), recogniser="antelopev2"),
    ]
    found = match_faces(strangers, [known(looks(1)), known(looks(2))], None, SIZE)
    assert found.persons == {0: 0, 1: 1} and all(
        "do not compare" in how for how in found.how.values()
    )
    # Without an embedding there is nothing to say.
    assert match_faces([face(0, 0)], [known(looks(1))], None, SIZE).how == {0: BY_PLACE}


def test_a_person_with_photos_of_two_recognisers_is_known_by_those_of_the_face() -> None:
    both = Person(
        ["text"],
        faceids=(*known(looks(1), recogniser="antelopev2").faceids, *known(looks(2)).faceids),
    )
    found = match_faces(
        [face(0, 0, embedding=looks(1)), face(100, 0, embedding=looks(2))], [both], None, SIZE
    )
    assert found.persons == {1: 0} and found.how == {1: BY_LIKENESS}


def test_regions_go_before_likeness() -> None:
    persons = [known(looks(1)), known(looks(2))]
    faces = [face(30, 60, embedding=looks(2)), face(230, 60, embedding=looks(1))]
    assert match_faces(faces, persons, columns(2, *SIZE, softness_px=0), SIZE).persons == {
        0: 0,
        1: 1,
    }


def test_who_is_not_in_their_region_is_known_by_likeness() -> None:
    """The second person stands in the scene between the regions, beside a bystander.

    The first one is where they should be.
    """
    masks = torch.zeros(3, 200, 300)
    masks[0, :, :60] = masks[1, :, 120:180] = masks[2, :, 240:] = 1
    layout = from_masks(masks, 3, *SIZE, softness_px=0)
    persons = [known(looks(1)), known(looks(2)), known(looks(3))]
    mine = face(10, 60, embedding=looks(1))
    lost = face(70, 60, embedding=looks(2, 0.3))
    bystander = face(190, 60, embedding=looks(9))
    found = match_faces([mine, bystander, lost], persons, layout, SIZE)
    assert found.persons == {0: 0, 2: 1}
    assert found.how == {0: BY_REGION, 2: BY_LIKENESS}
    # Read by another pack, or not at all, nothing compares.
    for other in (face(70, 60, embedding=looks(2), recogniser="antelopev2"), face(70, 60)):
        assert match_faces([mine, bystander, other], persons, layout, SIZE).persons == {0: 0}


def test_a_face_in_the_scene_is_not_taken_by_somebody_whose_face_was_found() -> None:
    masks = torch.zeros(1, 200, 300)
    masks[0, :, :100] = 1
    layout = from_masks(masks, 1, *SIZE, softness_px=0)
    # The one in the scene looks more like the person.
    faces = [face(30, 60, embedding=looks(7)), face(230, 60, embedding=looks(1))]
    assert match_faces(faces, [known(looks(1))], layout, SIZE) == Assignment({0: 0}, {0: BY_REGION})


def test_strangers_do_not_decide_who_of_two_lost_persons_is_whom() -> None:
    """One is sure; that the other pair is a stranger's, however strange, must not move the sure one
    to where it is less sure.
    """
    masks = torch.zeros(2, 200, 300)
    masks[0, :, :9] = masks[1, :, 290:] = 1
    layout, persons = from_masks(masks, 2, *SIZE, softness_px=0), [known(looks(1)), known(looks(2))]
    faces = [
        face(100, 60, embedding=looks(1) + 0.9 * looks(2)),
        face(200, 60, embedding=-looks(2) + 0.1 * looks(1)),
    ]
    assert match_faces(faces, persons, layout, SIZE).persons == {0: 0}


def test_persons_without_photos_get_the_other_faces_from_left_to_right() -> None:
    persons = [Person(["a"]), known(looks(1)), Person(["b"])]
    faces = [
        face(200, 0, embedding=looks(5)),
        face(0, 0, embedding=looks(6)),
        face(100, 0, embedding=looks(1, 0.1)),
    ]
    found = match_faces(faces, persons, None, SIZE)
    assert found.persons == {2: 1, 1: 0, 0: 2}
    assert found.how == {2: BY_LIKENESS, 1: BY_PLACE, 0: BY_PLACE}


def test_without_embeddings_or_regions_the_largest_faces_count_from_left_to_right() -> None:
    faces = [face(250, 0, 20), face(150, 0, 60), face(100, 0, 10), face(20, 0, 50)]
    found = match_faces(faces, people(2), None, SIZE)
    assert found.persons == {3: 0, 1: 1}
    assert set(found.how.values()) == {BY_PLACE}


@pytest.mark.parametrize("layout", [None, columns(3, *SIZE, softness_px=0)])
def test_fewer_faces_than_persons_and_none_at_all(layout) -> None:
    assert len(match_faces([face(120, 60)], people(3), layout, SIZE).persons) == 1
    assert match_faces([], people(3), layout, SIZE) == Assignment()
    assert match_faces([face(0, 0)], [], None, SIZE) == Assignment()


def test_a_layout_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ImageError, match=r"1 person\(s\) are described and 2 region\(s\) laid out"):
        match_faces([face(0, 0)], people(1), columns(2, *SIZE, softness_px=0), SIZE)
    with pytest.raises(ImageError, match="laid out for 300x200 px and the picture has 300x300"):
        match_faces([face(0, 0)], people(2), columns(2, *SIZE, softness_px=0), (300, 300))
