"""The answer below /astria where no route is: an error in JSON, as every other refusal."""

from __future__ import annotations

from aiohttp import web
from server import PromptServer

from ...net.problems import ApiError, envelope
from ...net.settings import ApiSettings
from ..left_out import why_unanswered
from ..objects import ROOT
from .routes import guarded

_REST = "rest"
_PATHS = (ROOT, f"{ROOT}/{{{_REST}:.*}}")


def register() -> None:
    """Answer what is left below /astria. Call when every other route is there."""
    for path in _PATHS:
        PromptServer.instance.routes.route("*", path)(guarded(_answer))


async def _answer(request: web.Request, settings: ApiSettings) -> web.Response:
    allowed = ", ".join(sorted(await _methods(request)))
    path = f"{ROOT}/{request.match_info.get(_REST, '')}".rstrip("/")
    if allowed:
        error = ApiError(
            f"{path} does not take {request.method}"[:300],
            code="wrong-method",
            hint=f"It takes {allowed}.",
            status=405,
        )
        return web.json_response(envelope(error), status=405, headers={"Allow": allowed})
    what, hint = why_unanswered(path.removeprefix(ROOT))
    raise ApiError(what[:300], code="not-found", hint=hint, status=404)


async def _methods(request: web.Request) -> set[str]:
    """Return the methods that other routes of the pack take at this address."""
    found: set[str] = set()
    for resource in request.app.router.resources():
        path = resource.canonical.removeprefix("/api")
        if path.startswith(f"{ROOT}/") and f"{{{_REST}" not in path:
            found |= (await resource.resolve(request))[1]
    return found
