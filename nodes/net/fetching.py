"""Pictures fetched from the web for one request, all of them within one budget of bytes and
seconds.
"""

from __future__ import annotations

import time
from typing import Any

from .addresses import checked
from .problems import ApiError
from .settings import ApiSettings
from .web import Bounds, fetch


class Fetching:
    """Fetches the pictures of one request, one after the other.

    Together they have at most the bytes and seconds of the settings.
    """

    def __init__(self, settings: ApiSettings, settings_file: str) -> None:
        self._settings = settings
        self._settings_file = settings_file
        self._left_bytes = settings.request_bytes
        self._left_s = float(settings.fetch_timeout_s)

    def check(self, url: Any, what: str) -> None:
        """Check that the address may be fetched from.

        Raises: ApiError where it is none, or the owner has not allowed it.
        """
        if not isinstance(url, str):
            raise ApiError(f"{what} is {url!r}; expected a web address"[:300], code="bad-address")
        if not self._settings.fetch_urls:
            hint = (
                "Send the picture itself, or write the line fetch_urls = yes into"
                f" {self._settings_file}."
            )
            raise ApiError(
                f"{what} is a web address, and this server fetches none",
                code="fetching-is-off",
                hint=hint,
            )
        checked(url, self._settings.private_hosts)

    def get(self, url: Any, what: str) -> bytes:
        """Return the picture at a web address; `what` names it in errors.

        Raises: ApiError as `check` does, and where it cannot be had.
        """
        self.check(url, what)
        if self._left_s <= 0 or self._left_bytes <= 0:
            most = f"{self._settings.fetch_timeout_s} s or {self._settings.max_request_mb} MB"
            text = (
                f"{what} is not fetched: the pictures before it took all of the {most} that a"
                " request has"
            )
            hint = (
                "Send the pictures themselves, or fewer at once; the owner may raise"
                " fetch_timeout_s and max_request_mb."
            )
            raise ApiError(text, code="web-address", hint=hint)
        start = time.monotonic()
        try:
            bounds = Bounds(
                min(self._settings.image_bytes, self._left_bytes),
                self._left_s,
                self._settings.private_hosts,
            )
            content = fetch(url, bounds)
        finally:
            self._left_s -= time.monotonic() - start
        self._left_bytes -= len(content)
        return content
