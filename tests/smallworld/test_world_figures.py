"""What `bench world` reads off a picture, and the photos that people are trained from."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from comfyui_astria.bench import (
    _world,
    _world_kept,
    _world_narrow,
    _world_outpaint,
    _world_sweeps,
    world,
)
from comfyui_astria.bench._world import Scene, Sitter, read_of, scene_of
from comfyui_astria.bench._world_outpaint import SIDE, WIDER, seam_of, source_of
from comfyui_astria.bench._world_portraits import kept_of, portrait_of
from comfyui_astria.bench._world_replaced import kept_of as kept_beside
from comfyui_astria.bench._world_replaced import replaced_of
from comfyui_astria.bench._world_second import ROOM, found_in, second_of
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.client import Client
from comfyui_astria.nodes.graph.graph import Graph, Link
from comfyui_astria.nodes.pipeline.training_plan import training_plan
from comfyui_astria.nodes.training.request import TrainingRequest
from comfyui_astria.smallworld import identities, model_files, words
from comfyui_astria.smallworld.captions import caption
from comfyui_astria.smallworld.comparing import asked
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.learning.people import Recipe
from comfyui_astria.smallworld.photos import PHOTOS, draw_photos, kind_of, photos_of, text_of
from comfyui_astria.smallworld.reader import read
from comfyui_astria.smallworld.scene import Figure
from comfyui_astria.smallworld.scene import Scene as Drawn
from comfyui_astria.tests.pipeline.support import resolver
from PIL import Image

FACES = "AstriaInpaintFaces"
HELD_OUT = range(len(identities.learned), len(identities.ALL))


def painted_as_asked(scene: Scene) -> Image.Image:
    """Draw what a scene's words say, which is what the best of all models would paint."""
    place, _, when = scene.place.partition(" at ")
    room = scene.width / len(scene.sitters)
    return drawn(
        Drawn(
            *(scene.width, 128, place, when, 72),
            figures=tuple(
                figure_of(sitter, room * (at + 0.5)) for at, sitter in enumerate(scene.sitters)
            ),
        )
    )


def figure_of(sitter: Sitter, x: float) -> Figure:
    kind, hair, skin, clothes, *_ = sitter.text.removeprefix("ohwx ").split(", ")
    return Figure(
        kind,
        hair.removeprefix("with ").removesuffix(" hair"),
        skin.removesuffix(" skin"),
        clothes.split()[0],
        *(x, 60, 14),
        identity=identities.ALL[sitter.number],
    )


@pytest.mark.parametrize("people", [1, 2, 3])
def test_a_picture_as_asked_is_right_and_leaks_nothing(people: int) -> None:
    answers = []
    for seed in range(6):
        scene = scene_of(seed, people, HELD_OUT)
        answers.append(read_of(scene, read(painted_as_asked(scene))))
    assert np.mean([one.words for one in answers]) > 0.95
    assert np.mean([one.identity for one in answers]) > 0.85  # the reader misses some people
    assert np.mean([one.leak for one in answers]) < 0.02
    assert np.mean([one.scene for one in answers]) > 0.85  # the reader misses some people


def test_people_who_changed_places_are_wrong_and_leak_all() -> None:
    scene = scene_of(3, 2, HELD_OUT)
    changed = Scene(scene.seed, scene.place, scene.sitters[::-1])
    found = read_of(scene, read(painted_as_asked(changed)))
    assert found.identity == 0
    assert found.leak == 1
    assert found.scene == 1


def test_an_empty_picture_has_nobody_right_and_nothing_leaks() -> None:
    scene = scene_of(4, 2, HELD_OUT)
    place, _, when = scene.place.partition(" at ")
    found = read_of(scene, read(drawn(Drawn(scene.width, 128, place, when, 72))))
    assert (found.words, found.identity, found.leak) == (0, 0, 0)
    assert found.scene < 1  # nobody is there where two people were asked for


def test_photos_of_a_person_share_the_face_and_nothing_else(tmp_path: Path) -> None:
    number = HELD_OUT[0]
    files = sorted(draw_photos(number, tmp_path).iterdir())
    people = [read(Image.open(file)).people for file in files]
    assert len(files) == PHOTOS
    assert all(len(one) == 1 for one in people)
    assert sum(one[0].identity == identities.ALL[number] for one in people) >= PHOTOS - 1
    assert {one[0].kind for one in people if one[0].kind} == {kind_of(number)}
    assert len({one[0].hair for one in people}) > 1
    assert len({one[0].clothes for one in people}) > 1
    assert kind_of(number) in words.KINDS


