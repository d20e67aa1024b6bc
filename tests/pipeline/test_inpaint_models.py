"""What the host's nodes show inpaint models beside the noise where there is no mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.graph.graph import Graph, Link, Socket
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model

from .support import plan_text

FAMILIES = ("sd15_inpaint", "sdxl_inpaint", "flux_fill")
TEXT, HIRES = "a cat\nnum_images=2\nw=64\nh=64", "a cat\nw=64\nh=64\nhires_fix=true"
# way -> (prompt, whether an input image is connected, the stage that is looked at)
WAYS = {"text": (TEXT, False, "base"), "image": (TEXT, True, "base")}
WAYS["hires fix"] = (HIRES, False, "hires_fix")


class Run:
    """Works a plan's nodes out in this process, as far as sampling needs them.

    Models are the test's, and an enlarged picture is any picture.
    """

    def __init__(self, graph: Graph, family: str) -> None:
        self._graph, self._family = graph, family
        self._done: dict[str, tuple] = {}
        config = load("comfyui_astria.tests.testpack.families").FAMILIES[family]()
        self.vae = load("comfyui_astria.tests.testpack.vae").faithful_vae(config.latent_format)

    def value(self, of: Any) -> Any:
        if isinstance(of, Socket):
            return {"vae": self.vae, "image": torch.rand(1, 64, 64, 3)}.get(of.name)
        if not isinstance(of, Link):
            return of
        if of.node not in self._done:
            self._done[of.node] = self._worked(self._graph.nodes[of.node])
        return self._done[of.node][of.slot]

    def _worked(self, call: Any) -> tuple:
        if call.class_type == "CLIPTextEncode":
            return (text(self._family.split("_")[0], seed=1),)
        if call.class_type == "AstriaSuperResolution":
            return (torch.rand(1, 128, 128, 3),)
        given = {name: self.value(value) for name, value in call.inputs.items()}
        return _execute(call.class_type, given)


def _execute(class_type: str, given: Mapping[str, Any]) -> tuple:
    hosts = ("mask", "sd3", "flux", "images", "custom_sampler", "differential_diffusion")
    modules = [f"comfy_extras.nodes_{name}" for name in hosts]
    modules += [f"comfyui_astria.nodes.{name}.nodes" for name in ("base", "outpaint", "control")]
    for module in map(load, modules):
        if hasattr(module, class_type):
            return getattr(module, class_type).execute(**given).result
    node = load("nodes").NODE_CLASS_MAPPINGS[class_type]
    return getattr(node(), node.FUNCTION)(**given)


@torch.no_grad()
def shown_to_model(family: str, way: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample a stage of the plan; return what the network saw beside the noise, and what a grey
    picture is to it.
    """
    prompt, has_image, stage = WAYS[way]
    graph = plan_text(prompt, family, image=has_image, upscale_model=True).graph
    run = Run(graph, family)
    guided = graph.nodes[f"{stage}.guider"].inputs
    positive = run.value(guided.get("positive", guided.get("conditioning")))
    latent = run.value(graph.nodes[f"{stage}.sampler"].inputs["latent_image"])["samples"]
    model, seen = tiny_model(family), []

    def look(executor: Any, x: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        seen.append(x)
        return torch.zeros_like(x[:, : latent.shape[1]])

    model.add_wrapper_with_key("diffusion_model", "test", look)
    load("comfy.sample").sample(
        model,
        torch.randn_like(latent),
        1,
        1.0,
        "euler",
        "simple",
        positive,
        text(family.split("_")[0], seed=2),
        latent,
        disable_pbar=True,
        seed=0,
    )
    size = (1, latent.shape[2] * 8, latent.shape[3] * 8, 3)
    grey = model.model.process_latent_in(run.vae.encode(torch.full(size, 0.5)))
    assert len(seen[0]) == len(latent)
    return seen[0][:, latent.shape[1] :], grey


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_mask_inpaint_models_are_shown_grey_and_a_full_mask(
    family: str, way: str
) -> None:
    shown, grey = shown_to_model(family, way)
    is_fill = family == "flux_fill"
    picture, mask = (shown[:, :16], shown[:, 16:]) if is_fill else (shown[:, 1:], shown[:, :1])
    assert mask.shape[1] == (64 if is_fill else 1) and mask.eq(1).all()
    # Half of 255 is no whole number.
    assert (picture - grey).abs().max() < 1e-3
    assert len(shown) == (1 if way == "hires fix" else 2)


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_ordinary_models_are_shown_nothing(family: str) -> None:
    for prompt, has_image, _ in WAYS.values():
        nodes = plan_text(prompt, family, image=has_image, upscale_model=True).graph.nodes
        assert not [one for one in nodes if one.endswith((".inpaint", ".whole", ".grey"))]
