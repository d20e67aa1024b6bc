"""What the demo reads off pictures of the small world: drawn ones, whose answers are known."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.devtools import demo_world, world_sheet
from comfyui_astria.devtools.paths import STATE_FOLDER
from comfyui_astria.devtools.world_photos import FACE_ID, keep_photos
from comfyui_astria.nodes.outpaint.geometry import place
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.smallworld import identities, model_files
from comfyui_astria.smallworld.comparing import asked
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.photos import PHOTOS
from comfyui_astria.smallworld.reader import PersonRead, read
from comfyui_astria.smallworld.scene import Figure, Scene
from PIL import Image

WOMAN = Figure("woman", "blonde", "pale", "red", 52, 58, 15, identity=identities.ALL[60])
MAN = Figure("man", "black", "tan", "blue", 140, 58, 15, identity=identities.ALL[61])
TEXTS = (demo_world.WOMAN, demo_world.MAN)


def reading(*figures: Figure):
    return read(drawn(Scene(192, 128, "field", "day", 72, figures=figures)))


def test_words_faces_and_leak_of_two_people() -> None:
    right = reading(WOMAN, MAN)
    scene = "field at day, two people"
    count, of = demo_world.words_right(right, scene, TEXTS)
    assert count == of == 15, "three of the scene, six of each"
    assert demo_world.leak(right, TEXTS) == 0
    wanted = [identities.ALL[60], identities.ALL[61]]
    assert demo_world.faces_right(right, wanted) == (2, 2)
    exchanged = reading(replace(MAN, x=WOMAN.x), replace(WOMAN, x=MAN.x))
    assert demo_world.leak(exchanged, TEXTS) == 1
    assert demo_world.faces_right(exchanged, wanted) == (0, 2)
    same, _ = demo_world.words_right(exchanged, scene, TEXTS)
    assert same == 3 + 2 * 2, "the scene, no hat and standing"
    in_her_dress = reading(WOMAN, replace(MAN, clothes="red"))
    assert demo_world.words_right(in_her_dress, scene, TEXTS)[0] == 14
    alone, _ = demo_world.words_right(reading(WOMAN), scene, TEXTS)
    assert alone == 2 + 6
    patch = PersonRead(20, 110, 8, "pale", "white")
    with_patch = replace(right, people=(patch, *right.people))
    assert demo_world.words_right(with_patch, scene, TEXTS)[0] == 14, "there are three"
    assert demo_world.leak(with_patch, TEXTS) == 0
    assert demo_world.faces_right(with_patch, wanted) == (2, 2)


def test_a_face_by_photos_is_right_with_two_of_three_parts() -> None:
    face = identities.ALL[demo_world.FACE]

    def found(*figures: Figure) -> tuple[object, object]:
        [figure] = demo_world._by_photos(reading(*figures), (demo_world.FACE,))
        return figure["value"], figure["ok"]

    assert found(replace(WOMAN, identity=face)) == ("3 of 3", True)
    other = "red" if face.colour != "red" else "green"
    assert found(replace(WOMAN, identity=face._replace(colour=other))) == ("2 of 3", True)
    assert found(replace(WOMAN, identity=None)) == ("0 of 3", False)
    assert found() == ("0 of 3", False)


def test_a_seam_is_as_far_off_as_the_horizon_beyond_it() -> None:
    canvas = place(128, 128, 192, 128, "center")
    wide = drawn(Scene(192, 128, "beach", "day", 72))
    figures = {one["name"]: one["value"] for one in demo_world.seams(wide, canvas)}
    assert figures["horizon across the left seam"] == 0
    assert figures["horizon across the right seam"] == 0
    assert abs(figures["colour step at the left seam"]) < 1
    lower = wide.copy()
    left = drawn(Scene(192, 128, "beach", "day", 80)).crop((0, 0, canvas.window.x, 128))
    lower.paste(left, (0, 0))
    figures = {one["name"]: one["value"] for one in demo_world.seams(lower, canvas)}
    assert figures["horizon across the left seam"] == 8
    assert figures["horizon across the right seam"] == 0
    assert figures["colour step at the left seam"] > 3


def test_a_source_is_kept_to_the_bit_or_not() -> None:
    canvas = place(96, 128, 192, 128, "left-center")
    source = drawn(Scene(96, 128, "beach", "day", 72))
    wide = Image.new("RGB", (192, 128))
    wide.paste(source, (canvas.window.x, canvas.window.y))
    assert demo_world.is_kept(wide, source, canvas)
    wide.putpixel((canvas.window.x + 3, 4), (1, 2, 3))
    assert not demo_world.is_kept(wide, source, canvas)


@pytest.mark.parametrize("case", demo_world.CASES, ids=lambda case: case.title)
def test_every_case_is_a_prompt_that_says_what_can_be_read(case: demo_world.Case) -> None:
    request = PromptRequest.require(case.text)
    assert request.outpaint or request.persons or case.mask or case.faces
    # The prompt says all that is read.
    for text in (case.scene, *case.persons):
        assert asked(text)
        assert all(word in case.text for word in asked(text) - {"two people"})


def test_the_drawn_inputs_show_one_person_each() -> None:
    for scene in (demo_world._SOURCE, demo_world._PORTRAIT):
        [person] = read(drawn(scene)).people
        assert person.identity == scene.figures[0].identity


def test_the_sheet_has_a_row_for_each_thing_and_a_column_for_each_family() -> None:
    picture = drawn(Scene(192, 128, "beach", "day", 72))
    figures = [
        {"name": "horizon", "value": 0, "unit": "px", "ok": None},
        {"name": "kept", "value": False, "unit": "", "ok": False},
    ]

    def shown(number: int, family: str) -> demo_world.Shown:
        case = demo_world.CASES[number]
        request = PromptRequest.require(case.text)
        return demo_world.Shown(case, family, request, {"base": picture}, None, 1.0, figures)

    one = world_sheet.world_sheet([shown(0, "sd15")])
    wide = world_sheet.world_sheet([shown(0, "sd15"), shown(0, "flux")])
    whole = world_sheet.world_sheet([shown(0, "sd15"), shown(0, "flux"), shown(1, "flux")])
    assert wide.height == one.height
    assert wide.width > 1.9 * one.width - 2 * world_sheet.MARGIN
    assert whole.width == wide.width
    assert whole.height > wide.height + 2 * picture.height
    assert list(map(world_sheet._told, figures)) == ["horizon: 0 px", "kept: NO"]


def test_what_is_left_out_is_told_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)
    assert demo_world.missing("sd15") == [
        "sd15: two people is left out, it needs LoRAs of two people",
        "sd15: faces is left out, it needs LoRAs of two people",
        "sd15: FaceID is left out, it needs a FaceID adapter",
    ]
    for number in (60, 61):
        path = tmp_path / "loras" / "smallworld" / f"sd15_{number}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    lacking = "sd15: faces is left out, it needs a face detector and an upscaler"
    assert demo_world.missing("sd15")[0] == lacking


def test_photos_of_another_face_take_the_place_of_what_a_tune_held(tmp_path: Path) -> None:
    store = TuneStore(tmp_path / "user" / STATE_FOLDER)
    held = []
    for number in (64, 65, 65):
        keep_photos(tmp_path, {FACE_ID: number})
        held.append([path.read_bytes() for path in store.photo_paths(FACE_ID)])
    assert held[0] != held[1] == held[2]
    assert len(held[1]) == PHOTOS
    found = read(Image.open(io.BytesIO(held[1][0]))).people
    assert [one.identity for one in found] == [identities.ALL[65]]
    store.change(FACE_ID, {"title": "my sister"})
    keep_photos(tmp_path, {FACE_ID: 64})
    assert [path.read_bytes() for path in store.photo_paths(FACE_ID)] == held[1], "another's stay"
