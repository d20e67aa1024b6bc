"""A starter for each family that is published as single files: a place to paste any prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ..nodes.graph.graph import Graph
from ..nodes.pipeline.compiling import load_base
from ..nodes.tunes.bindings import Bindings
from .examples import BINDINGS, PUBLISHED
from .one_node import PASTE, PASTE_STEPS, Starter, generate

PROMPTS: Mapping[str, str] = {
    "flux2": "a potter's workshop by the sea, bowls drying on a shelf, morning light, 35mm photo",
    "flux2_klein_4b": "a red fishing boat in a harbour in the fog, gulls on the pier, photograph",
    "flux2_klein_9b": "an old bookshop on a rainy evening, warm lamps in the window, photograph",
    "zimage_turbo": "a tram climbing a steep street at dusk, wet rails, lit windows, film photo",
    "krea2_turbo": "a greenhouse cafe full of ferns, two cups on a marble table, film photo",
}
SIZE = "num_images=1\nw=1024\nh=1024\n"


def _start(name: str, title: str) -> Starter:
    graph = Graph()
    bases = Bindings.parse(BINDINGS, "the examples' bindings").bases
    models = load_base(graph, bases[name])
    wired = {"model": models.model, "clip": models.clip, "vae": models.vae}
    generate(graph, f"{PROMPTS[name]}\n{SIZE}", wired)
    return Starter(graph, PASTE, PASTE_STEPS, title)


FAMILY_STARTERS: Mapping[str, Callable[[], Starter]] = {
    f"start_{one.name}": partial(_start, one.name, one.title) for one in PUBLISHED
}
