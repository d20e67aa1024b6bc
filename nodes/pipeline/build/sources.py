"""What a plan starts from.

Models and pictures as links, and what the artist decides beside the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ...families.family import Family
from ...families.few_steps import is_named_lcm
from ...graph.graph import Graph, Value
from ...outpaint.geometry import SmallerPolicy
from .text import Models

MissingModels = Literal["error", "skip"]


@dataclass(frozen=True)
class Sources:
    """The values the plan starts from.

    Links to loader nodes, or sockets of the node that expands it.

    `connected` holds models beside MODEL, CLIP and VAE by the name of their socket; what is not
    there comes from the bindings. `model_file` is the file of the model, "" where it is not known,
    `lcm` what else shows that it is an LCM, where it is one, and `family_why` what tells its family
    from others of the same kind.
    """

    models: Models
    family: Family
    image: Value | None = None
    mask: Value | None = None
    person_masks: Value | None = None
    control_image: Value | None = None
    connected: Mapping[str, Value] = field(default_factory=dict)
    outpaint_models: Models | None = None
    outpaint_family: Family | None = None
    model_file: str = ""
    lcm: str = ""
    family_why: str = ""
    # Holds what the links above come from; the plan is written into it.
    graph: Graph = field(default_factory=Graph)

    @property
    def lcm_sign(self) -> str:
        """What shows that the model is an LCM, "" where nothing does."""
        return self.lcm or (self.model_file if is_named_lcm(self.model_file) else "")


@dataclass(frozen=True)
class Options:
    """The artist's choices beside the prompt."""

    seed: int = 0
    missing_models: MissingModels = "error"
    smaller_canvas: SmallerPolicy = "crop"
    keep_unmasked: bool = False
    drawn_mask: str = ""
