"""What the example workflows ask their reader to bring, tiny.

Files under the published names, and a photo; face_files.py has what faces need.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from ...devtools import examples
from ..host.graphs import upload_picture
from ..host.running import LiveHost
from ..host.tiny_lora import write_tiny_lora

PHOTO_PX = 512


def furnish(host: LiveHost, *, faces: bool = True) -> None:
    """Put everything into the host's folders, and make the examples' tunes.

    Without `faces` what needs no package beside the host's: LoRAs, an embedding, a photo of nobody.
    """
    families = {"flux": "flux", "sd15": "sd15"}  # no example for SDXL names a LoRA
    families |= {one.name: one.branch for one in examples.PUBLISHED}
    for family, branch in families.items():
        for name in examples.FILES["loras"]:
            write_tiny_lora(host.loras, branch, f"{family}_{name}")
    for name in examples.FILES["loras"]:
        write_tiny_lora(host.loras, "flux", name)
    _save_embedding(host.base / "models" / "embeddings" / "EasyNegative.safetensors")
    if not faces:
        upload_picture(host, PHOTO_PX, PHOTO_PX, examples.IMAGE)
        return
    from .face_files import furnish_faces  # imports packages of the tests

    furnish_faces(host)


def _save_embedding(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": torch.randn(2, 64, generator=torch.Generator().manual_seed(0))}, path)
