"""Gathers the nodes of all features for the host."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from ..base.nodes import NODES as BASE
from ..faceid.nodes import NODES as FACEID
from ..faces.inpaint_nodes import NODES as FACE_INPAINTING
from ..faces.nodes import NODES as FACES
from ..finish.nodes import NODES as FINISH
from ..masking.nodes import NODES as MASKING
from ..outpaint.nodes import NODES as OUTPAINT
from ..pipeline.nodes import NODES as PIPELINE
from ..prompt.nodes import NODES as PROMPT
from ..regions.nodes import NODES as REGIONS
from ..tunes.nodes import NODES as TUNES
from . import folders


class AstriaExtension(ComfyExtension):
    """The pack as the host sees it."""

    async def on_load(self) -> None:
        folders.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        drawing = (*REGIONS, *MASKING, *FACEID, *FACES, *FACE_INPAINTING)
        return [*PROMPT, *PIPELINE, *TUNES, *drawing, *BASE, *OUTPAINT, *FINISH]