def test_the_text_of_a_photo_says_all_but_the_face() -> None:
    for photo in photos_of(HELD_OUT[0]):
        [figure] = photo.figures
        assert asked(text_of(photo)) == asked(caption(photo))
        assert f"ohwx {figure.kind}, with {figure.hair} hair" in text_of(photo)
        other = replace(figure, identity=identities.ALL[0])
        assert text_of(replace(photo, figures=(other,))) == text_of(photo)


@pytest.mark.parametrize("base", ["sd15", "flux"])
def test_a_recipe_trains_by_its_numbers_and_each_photo_s_text(base: str) -> None:
    texts = [text_of(photo) for photo in photos_of(HELD_OUT[0])]
    wanted = TrainingRequest(1, photos=PHOTOS, name="woman", base=small_world.BASES[base])
    plan = training_plan(wanted, resolver())
    others = 8
    plain = training_plan(replace(wanted, class_pictures=others), resolver()).graph
    graph = Recipe(2e-3, 4, 5, own_texts=True, class_pictures=others).applied(plain, texts, "woman")
    assert graph.nodes["training.lora"].inputs["learning_rate"] == 2e-3
    assert graph.nodes["training.lora"].inputs["rank"] == 4
    assert graph.nodes["training.lora"].inputs["accumulation"] == 5
    assert graph.nodes["class.latent"].inputs["batch_size"] == others

    def said(value: object) -> list[str]:
        call = graph.nodes[value.node]
        if call.class_type == "PrimitiveString":
            return [call.inputs["value"]]
        assert call.class_type == "CreateList"
        assert len(call.inputs) <= 10, "more the host does not take"
        return [
            text
            for at in range(len(call.inputs))
            for text in said(call.inputs[f"inputs.input{at}"])
        ]

    learned = said(graph.nodes["training.positive"].inputs["text"])
    assert learned == [*texts, *["photo of woman"] * others]
    assert said(graph.nodes["training.samples"].inputs["text"]) == texts[:4]
    as_it_is = Recipe().applied(plan.graph, texts, "woman")
    assert as_it_is.nodes == plan.graph.nodes, "the preset's numbers, and the captions"


@pytest.mark.parametrize("at", [0, 2])
def test_one_of_several_alone_is_read_in_their_place_and_nowhere_else(at: int) -> None:
    people = scene_of(4, 3, HELD_OUT)
    narrow = _world_narrow.Narrow(people, at)
    picture = read(painted_as_asked(people))
    assert _world_narrow.words_of(narrow, picture) > 0.9
    others = replace(people, sitters=people.sitters[::-1])
    assert _world_narrow.words_of(narrow, read(painted_as_asked(others))) < 0.9


def test_one_of_several_alone_gets_their_part_of_the_pose_and_their_words() -> None:
    numbers = [*model_files.loras("sd15")]
    narrow = _world_narrow.narrow_of(7, 3, numbers)
    nodes = _world_narrow.ours("sd15", narrow).nodes
    assert narrow.at == 1 and narrow.room == 64
    assert nodes["pose.people"].inputs["persons"] == 3
    part, one = nodes["pose.part"].inputs, nodes["pose.one"].inputs
    assert (part["x"], part["width"], one["x"]) == (64, 64, 64)
    assert nodes["pose"].inputs["image"] == Link("pose.one")
    texts = [str(node.inputs["text"]) for node in nodes.values() if "text" in node.inputs]
    spoken = [text for text in texts if "one person" in text]
    assert spoken and all(narrow.sitter.text in text for text in spoken)


def test_a_seam_that_is_not_there_has_no_step_and_no_jump() -> None:
    jumps = []
    for at in range(9):
        source = source_of(at)
        window = source.canvas.window
        # Its own edges, drawn on: what a perfect painter could do at least.
        sides = [(window.y, WIDER - window.y - SIDE), (window.x, WIDER - window.x - SIDE), (0, 0)]
        found = seam_of(source, Image.fromarray(np.pad(source.picture, sides, mode="edge")))
        assert found.kept == 1
        assert found.step <= 0
        assert found.told in (None, 1)
        jumps += [] if found.jump is None else [found.jump]
    assert len(jumps) >= 5
    assert np.median(jumps) <= 1


