"""The stored tune of a prompt, and the values of its placeholders by that tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....host.state import state_folder
from ....tunes.host.state import make_resolver
from ....tunes.state import bindings_in
from ....tunes.tune import Tune
from ...packs.placeholders import Filling, fill, has_placeholders
from .. import state
from ..missing import tags_of


def tune_at(tune_id: str | None) -> Tune | None:
    """Return the stored tune that prompts of this id run at.

    None where it is a base of the bindings, or nothing at all.
    """
    if tune_id is None or not tune_id.isdecimal() or len(tune_id) > 16:
        return None
    if tune_id in bindings_in(state_folder()).bases:
        return None
    return state.tunes().get(int(tune_id))


def tag_of(tune: Tune) -> str:
    """Return the tag by which a text names a tune, empty for a checkpoint."""
    return f"<{tune.model_type}:{tune.id}:1>" if tune.model_type in ("lora", "faceid") else ""


def filled(
    tune: Tune | None, attributes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Filling]]:
    """Return the attributes with their placeholders filled, and the texts that changed.

    By the tune that they run at, else by the one tune with characteristics that their tags name;
    with neither `{{...}}` is text. Raises: ApiError for placeholders without a value.
    """
    if not has_placeholders(attributes):
        return dict(attributes), {}
    if tune is None:
        named = _named(attributes)
        if len(named) > 1:
            return fill(attributes, {}, f"the text names {len(named)} tunes with characteristics")
        if not named:
            return dict(attributes), {}
        tune = named[0]
    return fill(attributes, values_of(tune), f"tune {tune.id} has no such characteristic")


def values_of(tune: Tune) -> dict[str, str]:
    """Return the values of placeholders for prompts at a tune; characteristics win."""
    own = {"tune": tag_of(tune), "name": tune.name or "", "token": tune.token}
    known = {key: value for key, value in own.items() if value or key == "tune"}
    return {**known, **tune.characteristics}


def _named(attributes: Mapping[str, Any]) -> list[Tune]:
    """Return the tunes with characteristics that tags of the texts name, each once."""
    found: dict[int, Tune] = {}
    resolver = make_resolver()
    for what, name in tags_of(attributes):
        tune = resolver.tune_of(name) if what != "embedding" else None
        if tune is not None and tune.characteristics:
            found[tune.id] = tune
    return list(found.values())
