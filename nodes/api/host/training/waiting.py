"""Prompts at a tune that is trained here: they wait for it, and name it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....net.problems import ApiError
from ....training.asked import Training
from ....tunes.host.state import HostFiles, make_resolver
from ....tunes.names import shown
from ....tunes.tune import Tune
from ...packs.placeholders import Filling, prefixed
from .. import state
from ..missing import tags_of
from ..reading import TEXTS


@dataclass(frozen=True)
class ExpectedFiles(HostFiles):
    """The host's model files, and one that will be there when a training has ended."""

    folder: str
    name: str

    def list(self, folder: str) -> Sequence[str]:
        expected = [self.name.replace("/", os.sep)] if folder == self.folder else []
        return [*super().list(folder), *expected]


def training_at(tune: Tune | None) -> Training | None:
    """Return the training of a stored tune, None where it was not trained here.

    Raises: ApiError where it ended without a model.
    """
    training = None if tune is None or tune.is_mock else state.trainings().get(tune.id)
    if tune is not None and training is not None and training.status == "failed":
        raise ApiError(
            f"tune {tune.id} {shown(tune.title)} is not trained: {tune.user_error}",
            code="not-trained",
            hint="Make the tune anew, or have it go on in the sidebar of ComfyUI.",
        )
    return training


def named(
    tune: Tune | None,
    training: Training | None,
    attributes: Mapping[str, Any],
    fillings: Mapping[str, Filling],
) -> tuple[dict[str, Any], dict[str, Filling], list[str]]:
    """Return the attributes with the tag of the trained LoRA before a text that lacks it, where
    that stands in the texts as they were sent, and what is to be said.
    """
    key = next((one for one in TEXTS if isinstance(attributes.get(one), str)), None)
    if tune is None or training is None or training.kind != "lora":
        return dict(attributes), dict(fillings), []
    if key is None or not attributes[key].strip():
        return dict(attributes), dict(fillings), []
    resolver = make_resolver()
    for what, name in tags_of({key: attributes[key]}):
        meant = resolver.tune_of(name) if what == "LoRA" else None
        if meant is not None and meant.id == tune.id:
            return dict(attributes), dict(fillings), []
    tag = f"<lora:{tune.id}:1>"
    filling = prefixed(fillings.get(key), attributes[key], f"{tag} ")
    said = f"{tag} is added before the text, which does not name tune {tune.id}."
    return {**attributes, key: filling.text}, {**fillings, key: filling}, [said]
