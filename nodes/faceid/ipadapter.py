"""IP-Adapter FaceID: a person's face as the tokens that the UNet's cross-attention attends to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..faces.face import W600K_PACKS

HEAD = 64  # channels of one head in every perceiver
DEPTH = 4  # layers of every perceiver

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class AdapterKind:
    """How one kind of adapter reads a face.

    `structure`: mlp turns the embedding into tokens; perceiver lets these tokens look at CLIP's
    features of the face as well; resampler lets learned tokens look at the embedding. `lora`: the
    file holds changes of the UNet's own attention. `normed`: the embedding is given at length 1.
    `mean`: several photos count as their mean face, at a constant cost; otherwise the tokens of all
    photos stand side by side.
    """

    title: str
    structure: Literal["mlp", "perceiver", "resampler"]
    lora: bool = True
    clip: bool = False
    shortcut: bool = False
    normed: bool = True
    mean: bool = False


AdapterName = Literal["faceid", "plus", "plusv2", "portrait", "portrait_unnorm"]
KINDS: Mapping[AdapterName, AdapterKind] = {
    "faceid": AdapterKind("FaceID", "mlp", mean=True),
    "plus": AdapterKind("FaceID Plus", "perceiver", clip=True),
    "plusv2": AdapterKind("FaceID PlusV2", "perceiver", clip=True, shortcut=True),
    "portrait": AdapterKind("FaceID Portrait", "mlp", lora=False),
    "portrait_unnorm": AdapterKind("FaceID Portrait unnorm", "resampler", lora=False, normed=False),
}


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter's weights, as its file holds them.

    `projection` and `lora` keep the file's names; `keys_values` are (to_k [h,C], to_v [h,C]) of
    each cross-attention in the file's order. `recognisers` are the packs whose embeddings it
    learned faces from.
    """

    name: str
    kind: AdapterKind
    projection: Weights
    keys_values: tuple[tuple[Tensor, Tensor], ...]
    lora: Weights
    recognisers: tuple[str, ...] = W600K_PACKS

    @property
    def width(self) -> int:
        """Channels C of a token, those of the model's text."""
        return self.keys_values[0][0].shape[1]

    @property
    def clip_width(self) -> int:
        """Channels of the CLIP features that a perceiver looks at."""
        return self.projection["perceiver_resampler.proj_in.weight"].shape[1]


@dataclass(frozen=True, eq=False)
class Features:
    """CLIP's features of the face in each photo, [n,tokens,channels], and the unconditional ones,
    of a picture of zeros, [1,tokens,channels].
    """

    faces: Tensor
    unconditional: Tensor


def identity_tokens(
    adapter: Adapter, embeddings: Tensor, features: Features | None = None
) -> Tensor:
    """Return a person's tokens and the unconditional ones, [2,T,C] float32 on the CPU.

    The unconditional ones are those of the zero embedding, for the rows of the negative prompt.
    Shapes: embeddings [n,512], the recogniser's own, of n photos; features where the kind looks at
    CLIP.
    Source: IP-Adapter, ip_adapter_faceid.py (get_image_embeds); several photos side by side as
    diffusers does.
    """
    faces = embeddings.float().cpu()
    if adapter.kind.normed:
        faces = F.normalize(faces, dim=-1)
    if adapter.kind.mean:
        faces = F.normalize(faces.mean(0, keepdim=True), dim=-1)
    of_faces = None if features is None else features.faces
    of_zeros = None if features is None else features.unconditional
    person = project(adapter, faces, of_faces).flatten(0, 1)
    unconditional = project(adapter, torch.zeros_like(faces[:1]), of_zeros)[0]
    return torch.stack([person, unconditional.repeat(len(faces), 1)])


def project(adapter: Adapter, faces: Tensor, features: Tensor | None) -> Tensor:
    """Return the tokens of each face, [n,T,C].

    Shapes: faces [n,512]; features [n,tokens,channels] for a perceiver, else None.
    """
    weights = {name: value.float() for name, value in adapter.projection.items()}
    if adapter.kind.structure == "resampler":
        latents = weights["latents"].expand(len(faces), -1, -1)
        return _perceive(weights, "", latents, faces[:, None])
    hidden = F.gelu(F.linear(faces, weights["proj.0.weight"], weights["proj.0.bias"]))
    tokens = F.linear(hidden, weights["proj.2.weight"], weights["proj.2.bias"]).unflatten(
        1, (-1, weights["norm.weight"].shape[0])
    )
    tokens = _norm(weights, "norm", tokens)
    if adapter.kind.structure == "mlp":
        return tokens
    assert features is not None
    looked = _perceive(weights, "perceiver_resampler.", tokens, features.float().cpu())
    return tokens + looked if adapter.kind.shortcut else looked


