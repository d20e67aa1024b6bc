"""PuLID on a tiny Flux of the host.

The reference's arithmetic by hand, and several people in one pass, each where their gate says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import Forward, RegionRun
from comfyui_astria.tests.faceid.pulid_flux_support import (
    Adapter,
    adapter_of,
    apply,
    by_hand,
    deep_model,
    sampled,
    use,
)
from comfyui_astria.tests.faceid.pulid_support import worst
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    halves,
    model_of,
    on_blocks,
    soft_people,
    with_regions,
)
from torch import Tensor


@pytest.fixture(scope="module", autouse=True)
def _unload() -> Iterator[None]:
    yield
    load("comfy.model_management").unload_all_models()


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_the_whole_is_the_references_arithmetic(cfg: float) -> None:
    model, adapter = deep_model(), adapter_of(6)
    actual = sampled(apply(model, (use(1, 0.8, adapter=adapter), None)), cfg=cfg, seeds=(3, 4))
    assert (
        worst(
            actual, sampled(by_hand(model, [(1, 0.8, 1.0)], adapter=adapter), cfg=cfg, seeds=(3, 4))
        )
        < 1e-5
    )
    assert worst(actual, sampled(model, cfg=cfg, seeds=(3, 4))) > 1e-2


def left_half(size: tuple[int, int]) -> Tensor:
    mask = torch.zeros(1, *size)
    mask[:, :, : size[1] // 2] = 1
    return mask


def test_negative_rows_see_nobodys_face() -> None:
    """Not the person's, and not no face at all.

    That would be neither the reference's guidance nor this one.
    """
    model = model_of("flux")
    actual = sampled(apply(model, (use(), None)), cfg=3.0)
    assert worst(actual, sampled(by_hand(model, [(1, 1.0, 1.0)]), cfg=3.0)) < 1e-5
    both = sampled(by_hand(model, [(1, 1.0, 1.0)]), cfg=1.0, positive=text("flux", 1))
    assert worst(actual, both) > 1e-2


@pytest.mark.parametrize("size", [(8, 12), (9, 7)])
def test_two_halves_of_one_person_are_the_whole(size: tuple[int, int]) -> None:
    model, left = model_of("flux"), left_half(size)
    whole = sampled(apply(model, (use(), None)), size=size, cfg=3.0)
    assert (
        worst(sampled(apply(model, (use(), left), (use(), 1 - left)), size=size, cfg=3.0), whole)
        < 1e-5
    )
    assert (
        worst(
            sampled(apply(apply(model, (use(), left)), (use(), 1 - left)), size=size, cfg=3.0),
            whole,
        )
        < 1e-5
    )
    assert worst(sampled(apply(model, (use(), left)), size=size, cfg=3.0), whole) > 1e-3


@pytest.mark.parametrize("size", [(8, 12), (9, 7)])
def test_two_people_each_under_their_mask_are_the_references_two(size: tuple[int, int]) -> None:
    """Masks of any size fall on the latent first, then on its tokens, as regions do."""
    mask = torch.rand(1, 40, 36, generator=torch.Generator().manual_seed(0))
    on_latent = torch.nn.functional.adaptive_avg_pool2d(mask, size)
    on_tokens = on_blocks(on_latent, -(-size[0] // 2), -(-size[1] // 2)).flatten(1)[..., None]
    model, one, two = model_of("flux"), (use(1, 0.7), mask), (use(2, 1.2), 1 - mask)
    expected = sampled(
        by_hand(model, [(1, 0.7, on_tokens), (2, 1.2, 1 - on_tokens)]), cfg=3.0, size=size
    )
    for patched in (
        apply(model, one, two),
        apply(apply(model, two), one),
        apply(model, one, (use(2, 1.2, adapter=Adapter()), 1 - mask)),
    ):
        assert worst(sampled(patched, cfg=3.0, size=size), expected) < 1e-5


def test_each_image_of_a_batch_has_its_own_mask_and_is_itself_alone() -> None:
    model = model_of("flux")
    masks = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(0))
    batch = sampled(apply(model, (use(), masks), (use(2), None)), cfg=3.0, seeds=(3, 4, 5))
    for image, mask in enumerate(masks):
        alone = sampled(apply(model, (use(), mask), (use(2), None)), cfg=3.0, seeds=(3 + image,))
        assert worst(batch[image : image + 1], alone) < 1e-5


@pytest.mark.parametrize("shift", [None, 2.5])
def test_start_and_end_are_parts_of_the_steps(shift: float | None) -> None:
    """Of five steps the second and the third, also where a node behind the face spaces the steps
    otherwise.
    """

    def spaced(one: Any) -> Any:
        return (
            one
            if shift is None
            else load("comfy_extras.nodes_model_advanced")
            .ModelSamplingFlux()
            .patch(one, shift, shift, 1024, 1024)[0]
        )

    model = model_of("flux")
    actual = sampled(spaced(apply(model, (use(1, 1.0, 0.2, 0.6), None))), steps=5)
    assert (
        worst(
            actual,
            sampled(spaced(by_hand(model, [(1, 1.0, 1.0)], lambda step: step in (1, 2))), steps=5),
        )
        < 1e-5
    )
    assert (
        worst(
            actual,
            sampled(
                spaced(by_hand(model, [(1, 1.0, 1.0)], lambda step: step in (1, 2, 3))), steps=5
            ),
        )
        > 1e-4
    )


def test_reference_pictures_keep_their_own_faces() -> None:
    model, positive = model_of("flux"), text("flux", 1)
    positive[0][1]["reference_latents"] = [
        torch.randn(1, 16, 6, 8, generator=torch.Generator().manual_seed(6))
    ]
    actual = sampled(apply(model, (use(), None)), positive=positive)
    expected = sampled(by_hand(model, [(1, 1.0, 1.0)]), positive=positive)
    assert worst(actual, expected) < 1e-5
    assert worst(actual, sampled(apply(model, (use(), None)))) > 1e-3


@pytest.mark.parametrize("regions_first", [True, False])
@pytest.mark.parametrize("lengths", [(8, 8, 8), (8, 5, 11)])
def test_regions_gate_their_people_in_either_order(
    regions_first: bool, lengths: tuple[int, ...]
) -> None:
    """One prompt everywhere is one prompt, so regions leave their gates alone to see.

    With texts of different lengths chunks run apart.
    """
    model, masks, run = model_of("flux"), soft_people(), RegionRun()
    positive, negative = text("flux", 1), text("flux", 2, lengths[1])
    positives = [positive] * 3

    def regions(one: Any) -> Any:
        return with_regions(one, masks, positives, [negative] * 3, run)

    def faces(one: Any) -> Any:
        return apply(one, (use(1), 1), (use(2, 0.6), 2), run=run)

    patched = faces(regions(model)) if regions_first else regions(faces(model))
    on_latent = torch.nn.functional.interpolate(masks[None], (8, 12), mode="area")
    tokens = (
        (on_latent / on_latent.sum(1))[0].reshape(3, 4, 2, 6, 2).mean((2, 4)).flatten(1)[..., None]
    )
    expected = sampled(
        by_hand(model, [(1, 1.0, tokens[1]), (2, 0.6, tokens[2])]), cfg=3.0, negative=negative
    )
    assert worst(sampled(patched, cfg=3.0, positive=positive, negative=negative), expected) < 1e-5


def test_regions_with_texts_of_their_own_and_loras_meet_faces_in_any_order() -> None:
    model, run = model_of("flux"), RegionRun()
    people = [text("flux", seed, length) for seed, length in ((1, 8), (5, 5), (6, 11))]
    loras = [
        RegionLora(1, whole_file(model, gain=0.3), 0.8, "a"),
        RegionLora(2, whole_file(model, seed=1, gain=0.3), 0.8, "b"),
    ]
    steps: dict[str, Callable[[Any], Any]] = {
        "faces": lambda one: apply(one, (use(1), 1), (use(2), 2), run=run),
        "regions": lambda one: with_regions(one, halves(), people, [text("flux", 2, 7)], run),
        "loras": (
            lambda one: load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
                one, loras, run
            )
        ),
    }
    orders = [
        ("faces", "regions", "loras"),
        ("loras", "regions", "faces"),
        ("regions", "faces", "loras"),
    ]
    results = [
        sampled(
            functools.reduce(lambda one, name: steps[name](one), order, model),
            cfg=3.0,
            positive=people[0],
            negative=text("flux", 2, 7),
        )
        for order in orders
    ]
    assert all(worst(result, results[0]) < 1e-5 for result in results[1:])
    for without in orders[0]:
        other = functools.reduce(
            lambda one, name: steps[name](one),
            [name for name in orders[0] if name != without],
            model,
        )
        assert (
            worst(
                sampled(other, cfg=3.0, positive=people[0], negative=text("flux", 2, 7)), results[0]
            )
            > 1e-3
        )


def test_persons_of_a_picture_bring_their_faces_to_flux() -> None:
    model = model_of("flux")
    run = RegionRun()
    faceid = load("comfyui_astria.nodes.faceid.host.apply")
    people = [text("flux", 1)] * 3
    patched = faceid.apply_person_faceids(
        with_regions(model, halves(), people, [text("flux", 2)], run),
        [(use(1), use(2, 0.3)), (use(3),)],
        run,
    )
    left = left_half((8, 12))
    expected = sampled(apply(model, (use(1), left), (use(2, 0.3), left), (use(3), 1 - left)))
    assert worst(sampled(patched), expected) < 1e-5


def test_without_its_regions_a_regions_face_does_nothing() -> None:
    model = model_of("flux")
    assert torch.equal(sampled(apply(model, (use(), 1), run=RegionRun())), sampled(model))


def items(model: Any, gate: Tensor, run: RegionRun, apart: bool) -> Any:
    """The model with regions that are items of the batch, repeated for each chunk of it.

    `apart` runs one item after another.
    """

    def wrapper(executor: Any, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        every = gate.repeat(1, x.shape[0] // gate.shape[1])
        rows = [slice(row, row + 1) for row in range(x.shape[0])] if apart else [slice(None)]
        results = []
        for row in rows:
            run.forward = Forward.of_items(every[:, row])
            results.append(
                executor(
                    x[row], *(one[row] if isinstance(one, Tensor) else one for one in rest), **named
                )
            )
            run.forward = None
        return torch.cat(results)

    patched = model.clone()
    patched.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "items_of_a_test", wrapper
    )
    return patched


@pytest.mark.parametrize(("cfg", "apart"), [(3.0, False), (1.0, True)])
@pytest.mark.parametrize("faces_first", [True, False])
def test_regions_that_are_items_of_the_batch_get_one_face_each(
    faces_first: bool, cfg: float, apart: bool
) -> None:
    """Three faces drawn in one batch: nobody's, person 2's, person 1's and half of person 2's."""
    model, run = model_of("flux"), RegionRun()
    gate = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 1, 0.5]])
    uses = (use(1, 0.9), 1), (use(2), 2)
    patched = (
        items(apply(model, *uses, run=run), gate, run, apart)
        if faces_first
        else apply(items(model, gate, run, apart), *uses, run=run)
    )
    batch = sampled(patched, cfg=cfg, seeds=(3, 4, 5))
    alone = [[], [(use(2), None)], [(use(1, 0.9), None), (use(2, 0.5), None)]]
    for image, one in enumerate(alone):
        assert (
            worst(
                batch[image : image + 1], sampled(apply(model, *one), cfg=cfg, seeds=(3 + image,))
            )
            < 1e-5
        )


def test_a_batch_that_is_not_the_faces_is_refused() -> None:
    run, gate = RegionRun(), torch.tensor([[0.0, 1], [1, 0]])
    with pytest.raises(
        AstriaError, match="runs 3 items of a batch; the FaceIDs of its faces expected 2"
    ):
        sampled(
            items(apply(model_of("flux"), (use(), 1), run=run), gate, run, False), seeds=(3, 4, 5)
        )
