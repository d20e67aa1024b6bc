"""How much memory a training needs, before it starts.

What the gradient keeps was measured on a CPU, at the peak of a step, on models of the published
depth and a narrow width; nothing yet on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..families.family import family

GIB = 2**30
# Weight, gradient and the two moments of AdamW, in float32.
BYTES_PER_TRAINED = 16
# Numbers held at the peak of a step beside weights, LoRA and optimiser, for each latent cell (SD)
# or token (Flux) and channel of the model's width, as `bench train` measures them, without and with
# checkpointing. Flux' are those of 16 bits, a fifth more: it turns queries and keys in float32.
KEPT = {"sd15": (325.0, 75.0), "sdxl": (660.0, 55.0), "flux": (1220.0, 110.0)}
TEXT_TOKENS = 512  # of Flux
RESERVED = GIB  # for the libraries, and what the estimate does not know


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on the device: the base's weights, the trained part, and what the gradient keeps."""

    weights: int
    trained: int
    kept: int
    kept_checkpointed: int

    def total(self, *, checkpointing: bool) -> int:
        """Return what stays free of offloading, beside the weights."""
        return self.trained + (self.kept_checkpointed if checkpointing else self.kept) + RESERVED

    def lines(self, *, checkpointing: bool, free: int) -> str:
        """Return the need in words."""
        kept = self.kept_checkpointed if checkpointing else self.kept
        return (
            "Memory, by measurements on a CPU and not measured on a GPU yet: base"
            f" {_gib(self.weights)} (what does not fit is offloaded), LoRA with optimiser"
            f" {_gib(self.trained)}, kept for the gradient"
            f" {_gib(kept)}{' with checkpointing' if checkpointing else ''}; free {_gib(free)}."
        )


@dataclass(frozen=True)
class Trained:
    """What is trained of a base: its size in bytes, the family, the LoRA's numbers."""

    branch: str
    weights: int
    parameters: int
    width: int
    item_bytes: int  # of a number in what the model computes in


def memory_need(of: Trained, cells: int) -> MemoryNeed:
    """Return what a training needs whose largest picture has so many latent cells."""
    base = family(of.branch)
    places = cells / base.latent.patch**2 + (TEXT_TOKENS if base.text.in_sequence else 0)
    plain, checkpointed = (
        int(factor * places * of.width * of.item_bytes) for factor in KEPT[of.branch]
    )
    return MemoryNeed(of.weights, of.parameters * BYTES_PER_TRAINED, plain, checkpointed)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
