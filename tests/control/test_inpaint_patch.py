"""Z-Image's ControlNet as what inpaints: what it is shown, against the host's own node."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError, PlanError
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import denoised, difference, model_of
from torch import Tensor

WIDTH, HEIGHT = 96, 64  # of the pictures, in pixels
CELLS = (HEIGHT // 8, WIDTH // 8)
INPAINTS = {"n_control_layers": 15, "additional_in_dim": 17, "refiner_control": True}
LITE = {**INPAINTS, "n_control_layers": 3}


def fun_union(**config: Any) -> Any:
    """Return a tiny Fun ControlNet, as the host's loader hands it out."""
    cpu = torch.device("cpu")
    network = load("comfy.ldm.lumina.controlnet").ZImage_Control(
        dim=256,
        n_heads=4,
        n_kv_heads=4,
        dtype=torch.float32,
        device=cpu,
        operations=load("comfy.ops").manual_cast,
        **config,
    )
    load("comfyui_astria.tests.testpack.weights").fill(network, seed=5)
    return load("comfy.model_patcher").CoreModelPatcher(network, cpu, cpu)


def flux_vae() -> Any:
    family = load("comfyui_astria.tests.testpack.families").FAMILIES["zimage"]()
    return load("comfyui_astria.tests.testpack.vae").faithful_vae(family.latent_format)


def pictures(count: int) -> Tensor:
    return torch.rand(count, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(7))


