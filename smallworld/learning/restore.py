"""Writes the states that training goes on from, out of the world's files: `python dev.py learn
restore`. The files hold less precision and no optimiser; both come back within some steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from ...devtools.console import say
from ..model_files import ENCODERS, NETWORK, VAES, families, path_of
from ..packing import unpacked
from . import layout
from .autoencoder import ENCODER
from .encoders import first_model
from .export import STATES, renamed
from .host import open_host
from .loop import asked, state_file

# Of a first training's rates: with all of it, the noise of single steps undoes what was learned.
RATE = 0.3


def main(argv: Sequence[str]) -> None:
    """Write the states of each family, and of its autoencoder, that are not there."""
    given = asked(argv, "restore", 0)
    given.work.mkdir(parents=True, exist_ok=True)
    open_host()
    for family in families():
        name, _, encoders = STATES[family]
        state = network_state(family)
        _write(given.work, name, state)
        for encoder, *_ in encoders:
            _write(given.work, encoder, encoder_state(encoder, state["model"]))
        weights = _whole(unpacked(load_file(path_of(VAES[family]))))
        if _write(given.work, VAES[family], {"model": weights}):
            encoder = {key: value for key, value in weights.items() if key.startswith(ENCODER)}
            torch.save(encoder, given.work / f"{VAES[family]}.encoder.pt")


def network_state(family: str) -> dict[str, object]:
    """Return the model of a family as its training names it, and the tokens of its tables."""
    name, _, encoders = STATES[family]
    weights = unpacked(load_file(path_of(family)))
    model = renamed(weights, NETWORK, f"{name}.")
    tokens = {}
    for own, hosts, table, ids in encoders:
        prefix = f"{ENCODERS}{hosts}.transformer."
        model |= renamed(weights, prefix, f"{own}.")
        tokens[ids] = model.pop(f"{own}.{table}.rows")
    if family == "flux":  # what only learns along begins anew
        begun = layout.head(len(model["flux.img_in.bias"])).state_dict()
        model |= {f"layout.{key}": value for key, value in begun.items()}
    return {"model": _whole(model), **tokens}


def encoder_state(name: str, network: Mapping[str, Tensor]) -> dict[str, object]:
    """Return a text encoder as its own training names it; what read its states begins anew.

    `network` are the weights of the model that it speaks to, its own among them.
    """
    from ..host.models import TABLES

    weights = renamed(network, f"{name}.", "encoder.")
    [table] = [key for key in weights if key.endswith(TABLES)]
    begun = first_model(name, len(weights[table])).state_dict()
    return {"model": {**begun, **weights}}


def _write(work: Path, name: str, state: Mapping[str, object]) -> bool:
    path = state_file(work, name)
    if path.exists():
        return False
    whole = {"optimisers": None, "average": state["model"], "step": 0, "rate": RATE, **state}
    torch.save(whole, path)
    say(f"{path.name}: from the world's file")
    return True


def _whole(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in weights.items()
    }
