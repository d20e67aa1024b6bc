"""`bench world` from end to end: each row paints a picture on a ComfyUI, and reads it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comfyui_astria.bench import _world, _world_kept, world
from comfyui_astria.smallworld import model_files

WAYS = ("the pack", "the pack, one person a checkpoint")
PEOPLE = (2, 4)
LEAST = 80  # words right, percent
LEAST_BY_FACE = 50
LEAST_REPLACED = 60  # the transformer has 7 where its text says nothing of them
LEAST_UNPOSED = 50  # where the scene's text speaks of nobody, nobody is painted
UNGATED = "regions, all FaceIDs on everybody"
SECOND = "the pack, told both"
WHOSE = ("its person's", "nobody's")
# Where the model paints who is asked for.
SEED = 6_000_027


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The figures of one scene, by name."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        for module in (_world, world):
            patch.setattr(module, "BASE", folder / "base")
        patch.setattr(_world_kept, "DEV", folder)
        patch.setattr(world, "FIRST_SEED", SEED)
        ways = {name: world.WAYS[name] for name in WAYS}
        figures = world._run(
            world.Extent(1, 1, PEOPLE, ways, 1, second={SECOND: world.SECOND[SECOND]})
        )
        yield {one["name"]: one["value"] for one in figures}


def share(value: str) -> float:
    return float(value.split(" ± ")[0])


def test_people_are_painted_with_a_checkpoint_and_four_of_them(values: dict[str, str]) -> None:
    for people in PEOPLE:
        for name in WAYS:
            words = values[f"sd15, {people}: {name}, words"]
            assert share(words) > LEAST, (people, name)
            assert words.endswith(f"(alone {values['sd15, 1: one person alone, words']})")
            assert share(values[f"sd15, {people}: {name}, leak"]) < 50


def test_one_of_several_is_painted_alone_in_their_place(values: dict[str, str]) -> None:
    for people in PEOPLE:
        assert share(values[f"sd15, {people}: one of them alone, words"]) > LEAST, people


def test_two_people_whom_no_pose_places_are_painted_by_the_transformer(
    values: dict[str, str],
) -> None:
    for name in WAYS:
        title = f"flux, 2: {name}"
        assert share(values[f"{title}, words"]) > LEAST_UNPOSED, title
        assert share(values[f"{title}, leak"]) < 50
    # It has LoRAs of two people.
    assert not [name for name in values if name.startswith("flux, 4")]


def test_a_person_close_up_has_the_face_that_their_lora_learned(values: dict[str, str]) -> None:
    assert share(values["flux, 1: one person close up, identity"]) == 100
    assert share(values["sd15, 1: one person close up, words"]) > LEAST_UNPOSED


def test_people_are_painted_by_their_photos_alone(values: dict[str, str]) -> None:
    for people, some in world.BY_FACE.items():
        for name in some:
            title = f"sd15, {people}: {name}"
            assert f"{title}, identity" in values
            if name != UNGATED:
                assert share(values[f"{title}, words"]) > LEAST_BY_FACE, title
    own = values["sd15, 2: the pack by FaceID, words"]
    assert share(values[f"sd15, 2: {UNGATED}, words"]) < share(own), "nobody has another's face"
    alone = values["sd15, 1: one person alone by FaceID, words"]
    assert own.endswith(f"(alone {alone})")


def test_a_face_far_away_is_painted_and_nothing_else(values: dict[str, str]) -> None:
    for whose in WHOSE:
        title = f"sd15, a face far away, drawn as {whose}"
        assert share(values[f"{title}, kept"]) == 100
        assert share(values[f"{title}, named before"]) == 100
    words = [values[f"sd15, a face far away, drawn as {whose}, words"] for whose in WHOSE]
    assert share(words[0]) > share(words[1]), "a face gets the words of its person"


def test_a_second_person_is_painted_beside_the_first(values: dict[str, str]) -> None:
    for family in model_files.families():
        title = f"{family}, a second person: {SECOND}"
        assert share(values[f"{title}, kept"]) == 100
        assert share(values[f"{title}, words"]) > LEAST_UNPOSED, "one of two is half of them"
        assert share(values[f"{title}, new"]) > LEAST_UNPOSED
        assert share(values[f"{title}, people read"]) == 2


def test_what_is_not_painted_is_kept(values: dict[str, str]) -> None:
    for family in model_files.families():
        assert share(values[f"{family}, masked portrait, kept"]) == 100
        assert share(values[f"{family}, people replaced in a picture, kept"]) == 100
        assert share(values[f"{family}, people replaced in a picture, words"]) > LEAST_REPLACED
        for name in set(world.OUTPAINTING) - {world.HOSTS}:
            assert share(values[f"{family}, outpainting: {name}, kept"]) == 100, name
        assert share(values[f"{family}, outpainting: {world.HOSTS}, kept"]) < 100
        told = f"{family}, outpainting: the pack, told the place alone"
        assert share(values[f"{told}, people read"]) == 1
