"""Faces drawn together: each equals what the host draws of it alone, with its own text, LoRA,
checkpoint and noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.faceid.adapters import somebody
from comfyui_astria.tests.faceid.faceid_support import applied, loaded, use
from comfyui_astria.tests.redraw.drawing_support import (
    FACES,
    difference,
    draw,
    drawing,
    drawn_alone,
    model_of,
    people,
    pictures,
    planned,
    sigmas_of,
    write_lora,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import whole_file

FAMILIES = ["sd15", "sd15_inpaint", "sdxl", "flux", "flux_fill", "zimage", "flux2"]
EQUAL, APART = 1e-4, 0.02


@pytest.fixture(autouse=True)
def _unload() -> Iterator[None]:
    yield
    load("comfy.model_management").unload_all_models()


@pytest.mark.parametrize("family", FAMILIES)
def test_each_face_equals_the_one_drawn_alone_with_its_lora_merged(
    family: str, tmp_path: Path
) -> None:
    loras = [whole_file(model_of(family), seed) for seed in (1, 2)]
    persons = people(family, [write_lora(tmp_path, family, seed) for seed in (1, 2)])
    faces, how = planned(persons), drawing(family, persons)
    results, calls = draw(faces, how)
    assert calls == 1
    assert [face.person for face in faces] == [0, 1, 2, 0]
    for face, result in zip(faces, results, strict=True):
        own = None if face.person == 2 else loras[face.person]
        assert difference(result, drawn_alone(face, how, own)) < EQUAL
    assert difference(results[0], drawn_alone(faces[0], how)) > APART
    assert difference(results[1], drawn_alone(faces[1], how, loras[0])) > APART


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_faces_that_are_nobodys_get_the_loras_of_the_scene(family: str, tmp_path: Path) -> None:
    lora, name = whole_file(model_of(family), 1), write_lora(tmp_path, family, 1)
    faces = planned(people(family)[:1])
    assert [face.person for face in faces].count(None) > 1 and 0 in [face.person for face in faces]
    how = drawing(family, people(family)[:1], scene_loras=((name, 0.7),))
    for face, result in zip(faces, draw(faces, how)[0], strict=True):
        assert (
            difference(result, drawn_alone(face, how, lora if face.person is None else None))
            < EQUAL
        )


# Chunks are cut in one place for all families; test_flux_texts_of_other_lengths_run_by_themselves
# has Flux in two calls.
@pytest.mark.parametrize("family", ["sd15", pytest.param("flux", marks=pytest.mark.long)])
def test_chunks_change_nothing_but_the_number_of_calls(family: str, tmp_path: Path) -> None:
    persons = people(family, [write_lora(tmp_path, family, 1)])
    faces = planned(persons)
    whole, _ = draw(faces, drawing(family, persons))
    for most, expected in ((1, 4), (2, 2), (3, 2)):
        parts, calls = draw(faces, drawing(family, persons, max_batch=most))
        assert calls == expected
        assert max(map(difference, whole, parts)) < EQUAL


# torchsde's, of a rounded end of its interval.
@pytest.mark.filterwarnings("ignore:Should have t:UserWarning")
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_sde", "lcm", "dpmpp_2m"])
def test_each_sampler_draws_a_face_as_it_would_alone(sampler: str) -> None:
    persons = people("sd15")
    how = drawing(
        "sd15",
        persons,
        sampler=load("comfyui_astria.nodes.base.host.sampling").make_sampler(sampler),
        sigmas=sigmas_of("sd15", 4),
    )
    faces = planned(persons)
    whole, _ = draw(faces, how)
    for place in (1, 3):
        [alone], _ = draw([faces[place]], how)
        assert difference(whole[place], alone) < EQUAL


def test_every_face_has_noise_of_its_own_that_follows_the_seed_of_its_picture() -> None:
    seed = load("comfyui_astria.nodes.redraw.host.sampling").face_seed
    assert len({seed(5, image, number) for image in range(8) for number in range(20)}) == 160
    assert seed(5, 3, 2) == seed(8, 0, 2)
    assert 0 <= seed(2**64 - 1, 7, 40) < 2**64
    [one, other], _ = draw(
        planned([], (FACES[0][:1], FACES[0][:1])), drawing("sd15"), pictures(1).repeat(2, 1, 1, 1)
    )
    assert difference(one, other) > APART


def test_cfg_one_leaves_the_negative_out() -> None:
    faces = planned([])
    plain, _ = draw(faces, drawing("sd15", cfg=1.0))
    other, _ = draw(faces, drawing("sd15", cfg=1.0, negative=text("sd15", 99)))
    assert all(map(torch.equal, plain, other))
    guided, _ = draw(faces, drawing("sd15", negative=text("sd15", 99)))
    assert difference(guided[0], plain[0]) > APART


def test_flux_takes_guidance_from_the_text_and_never_true_cfg() -> None:
    faces = planned([])
    strong, _ = draw(
        faces,
        drawing(
            "flux",
            cfg=7.0,
            positive=[[text("flux", 1)[0][0], {**text("flux", 1)[0][1], "guidance": 30.0}]],
        ),
    )
    default, _ = draw(faces, drawing("flux", cfg=1.0))
    assert all(map(torch.equal, default, draw(faces, drawing("flux", cfg=7.0))[0]))
    assert difference(strong[0], default[0]) > 1e-3


def test_flux_texts_of_other_lengths_run_by_themselves() -> None:
    persons = [
        Person(text("flux", 10, 8)),
        Person(text("flux", 11, 5)),
        Person(text("flux", 12, 8)),
    ]
    faces, how = planned(persons), drawing("flux", persons)
    results, calls = draw(faces, how)
    assert calls == 2
    assert (
        max(
            difference(result, drawn_alone(face, how))
            for face, result in zip(faces, results, strict=True)
        )
        < EQUAL
    )


def test_sdxl_is_told_the_size_of_the_crop_and_not_of_the_picture() -> None:
    told = [
        [
            text("sdxl", 1)[0][0],
            {
                **text("sdxl", 1)[0][1],
                "width": 4096,
                "height": 2048,
                "target_width": 4096,
                "crop_w": 100,
            },
        ]
    ]
    crop = [
        [
            text("sdxl", 1)[0][0],
            {**text("sdxl", 1)[0][1], "width": 64, "height": 64, "target_width": 64, "crop_w": 0},
        ]
    ]
    faces = planned([])
    results, _ = draw(faces, drawing("sdxl", positive=told))
    assert difference(results[0], drawn_alone(faces[0], drawing("sdxl", positive=crop))) < EQUAL
    assert difference(results[0], drawn_alone(faces[0], drawing("sdxl", positive=told))) > 1e-3


def test_a_person_with_a_checkpoint_is_drawn_by_it_with_its_loras(tmp_path: Path) -> None:
    own = tiny_model("sd15", seed=7)
    persons = [
        replace(person, model=own if place == 1 else None)
        for place, person in enumerate(people("sd15", ["", ""]))
    ]
    persons = [
        replace(
            person, loras=((write_lora(tmp_path, "sd15", place + 1), 0.7),) if place < 2 else ()
        )
        for place, person in enumerate(persons)
    ]
    faces, how = planned(persons), drawing("sd15", persons)
    results, calls = draw(faces, how)
    assert calls == 2
    second = replace(how, model=own)
    assert difference(results[1], drawn_alone(faces[1], second, whole_file(own, 2))) < EQUAL
    assert difference(results[0], drawn_alone(faces[0], how, whole_file(own, 1))) < EQUAL
    assert difference(results[2], drawn_alone(faces[2], how)) < EQUAL


def test_a_person_may_bring_an_inpaint_checkpoint_of_the_same_family() -> None:
    own = model_of("sd15_inpaint")
    persons = [
        replace(person, model=own if place == 1 else None)
        for place, person in enumerate(people("sd15"))
    ]
    faces, how = planned(persons), drawing("sd15", persons)
    results, _ = draw(faces, how)
    assert difference(results[1], drawn_alone(faces[1], replace(how, model=own))) < EQUAL


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    persons = people("sd15", [write_lora(tmp_path, "sd15", 1)])
    model = tiny_model("sd15")
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    faces = planned(persons)
    draw(faces, drawing("sd15", persons, model=model))
    assert model.model_options == {"transformer_options": {}}
    assert not any(model.wrappers.values())
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not any("forward" in vars(module) for module in model.model.modules())


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_a_model_in_half_precision_draws_the_same_within_its_precision(
    family: str, tmp_path: Path
) -> None:
    persons = people(family, [write_lora(tmp_path, family, 1)])
    faces = planned(persons)
    exact, _ = draw(faces, drawing(family, persons))
    rounded, _ = draw(
        faces,
        drawing(family, persons, model=tiny_model(family, dtype=torch.float16)),
        pictures().half(),
    )
    plain, _ = draw(faces, drawing(family, people(family)))
    assert all(one.dtype == torch.float32 for one in rounded)
    assert (rounded[0] - exact[0]).abs().mean() < 0.3 * (plain[0] - exact[0]).abs().mean()


def test_another_way_with_soft_masks_stays() -> None:
    faces, seen = planned([]), []

    def whole(sigma: torch.Tensor, mask: torch.Tensor, extra_options: dict) -> torch.Tensor:
        seen.append(mask)
        return mask

    model = model_of("sd15").clone()
    model.set_model_denoise_mask_function(whole)
    draw(faces, drawing("sd15", model=model))
    assert len(seen) == 2
    assert seen[0].shape[0] == 4
    assert ((seen[0] > 0) & (seen[0] < 1)).any()


@pytest.mark.parametrize(("family", "latent"), [("sd15", (4, 8, 8)), ("flux2", (128, 4, 4))])
def test_the_memory_decides_how_many_faces_run_at_once(
    family: str, latent: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = model_of(family), 1 if family == "flux2" else 2  # of one guided face
    room = model.model.memory_required([rows * 3, *latent]) * 1.5
    monkeypatch.setattr(
        load("comfy.model_patcher").ModelPatcher, "get_free_memory", lambda self, device: room
    )
    faces = planned([])
    assert draw(faces, drawing(family))[1] == 2
    if rows == 2:
        assert draw(faces, drawing(family, cfg=1.0))[1] == 1
    monkeypatch.setattr(
        load("comfy.model_patcher").ModelPatcher, "get_free_memory", lambda self, device: 1.0
    )
    assert draw(faces, drawing(family))[1] == 4
    assert draw(faces, drawing(family, max_batch=8))[1] == 1


# With a LoRA for the whole model, and without one.
@pytest.mark.parametrize("kind", ["faceid", "portrait"])
def test_each_person_has_their_own_faceid_beside_their_lora_and_nobody_elses(
    kind: str, tmp_path: Path
) -> None:
    uses = [
        use(loaded(kind), somebody(person), strength) for person, strength in ((1, 1.0), (2, 0.6))
    ]
    persons = people("sd15", [write_lora(tmp_path, "sd15", 1)])
    persons = [
        replace(person, faceids=tuple(uses[place : place + 1]))
        for place, person in enumerate(persons)
    ]
    faces, how = planned(persons), drawing("sd15", persons)
    assert [face.person for face in faces] == [0, 1, 2, 0]
    results, calls = draw(faces, how)
    assert calls == (2 if kind == "faceid" else 1)
    lora = whole_file(model_of("sd15"), 1)
    for place, one, file in ((0, uses[0], lora), (1, uses[1], None), (3, uses[0], lora)):
        model = applied(model_of("sd15"), (one, None))
        assert (
            difference(results[place], drawn_alone(faces[place], replace(how, model=model), file))
            < EQUAL
        )
        assert difference(results[place], drawn_alone(faces[place], how, file)) > 1e-3
    assert difference(results[2], drawn_alone(faces[2], how)) < EQUAL


def test_a_controlnet_of_the_scene_sees_each_faces_part_of_its_hint() -> None:
    base = load("comfy.controlnet").ControlBase
    seen = []

    class Watching(base):
        def get_control(self, x_noisy: torch.Tensor, *rest: Any) -> None:
            seen.append(self)

        def copy(self) -> Any:
            copied = Watching()
            self.copy_to(copied)
            return copied

    hint = torch.zeros(1, 3, 48, 80)  # half the picture's size
    hint[:, 0, :, :40] = 1
    earlier = Watching().set_cond_hint(hint, 0.2)
    control = (
        Watching()
        .set_cond_hint(hint, 0.5, (0.0, 0.9), extra_concat=[torch.ones(1, 1, 1, 1)])
        .set_previous_controlnet(earlier)
    )
    faces = planned([])
    draw(
        faces,
        drawing(
            "sd15",
            positive=[
                [text("sd15", 1)[0][0], {"control": control, "control_apply_to_uncond": True}]
            ],
        ),
    )
    found = seen[0]
    assert all(one is found for one in seen)
    assert (found.strength, found.timestep_percent_range, found.previous_controlnet.strength) == (
        0.5,
        (0.0, 0.9),
        0.2,
    )
    assert (
        found.cond_hint_original.shape
        == found.previous_controlnet.cond_hint_original.shape
        == (4, 3, 64, 64)
    )
    assert found.extra_concat_orig[0].shape == (4, 1, 64, 64)
    left = found.cond_hint_original[:, 0].mean((1, 2))
    assert left[0] == 1
    assert left[3] == pytest.approx(1, abs=0.01)  # up to the very middle
    assert left[2] == 0
    assert 0.5 < left[1] < 1
    assert control.cond_hint_original is hint