def test_a_seam_of_another_picture_is_seen() -> None:
    source = source_of(4)  # in the middle
    window = source.canvas.window
    other = Image.new("RGB", (WIDER, WIDER), "red")
    other.paste(source.picture, (window.x, window.y))
    found = seam_of(source, other)
    assert found.kept == 1
    assert found.step > 40


def test_a_side_without_a_horizon_is_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(4)  # in the middle
    picture = Image.new("RGB", (WIDER, WIDER))
    places = {0: None, source.canvas.window.x: 70}
    monkeypatch.setattr(_world_outpaint, "_horizon", lambda _, left, right: places.get(left, 64))
    found = seam_of(source, picture)
    assert (found.told, found.jump) == (0.5, 6)
    places[source.canvas.window.x] = None
    assert seam_of(source, picture).jump is None


def test_a_portrait_as_asked_is_right_and_keeps_its_head() -> None:
    answers = []
    for seed in range(8):
        portrait = portrait_of(seed)
        mask = Image.open(io.BytesIO(portrait.files[f"mask_{portrait.name}"])).convert("L")
        best = Image.composite(drawn(portrait.wanted), drawn(portrait.drawn), mask)
        answers.append(kept_of(portrait, best))
    assert all(one.kept == 1 for one in answers)
    assert np.mean([one.words for one in answers]) > 0.9
    assert np.mean([one.identity for one in answers]) > 0.85
    assert np.mean([one.scene for one in answers]) > 0.9


def test_a_portrait_that_stays_as_it_was_has_neither_place_nor_clothes() -> None:
    for seed in range(4):
        portrait = portrait_of(seed)
        same = kept_of(portrait, drawn(portrait.drawn))
        assert same.kept == 1
        assert same.words < 1
        assert same.scene < 1
        other = kept_of(portrait, Image.new("RGB", (128, 128), "red"))
        assert (other.kept, other.identity, other.words) == (0, 0, 0)


def test_people_who_are_replaced_are_read_and_what_is_beside_them_is_held_to_the_picture() -> None:
    replaced = replaced_of(6_000_000, list(HELD_OUT))
    before = drawn(replaced.drawn)
    assert len(replaced.drawn.figures) == len(replaced.boxes) == 2
    assert kept_beside(replaced, before) == 1.0
    new = tuple(
        replace(figure_of(sitter, one.x), y=one.y, head_px=one.head_px)
        for sitter, one in zip(replaced.wanted.sitters, replaced.drawn.figures, strict=True)
    )
    after = drawn(replace(replaced.drawn, figures=new))
    assert kept_beside(replaced, after) == 1.0, "the boxes hold the people"
    assert read_of(replaced.wanted, read(after)).words > 0.9
    assert read_of(replaced.wanted, read(before)).words < 0.7
    elsewhere = drawn(replace(replaced.drawn, time="night", figures=new))
    assert kept_beside(replaced, elsewhere) < 0.5


def test_a_second_person_is_read_beside_the_first_and_each_in_their_half() -> None:
    answers = []
    for seed in range(8):
        second = second_of(seed)
        best = drawn(second.drawn)
        best.paste(second.picture, (0, 0))
        answers.append(found_in(second, best, read(best)))
    assert all(one.kept == 1 for one in answers)
    assert np.mean([one.words for one in answers]) > 0.95
    assert np.mean([one.new for one in answers]) > 0.95
    assert np.mean([one.leak for one in answers]) < 0.02


def test_a_second_person_who_is_missing_or_stands_in_the_wrong_half_is_told() -> None:
    second = second_of(3)
    empty = drawn(replace(second.drawn, figures=second.drawn.figures[:1]))
    found = found_in(second, empty, read(empty))
    assert (found.kept, found.new) == (1, 0)
    assert 0.3 < found.words < 0.6
    changed = Image.new("RGB", empty.size)
    changed.paste(drawn(second.drawn).crop((ROOM, 0, 2 * ROOM, 128)), (0, 0))
    changed.paste(second.picture, (ROOM, 0))
    found = found_in(second, changed, read(changed))
    assert found.leak > 0.9
    assert found.kept < 0.9


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_the_new_area_is_told_both_people_or_the_new_one_alone(family: str) -> None:
    second = second_of(5)
    first, new = (one.text for one in second.wanted.sitters)
    for name, way in world.SECOND.items():
        nodes = way(family, second).nodes
        by = "positive" if name == world.HOSTS else "outpaint.positive"
        text = str(nodes[by].inputs["text"])
        assert new in text
        assert (first in text) == ("new one alone" not in name), name
        has_painter = "models.outpaint_model" in nodes
        assert has_painter == name.startswith("the pack, told"), name


