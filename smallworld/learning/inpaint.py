"""Trains the small inpainting models, as deltas of the families' own: `python dev.py learn inpaint
--family sd15`, or flux.

As the published ones they see a mask, and the latents of what the mask leaves, beside the noisy
ones. The family's weights stand still; what learns is a LoRA of layers, and the way in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...devtools.console import DevError
from .. import model_files
from ..packing import packed
from ..scene import random_scene
from .flux import POOL, Texts, flow, is_plain, noise_levels, t5_encoder
from .host import open_host
from .loop import Learner, asked, state_file
from .low_rank import lowered
from .masked import FIRST_SEED, MaskedPictures, leaves_heads, mask_of, masked_pictures
from .quick import keep_inputs, quicken
from .unet import Step, Taught, clip_encoder, loss_of, standing_still

BATCH = 8
RANK = 8
# Ranks of the files; SD1.5's four hold 93 % of its squared change.
FILED = {"sd15": 4, "flux": 3}
HELD = 0.99  # of the squared change of a layer; some need fewer ranks for it
PICTURES = 3200
FAMILIES = ("sd15", "flux")
CHANNELS = {"sd15": 9, "flux": 96}
# Layers of the transformer that learn: those that see the image, and the guidance.
FLUX_LAYERS = re.compile(r"double_blocks\.\d+\.img_(attn|mlp)|single_blocks\.\d+\.linear|guidance")
# What the published Fill is used with, and what the family's own is.
FILL_GUIDANCE, GUIDANCE = 30.0, 3.5


class LowRank(nn.Module):
    """W + up(down), of a layer's weight [n,...]."""

    def __init__(self, weight: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        flat = weight.flatten(1)
        first = torch.randn(RANK, flat.shape[1], generator=generator) * flat.shape[1] ** -0.5
        self.down = nn.Parameter(first)
        self.up = nn.Parameter(torch.zeros(len(flat), RANK))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


class Delta(nn.Module):
    """What an inpainting model has other than the family's own, whose weights `network` has.

    Its layers learn through what is here.
    """

    def __init__(self, family: str, network: nn.Module, seed: int = 19) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        way_in = model_files.WAYS_IN[family]
        self.layers = nn.ModuleDict()
        for name, layer in list(network.named_modules()):
            if not isinstance(layer, nn.Linear | nn.Conv2d) or name == way_in:
                continue
            if family == "flux" and not FLUX_LAYERS.match(name):
                continue
            own = LowRank(layer.weight, generator)
            parametrize.register_parametrization(layer, "weight", own)
            self.layers[name.replace(".", "/")] = own
        self.way_in = network.get_submodule(way_in).weight
        self.way_in.requires_grad_(True)


class Beside(nn.Module):
    """A network that sees more channels beside the noisy latents."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *given: Tensor, beside: Tensor, **more: object) -> Tensor:
        return self.network(torch.cat([x, beside], 1), *given, **more)


def inpainting(family: str, weights: dict[str, Tensor]) -> nn.Module:
    """Return the host's network of more channels in with a family's weights; the new ones do
    nothing.
    """
    from ..host.files import FAMILIES as CONFIGURATIONS

    config = CONFIGURATIONS[family][0](CHANNELS[family])
    config.set_inference_dtype(torch.float32, None)
    network = config.get_model({}, "").diffusion_model
    layer = f"{model_files.WAYS_IN[family]}.weight"
    wide = torch.zeros_like(network.state_dict()[layer])
    own = weights[layer]
    wide[:, : own.shape[1]] = own
    network.load_state_dict({**weights, layer: wide})
    return network.requires_grad_(False)


def save_inpaint(work: Path) -> list[Path]:
    """Write what was learned and return the files."""
    return [
        _save(family, state)
        for family in FAMILIES
        if (state := state_file(work, _name(family))).exists()
    ]


def _name(family: str) -> str:
    return f"inpaint_{family}"


def _save(family: str, state: Path) -> Path:
    weights = lowered(torch.load(state, weights_only=False)["average"], FILED[family], HELD)
    way_in = f"{model_files.NETWORK}{model_files.WAYS_IN[family]}.weight"
    kept = {way_in: weights.pop("way_in")}
    for name, value in weights.items():
        layer = name.removeprefix("layers.").replace("/", ".")
        # One scale a rank, in place of one an output.
        kept[model_files.NETWORK + layer] = (
            value.T.contiguous() if name.endswith(model_files.UP) else value
        )
    path = model_files.inpaint(family)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(packed(kept), path, {"description": model_files.ABOUT})
    return path


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "inpaint", 6000, family="sd15")
    if given.family not in FAMILIES:
        raise DevError(f"There is no family {given.family!r}.", f"One of {', '.join(FAMILIES)}.")
    given.work.mkdir(parents=True, exist_ok=True)
    open_host()
    model, loss = _unet(given.work) if given.family == "sd15" else _flux(given.work)
    name = _name(given.family)
    learner = Learner(name, model, given.work, given.steps, ("",), adam=1e-3, adds_in_place=False)
    learner.run(loss, given.minutes)


def _unet(work: Path) -> tuple[Delta, Callable[[int], Tensor]]:
    """Return what learns of SD1.5, and what a step costs."""
    patcher, vae, rows, network = standing_still()
    seeds = range(FIRST_SEED, FIRST_SEED + PICTURES)
    pictures = masked_pictures(work, "sd15", seeds, patcher.model, vae)
    unet = inpainting("sd15", network["unet"].state_dict())
    model = Delta("sd15", unet)
    network["unet"] = Beside(unet)
    quicken(network)

    def steer(step: Step) -> dict[str, Tensor]:
        return {"beside": pictures.beside(step.scenes)}

    sigmas = patcher.model.model_sampling.sigmas
    return model, loss_of(network, Taught(pictures, rows, sigmas, BATCH, steer, pictures.weights))


def _flux(work: Path) -> tuple[Delta, Callable[[int], Tensor]]:
    """Return what learns of Flux, and what a step costs."""
    from ..host.files import load
    from .restore import network_state

    patcher, _, vae = load("flux")
    texts = Texts()
    encoders = {"clip": clip_encoder(len(texts.clip.ids)), "t5": t5_encoder(len(texts.t5.ids))}
    network = nn.ModuleDict({"flux": patcher.model.diffusion_model, **encoders})
    network.load_state_dict(network_state("flux")["model"], strict=False)
    network.requires_grad_(False)
    pictures = masked_pictures(work, "flux", _plain_seeds(), patcher.model, vae)
    filled = inpainting("flux", network["flux"].state_dict())
    model = Delta("flux", filled)
    begin_guidance(filled)
    for one in (network["flux"], filled):
        keep_inputs(one)
    return model, _flux_loss(network, Beside(filled), texts, pictures)


@torch.no_grad()
def begin_guidance(flux: nn.Module) -> None:
    """Let a transformer with a delta hear the guidance of Fill as its family's own, which it has
    learned; the first one is far beyond.
    """
    from comfy.ldm.flux.layers import timestep_embedding

    layer = flux.guidance_in.in_layer
    both = torch.tensor([FILL_GUIDANCE, GUIDANCE])
    heard, known = timestep_embedding(both, layer.in_features)
    delta = layer.parametrizations.weight[0]
    delta.up[:, 0] = layer.weight @ (known - heard) / heard.norm()
    delta.down[0] = heard / heard.norm()


def _plain_seeds() -> list[int]:
    """Return the pictures that the transformer can learn: whom it is to paint stands where it
    expects people.
    """
    found: list[int] = []
    seed = FIRST_SEED
    while len(found) < PICTURES:
        scene = random_scene(seed)
        if is_plain(scene) or leaves_heads(scene, mask_of(scene, np.random.default_rng(seed))):
            found.append(seed)
        seed += 1
    return found


def _flux_loss(
    network: nn.ModuleDict, filled: Beside, texts: Texts, pictures: MaskedPictures
) -> Callable[[int], Tensor]:
    """Return what a step costs: the error of the flow's direction where the picture is painted,
    led by as much as guidance leads the family's own.
    """

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng(step)
        x, scenes = pictures.some(rng, POOL * BATCH)
        chosen, spoken = texts.of(scenes, rng)
        x, scenes = x[chosen], [scenes[one] for one in chosen]
        sigma, noise = noise_levels(BATCH), torch.randn_like(x)
        noisy = x.lerp(noise, sigma.view(-1, 1, 1, 1))
        said = texts.states(network, spoken)
        painted = torch.stack([pictures.painted(scene) for scene in scenes])[:, None]
        with torch.no_grad():
            led, plain = (
                flow(network["flux"], noisy, sigma, said, torch.full((BATCH,), guidance))
                for guidance in (GUIDANCE, 1.0)
            )
        wanted = noise - x + painted * (led - plain)
        # A prompt's own cfg_scale comes here too.
        guidance = torch.where(torch.rand(BATCH) < 0.5, FILL_GUIDANCE, 1 + 4 * torch.rand(BATCH))
        beside = pictures.beside(scenes)
        found = flow(filled, noisy, sigma, said, guidance, beside=beside)
        counts = torch.stack([pictures.weights(scene) for scene in scenes])[:, None]
        return ((found - wanted).square() * counts).mean()

    return loss
