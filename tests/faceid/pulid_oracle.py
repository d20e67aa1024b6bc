"""PuLID's networks in plain double-precision arithmetic, from the text of
pulid/encoders_transformer.py in github.com/ToTheBeginning/PuLID.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


class Oracle:
    """Reads weights by their published names."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._weights = {key: tensor.double() for key, tensor in weights.items()}

    def linear(self, name: str, x: Tensor) -> Tensor:
        return torch.einsum(
            "...i,oi->...o", x, self._weights[f"{name}.weight"]
        ) + self._weights.get(f"{name}.bias", 0)

    def norm(self, name: str, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return centred / spread * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def attention(self, name: str, seen: Tensor, looking: Tensor, head: int) -> Tensor:
        """One head after another; `seen` and `looking` are normed."""
        queries = self.linear(f"{name}.to_q", looking)
        keys_values = self.linear(f"{name}.to_kv", seen)
        inner = queries.shape[-1]
        results = []
        for start in range(0, inner, head):
            q, k, v = (
                part[..., start : start + head]
                for part in (queries, keys_values[..., :inner], keys_values[..., inner:])
            )
            scores = torch.einsum("bqd,bkd->bqk", q, k) / head**0.5
            results.append(torch.einsum("bqk,bkd->bqd", scores.softmax(-1), v))
        return self.linear(f"{name}.to_out", torch.cat(results, -1))

    def cross_attention(self, number: int, tokens: Tensor, picture: Tensor) -> Tensor:
        """PerceiverAttentionCA: what a block's image tokens [B,L,C] get from the tokens [B,T,D] of
        an identity.
        """
        name = f"pulid_ca.{number}"
        seen = self.norm(f"{name}.norm1", tokens.double())
        looking = self.norm(f"{name}.norm2", picture.double())
        return self.attention(name, seen, looking, 128).to(picture)

    def encoder(self, face: Tensor, states: Sequence[Tensor]) -> Tensor:
        """IDFormer: the tokens of faces [n,F] and five states [n,P,V] each."""
        face, states = face.double(), [state.double() for state in states]
        latents = self._weights["pulid_encoder.latents"]
        out = self._weights["pulid_encoder.proj_out"]
        queries, dim = latents.shape[1:]
        of_face = self._mapping("id_embedding_mapping", face).reshape(len(face), -1, dim)
        hidden = torch.cat([latents.repeat(len(face), 1, 1), of_face], 1)
        layers = 1 + max(
            int(key.split(".")[2])
            for key in self._weights
            if key.startswith("pulid_encoder.layers.")
        )
        for layer in range(layers):
            name, scale = f"pulid_encoder.layers.{layer}", layer // (layers // 5)
            features = torch.cat([of_face, self._mapping(f"mapping_{scale}", states[scale])], 1)
            looking = self.norm(f"{name}.0.norm2", hidden)
            seen = torch.cat([self.norm(f"{name}.0.norm1", features), looking], 1)
            hidden = hidden + self.attention(f"{name}.0", seen, looking, 64)
            inside = self.linear(f"{name}.1.1", self.norm(f"{name}.1.0", hidden))
            hidden = hidden + self.linear(
                f"{name}.1.3", inside * 0.5 * (1 + torch.erf(inside / 2**0.5))
            )
        return torch.einsum("nqd,do->nqo", hidden[:, :queries], out)

    def _mapping(self, name: str, x: Tensor) -> Tensor:
        name = f"pulid_encoder.{name}"
        for linear, norm in ((0, 1), (3, 4)):
            x = self.norm(f"{name}.{norm}", self.linear(f"{name}.{linear}", x))
            x = torch.where(x > 0, x, 0.01 * x)
        return self.linear(f"{name}.6", x)
