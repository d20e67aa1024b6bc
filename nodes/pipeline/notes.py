"""What the nodes of a plan have to tell once they have run, gathered into one text."""

from __future__ import annotations

from ..graph.definitions import Definitions
from ..graph.graph import Graph, Link, Value

JOINER = "AstriaAddToReport"
TELLING = ("info", "STRING")  # the output by which a node of this pack says what it found


def added(report: str, note: str) -> str:
    """Return the report with the lines of the note that it does not hold yet.

    Two stages that wear one LoRA tell the same of it, and most nodes have nothing to tell.
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
