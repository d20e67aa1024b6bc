"""FaceIDs of persons: each in its own region or on its own items of a batch, beside texts and
LoRAs, in whatever order nodes stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.faceid.errors import FaceIDError
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import Forward, RegionRun
from comfyui_astria.tests.faceid.adapters import somebody
from comfyui_astria.tests.faceid.faceid_support import (
    applied,
    difference,
    loaded,
    model_of,
    text,
    use,
)
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    halves,
    soft_people,
    with_regions,
)
from torch import Tensor

NEAR = 1e-5


def people(*uses: Sequence[Any], run: RegionRun, model: Any = None) -> Any:
    return load("comfyui_astria.nodes.faceid.host.apply").apply_person_faceids(
        model or model_of("sd15"), uses, run
    )


def face(person: int, kind: str = "portrait", strength: float = 1.0) -> Any:
    return use(loaded(kind), somebody(person), strength)


def drawn(
    model: Any, masks: Tensor, run: RegionRun, texts: Sequence[int] = (1, 1, 1), cfg: float = 3.0
) -> Tensor:
    """What the model with regions on it makes of noise."""
    prompts = [text("sd15", seed) for seed in texts]
    return denoised(
        with_regions(model, masks, prompts, [text("sd15", 2)], run),
        "sd15",
        prompts[0],
        text("sd15", 2),
        cfg=cfg,
    )


@pytest.mark.parametrize("kind", ["faceid", "portrait"])
def test_one_region_over_the_whole_picture_is_the_face_of_the_picture(kind: str) -> None:
    full, run = torch.zeros(3, 8, 12), RegionRun()
    full[1] = 1
    expected = denoised(
        applied(model_of("sd15"), (face(1, kind), None)),
        "sd15",
        text("sd15", 1),
        text("sd15", 2),
        cfg=3.0,
    )
    assert (
        difference(
            drawn(people([face(1, kind)], [face(2, kind, 0.0)], run=run), full, run), expected
        )
        < NEAR
    )
    assert (
        difference(
            denoised(model_of("sd15"), "sd15", text("sd15", 1), text("sd15", 2), cfg=3.0), expected
        )
        > 1e-3
    )


def test_a_region_is_a_mask_of_the_same_shape() -> None:
    masks, run = soft_people(), RegionRun()
    regional = drawn(people([face(1)], [face(2)], run=run), masks, run)
    masked = applied(model_of("sd15"), (face(1), masks[1]), (face(2), masks[2]))
    run = RegionRun()
    assert difference(drawn(masked, masks, run), regional) < NEAR
    assert difference(drawn(model_of("sd15"), masks, run), regional) > 1e-3


def test_a_persons_face_reaches_no_pixel_of_another_in_the_first_attention() -> None:
    def attention_with(person: int) -> Tensor:
        """The first block's output [H,W,C]."""
        run, seen = RegionRun(), []

        def keep(out: Tensor, extra: dict) -> Tensor:
            seen.append(out[0].unflatten(0, extra["activations_shape"][2:]))
            return out

        model = people([face(1)], [face(person)], run=run)
        model.set_model_attn2_output_patch(keep)
        drawn(model, halves(), run, cfg=1.0)
        return seen[0]

    one, other = attention_with(2), attention_with(3)
    assert torch.equal(one[:, :6], other[:, :6])
    assert ((one[:, 6:] - other[:, 6:]).abs().amax(2) > 1e-4).all()


@pytest.mark.parametrize("kind", ["faceid", "plusv2"])
def test_regions_loras_and_faces_of_the_same_people_in_any_order(kind: str) -> None:
    model = model_of("sd15")
    masks = soft_people()
    texts = [text("sd15", seed) for seed in (1, 5, 6)]
    files = [whole_file(model, seed=seed, gain=0.3) for seed in (1, 2)]
    load_lora = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras

    def made(order: str) -> Tensor:
        run, patched = RegionRun(), model
        for step in order:
            if step == "r":
                patched = with_regions(patched, masks, texts, [text("sd15", 2)], run)
            elif step == "l":
                patched = load_lora(
                    patched,
                    [RegionLora(region, file, 0.8, "a") for region, file in enumerate(files, 1)],
                    run,
                )
            else:
                patched = people([face(1, kind)], [face(2, kind)], run=run, model=patched)
        return denoised(patched, "sd15", texts[0], text("sd15", 2), cfg=3.0)

    expected = made("rlf")
    for order in ("rfl", "lrf", "lfr", "flr", "frl"):
        assert difference(made(order), expected) < NEAR, order
    for fewer in ("rl", "rf", "lf"):
        assert difference(made(fewer), expected) > 1e-3


