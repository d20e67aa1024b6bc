"""Gathers the nodes of all features for the host."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..base.nodes import NODES as BASE
from ..finish.nodes import NODES as FINISH
from ..outpaint.nodes import NODES as OUTPAINT
from ..pipeline.nodes import NODES as PIPELINE
from ..prompt.nodes import NODES as PROMPT
from ..regions.nodes import NODES as REGIONS
from ..tunes.nodes import NODES as TUNES


class AstriaExtension(ComfyExtension):
    """The pack as the host sees it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [*PROMPT, *PIPELINE, *TUNES, *REGIONS, *BASE, *OUTPAINT, *FINISH]
