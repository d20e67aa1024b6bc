"""Plans that inpaint by Z-Image's ControlNet, worked out to the picture on tiny models."""

from __future__ import annotations

import atexit
import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.graph.graph import Socket
from comfyui_astria.nodes.pipeline.plan import Plan
from comfyui_astria.tests.control.test_inpaint_patch import INPAINTS, by_host, fun_union, patch_of
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.regional_support import difference, one_thread
from torch import Tensor

from .test_control_patch import patch_file, planned_with
from .test_inpaint_models import Run

WIDTH, HEIGHT = 61, 50
STEPS = "steps=2"
OUTPAINT = f"fields --outpaint {{}} --outpaint_width 109 --outpaint_height 90\n{STEPS}"


@functools.cache
def tall_model() -> Any:
    """Return a Z-Image of as many layers as the host's patch counts on, each of them tiny."""
    config = load("comfyui_astria.tests.testpack.families").FAMILIES["zimage"]()
    config.unet_config["n_layers"] = 30
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    load("comfyui_astria.tests.testpack.weights").fill(model.diffusion_model, seed=1)
    return load("comfy.model_patcher").CoreModelPatcher(model, cpu, cpu)


@functools.cache
def patch() -> Any:
    return fun_union(**INPAINTS)


# Models of the host clean up after themselves, which they cannot once the interpreter is being torn
# down.
atexit.register(tall_model.cache_clear)
atexit.register(patch.cache_clear)


def source() -> Tensor:
    return torch.rand(1, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(9))


class Painted(Run):
    """Works a plan out to its picture.

    `by_hand`: the masked picture is shown by the host's own node, with the hard mask and without
    the grey map that it makes.
    """

    def __init__(self, planned: Plan, *, by_hand: bool = False) -> None:
        super().__init__(planned.graph, "zimage")
        self._by_hand = by_hand
        mask = torch.zeros(1, HEIGHT, WIDTH)
        mask[:, 10:30, 20:50] = 1
        self._sockets = {"model": tall_model(), "image": source(), "mask": mask}
        with one_thread(), torch.no_grad():
            self.picture = self.value(planned.output)

    def value(self, of: Any) -> Any:
        if isinstance(of, Socket) and of.name in self._sockets:
            return self._sockets[of.name]
        return super().value(of)

    def _worked(self, call: Any) -> tuple:
        if call.class_type == "ModelPatchLoader":
            return (patch(),)
        if call.class_type == "CLIPTextEncode":
            return (text("zimage", seed=1 if call.inputs["text"] else 2),)
        if call.class_type != "AstriaZImageInpaint" or not self._by_hand:
            return super()._worked(call)
        given = {name: self.value(value) for name, value in call.inputs.items()}
        mask = (given["mask"] >= 0.5).float()
        model = by_host(
            given["model"], given["model_patch"], given["pixels"], mask, strength=given["strength"]
        )
        patch_of(model).encoded_image[:, :16] = 0
        return (model,)


@pytest.mark.parametrize("family", ["zimage", "zimage_turbo"])
@pytest.mark.parametrize(("anchor", "x", "y"), [("top-center", 24, 0), ("bottom-right", 48, 40)])
def test_outpainting_is_that_of_the_hosts_node_and_keeps_the_source(
    tmp_path: Path, family: str, anchor: str, x: int, y: int
) -> None:
    prompt = f"{OUTPAINT.format(anchor)}\ndenoising_strength=0"
    planned = [
        planned_with(patch_file(tmp_path, inputs), prompt, family, image=True)
        for inputs in (132, 132, 64)
    ]
    ours, hand = Painted(planned[0]).picture, Painted(planned[1], by_hand=True).picture
    assert ours.shape == (1, 90, 109, 3)
    assert torch.equal(ours[:, y : y + HEIGHT, x : x + WIDTH], source())
    assert torch.equal(ours, hand)
    assert difference(Painted(planned[2]).picture, ours) > 1e-2, "without it, another picture"


def test_each_image_is_outpainted_as_it_is_alone(tmp_path: Path) -> None:
    """With guidance, where the model is given two rows for each image."""
    text = f"{OUTPAINT.format('center')}\nw=64\nh=48\nseed="
    plans = [
        planned_with(patch_file(tmp_path), text + more)
        for more in ("100\nnum_images=2", "100", "101")
    ]
    together, *alone = (Painted(planned).picture for planned in plans)
    assert difference(together, torch.cat(alone)) < 1e-4
    assert difference(together[:1], together[1:]) > 1e-2


def test_a_masked_part_is_painted_as_by_the_hosts_node(tmp_path: Path) -> None:
    text = f"a cat\n{STEPS}\ndenoising_strength=1"
    plans = [
        planned_with(patch_file(tmp_path, inputs), text, image=True, mask=True)
        for inputs in (132, 132, 64)
    ]
    ours, hand = Painted(plans[0]).picture, Painted(plans[1], by_hand=True).picture
    assert torch.equal(ours, hand)
    kept = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
    kept[10:30, 20:50] = False
    assert torch.equal(ours[0, kept], source()[0, kept])
    assert difference(Painted(plans[2]).picture, ours) > 1e-2
