"""Tiled diffusion and ControlNets.

Each tile sees its own part of the hint, and the ControlNet itself is not changed.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.tests.finish.tiled_support import (
    HEIGHT,
    WIDTH,
    by_hand,
    noise_of,
    pointwise,
    tiled,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import denoised, difference, model_of, one_thread
from torch import Tensor


class HintAsControl(torch.nn.Module):
    """A ControlNet's network that adds the hint itself, brought to the latent's size."""

    dtype = torch.float32

    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor, **extra: Any
    ) -> dict[str, list[Tensor]]:
        assert hint.shape[2:] == (8 * x.shape[2], 8 * x.shape[3])
        small = torch.nn.functional.avg_pool2d(hint, 8).mean(1, keepdim=True)
        return {"input": [], "middle": [], "output": [small.expand_as(x).clone()]}


def with_control(conditioning: list, *controls: Any) -> list:
    for before, control in itertools.pairwise((None, *controls)):
        control.set_previous_controlnet(before)
    [[embedding, extra]] = conditioning
    return [[embedding, {**extra, "control": controls[-1]}]]


def control_of(network: torch.nn.Module, hint: Tensor, strength: float = 1.0) -> Any:
    control = load("comfy.controlnet").ControlNet(network, load_device=torch.device("cpu"))
    return control.set_cond_hint(hint, strength)


def test_hints_are_cut_with_the_tiles_and_stay_as_they_are() -> None:
    """Two ControlNets in a chain, with hints of other sizes and shapes than the picture, one for
    each image of the batch.
    """
    generator = torch.Generator().manual_seed(2)
    hints = [
        torch.rand(2, 3, 100, 150, generator=generator),
        torch.rand(1, 3, 8 * HEIGHT, 8 * WIDTH, generator=generator),
    ]
    noise = noise_of("sd15", batch=2)

    def once(model: Any) -> tuple[Tensor, list]:
        controls = [
            control_of(HintAsControl(), hint, strength)
            for hint, strength in zip(hints, (1.0, 0.4), strict=True)
        ]
        return (
            denoised(
                model,
                "sd15",
                with_control(text("sd15", 1), *controls),
                text("sd15", 2),
                noise=noise,
                cfg=3.0,
            ),
            controls,
        )

    plain, _ = once(pointwise())
    actual, controls = once(tiled(pointwise()))
    assert difference(actual, plain) < 1e-5
    assert (
        difference(
            plain,
            denoised(pointwise(), "sd15", text("sd15", 1), text("sd15", 2), noise=noise, cfg=3.0),
        )
        > 1e-2
    )
    assert all(
        control.cond_hint_original is hint and control.cond_hint is None
        for control, hint in zip(controls, hints, strict=True)
    )


class PixelsAsLatent:
    """A VAE whose latent is the picture, small."""

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)


class LatentHintAsControl(HintAsControl):
    def forward(
        self, x: Tensor, hint: Tensor, timesteps: Tensor, context: Tensor, **extra: Any
    ) -> dict[str, list[Tensor]]:
        assert hint.shape[1:] == (4, *x.shape[2:])
        return {
            "input": [],
            "middle": [],
            "output": [(hint[:, :3].mean(1, keepdim=True) * hint[:, 3:]).expand_as(x).clone()],
        }


class Adapter(HintAsControl):
    """A T2I adapter's network: it sees the hint alone."""

    unshuffle_amount = 8

    def forward(self, hint: Tensor) -> dict[str, list[Tensor]]:
        return {
            "input": [],
            "middle": [],
            "output": [torch.nn.functional.avg_pool2d(hint, 8).repeat(1, 4, 1, 1)],
        }


def of_latents(hint: Tensor) -> Any:
    """An inpainting ControlNet that sees the hint through a VAE, and the mask beside it."""
    control = load("comfy.controlnet").ControlNet(
        LatentHintAsControl(), compression_ratio=1, load_device=torch.device("cpu")
    )
    control.set_cond_hint(hint, extra_concat=[hint[:, :1, ::2, ::2].round()])
    control.vae = PixelsAsLatent()
    return control


def adapter(hint: Tensor) -> Any:
    return (
        load("comfy.controlnet")
        .T2IAdapter(Adapter(), 1, 8, "nearest-exact", torch.device("cpu"))
        .set_cond_hint(hint)
    )


@pytest.mark.parametrize("make", [of_latents, adapter])
def test_hints_of_other_kinds_are_cut_with_the_tiles(make: Any) -> None:
    hint = torch.rand(1, 3, 120, 200, generator=torch.Generator().manual_seed(4))
    noise = noise_of("sd15")
    plain, actual = (
        denoised(model, "sd15", with_control(text("sd15", 1), make(hint)), noise=noise)
        for model in (pointwise(), tiled(pointwise()))
    )
    assert difference(actual, plain) < 1e-5
    assert difference(plain, denoised(pointwise(), "sd15", text("sd15", 1), noise=noise)) > 1e-2


def test_a_real_controlnet_sees_the_tiles_own_hint() -> None:
    families = load("comfyui_astria.tests.testpack.families")
    config = {
        key: value
        for key, value in families._SD15.items()
        if key not in ("out_channels", "transformer_depth_output")
    }
    network = load("comfy.cldm.cldm").ControlNet(**config, in_channels=4, hint_channels=3)
    load("comfyui_astria.tests.testpack.weights").fill(network, seed=3)
    hint, noise, model = torch.rand(1, 3, 8 * HEIGHT, 8 * WIDTH), noise_of("sd15"), model_of("sd15")

    def once(one: Any, own_hint: Tensor, own_noise: Tensor) -> Tensor:
        return denoised(
            one,
            "sd15",
            with_control(text("sd15", 1), control_of(network, own_hint)),
            noise=own_noise,
        )

    expected = by_hand(noise, lambda tile, own: once(model, tile.of(hint, 8), own))
    assert difference(once(tiled(model), hint, noise), expected) < 1e-5
    assert difference(denoised(tiled(model), "sd15", text("sd15", 1), noise=noise), expected) > 1e-3


def test_hints_are_cut_once_a_run_and_given_back_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    utils, seen = load("comfy.utils"), []
    resize = utils.common_upscale
    monkeypatch.setattr(
        utils,
        "common_upscale",
        lambda *arguments: seen.append(arguments[0].shape) or resize(*arguments),
    )
    hint = torch.rand(1, 3, 100, 150)
    model = tiled(pointwise())
    positive = with_control(text("sd15", 1), control_of(HintAsControl(), hint))
    noise = noise_of("sd15")
    for _ in range(2):
        seen.clear()
        with one_thread():
            load("comfy.sample").sample(
                model,
                noise,
                3,
                1.0,
                "euler",
                "simple",
                positive,
                text("sd15", 2),
                noise * 0,
                disable_pbar=True,
                seed=0,
            )
        assert seen.count(hint.shape) == 1
    assert model.get_wrappers("calc_cond_batch", "astria_tiles")[0].__self__.run is None


def test_a_controlnet_of_another_pack_is_refused() -> None:
    """Its hints may be more than what is cut here."""

    class Other(load("comfy.controlnet").ControlNet):
        pass

    control = Other(HintAsControl(), load_device=torch.device("cpu")).set_cond_hint(
        torch.rand(1, 3, 8, 8)
    )
    with pytest.raises(PlanError, match="ControlNet of class Other cannot be cut into tiles"):
        denoised(
            tiled(pointwise()),
            "sd15",
            with_control(text("sd15", 1), control),
            noise=noise_of("sd15"),
        )
