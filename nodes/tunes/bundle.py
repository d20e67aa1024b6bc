"""What AstriaModels hands on."""

from __future__ import annotations

from dataclasses import dataclass, field

from .bindings import Bindings


@dataclass(frozen=True)
class ModelBundle:
    """What AstriaModels hands on.

    Bindings of its own, and the names of its sockets that hold a model.
    """

    bindings: Bindings = field(default_factory=Bindings)
    sockets: tuple[str, ...] = ()
