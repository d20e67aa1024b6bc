"""The notes that nodes of a plan give once they have run, gathered behind the report."""

from __future__ import annotations

from ..graph.definitions import Definitions
from ..graph.graph import Graph, Link, Value

JOINER = "AstriaAddToReport"
TELLING = ("info", "STRING")  # output with a node's note: what it found or left out


def added(report: str, note: str) -> str:
    """Return the report with the lines of the note that it does not hold yet.

    Two stages with one LoRA give the same note, and most nodes give none.
    """
    lines = dict.fromkeys(note.split("\n"))
    told = {*report.split("\n"), ""}
    return "\n".join([report, *(line for line in lines if line not in told)])


def with_notes(graph: Graph, definitions: Definitions, told: str) -> Value:
    """Add nodes that put what the nodes of the graph tell behind `told`, in their order.

    Return where the whole text comes out; `told` itself where no node has anything to tell. They
    are nodes, for the texts are there only when the others have run, and so the host's cache
    answers for them as for all others.
    """
    links = [
        Link(name, outputs.index(TELLING))
        for name, call in graph.nodes.items()
        if call.class_type in definitions
        and TELLING in (outputs := definitions[call.class_type].outputs)
    ]
    text: Value = told
    for number, link in enumerate(links, start=1):
        text = graph.add(f"report.{number}", JOINER, report=text, note=link)
    return text
