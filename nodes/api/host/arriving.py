"""Bodies on their way: how fast they come, and how much of them is held at once."""

from __future__ import annotations

import asyncio
import weakref
from types import TracebackType

from aiohttp import web

from ...net.problems import ApiError
from ...net.settings import ApiSettings
from ..limits import too_large

# A second, over `read_timeout_s` seconds: a tenth of a slow telephone's line.
LEAST_BYTES_S = 10_000
REQUESTS_AT_ONCE = 3  # of the largest size; many more of the usual one

_HELD = "astria_held"  # of a request


class _Held:
    """The bytes that are held for one request, until it is answered."""

    def __init__(self) -> None:
        self.size = 0


_all_held: weakref.WeakSet[_Held] = weakref.WeakSet()


class _Cut(TimeoutError):
    """Ends the reading of a body. Of this kind aiohttp makes no fuss when it reads the rest."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


def stop_counting(request: web.BaseRequest) -> None:
    """Count nothing more for a request that is answered."""
    request.pop(_HELD, None)


class Arriving:
    """Watches over a body while the block reads it.

    Raises in the block: ApiError, 408 for one that comes too slowly, 413 for one above `most_bytes`
    however it is made up, 503 where too much is held for all requests together.
    """

    def __init__(self, request: web.Request, settings: ApiSettings, most_bytes: int) -> None:
        self._request = request
        self._settings = settings
        self._most_bytes = most_bytes
        self._seen = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Arriving:
        announced = self._request.content_length or 0
        if announced > self._most_bytes:
            raise self.too_large(announced)
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(error, _Cut):
            raise error.error from None

    def hold(self, size: int) -> None:
        """Count what is kept in memory until `stop_counting`. Raises: ApiError, 503."""
        held = self._request.setdefault(_HELD, _Held())
        _all_held.add(held)
        held.size += size
        most_mb = REQUESTS_AT_ONCE * self._settings.max_request_mb
        if sum(one.size for one in _all_held) > most_mb * 1_000_000:
            raise ApiError(
                f"the requests that are here at once have more than {most_mb} MB",
                code="busy",
                hint="Try again later; the owner may raise max_request_mb in api.ini.",
                status=503,
            )

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._settings.read_timeout_s, self._look)

    def _look(self) -> None:
        """Look what has come since the last time."""
        content, window = self._request.content, self._settings.read_timeout_s
        if content.is_eof():
            return
        came = content.total_bytes - self._seen
        self._seen = content.total_bytes
        if self._seen > self._most_bytes:
            content.set_exception(_Cut(self.too_large(self._seen)))
        elif came < LEAST_BYTES_S * window:
            text = (
                f"{came} bytes of the request came in {window} s; expected at least"
                f" {LEAST_BYTES_S * window}, or its end"
            )
            hint = "Send it again over a faster line; the owner may raise read_timeout_s."
            content.set_exception(_Cut(ApiError(text, code="too-slow", hint=hint, status=408)))
        else:
            self._wait()

    def too_large(self, size: int) -> ApiError:
        """Return the error of a body of `size` bytes or more."""
        return too_large(
            f"the request has {size} bytes or more; expected at most {self._most_bytes}",
            "The owner may raise the limits in api.ini.",
        )