def right_half(*, soft: bool = False) -> Tensor:
    """Return a mask of the right half, [1,H,W]; soft, its edge rises over 8 pixels to its left."""
    columns = torch.arange(WIDTH)
    mask = (columns >= WIDTH // 2).float()
    if soft:
        mask = ((columns - WIDTH // 2 + 8) / 8).clamp(0, 1)
    return mask.expand(1, HEIGHT, WIDTH)


def inpainted(model: Any, patch: Any, pixels: Tensor, mask: Tensor, **given: Any) -> Any:
    node = load("comfyui_astria.nodes.control.nodes").AstriaZImageInpaint
    given = {"strength": 0.9, **given}
    return node.execute(model, patch, flux_vae(), pixels, mask, **given).result[0]


def by_host(model: Any, patch: Any, pixels: Tensor, mask: Tensor, **given: Any) -> Any:
    node = load("comfy_extras.nodes_model_patch").ZImageFunControlnet()
    given = {"strength": 0.9, **given}
    return node.diffsynth_controlnet(
        model, patch, flux_vae(), inpaint_image=pixels, mask=mask, **given
    )[0]


def patch_of(model: Any) -> Any:
    [patch] = model.model_options["transformer_options"]["patches"]["double_block"]
    return patch


def noise(count: int) -> Tensor:
    return torch.randn(count, 16, *CELLS, generator=torch.Generator().manual_seed(8))


@pytest.mark.parametrize("config", [INPAINTS, LITE], ids=["2.1", "lite"])
def test_beside_a_map_it_is_the_hosts_own_node(config: dict) -> None:
    model, patch, same = model_of("zimage"), fun_union(**config), text("zimage", 1)
    given = {"pixels": pictures(1), "mask": right_half()}
    control = pictures(2)[1:]
    ours = inpainted(model, patch, **given, control_image=control)
    hosts = by_host(model, patch, **given, image=control)
    assert torch.equal(patch_of(ours).encoded_image, patch_of(hosts).encoded_image)
    drawn = denoised(ours, "zimage", same, noise=noise(1))
    assert torch.equal(drawn, denoised(hosts, "zimage", same, noise=noise(1)))
    assert difference(denoised(model, "zimage", same, noise=noise(1)), drawn) > 1e-2


def test_without_a_map_its_latent_is_0_as_in_training() -> None:
    model, patch, same = model_of("zimage"), fun_union(**INPAINTS), text("zimage", 1)
    given = {"pixels": pictures(1), "mask": right_half()}
    ours, hosts = inpainted(model, patch, **given), by_host(model, patch, **given)
    grey = patch_of(hosts).encoded_image[:, :16].clone()
    assert grey.abs().max() > 0.01, "the host encodes a grey picture"
    patch_of(hosts).encoded_image[:, :16] = 0
    assert torch.equal(patch_of(ours).encoded_image, patch_of(hosts).encoded_image)
    expected = denoised(hosts, "zimage", same, noise=noise(1))
    assert torch.equal(denoised(ours, "zimage", same, noise=noise(1)), expected)


def test_it_sees_what_is_kept_and_not_what_is_hidden() -> None:
    model, patch, mask = model_of("zimage"), fun_union(**INPAINTS), right_half()
    pixels = pictures(1)
    others = torch.where(mask[..., None] > 0, 1 - pixels, pixels)
    seen = [patch_of(inpainted(model, patch, one, mask)).encoded_image for one in (pixels, others)]
    assert torch.equal(seen[0], seen[1])
    kept = seen[0][0, 16]
    assert kept[:, : CELLS[1] // 2].eq(1).all() and kept[:, CELLS[1] // 2 :].eq(0).all()
    shown = flux_vae().encode(torch.where(mask[..., None] > 0, 0.5, pixels))
    latent = load("comfy.latent_formats").Flux().process_in(shown)
    assert torch.equal(seen[0][:, 17:], latent)


def test_a_soft_edge_counts_from_its_half_on() -> None:
    """The host's node would hand on a share, which the training knows none of."""
    model, patch, soft = model_of("zimage"), fun_union(**INPAINTS), right_half(soft=True)
    hard = (soft >= 0.5).float()
    assert 0 < soft[0, 0, WIDTH // 2 - 4] == 0.5
    ours, same = (patch_of(inpainted(model, patch, pictures(1), one)) for one in (soft, hard))
    assert torch.equal(ours.encoded_image, same.encoded_image)
    assert set(ours.encoded_image[0, 16].unique().tolist()) == {0, 1}


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_each_picture_of_a_batch_is_seen_by_itself(cfg: float) -> None:
    """With guidance the model is given twice as many rows as there are pictures."""
    model, patch, same = model_of("zimage"), fun_union(**INPAINTS), text("zimage", 1)
    pixels, masks = pictures(2), torch.cat([right_half(), 1 - right_half()])
    together = denoised(
        inpainted(model, patch, pixels, masks), "zimage", same, noise=noise(2), cfg=cfg
    )
    for index in range(2):
        one = inpainted(model, patch, pixels[index : index + 1], masks[index : index + 1])
        alone = denoised(one, "zimage", same, noise=noise(2)[index : index + 1], cfg=cfg)
        assert difference(together[index : index + 1], alone) < 1e-4
    assert difference(together[:1], together[1:]) > 1e-2


def test_one_picture_does_for_all_images() -> None:
    model, patch, same = model_of("zimage"), fun_union(**INPAINTS), text("zimage", 1)
    one = inpainted(model, patch, pictures(1), right_half())
    every = denoised(one, "zimage", same, noise=noise(3), cfg=4.0)
    again = inpainted(model, patch, pictures(1), right_half())
    alone = denoised(again, "zimage", same, noise=noise(3)[2:], cfg=4.0)
    assert difference(every[2:], alone) < 1e-4


def test_what_it_cannot_inpaint_by_is_refused() -> None:
    model, patch = model_of("zimage"), fun_union(**INPAINTS)
    with pytest.raises(PlanError, match="takes no masked picture; expected Z-Image's Fun Contr"):
        inpainted(model, fun_union(n_control_layers=6), pictures(1), right_half())
    with pytest.raises(PlanError, match=r"MODEL is Flux\.1 dev, which has no ControlNet that"):
        inpainted(model_of("flux"), patch, pictures(1), right_half())
    with pytest.raises(ImageError, match="A picture of 96x60 is to be inpainted; expected sides"):
        inpainted(model, patch, pictures(1)[:, :60], right_half()[:, :60])
