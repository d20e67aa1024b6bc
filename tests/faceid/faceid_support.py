"""Tiny models with FaceID in this process, and diffusers' own UNet with the same weights beside
them.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfyui_astria.nodes.faceid.checkpoint import read_adapter
from comfyui_astria.nodes.faceid.ipadapter import KINDS
from comfyui_astria.nodes.faces.identity import Identity
from comfyui_astria.tests.faceid.adapters import State, somebody, tiny_file
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model
from torch import Tensor, nn

POOLED = 96
CONTEXT = {"sd15": 64, "sdxl": 128}
CLIP = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "projection_dim": 16,
    "image_size": 28,
    "patch_size": 7,
    "num_channels": 3,
    "hidden_act": "gelu",
    "model_type": "clip_vision_model",
}


@functools.cache
def model_of(family: str, seed: int = 0) -> Any:
    """Return a tiny MODEL; sdxl with the real one's 70 cross-attentions."""
    return tiny_model("sd15", seed) if family == "sd15" else _tiny_sdxl(seed)


def _tiny_sdxl(seed: int) -> Any:
    families = load("comfyui_astria.tests.testpack.families")
    config = families.FAMILIES["sdxl"]()
    config.unet_config |= {
        "context_dim": CONTEXT["sdxl"],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    }
    config.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    load("comfyui_astria.tests.testpack.weights").fill(model.diffusion_model, seed=seed)
    return load("comfy.model_patcher").CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


def text(family: str, seed: int, tokens: int = 8) -> list:
    generator = torch.Generator().manual_seed(seed)
    pooled = {"pooled_output": torch.randn(1, POOLED, generator=generator)}
    return [[torch.randn(1, tokens, CONTEXT[family], generator=generator), pooled]]


@functools.cache
def clip_vision() -> Any:
    """Return a tiny CLIP_VISION of the host."""
    model = load("comfy.clip_vision").ClipVisionModel(CLIP)
    load("comfyui_astria.tests.testpack.weights").fill(model.model, seed=5)
    model.model.float()
    return model


def loaded(kind: str, family: str = "sd15", seed: int = 0) -> Any:
    """Return a loaded adapter with random weights."""
    adapter = read_adapter(tiny_file(kind, family, seed), f"{kind} {seed}", kind)
    return load("comfyui_astria.nodes.faceid.host.ip_adapter").IPAdapterFaceID(
        adapter, clip_vision() if KINDS[kind].clip else None
    )


def use(
    faceid: Any, identity: Identity, strength: float = 1.0, start: float = 0.0, end: float = 1.0
) -> Any:
    return load("comfyui_astria.nodes.faceid.use").FaceIDUse(faceid, identity, strength, start, end)


def applied(model: Any, *uses: tuple[Any, Any], run: Any = None) -> Any:
    return load("comfyui_astria.nodes.faceid.host.apply").apply_faceids(model, uses, run)


@dataclass(frozen=True)
class Call:
    """What one call of the diffusion model was given, and what it returned."""

    x: Tensor
    timesteps: Tensor
    context: Tensor
    y: Tensor | None
    kinds: list[int]
    out: Tensor


def calls_of(
    model: Any,
    family: str,
    *,
    size: tuple[int, int] = (8, 12),
    cfg: float = 1.0,
    batch: int = 1,
    steps: int = 1,
) -> list[Call]:
    """Sample `steps` steps and return every call of the diffusion model."""
    calls: list[Call] = []

    def record(
        executor: Any,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor,
        control: Any,
        options: dict,
        **named: Any,
    ) -> Tensor:
        out = executor(x, timesteps, context, y, control, options, **named)
        calls.append(
            Call(
                x.clone(),
                timesteps.clone(),
                context.clone(),
                y,
                list(options["cond_or_uncond"]),
                out.clone(),
            )
        )
        return out

    watched = model.clone()
    watched.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "record", record
    )
    _sample(watched, family, _noise(batch, size), steps, cfg)
    return calls


def _noise(batch: int, size: tuple[int, int]) -> Tensor:
    generators = (torch.Generator().manual_seed(3 + image) for image in range(batch))
    return torch.cat([torch.randn(1, 4, *size, generator=generator) for generator in generators])


def _sample(model: Any, family: str, noise: Tensor, steps: int, cfg: float) -> None:
    texts = text(family, 1), text(family, 2)
    load("comfy.sample").sample(
        model,
        noise,
        steps,
        cfg,
        "euler",
        "simple",
        *texts,
        torch.zeros_like(noise),
        disable_pbar=True,
        seed=0,
    )


