"""The LoRA that is kept: the one whose pictures look most like the person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..low_rank import LearnedPair
from .state import BEST_FILE, Judged, save_whole


class Best:
    """The best LoRA so far, beside the training's state where that is kept, else in memory."""

    def __init__(self, folder: Path | None, factors: Mapping[str, LearnedPair]) -> None:
        self._path = None if folder is None else folder / BEST_FILE
        self._factors = factors
        self._kept: dict[str, Tensor] = {}

    def keep(self) -> None:
        """Keep the LoRA as it is now."""
        if self._path is None:
            self._kept = host_lora(self._factors)
        else:
            save_whole(self._path, host_lora(self._factors), {})

    def lora(self, judged: Judged, steps: int) -> dict[str, Tensor]:
        """Return the best LoRA, the last one where nobody judged."""
        if judged.best_step in (None, steps):
            return host_lora(self._factors)
        return self._kept if self._path is None else load_file(self._path)


def host_lora(factors: Mapping[str, LearnedPair]) -> dict[str, Tensor]:
    """Return the factors by the host's names, float32 on the CPU; alpha is the rank."""
    lora = {}
    for path, pair in factors.items():
        name = f"diffusion_model.{path}"
        lora[f"{name}.lora_down.weight"] = pair.down.detach().cpu().clone()
        lora[f"{name}.lora_up.weight"] = pair.up.detach().cpu().clone()
        lora[f"{name}.alpha"] = torch.tensor(float(pair.down.shape[0]))
    return lora
