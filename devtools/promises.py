"""What workflow files and API graphs rely on.

Ids, inputs, the order of widgets, and outputs of the pack's nodes. It only grows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..nodes.graph.definitions import Definitions, NodeDefinition, snapshot
from .console import DevError, say
from .paths import ROOT

PROMISES = ROOT / "tests" / "host" / "schema_snapshot.json"


def promise(definition: NodeDefinition) -> dict[str, Any]:
    """Return what a node promises.

    Its inputs by name, the order in which files keep its widgets' values, and its outputs in order.
    """
    inputs = {}
    for entry in definition.inputs.values():
        choices = {"choices": list(entry.choices)} if entry.choices is not None else {}
        inputs[entry.name] = {"type": entry.kind, "required": entry.required, **choices}
    widgets = [entry.name for entry in definition.inputs.values() if entry.is_widget]
    return {
        "inputs": inputs,
        "widgets": widgets,
        "outputs": [list(output) for output in definition.outputs],
    }


def broken(promised: Mapping[str, Any], definitions: Definitions) -> list[str]:
    """Return every promise that the definitions do not keep, in words."""
    faults = []
    for name, kept in promised.items():
        faults += [
            f"{name}: {fault}"
            for fault in (
                _faults(kept, promise(definitions[name]))
                if name in definitions
                else ["the node is gone"]
            )
        ]
    return faults


def _faults(kept: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, entry in kept["inputs"].items():
        if name not in now["inputs"]:
            yield f"the input '{name}' is gone"
            continue
        found = now["inputs"][name]
        if found["type"] != entry["type"]:
            yield f"the input '{name}' was {entry['type']} and is {found['type']}"
        if found["required"] and not entry["required"]:
            yield f"the input '{name}' may no longer be left out"
        lost = [
            choice
            for choice in entry.get("choices", ())
            if choice not in found.get("choices", (choice,))
        ]
        if lost:
            yield f"the input '{name}' no longer takes {', '.join(map(repr, lost))}"
    for name, entry in now["inputs"].items():
        if entry["required"] and name not in kept["inputs"]:
            yield f"the new input '{name}' is required; graphs made before it lack it"
    if now["widgets"][: len(kept["widgets"])] != kept["widgets"]:
        yield (
            f"the widgets were {', '.join(kept['widgets'])} and are {', '.join(now['widgets'])};"
            " files keep their values by place"
        )
    if now["outputs"][: len(kept["outputs"])] != kept["outputs"]:
        yield (
            f"the outputs were {kept['outputs']} and are {now['outputs']}; files keep links by"
            " place"
        )


def read() -> dict[str, Any]:
    """Return the promises made so far."""
    return json.loads(PROMISES.read_text(encoding="utf-8")) if PROMISES.exists() else {}


def run() -> int:
    """Add what the pack's nodes have gained to the promises.

    Raises DevError where one is broken: nothing is ever taken back.
    """
    own = {name: definition for name, definition in snapshot().items() if name.startswith("Astria")}
    promised = read()
    faults = broken(promised, own)
    if faults:
        raise DevError(
            "\n".join(["These promises are broken:", *faults]),
            "Give the old ids, inputs and places back; add new ones behind them.",
        )
    PROMISES.write_text(
        json.dumps({name: promise(own[name]) for name in sorted(own)}, indent=1) + "\n",
        encoding="utf-8",
    )
    say(
        f"written: {PROMISES.relative_to(ROOT)}, {len(own)} nodes, {len(own) - len(promised)} of"
        " them new"
    )
    return 0
