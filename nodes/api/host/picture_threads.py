"""The threads in which requests are worked on, away from the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...tunes.prompts import Prompt

_AT_ONCE = 4
_CALLBACK = "callback"  # an address that nothing is fetched from


class PictureThreads:
    """Threads for pictures, decoded and searched for faces, so that few are in memory at once and
    looking something up never waits for it.

    Requests that name web addresses have threads of their own, so that waiting for a slow server
    holds up no request that fetches nothing.
    """

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(_AT_ONCE, "astria-api")
        self._fetchers = ThreadPoolExecutor(_AT_ONCE, "astria-fetch")

    async def run(self, act: Callable[..., Any], *values: Any) -> Any:
        """Run `act` on the values, the attributes of a request among them."""
        pool = self._fetchers if any(map(names_address, values)) else self._workers
        return await asyncio.get_running_loop().run_in_executor(pool, act, *values)


def names_address(value: Any) -> bool:
    """Say whether a web address stands anywhere in the attributes, in a prompt's text too, or in
    those of a stored prompt; that of a callback does not count.
    """
    if isinstance(value, Prompt):
        return names_address(value.fields)
    if isinstance(value, str):
        return "://" in value
    if isinstance(value, Mapping):
        return any(names_address(one) for key, one in value.items() if key != _CALLBACK)
    return isinstance(value, list) and any(map(names_address, value))
