"""The number of a kind that reaches a union ControlNet's network, on the host's own classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.control.modes import KINDS
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model

# As the authors' model cards number them; the host's names for the SDXL ones.
OF_FLUX = {"canny": 0, "tile": 1, "depth": 2, "pose": 4}
HOST_NAMES = {
    "pose": "openpose",
    "depth": "depth",
    "hed": "hed/pidi/scribble/ted",
    "canny": "canny/lineart/anime_lineart/mlsd",
    "lineart": "canny/lineart/anime_lineart/mlsd",
    "mlsd": "canny/lineart/anime_lineart/mlsd",
    "segroom": "segment",
    "tile": "tile",
}


@pytest.fixture(scope="module")
def with_mode() -> Callable[[Any, str], tuple[Any, str]]:
    return load("comfyui_astria.nodes.control.host.modes").with_mode


def flux_control(modes: int) -> Any:
    """A ControlNet of Flux in InstantX's form; with 0 modes one without a mode embedding."""
    families = load("comfyui_astria.tests.testpack.families")
    config = {key: value for key, value in families._FLUX.items() if key != "image_model"}
    network = load("comfy.ldm.flux.controlnet").ControlNetFlux(
        latent_input=True,
        num_union_modes=modes,
        control_latent_channels=16,
        in_channels=16,
        operations=load("comfy.ops").manual_cast,
        dtype=torch.float32,
        **config,
    )
    return _control(network, compression_ratio=1, latent_format=load("comfy.latent_formats").Flux())


def sdxl_control(modes: int | None) -> Any:
    """A ControlNet of SDXL, one level deep, for a union's merging is of 320 channels always."""
    network = load("comfy.cldm.cldm").ControlNet(
        image_size=32,
        in_channels=4,
        model_channels=320,
        hint_channels=3,
        num_res_blocks=[1],
        channel_mult=[1],
        transformer_depth=[0],
        transformer_depth_middle=-1,
        num_heads=1,
        use_spatial_transformer=True,
        context_dim=8,
        union_controlnet_num_control_type=modes,
        operations=load("comfy.ops").manual_cast,
        dtype=torch.float32,
    )
    return _control(network)


def _control(network: torch.nn.Module, **more: Any) -> Any:
    load("comfyui_astria.tests.testpack.weights").fill(network, seed=1)
    cpu = torch.device("cpu")
    extra = ["y", "guidance"] if more else ["y"]
    return load("comfy.controlnet").ControlNet(network, load_device=cpu, extra_conds=extra, **more)


class Pixels:
    """A VAE whose latent is the picture, small."""

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), 8)[:, :1].repeat(1, 16, 1, 1)


@torch.no_grad()
def reached(control: Any, family: str) -> list[int]:
    """Apply a ControlNet as the host's node does, run it, and return the modes it was given."""
    seen: list[list[int]] = []
    control.control_model.register_forward_pre_hook(
        lambda _, __, given: seen.append(list(given.get("control_type", []))), with_kwargs=True
    )
    has_guidance = family == "flux"
    text = [[torch.zeros(1, 4, 48 if has_guidance else 8), {}]]
    [[_, applied]] = (
        load("nodes")
        .ControlNetApplyAdvanced()
        .apply_controlnet(
            text, text, control, torch.rand(1, 64, 64, 3), 1.0, 0.0, 1.0, vae=Pixels()
        )[0]
    )
    one = applied["control"]
    model = tiny_model(family).model
    one.pre_run(model, model.model_sampling.percent_to_sigma)
    given = {"c_crossattn": text[0][0]}
    if has_guidance:
        given |= {"y": torch.zeros(1, 64), "guidance": torch.tensor([3.5])}
    noisy = torch.rand(1, 16 if has_guidance else 4, 8, 8)
    assert one.get_control(noisy, torch.tensor([0.5]), given, 1, {})
    [modes] = seen
    return modes


@pytest.mark.parametrize("kind", KINDS)
def test_flux_reads_a_kind_by_its_own_number(with_mode: Callable, kind: str) -> None:
    control = flux_control(10)
    rows: list[list[int]] = []
    control.control_model.controlnet_mode_embedder.register_forward_pre_hook(
        lambda _, given: rows.append(given[0].tolist())
    )
    told, note = with_mode(control, kind)
    expected = [OF_FLUX[kind]] if kind in OF_FLUX else []
    assert reached(told, "flux") == expected
    assert rows == ([expected] if expected else [])
    assert "control_type" not in control.extra_args, "the loaded one serves other kinds too"
    assert bool(note) == (kind not in OF_FLUX)
    if note:
        assert f"no mode for {kind}" in note and "canny, tile, depth, pose" in note


@pytest.mark.parametrize("kind", KINDS)
def test_sdxl_reads_a_kind_by_the_hosts_number(with_mode: Callable, kind: str) -> None:
    numbers = load("comfy.cldm.control_types").UNION_CONTROLNET_TYPES
    told, note = with_mode(sdxl_control(8), kind)
    expected = [numbers[HOST_NAMES[kind]]] if kind in HOST_NAMES else []
    assert reached(told, "sdxl") == expected
    assert bool(note) == (not expected)


def test_a_union_of_fewer_modes_goes_without_and_that_is_told(with_mode: Callable) -> None:
    told, note = with_mode(sdxl_control(6), "tile")  # xinsir's first one, without ProMax's tile
    assert reached(told, "sdxl") == []
    assert "no mode for tile" in note and "role controlnet_tile" in note
    told, note = with_mode(flux_control(3), "pose")
    assert reached(told, "flux") == [] and "no mode for pose" in note


@pytest.mark.parametrize("make", [lambda: flux_control(0), lambda: sdxl_control(None)])
def test_a_controlnet_without_modes_passes_as_it_is(
    with_mode: Callable, make: Callable[[], Any]
) -> None:
    control = make()
    assert with_mode(control, "pose") == (control, "")
    assert reached(control, "flux" if control.latent_format else "sdxl") == []


def test_a_controlnet_without_a_network_of_the_host_passes(with_mode: Callable) -> None:
    control = load("comfy.controlnet").ControlBase()
    assert with_mode(control, "canny") == (control, "")


def test_a_mode_that_was_set_before_stays_and_is_told_where_it_is_another(
    with_mode: Callable,
) -> None:
    before = load("comfy_extras.nodes_controlnet").SetUnionControlNetType
    control = before.execute(flux_control(7), "openpose").result[0]
    told, note = with_mode(control, "pose")
    assert reached(told, "flux") == [0]
    assert "mode 0 (canny) set, which stays" in note and "its number for pose is 4" in note
    right = before.execute(sdxl_control(8), "openpose").result[0]
    assert with_mode(right, "pose") == (right, "")
    auto = before.execute(sdxl_control(8), "auto").result[0]
    assert "comes with no mode set" in with_mode(auto, "pose")[1]