def difference(one: Tensor, other: Tensor) -> float:
    """Return the greatest difference, relative to the greatest value."""
    return ((one - other).abs().max() / other.abs().max()).item()


@functools.cache
def _diffusers() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        import diffusers
        from diffusers import UNet2DConditionModel

    diffusers.logging.set_verbosity_error()
    return UNet2DConditionModel


def diffusers_unet(model: Any, family: str) -> Any:
    """Return diffusers' UNet with the weights of a tiny MODEL."""
    options: dict[str, Any] = {
        "block_out_channels": (32, 64, 128, 128),
        "cross_attention_dim": CONTEXT["sd15"],
        "attention_head_dim": 8,
    }
    if family == "sdxl":
        options = {
            "block_out_channels": (32, 64, 128),
            "cross_attention_dim": CONTEXT["sdxl"],
            "attention_head_dim": (2, 4, 8),
            "transformer_layers_per_block": (1, 2, 10),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": POOLED + 6 * 256,
        }
    unet = _diffusers()(**options).eval()
    state = model.model.diffusion_model.state_dict()
    names = load("comfy.utils").unet_to_diffusers(model.model.model_config.unet_config)
    unet.load_state_dict(
        {
            name: state[path].clone()
            for name, path in names.items()
            if path in state and not name.startswith("class_embedding")
        }
    )
    return unet


@dataclass(frozen=True)
class Shown:
    """One adapter as diffusers is given it.

    Shapes: faces [n,512]; features (faces [n,S,E], nothing [1,S,E]); mask [H,W].
    """

    file: State
    faces: Tensor
    strength: float
    features: tuple[Tensor, Tensor] | None = None
    shortcut: bool = False
    mask: Tensor | None = None


def add_loras(unet: Any, files: Sequence[State]) -> None:
    """Merge each file's LoRA into the UNet, by the reference's numbering of its attentions."""
    for state in files:
        for number, name in enumerate(unet.attn_processors):
            attention = unet.get_submodule(name.removesuffix(".processor"))
            for part, layer in (
                ("q", attention.to_q),
                ("k", attention.to_k),
                ("v", attention.to_v),
                ("out", attention.to_out[0]),
            ):
                if (
                    up := state["ip_adapter"].get(f"{number}.to_{part}_lora.up.weight")
                ) is not None:
                    layer.weight.data += (
                        up @ state["ip_adapter"][f"{number}.to_{part}_lora.down.weight"]
                    )


def run_diffusers(unet: nn.Module, call: Call, shown: Sequence[Shown]) -> Tensor:
    """Return what diffusers makes of the same call, with these adapters, after their LoRAs were
    merged.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unet._load_ip_adapter_weights([one.file for one in shown], low_cpu_mem_usage=False)
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [one.strength for one in shown]
    kinds = torch.tensor(call.kinds).repeat_interleave(len(call.x) // len(call.kinds))
    negative = (kinds == 1).view(-1, 1, 1)
    embeds = []
    for one, layer in zip(shown, unet.encoder_hid_proj.image_projection_layers, strict=True):
        faces = one.faces[:, None] if "latents" in one.file["image_proj"] else one.faces
        rows = torch.where(negative.view(-1, *(1,) * faces.ndim), torch.zeros_like(faces), faces)
        embeds.append(rows)
        if one.features is not None:
            person, nobody = one.features
            layer.clip_embeds = torch.where(negative[..., None], nobody.expand_as(person), person)
            layer.shortcut = one.shortcut
    added: dict[str, Any] = {"image_embeds": embeds}
    if call.y is not None:
        height, width = (side * 8 for side in call.x.shape[2:])
        added |= {
            "text_embeds": call.y[:, :POOLED],
            "time_ids": torch.tensor([[height, width, 0, 0, height, width]]).repeat(len(call.x), 1),
        }
    masks = (
        {}
        if shown[0].mask is None
        else {"ip_adapter_masks": [one.mask[None, None] for one in shown]}
    )
    with torch.no_grad():
        return unet(
            call.x,
            call.timesteps,
            call.context,
            added_cond_kwargs=added,
            cross_attention_kwargs=masks or None,
        ).sample


def face(kind: str = "portrait", strength: float = 1.0, person: int = 1, **options: Any) -> Any:
    """Return somebody's face by an adapter of the kind."""
    return use(loaded(kind), somebody(person), strength, **options)
