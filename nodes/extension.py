"""Gathers the nodes of all features for the host."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .api.host import routes as api_routes
from .api.host import unrouted
from .base.nodes import NODES as BASE
from .control.nodes import NODES as CONTROL
from .editor.host import routes as editor_routes
from .faceid.nodes import NODES as FACEID
from .faces.nodes import NODES as FACES
from .finish.nodes import NODES as FINISH
from .host import folders
from .masking.nodes import NODES as MASKING
from .outpaint.nodes import NODES as OUTPAINT
from .people.nodes import NODES as PEOPLE
from .pipeline.compile_nodes import NODES as COMPILE
from .pipeline.nodes import NODES as PIPELINE
from .pipeline.prompt_nodes import NODES as PROMPT
from .pipeline.report_nodes import NODES as REPORT
from .redraw.nodes import NODES as FACE_INPAINTING
from .regions.lora_nodes import NODES as LORAS
from .regions.nodes import NODES as REGIONS
from .swap.nodes import NODES as FACE_SWAPPING
from .training.nodes import NODES as TRAINING
from .tunes.identity_nodes import NODES as IDENTITY
from .tunes.kept_nodes import NODES as KEPT_TUNES
from .tunes.nodes import NODES as TUNES


class AstriaExtension(ComfyExtension):
    """The pack as the host sees it."""

    async def on_load(self) -> None:
        folders.register()
        editor_routes.register(api_routes.register())
        unrouted.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        drawing = (
            *REGIONS,
            *LORAS,
            *PEOPLE,
            *MASKING,
            *FACEID,
            *FACES,
            *IDENTITY,
            *FACE_INPAINTING,
            *FACE_SWAPPING,
        )
        return [
            *PROMPT,
            *PIPELINE,
            *COMPILE,
            *REPORT,
            *TUNES,
            *KEPT_TUNES,
            *TRAINING,
            *drawing,
            *BASE,
            *CONTROL,
            *OUTPAINT,
            *FINISH,
        ]
