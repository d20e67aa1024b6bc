"""A person of a picture, as gathered by the person nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Person:
    """One person's conditionings, LoRAs as (file, strength), own checkpoint and FaceIDs.

    `negative` None: the scene's counts here too. `model` is a MODEL of the host, None where the
    picture's model draws this person; `faceids` are the uses of adapters that nodes/faceid defines.
    """

    positive: list
    negative: list | None = None
    loras: tuple[tuple[str, float], ...] = ()
    model: Any = None
    faceids: tuple[Any, ...] = ()
