"""Which text encoder a link brings, as far as the graph of a run tells it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import PlanError
from ..families.family import Family

GetNode = Callable[[str], Mapping[str, Any]]


def check_text_encoder(get_node: GetNode, clip: Sequence[Any], of: Family) -> None:
    """Check that the loader behind the link `clip` makes of its file what the family reads.

    `get_node` gives the nodes of the run. Other loaders, and choices that come over a link, are
    left to the host.
    Raises: PlanError naming the choice and the right one; the host's own error, in the midst of
    sampling, would speak of sizes of matrices.
    """
    call = get_node(clip[0])
    while isinstance(before := call["inputs"].get("clip"), list):  # through LoRAs
        call = get_node(before[0])
    chosen = call["inputs"].get("type")
    if call["class_type"] != of.text.loader or not isinstance(chosen, str):
        return
    if of.text.types and not re.fullmatch(of.text.types, chosen):
        raise PlanError(
            f"clip is loaded by {of.text.loader} with type '{chosen}', and the model is {of.title},"
            " which cannot read what that makes of texts.",
            code="clip-type",
            hint=f"Choose type {of.text.type} in {of.text.loader}.",
        )
