"""A loaded IP-Adapter FaceID, which reads faces by the host's CLIP vision where its kind looks at
the photo.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...faces.identity import Identity
from ..errors import FaceIDError
from ..ipadapter import Adapter, Features, identity_tokens, keys_values

CLIP_CROP = 224


class IPAdapterFaceID:
    """A loaded IP-Adapter FaceID.

    `clip_vision` is the host's CLIP_VISION, None for a kind that looks at the embedding only.
    """

    def __init__(self, adapter: Adapter, clip_vision: Any = None) -> None:
        self.adapter = adapter
        self.clip_vision = clip_vision
        self._made: WeakKeyDictionary[Identity, list[tuple[Tensor, Tensor]]] = WeakKeyDictionary()

    def keys_values(self, identity: Identity) -> list[tuple[Tensor, Tensor]]:
        """Return keys and values [2,T,h], the person's and the unconditional ones, for each
        cross-attention, float32 on the CPU.

        Raises: FaceIDError for embeddings of a recogniser that the adapter does not know.
        """
        known = self.adapter.recognisers
        if identity.recogniser not in known:
            raise FaceIDError(
                f"The faces of '{identity.title}' were read by {identity.recogniser}; "
                f"the adapter '{self.adapter.name}' knows those of {known[0]}.",
                code="faceid-recogniser",
                hint=(
                    f"Load {known[0]} in Astria Load Face Analysis, and connect it to the identity."
                ),
            )
        if identity not in self._made:
            with torch.inference_mode(False), torch.no_grad():
                features = self._features(identity) if self.adapter.kind.clip else None
                self._made[identity] = keys_values(
                    self.adapter, identity_tokens(self.adapter, identity.embeddings, features)
                )
        return self._made[identity]

    def _features(self, identity: Identity) -> Features:
        # The reference feeds CLIP zeros for the unconditional rows. The host subtracts the mean
        # colour first, so a picture of that colour is zeros to CLIP.
        zeros = torch.tensor(self.clip_vision.image_mean).expand(1, CLIP_CROP, CLIP_CROP, 3)
        output = self.clip_vision.encode_image(torch.cat([identity.crop(CLIP_CROP), zeros]))
        encoded = output["penultimate_hidden_states"].float().cpu()
        if encoded.shape[-1] != self.adapter.clip_width:
            raise FaceIDError(
                f"The connected CLIP vision model gives {encoded.shape[-1]} channels; "
                f"the adapter '{self.adapter.name}' looks at {self.adapter.clip_width}.",
                code="faceid-clip-vision",
                hint="Load CLIP-ViT-H-14 (laion2B-s32B-b79K) from the clip_vision folder.",
            )
        return Features(encoded[:-1], encoded[-1:])
