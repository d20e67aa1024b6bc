"""Faces drawn together by a model whose VAE is one for videos: each is a picture by itself."""

from __future__ import annotations

from pathlib import Path

import torch
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.redraw.drawing_support import (
    difference,
    draw,
    drawing,
    model_of,
    pictures,
    planned,
    write_lora,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file

FAMILY = "krea2_turbo"


def test_each_face_is_drawn_as_if_alone_with_its_lora_merged(tmp_path: Path) -> None:
    loras = [write_lora(tmp_path, FAMILY, seed) for seed in (1, 2)]
    persons = [
        Person(text("krea2", 10 + place), None, ((name, 0.7),)) for place, name in enumerate(loras)
    ]
    faces, how = planned(persons), drawing(FAMILY, persons, cfg=1.0)
    together, calls = draw(faces, how)
    assert calls == 1 and len(together) == len([face for face in faces if face.drawn]) > 2
    for face, result in zip(faces, together, strict=True):
        (alone,), _ = draw([face], how, pictures())
        assert difference(result, alone) < 1e-4
    # A person alone may wear the LoRA merged.
    merged = load("comfy.sd").load_lora_for_models(
        model_of(FAMILY), None, whole_file(model_of(FAMILY), 1), 0.7, 0
    )[0]
    bare = [Person(person.positive, None, ()) for person in persons]
    (expected,), _ = draw(planned(bare)[:1], drawing(FAMILY, bare, model=merged, cfg=1.0))
    assert difference(together[0], expected) < 1e-4
    (plain,), _ = draw(planned(bare)[:1], drawing(FAMILY, bare, cfg=1.0))
    assert difference(together[0], plain) > 0.02
    assert torch.isfinite(together[0]).all()