def test_several_adapters_of_one_person_add_up() -> None:
    masks, run = halves(), RegionRun()
    both = drawn(people([face(1), face(1, "plusv2", 0.5)], [], run=run), masks, run)
    again = drawn(
        people([face(1, "plusv2", 0.5)], run=run, model=people([face(1)], run=run)), masks, run
    )
    assert difference(again, both) < NEAR
    assert difference(drawn(people([face(1)], [], run=run), masks, run), both) > 1e-3


def test_without_regions_it_does_nothing() -> None:
    model = people([face(1)], [face(2)], run=RegionRun())
    plain = denoised(model_of("sd15"), "sd15", text("sd15", 1), text("sd15", 2), cfg=3.0)
    assert torch.equal(denoised(model, "sd15", text("sd15", 1), text("sd15", 2), cfg=3.0), plain)


def test_a_person_without_a_region_is_named() -> None:
    run = RegionRun()
    with pytest.raises(FaceIDError, match="meant for person 3, but the picture has regions for 2"):
        drawn(people([], [], [face(1)], run=run), halves(), run)


def with_items(model: Any, run: RegionRun, owners: Sequence[int | None], persons: int) -> Any:
    """Let `run` say whose each image of a batch is, as face inpainting does.

    Rows of guidance repeat the images.
    """

    def wrapper(executor: Any, x: Tensor, *rest: Any, **named: Any) -> Tensor:
        gate = torch.zeros(persons + 1, x.shape[0])
        for row in range(x.shape[0]):
            gate[owners[row % len(owners)] or 0, row] = 1
        run.forward = Forward.of_items(gate)
        try:
            return executor(x, *rest, **named)
        finally:
            run.forward = None

    patched = model.clone()
    patched.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "items_of_a_test", wrapper
    )
    return patched


@pytest.mark.parametrize("owners", [(1, 2, None), (2, 2, 1), (None, None, None)])
def test_items_of_a_batch_are_the_single_items(owners: tuple[int | None, ...]) -> None:
    """Each image with its own person's face, in one call, as each alone."""
    run, faces = RegionRun(), [face(1), face(2, strength=0.6)]
    noise = torch.cat(
        [
            torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(image))
            for image in range(3)
        ]
    )
    model = with_items(people(*([one] for one in faces), run=run), run, owners, 2)
    batch = denoised(model, "sd15", text("sd15", 1), text("sd15", 2), noise=noise, cfg=3.0)
    for image, owner in enumerate(owners):
        alone = (
            model_of("sd15")
            if owner is None
            else applied(model_of("sd15"), (faces[owner - 1], None))
        )
        single = denoised(
            alone, "sd15", text("sd15", 1), text("sd15", 2), noise=noise[image : image + 1], cfg=3.0
        )
        assert difference(batch[image : image + 1], single) < NEAR


def test_items_that_are_not_the_batchs_are_named() -> None:
    run = RegionRun()
    model = with_items(people([face(1)], run=run), run, (1,), 1)

    def joined(
        executor: Any, x: Tensor, timesteps: Tensor, context: Tensor, *rest: Any, **named: Any
    ) -> Tensor:
        run.forward = Forward.of_items(torch.ones(2, 5))
        return executor(x, timesteps, context, *rest, **named)

    model.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "other_items", joined
    )
    with pytest.raises(FaceIDError, match="2 rows, the faces are 5"):
        denoised(model, "sd15", text("sd15", 1), text("sd15", 2), cfg=3.0)