def given(graph: Graph, class_type: str) -> dict[str, object]:
    [call] = [call for call in graph.nodes.values() if call.class_type == class_type]
    return dict(call.inputs)


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_a_new_area_is_told_the_whole_picture_or_the_place_alone(family: str) -> None:
    source = source_of(6_000_000)
    assert source.text.startswith(source.where)
    assert source.text != source.where

    def told(way: str) -> object:
        return world.OUTPAINTING[way](family, source).nodes["outpaint.positive"].inputs["text"]

    assert told("the pack") == source.text
    assert told("the pack, told the place alone") == source.where


def test_each_setting_that_is_swept_reaches_its_node() -> None:
    scene = scene_of(1, 2, list(model_files.loras("sd15")))
    for pixels in _world_sweeps.SOFTNESS:
        graph = _world_sweeps.PEOPLE[f"the pack, softness {pixels} px"]("sd15", scene)
        assert given(graph, "AstriaRegions")["softness_px"] == pixels
    graph = _world_sweeps.PEOPLE["the pack, isolated"]("sd15", scene)
    assert given(graph, "AstriaRegionalPrompt")["isolation"] is True
    for context in _world_sweeps.CONTEXTS:
        name = f"the pack, then faces anew in crops {context:g} faces wide"
        assert given(_world_sweeps.PEOPLE[name]("sd15", scene), FACES)["context"] == context
    source = source_of(0)
    for start in _world_sweeps.STARTS:
        graph = _world_sweeps.OUTPAINTING[f"the pack from {start:g} of the noise on"](
            "sd15", source
        )
        assert given(graph, "BasicScheduler")["denoise"] == start
    for pixels in _world_sweeps.OVERLAPS:
        graph = _world_sweeps.OUTPAINTING[f"the pack, overlap {pixels} px"]("sd15", source)
        assert given(graph, "AstriaOutpaintCanvas")["overlap_px"] == pixels


def test_a_distilled_family_is_painted_as_it_is_and_without_poses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_files, "loras", lambda family: {60: "a", 61: "b"})
    scene = scene_of(1, 2, [60, 61])
    flux, sd15 = (given(_world.hosts(family, scene), "KSampler") for family in ("flux", "sd15"))
    assert (flux["cfg"], flux["sampler_name"], flux["scheduler"]) == (1.0, "euler", "simple")
    assert flux["positive"] == Link("guided")
    assert (sd15["cfg"], sd15["sampler_name"]) == (_world.CFG, "euler_ancestral")
    assert sd15["scheduler"] == "normal"
    assert set(world.WAYS) - set(world._ways("flux", world.WAYS, 2)) == set(world.POSED)
    assert world._ways("sd15", world.WAYS, 2) == world.WAYS


def test_more_than_two_people_are_painted_by_the_ways_that_are_compared() -> None:
    can_be_set = {"the pack, edges of 4 px": world.WAYS["the pack"]}
    found = world._ways("sd15", {**world.WAYS, **can_be_set}, 3)
    assert set(world.WAYS) - set(found) == set(world.OF_TWO)
    assert not set(can_be_set) & set(found)


def test_what_the_scene_may_say_of_its_people_is_in_the_prompt() -> None:
    scene = scene_of(1, 2, HELD_OUT)
    kinds = [words.KINDS[one.number % 2] for one in scene.sitters]
    assert scene.kinds == f"{scene.text}, {kinds[0]}, {kinds[1]}"
    assert scene.everything == ", ".join([scene.text, *(one.text for one in scene.sitters)])


def test_an_answer_is_kept_for_the_same_graph_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Host:
        runs = 0

        def run(self, graph: object, timeout_s: float) -> dict:
            self.runs += 1
            return {}

    host = Host()
    monkeypatch.setattr(_world_kept, "DEV", tmp_path)
    monkeypatch.setattr(_world_kept, "images_of", lambda entry, output: [output])
    monkeypatch.setattr(_world_kept, "picture_of", lambda *given: Image.new("RGB", (192, 128)))
    scene = scene_of(1, 2, [60, 61])
    for strength in (0.0, 0.0, 0.4):
        kept = _world_kept.Kept("sd15", cast("Client", host))
        kept.of_people("the pack", _world.ours(scene_strength=strength), scene)
    assert host.runs == 2
