"""A prompt in its node as other graphs: as plain nodes to open, and as what its mask alone needs.

Both begin with the nodes that are connected to it, as the editor would queue them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...errors import PlanError
from ...families.family import FAMILIES, Family, inpaint_model_of
from ...graph.dynamic_prompts import words_apart
from ...graph.graph import Graph, Link, Socket, Value, expansion
from ...graph.sockets import MODEL_SOCKETS
from ...graph.ui_form import ui_workflow
from ...host.models import live_definitions
from ...pipeline.build.sources import Options, Sources
from ...pipeline.build.text import Models
from ...pipeline.compiling import Compiled, needed_files, note_text, without_unused
from ...pipeline.host.run_pictures import run_pictures
from ...pipeline.mask_graph import MASKS, with_mask_shown
from ...pipeline.pictures import with_files
from ...pipeline.plan import draft, plan
from ...prompt import PromptRequest
from .http import RequestError
from .planning import PICTURES, Context, context_of, model_file_of

_BASE = ("model", "clip", "vae")
_OWN = ("seed", "smaller_canvas", "keep_unmasked", "drawn_mask")


def as_nodes(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return `text` as a workflow for the editor, of the models and pictures connected to its node.

    Raises: PlanError, MissingModelError where it cannot be planned.
    """
    context = context_of(asked)
    if context.family is None:
        raise PlanError(
            "Which family the connected model is of cannot be told before a run.",
            code="family-not-known",
            hint="Run the node once, then open it as nodes.",
        )
    request, sources = _sources(asked, context.family)
    planned = plan(request, sources, context.resolver, _options(asked, context))
    graph = planned.graph
    graph.add("output.save", "SaveImage", images=planned.output, filename_prefix="astria")
    used = words_apart(without_unused(graph))
    definitions = live_definitions({call.class_type for call in used.nodes.values()})
    note = note_text(request, Compiled(used, planned, needed_files(used)))
    return {"workflow": ui_workflow(used, definitions, note)}


def mask_alone(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nodes that show what `text` masks, ready to queue, the picture's `output`, and the
    `mask` node that tells the editor what was found, empty where none does.

    Raises: PlanError, MissingModelError where nothing is masked, or not yet.
    """
    context = context_of(asked)
    # Of the family a mask takes only what sizes are multiples of, and the fit is cut off again.
    request, sources = _sources(asked, context.family or FAMILIES["sd15"])
    options = _options(asked, context)
    # Blank stands for a drawing that is yet to come: then a given mask too comes from a node that
    # tells it.
    options = replace(options, drawn_mask=options.drawn_mask or " ")
    drafted = draft(request, sources, context.resolver, options)
    graph, shown = with_mask_shown(request, drafted)
    prefix = f"{asked['node']}."
    found = next((prefix + name for name in MASKS if name in graph.nodes), "")
    return {
        "nodes": expansion(graph, prefix, {}),
        "output": [f"{prefix}{shown.node}", shown.slot],
        "mask": found,
    }


def _options(asked: Mapping[str, Any], context: Context) -> Options:
    own = _entry(asked["prompt"], asked["node"])["inputs"]
    given = {name: own[name] for name in _OWN if isinstance(own.get(name), (int, str))}
    return replace(context.options.options, **given)


def _sources(asked: Mapping[str, Any], family: Family) -> tuple[PromptRequest, Sources]:
    """Return the request, and what is connected to its node as nodes of a new graph."""
    prompt, node = asked["prompt"], asked["node"]
    inputs = _entry(prompt, node)["inputs"]
    if _is_link(inputs.get("models")):
        inputs = {**_entry(prompt, inputs["models"][0])["inputs"], **inputs}
    graph = Graph()
    links = {
        name: _copied(prompt, inputs[name], graph, "input" if name in PICTURES else "models")
        for name in (*_BASE, *PICTURES, *MODEL_SOCKETS, "outpaint_model")
        if _is_link(inputs.get(name))
    }
    request = with_files(PromptRequest.require(asked["text"]), links, run_pictures())
    base: list[Value] = [links.get(name, Socket(name)) for name in _BASE]
    models = Models(*base)
    sources = Sources(
        models,
        family,
        **{name: links[name] for name in PICTURES if name in links},
        connected={name: links[name] for name in MODEL_SOCKETS if name in links},
        model_file=model_file_of(asked),
        graph=graph,
    )
    if request.outpaint is not None and "outpaint_model" in links:
        painter = replace(models, model=links["outpaint_model"])
        of = inpaint_model_of(family.branch)
        sources = replace(sources, outpaint_models=painter, outpaint_family=of)
    return request, sources


def _copied(
    prompt: Mapping[str, Any], link: list, graph: Graph, stage: str, path: tuple[str, ...] = ()
) -> Link:
    """Add the node of a link, after all before it, to the graph; return the link there.

    Raises: RequestError where the graph runs in a circle.
    """
    number, slot = link
    if number in path:
        raise RequestError(f"Node {number} of the graph comes after itself.", code="bad-graph")
    name = next((name for name in graph.nodes if name.partition(".")[2] == number), None)
    if name is None:
        entry = _entry(prompt, number)
        inputs = {
            key: _copied(prompt, one, graph, stage, (*path, number)) if _is_link(one) else one
            for key, one in entry["inputs"].items()
        }
        name = graph.add(f"{stage}.{number}", entry["class_type"], **inputs).node
    return Link(name, slot)


def _is_link(value: object) -> bool:
    match value:
        case [str(), int()]:
            return True
    return False


def _entry(prompt: Mapping[str, Any], number: str) -> Mapping[str, Any]:
    match prompt.get(number):
        case {"class_type": str(), "inputs": dict()} as entry:
            return entry
    raise RequestError(
        f"The graph has no node '{number}' with class_type and inputs.", code="bad-graph"
    )
