"""Callbacks: each queued POST is sent, tried again for some time, and outlives a restart.

At least once; a header tells repetitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from ...errors import AstriaError
from ...host.shown_paths import without_folders
from ...net.problems import ApiError
from ...net.settings import SETTINGS_FILE, ApiSettings
from ...net.web import Bounds, post
from ...tunes.prompts import Callback
from ..callbacks import AT_ONCE, LEASE_S, TIMEOUT_S, next_attempt
from ..objects import callback_body
from . import state
from .training.telling import told_tune

_LOOK_S = 2.0  # callbacks are also owed by other processes that use this folder, which wake nobody
DELIVERY = "Astria-Delivery"  # the same over all attempts of one callback

_log = logging.getLogger(__name__)


class Callbacks:
    """Sends queued callbacks. Its methods run in the server's own thread."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        # Of their own: a program that hangs holds up callbacks only.
        self._senders = ThreadPoolExecutor(AT_ONCE, "astria-callback")

    def wake(self) -> None:
        """Look for queued callbacks at once."""
        self._wake.set()

    async def woken(self) -> None:
        """Wait until there may be something to send."""
        await self._wake.wait()

    async def deliver(self) -> None:
        """Send callbacks when they are due, until cancelled."""
        while True:
            try:
                await self._round()
            except AstriaError as error:
                # The database is busy, its disk full, or the settings hold a slip.
                _log.warning("Astria callbacks cannot be sent: %s", without_folders(error.message))
                await asyncio.sleep(TIMEOUT_S)

    async def _round(self) -> None:
        """Send what is due; with nothing due, wait until something is, or may be."""
        self._wake.clear()
        due_at = await asyncio.to_thread(state.prompts().next_callback_due)
        wait_s = _LOOK_S if due_at is None else min(due_at - time.time(), _LOOK_S)
        if wait_s > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(wait_s, 0.05))
            return
        # A slip in them holds callbacks up, and is no attempt that failed.
        settings = await asyncio.to_thread(state.settings)
        due = await asyncio.to_thread(
            state.prompts().claim_callbacks, time.time(), AT_ONCE, LEASE_S
        )
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(loop.run_in_executor(self._senders, _send, one, settings) for one in due)
        )


def _about_tune(callback: Callback) -> str | None:
    """Return the body of a callback about a tune as it is now; None where it is gone."""
    tune = state.tunes().get(callback.tune_id or 0)
    return None if tune is None else callback_body("tune", told_tune(tune, callback.origin or ""))


def _send(callback: Callback, settings: ApiSettings) -> None:
    store = state.prompts()
    if not settings.callbacks:  # turned off since it was stored
        store.fail_callback(callback.id, f"callbacks = no in {SETTINGS_FILE}")
        return
    body = callback.body if callback.tune_id is None else _about_tune(callback)
    if body is None:
        store.fail_callback(callback.id, "the tune was deleted before its callback was sent")
        return
    try:
        headers = {"Content-Type": "application/json", DELIVERY: callback.delivery}
        post(
            callback.url,
            body.encode("utf-8", "surrogatepass"),
            headers,
            Bounds(0, TIMEOUT_S, settings.private_hosts),
        )
    except ApiError as error:
        due = next_attempt(callback.attempts + 1, time.time())
        if due is None:
            _log.warning(
                "An Astria callback is given up after %d attempts: %s",
                callback.attempts + 1,
                error.message,
            )
            store.fail_callback(callback.id, error.message)
        else:
            store.retry_callback(callback.id, due)
    else:
        store.mark_delivered(callback.id)
