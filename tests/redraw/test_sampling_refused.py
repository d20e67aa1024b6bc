"""Faces that cannot be drawn in one call: what does not fit is said, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.faceid.adapters import somebody
from comfyui_astria.tests.faceid.faceid_support import applied, loaded, use
from comfyui_astria.tests.faceid.held import held_bytes
from comfyui_astria.tests.faceid.pulid_flux_support import Adapter
from comfyui_astria.tests.faceid.pulid_flux_support import use as pulid_use
from comfyui_astria.tests.redraw.drawing_support import (
    draw,
    drawing,
    model_of,
    people,
    pictures,
    planned,
    vae_of,
    write_lora,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import base_of, with_control_patch


@pytest.fixture(autouse=True)
def _unload() -> Iterator[None]:
    yield
    load("comfy.model_management").unload_all_models()


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_drawn_faces_leave_nothing_behind(family: str, tmp_path: Path) -> None:
    """What persons bring along goes with them.

    LoRAs, FaceIDs and the LoRAs in their files, and what the sampling made of them.
    """
    lora, image = write_lora(tmp_path, family, 1), pictures()
    draw(planned([]), drawing(family), image)
    before = held_bytes()

    def run() -> int:
        if family == "flux":
            uses = [pulid_use(person, adapter=Adapter()) for person in (1, 2)]
        else:
            uses = [use(loaded("faceid", seed=person), somebody(person)) for person in (1, 2)]
        persons = [
            replace(person, faceids=(one,))
            for person, one in zip(people(family, [lora, lora]), uses, strict=False)
        ]
        results, _ = draw(planned(persons), drawing(family, persons), image)
        assert len(results) == 4
        return held_bytes()

    assert run() > before
    assert held_bytes() <= before


def test_no_face_calls_no_sampler() -> None:
    assert draw([], drawing("sd15", sampler=None, noise=None)) == ([], 0)
    left = [replace(face, drawn=False) for face in planned([])]
    assert draw(left, drawing("sd15", sampler=None)) == ([], 0)


def test_an_interrupt_stops_before_the_next_chunk() -> None:
    management = load("comfy.model_management")
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        draw(planned([]), drawing("sd15"))


def regional_model(family: str) -> Any:
    regional = load("comfyui_astria.nodes.regions.host.regional")
    run = load("comfyui_astria.nodes.regions.run").RegionRun()
    masks = torch.full((2, 8, 8), 0.5)
    base = base_of(family)
    return regional.apply_regions(
        model_of(family),
        masks,
        [text(base, 1), text(base, 2)],
        [text(base, 3)],
        run,
        regional.RegionalOptions(),
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            lambda: {"noise": SimpleNamespace(seed=1)},
            "The noise is a SimpleNamespace; expected Astria Noise",
        ),
        (lambda: {"sigmas": torch.zeros(1)}, r"The sigmas hold 1 value\(s\), no step"),
        (lambda: {"model": regional_model("sd15")}, "draws people in regions of the whole picture"),
        (
            lambda: {
                "model": (
                    applied(
                        model_of("sd15"), (use(loaded("portrait"), somebody(1)), torch.ones(8, 8))
                    ).clone()
                )
            },
            "has a FaceID under a mask",
        ),
        (lambda: {"vae": vae_of("flux")}, "The VAE makes 16 latent channels; the model expected 4"),
        (
            lambda: {"persons": [Person(text("sd15", 1), model=model_of("sdxl"))]},
            "The checkpoint of person 1 is sdxl and the picture's sd15",
        ),
        (lambda: {"persons": [Person([])]}, "The positive conditioning of person 1 holds no text"),
        (lambda: {"negative": []}, "The negative conditioning of the scene holds no text"),
    ],
)
def test_what_does_not_fit_is_said(changes: Any, said: str) -> None:
    how = drawing("sd15", **changes())
    with pytest.raises(PlanError, match=said):
        draw(planned(how.persons), how)


def test_a_model_that_is_run_on_part_of_its_rows_is_refused() -> None:
    def part(apply_model: Any, call: dict) -> torch.Tensor:
        return apply_model(call["input"][:3], call["timestep"][:3], **call["c"])

    model = model_of("sd15").clone()
    model.set_model_unet_function_wrapper(part)
    with pytest.raises(PlanError, match="run on 3 rows for 4 faces"):
        draw(planned([]), drawing("sd15", model=model))


def test_small_faces_are_drawn_at_the_full_size() -> None:
    [tiny] = planned([], ((Face((50, 50, 58, 58)),),))
    [result], _ = draw([tiny], drawing("sd15"), pictures(1))
    assert (tiny.crop.width, result.shape) == (16, (64, 64, 3))


def test_a_controlnet_that_is_a_patch_of_the_model_is_refused() -> None:
    """Each face would get the whole of its picture."""
    how = drawing("zimage", model=with_control_patch(model_of("zimage")))
    with pytest.raises(PlanError, match="ZImageControlPatch"):
        draw(planned([]), how)
