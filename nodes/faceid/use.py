"""The use of a FaceID adapter for one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..faces.identity import Identity


@dataclass(frozen=True, eq=False)
class FaceIDUse:
    """One person's face on a model.

    `faceid` is a loaded adapter, `identity` the person, `start` and `end` parts 0..1 of the steps.
    """

    faceid: Any
    identity: Identity
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
