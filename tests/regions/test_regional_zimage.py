"""What is Z-Image's own: layers whose numbers are read without being run, a modulation that knows
no rows, weights of few bits, and pictures beside the one that is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.nodes.regions.run import RegionRun, normalised
from comfyui_astria.tests.control.test_inpaint_patch import INPAINTS, fun_union, inpainted
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    model_of,
    with_regions,
)
from comfyui_astria.tests.regions.test_gated_lora_packed import (
    PackedLinear,
    ScaledLinear,
    packed_flux,
)
from comfyui_astria.tests.regions.test_gated_lora_stored import copied, quantised

SIZE = (16, 16)


def worn(
    model: Any, file: dict, masks: torch.Tensor, fits: list[LoraFit] | None = None
) -> tuple[Any, list]:
    """Return the model on which person 1 wears the file, and the scene's text."""
    run, texts = RegionRun(), [text("zimage", seed, 40) for seed in range(1, len(masks) + 1)]
    patched = with_regions(model, masks, texts, [text("zimage", 9)], run)
    lora = RegionLora(1, file, 0.8, "a")
    on_fit = (fits if fits is not None else []).append
    apply = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras
    return apply(patched, [lora], run, on_fit=on_fit), texts


def thirds() -> torch.Tensor:
    """Return masks of a scene and two persons, a half and two quarters of the picture."""
    masks = torch.zeros(3, *SIZE)
    masks[0, :8], masks[1, 8:, :8], masks[2, 8:, 8:] = 1, 1, 1
    return masks


def in_nvfp4() -> tuple[Any, Any]:
    model = quantised("nvfp4", "zimage")
    return model, copied(model, "zimage")


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(partial(packed_flux, PackedLinear, "zimage"), id="GGUF"),
        pytest.param(partial(packed_flux, ScaledLinear, "zimage"), id="fp8 scaled"),
        pytest.param(in_nvfp4, id="nvfp4"),
    ],
)
def test_a_persons_lora_on_weights_of_few_bits_is_the_merged_one(
    stored: Callable[[], tuple[Any, Any]],
) -> None:
    model, same = stored()
    file = whole_file(same, gain=0.3)
    everywhere = normalised(torch.ones(1, *SIZE))
    patched, texts = worn(model, file, everywhere)
    merged = load("comfy.sd").load_lora_for_models(same, None, file, 0.8, 0)[0]
    expected = denoised(merged, "zimage", texts[1], size=SIZE)
    assert difference(denoised(patched, "zimage", texts[0], size=SIZE), expected) < 1e-4
    assert difference(denoised(same, "zimage", texts[1], size=SIZE), expected) > 1e-3


def test_numbers_that_the_host_reads_without_running_their_layer_are_left_out() -> None:
    norm = "diffusion_model.layers.0.attention.q_norm"
    file = whole_file(model_of("zimage"), only="layers.0.attention.qkv")
    fits: list[LoraFit] = []
    worn(model_of("zimage"), {**file, f"{norm}.diff": torch.ones(64)}, thirds(), fits)
    [(name, why)] = fits[0].left
    assert name == f"{norm}.diff"
    assert "reads its numbers without running it" in why
    assert fits[0].shared == 0


def test_a_lora_on_modulation_counts_everywhere_by_the_share_of_its_person() -> None:
    """The leak: person 2, and the scene, change as person 1 does, a quarter of the whole change."""
    model, fits = model_of("zimage"), []
    file = whole_file(model, only="layers.0.adaLN", gain=0.01)
    patched, texts = worn(model, file, thirds(), fits)
    assert fits[0].shared == 1
    assert "1 layer works on the picture as a whole: there it counts by the share" in (
        fits[0].describe()
    )
    layer = model.model.diffusion_model.layers[0].adaLN_modulation[0]
    seen: list[torch.Tensor] = []

    def modulation(of: Any) -> torch.Tensor:
        handle = model.model.diffusion_model.layers[0].adaLN_modulation.register_forward_hook(
            lambda _, __, out: seen.append(out.clone())
        )
        try:
            denoised(of, "zimage", texts[0], size=SIZE)
        finally:
            handle.remove()
        return seen[-1]

    plain, shared = modulation(model), modulation(patched)
    whole = modulation(load("comfy.sd").load_lora_for_models(model, None, file, 0.8, 0)[0])
    assert layer.weight.shape == (1024, 256)
    assert difference(shared - plain, (whole - plain) / 4) < 1e-3


def test_reference_pictures_are_refused() -> None:
    scene = text("zimage", 1, 40)
    scene[0][1]["reference_latents"] = [torch.zeros(1, 16, 8, 8)]
    others = [text("zimage", seed, 40) for seed in (2, 3)]
    patched = with_regions(model_of("zimage"), thirds(), [scene, *others], [text("zimage", 9)])
    with pytest.raises(PlanError, match="Reference pictures of Z-Image cannot be combined"):
        denoised(patched, "zimage", scene, size=SIZE)


UNIONS = {  # as the host tells the published files from each other
    "first": {"n_control_layers": 6},
    "2.1": INPAINTS,
}


def steered(model: Any, union: str) -> Any:
    """Return a clone that the host's node has given a tiny Fun ControlNet, with a picture."""
    own = fun_union(**UNIONS[union])
    generator = torch.Generator().manual_seed(6)
    latent = torch.randn(1, 16, *SIZE, generator=generator)
    vae = SimpleNamespace(encode=lambda _: latent, spacial_compression_encode=lambda: 8)
    node = load("comfy_extras.nodes_model_patch").ZImageFunControlnet()
    picture = torch.zeros(1, SIZE[0] * 8, SIZE[1] * 8, 3)
    return node.diffsynth_controlnet(model, own, vae, picture)[0]


@pytest.mark.parametrize("union", UNIONS)
def test_a_control_net_steers_people_as_it_steers_one_text(union: str) -> None:
    """Applied behind the regions, as plans have it: equal texts are the plain model's picture."""
    model, same, masks = model_of("zimage"), text("zimage", 1, 40), thirds()
    texts = [text("zimage", 1, 40) for _ in masks]
    alone = denoised(steered(model, union), "zimage", same, size=SIZE)
    people = steered(with_regions(model, masks, texts, [text("zimage", 9)]), union)
    assert difference(denoised(people, "zimage", texts[0], size=SIZE), alone) < 2e-5
    assert difference(denoised(model, "zimage", same, size=SIZE), alone) > 1e-2


def test_a_masked_picture_is_seen_beside_people_as_beside_one_text() -> None:
    """With guidance, where two pictures are four rows of the model."""
    model, same, masks = model_of("zimage"), text("zimage", 1, 40), thirds()
    texts, negative = [text("zimage", 1, 40) for _ in masks], text("zimage", 9)
    pixels = torch.rand(2, SIZE[0] * 8, SIZE[1] * 8, 3, generator=torch.Generator().manual_seed(7))
    mask = torch.zeros(1, SIZE[0] * 8, SIZE[1] * 8)
    mask[:, 40:] = 1
    noise = torch.randn(2, 16, *SIZE, generator=torch.Generator().manual_seed(8))
    how = {"size": SIZE, "noise": noise, "cfg": 4.0, "negative": negative}
    patch = fun_union(**INPAINTS)
    alone = denoised(inpainted(model, patch, pixels, mask), "zimage", same, **how)
    people = inpainted(with_regions(model, masks, texts, [negative]), patch, pixels, mask)
    assert difference(denoised(people, "zimage", texts[0], **how), alone) < 2e-5
    assert difference(denoised(model, "zimage", same, **how), alone) > 1e-2
