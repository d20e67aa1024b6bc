"""The service's HTTP routes on ComfyUI's own server, below /astria."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from comfy.cli_args import args
from server import PromptServer

from ...errors import AstriaError, BindingsError
from ...host.shown_paths import without_folders
from ...host.state import state_folder
from ...net.problems import ApiError, envelope
from ...net.settings import ApiSettings
from ...tunes.store import DATABASE_FILE
from .. import access
from ..objects import ROOT
from . import state
from .arriving import stop_counting
from .callbacks import Callbacks
from .handlers import Handlers
from .packs.routes import PackHandlers
from .pictures.inspect import InspectHandlers
from .queue import Queue
from .training.leavings import sweep_trainings
from .tune_files import sweep_models

_FORGETTING_S = 3600.0  # between two looks for prompts that are not kept any longer

_log = logging.getLogger(__name__)


def register() -> Queue:
    """Add the routes to the host's server, and what goes on in the background while it runs.

    Return the queue of prompts.
    """
    server = PromptServer.instance
    callbacks = Callbacks()
    queue = Queue(callbacks.wake)
    handlers = Handlers(queue, callbacks)
    for one in (handlers, PackHandlers(handlers), InspectHandlers(handlers)):
        for (method, path), answer in one.table().items():
            server.routes.route(method, ROOT + _with_ending(path))(guarded(answer))
    background = _BackgroundTasks(queue, callbacks)
    server.app.on_startup.append(background.start)
    server.app.on_cleanup.append(background.stop)
    return queue


def _with_ending(path: str) -> str:
    """Return a path as aiohttp's routes spell it, with what may follow: .json, a slash, or both."""
    if path.endswith("{name}"):  # of a file, which has an ending of its own
        return path
    return path.removesuffix(".json") + r"{ending:(?:\.json)?/?}"


def guarded(
    answer: Callable[[web.Request, ApiSettings], Awaitable[web.StreamResponse]],
) -> Callable:
    """Return a handler that answers those who may ask, and tells errors in ComfyUI's envelope."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            settings = await asyncio.to_thread(state.settings)
            access.check(request.headers, settings.key, args.listen, state.SHOWN_SETTINGS_FILE)
            return await answer(request, settings)
        except AstriaError as error:
            status = _status(error)
            return web.json_response(
                without_folders(envelope(error)),
                status=status,
                headers={"WWW-Authenticate": "Bearer"} if status == 401 else None,
            )
        finally:
            stop_counting(request)

    return handle


def _status(error: AstriaError) -> int:
    if isinstance(error, ApiError):
        return error.status
    # What the owner has to mend, and not who asked.
    return 503 if isinstance(error, BindingsError) or error.code.startswith("tunes-") else 422


class _BackgroundTasks:
    """Follows the queue and sends callbacks while the server runs."""

    def __init__(self, queue: Queue, callbacks: Callbacks) -> None:
        self._queue = queue
        self._callbacks = callbacks
        self._tasks: list[asyncio.Task] = []

    async def start(self, app: web.Application) -> None:
        with contextlib.suppress(AstriaError):  # a slip in api.ini, which each request is told
            await self._queue.is_fleet()
        # Looking makes no database where nothing was ever kept.
        if (state_folder() / DATABASE_FILE).exists():
            try:
                await self._take_up()
            except (AstriaError, OSError) as error:
                _log.error(
                    "Astria prompts of the last run cannot be taken up again: %s",
                    without_folders(str(error)),
                )
        self._tasks = [
            asyncio.create_task(self._queue.follow()),
            asyncio.create_task(self._queue.trainings.follow()),
            asyncio.create_task(self._when_kept()),
            asyncio.create_task(self._forget()),
        ]
        for task in self._tasks:
            task.add_done_callback(_report)

    async def _take_up(self) -> None:
        if not await self._queue.is_only_one():
            _log.warning(
                "Another ComfyUI runs with this folder: what its Astria prompts left is its own."
            )
            return
        await asyncio.to_thread(state.sweep)
        await asyncio.to_thread(sweep_models)
        await asyncio.to_thread(sweep_trainings)
        await self._queue.resume()

    async def _when_kept(self) -> None:
        if not (state_folder() / DATABASE_FILE).exists():
            await self._callbacks.woken()
        await self._callbacks.deliver()

    async def _forget(self) -> None:
        while True:
            if (state_folder() / DATABASE_FILE).exists():
                try:
                    await self._queue.forget(await asyncio.to_thread(state.settings))
                except (AstriaError, OSError) as error:
                    text = without_folders(str(error))
                    _log.warning("Old Astria prompts are not removed: %s", text)
            await asyncio.sleep(_FORGETTING_S)

    async def stop(self, app: web.Application) -> None:
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._queue.close()


def _report(task: asyncio.Task) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("Astria's API has stopped following prompts; restart ComfyUI", exc_info=error)
