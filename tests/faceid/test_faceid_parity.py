"""Every kind of IP-Adapter FaceID draws what diffusers draws with the same weights.

The model's own output, before any sampler.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.faces.identity import Identity
from comfyui_astria.tests.faceid.adapters import somebody, tiny_file
from comfyui_astria.tests.faceid.faceid_support import (
    Shown,
    add_loras,
    applied,
    calls_of,
    clip_vision,
    difference,
    diffusers_unet,
    loaded,
    model_of,
    run_diffusers,
    use,
)
from torch import Tensor

LAYOUTS = [
    *(("sd15", kind) for kind in ("faceid", "plus", "plusv2", "portrait")),
    *(("sdxl", kind) for kind in ("faceid", "plusv2", "portrait", "portrait_unnorm")),
]
NEAR = 1e-5


def shown(
    kind: str,
    family: str,
    identity: Identity,
    strength: float,
    seed: int = 0,
    mask: Tensor | None = None,
) -> Shown:
    """The same adapter and person in diffusers' words."""
    vectors = torch.stack([torch.from_numpy(photo.face.embedding) for photo in identity.photos])
    if kind != "portrait_unnorm":
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
    if kind == "faceid" and len(vectors) > 1:
        vectors = vectors.mean(0, keepdim=True)
        vectors = vectors / vectors.norm()
    features = None
    if kind.startswith("plus"):
        nothing = torch.tensor(clip_vision().image_mean).expand(1, 224, 224, 3)
        seen = clip_vision().encode_image(torch.cat([identity.crop(224), nothing]))[
            "penultimate_hidden_states"
        ]
        features = (seen[:-1], seen[-1:])
    return Shown(tiny_file(kind, family, seed), vectors, strength, features, kind == "plusv2", mask)


def compared(
    family: str,
    model: Any,
    people: list[Shown],
    *,
    loras: int,
    cfg: float = 3.0,
    batch: int = 1,
    size: tuple[int, int] = (8, 12),
) -> None:
    """Hold the model's one call against diffusers', with the LoRAs of the first `loras` people, and
    both against no face at all.
    """
    (call,) = calls_of(model, family, cfg=cfg, batch=batch, size=size)
    (plain,) = calls_of(model_of(family), family, cfg=cfg, batch=batch, size=size)
    unet = diffusers_unet(model_of(family), family)
    add_loras(unet, [one.file for one in people[:loras]])
    expected = run_diffusers(unet, call, people)
    assert difference(call.out, expected) < NEAR
    assert difference(plain.out, expected) > 0.02


# Without a negative there are only fewer rows, which is no matter of the kind: SDXL's other kinds,
# with 70 attentions each, are held against diffusers with guidance.
WITHOUT_NEGATIVE = [
    pytest.param(1.0, *layout, marks=pytest.mark.long if rare else ())
    for layout in LAYOUTS
    for rare in [layout[0] == "sdxl" and layout[1] != "faceid"]
]


@pytest.mark.parametrize(
    ("cfg", "family", "kind"), [*WITHOUT_NEGATIVE, *((3.0, *layout) for layout in LAYOUTS)]
)
def test_a_face_is_diffusers_face(family: str, kind: str, cfg: float) -> None:
    identity = somebody(1)
    model = applied(model_of(family), (use(loaded(kind, family), identity, 0.8), None))
    compared(family, model, [shown(kind, family, identity, 0.8)], loras=1, cfg=cfg)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        # What masks do is the same for every kind: all of them on SD1.5, two on SDXL.
        pytest.param(*layout, marks=pytest.mark.long if rare else ())
        for layout in LAYOUTS
        for rare in [layout in (("sdxl", "faceid"), ("sdxl", "portrait"))]
    ],
)
def test_two_people_each_under_a_mask(family: str, kind: str) -> None:
    """Both with the same adapter, in one picture of a batch of two, the second applied on top of
    the first.
    """
    people, strengths = [somebody(1), somebody(2)], [0.9, 0.6]
    # The border lies between cells at every resolution, where all ways to shrink agree.
    left = (torch.arange(16 * 8) < 64).float().expand(8 * 8, -1)
    adapter, model = loaded(kind, family), model_of(family)
    for identity, strength, mask in zip(people, strengths, (left, 1 - left), strict=True):
        model = applied(model, (use(adapter, identity, strength), mask[None]))
    same = [
        shown(kind, family, *each)
        for each in zip(people, strengths, (0, 0), (left, 1 - left), strict=True)
    ]
    compared(family, model, same, loras=1, batch=2, size=(8, 16))


@pytest.mark.parametrize("kind", ["faceid", "plusv2", "portrait"])
def test_three_photos_of_one_person(kind: str) -> None:
    identity = somebody(3, photos=3)
    model = applied(model_of("sd15"), (use(loaded(kind), identity, 0.8), None))
    compared("sd15", model, [shown(kind, "sd15", identity, 0.8)], loras=1)


def test_two_adapters_on_one_model_each_bring_their_lora() -> None:
    identity = somebody(1)
    uses = [
        (use(loaded(kind, seed=seed), identity, 0.5), None)
        for seed, kind in enumerate(("faceid", "plusv2"))
    ]
    same = [
        shown(kind, "sd15", identity, 0.5, seed) for seed, kind in enumerate(("faceid", "plusv2"))
    ]
    compared("sd15", applied(model_of("sd15"), *uses), same, loras=2)


@pytest.mark.parametrize("size", [(7, 13), (9, 9)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    identity = somebody(1)
    model = applied(model_of("sd15"), (use(loaded("faceid"), identity), None))
    (call,) = calls_of(model, "sd15", size=size)
    (plain,) = calls_of(model_of("sd15"), "sd15", size=size)
    assert call.out.shape[2:] == size
    assert difference(call.out, plain.out) > 0.02
    everywhere = applied(
        model_of("sd15"), (use(loaded("faceid"), identity), torch.ones(1, size[0] * 8, size[1] * 8))
    )
    assert difference(calls_of(everywhere, "sd15", size=size)[0].out, call.out) < NEAR