def keys_values(adapter: Adapter, tokens: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return keys and values [2,T,h] of the tokens [2,T,C] for each cross-attention, float32."""
    projected = []
    for to_k, to_v in adapter.keys_values:
        k = F.linear(tokens, to_k.float())
        v = F.linear(tokens, to_v.float())
        projected.append((k, v))
    return projected


def _perceive(weights: Weights, prefix: str, latents: Tensor, seen: Tensor) -> Tensor:
    """Return the latents [n,T,D] after attending to the features `seen` [n,S,E], as [n,T,C].

    Source: IP-Adapter, resampler.py.
    """
    seen = F.linear(seen, weights[f"{prefix}proj_in.weight"], weights[f"{prefix}proj_in.bias"])
    for number in range(DEPTH):
        layer = f"{prefix}layers.{number}."
        latents = latents + _attention(weights, f"{layer}0.", latents, seen)
        hidden = F.gelu(
            F.linear(_norm(weights, f"{layer}1.0", latents), weights[f"{layer}1.1.weight"])
        )
        latents = latents + F.linear(hidden, weights[f"{layer}1.3.weight"])
    latents = F.linear(
        latents, weights[f"{prefix}proj_out.weight"], weights[f"{prefix}proj_out.bias"]
    )
    return _norm(weights, f"{prefix}norm_out", latents)


def _attention(weights: Weights, layer: str, latents: Tensor, seen: Tensor) -> Tensor:
    """Return one attention of the latents to the features `seen` and to themselves."""
    own = _norm(weights, f"{layer}norm2", latents)
    both = torch.cat([_norm(weights, f"{layer}norm1", seen), own], 1)
    q = F.linear(own, weights[f"{layer}to_q.weight"])
    k, v = F.linear(both, weights[f"{layer}to_kv.weight"]).chunk(2, -1)
    q = q.unflatten(2, (-1, HEAD)).transpose(1, 2)  # [n,T,heads*d] -> [n,heads,T,d]
    k = k.unflatten(2, (-1, HEAD)).transpose(1, 2)
    v = v.unflatten(2, (-1, HEAD)).transpose(1, 2)
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return F.linear(out, weights[f"{layer}to_out.weight"])


def _norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])


def mlp_shapes(width: int, tokens: int, hidden: int, embedding: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight that turns an embedding into tokens."""
    return {
        "proj.0.weight": (hidden, embedding),
        "proj.0.bias": (hidden,),
        "proj.2.weight": (width * tokens, hidden),
        "proj.2.bias": (width * tokens,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }


def perceiver_shapes(prefix: str, width: int, output: int, seen: int) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every weight of a perceiver of `width` channels that looks at `seen`
    channels.
    """
    shapes: dict[str, tuple[int, ...]] = {
        "proj_in.weight": (width, seen),
        "proj_in.bias": (width,),
        "proj_out.weight": (output, width),
        "proj_out.bias": (output,),
        "norm_out.weight": (output,),
        "norm_out.bias": (output,),
    }
    for number in range(DEPTH):
        attention, forward = f"layers.{number}.0", f"layers.{number}.1"
        norms: Sequence[str] = (f"{attention}.norm1", f"{attention}.norm2", f"{forward}.0")
        shapes |= {f"{norm}.{part}": (width,) for norm in norms for part in ("weight", "bias")}
        shapes |= {
            f"{attention}.to_q.weight": (width, width),
            f"{attention}.to_kv.weight": (2 * width, width),
            f"{attention}.to_out.weight": (width, width),
            f"{forward}.1.weight": (4 * width, width),
            f"{forward}.3.weight": (width, 4 * width),
        }
    return {f"{prefix}{name}": shape for name, shape in shapes.items()}
