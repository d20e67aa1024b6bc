"""The prompt editor's HTTP routes on ComfyUI's own server, below /astria.

They read and change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from server import PromptServer

from ...api.host.queue import Queue
from . import panel
from .http import Asked, Handler, for_the_page, read_json
from .opening import as_nodes, mask_alone
from .planning import explanation, names_missing
from .prompt_box import completions, description, next_value, painted

_KINDS = {
    "text": str,
    "offset": int,
    "asked": bool,
    "start": int,
    "end": int,
    "up": bool,
    "delta": str,
    # Of the node in which the prompt stands; `sockets` are names parted by blanks.
    **dict.fromkeys(("family", "base", "model", "sockets"), str),
    **dict.fromkeys(("bindings", "missing_models", "last_family"), str),
    # The graph around it, as the editor would queue it, and the prompt's own node in that.
    "prompt": dict,
    "node": str,
}


def register(queue: Queue) -> None:
    """Add the routes of the prompt editor, and those of the sidebar, to the host's server.

    `queue` is that of the API's prompts.
    """
    routes = PromptServer.instance.routes
    routes.post("/astria/parse")(_answering(lambda asked: painted(asked["text"]), "text"))
    routes.post("/astria/complete")(_answering(_complete, "text", "offset"))
    routes.post("/astria/describe")(
        _answering(lambda asked: description(asked["text"], asked["offset"]), "text", "offset")
    )
    routes.post("/astria/step")(_answering(next_value, "text", "start", "end", "up", "delta"))
    routes.post("/astria/names")(_answering(names_missing, "text"))
    routes.post("/astria/explain")(_answering(explanation, "text"))
    routes.post("/astria/mask")(_answering(mask_alone, "text", "prompt", "node"))
    routes.post("/astria/as_nodes")(_answering(as_nodes, "text", "prompt", "node"))
    panel.register(routes, queue)


def _complete(asked: Asked) -> dict[str, Any]:
    return completions(asked["text"], asked["offset"], asked.get("asked", False))


def _answering(answer: Callable[[Asked], dict[str, Any]], *needed: str) -> Handler:
    """Return a handler that gives the fields of a request to `answer`, outside the server's own
    thread, and sends what it returns.
    """

    async def handle(request: web.Request) -> web.Response:
        asked = await read_json(request, needed, _KINDS)
        return web.json_response(await asyncio.to_thread(answer, asked))

    return for_the_page(handle)
