"""Callbacks: their addresses, and the times of their attempts."""

from __future__ import annotations

from typing import Any

from ..net.addresses import checked
from ..net.problems import ApiError
from ..net.settings import SETTINGS_FILE, ApiSettings

DELAYS_S = (5, 30, 120, 600, 3600)  # after the first, second ... attempt that failed
TIMEOUT_S = 15.0
LEASE_S = 60.0  # after this an attempt counts as lost: its process has recorded no result
AT_ONCE = 4


def callback_of(given: Any, settings: ApiSettings) -> tuple[str | None, list[str]]:
    """Return the address to call, and the notices on it.

    Raises: ApiError for an address that the owner does not allow.
    """
    if given in (None, ""):
        return None, []
    if not isinstance(given, str):
        raise ApiError("callback is no web address", code="bad-address")
    if not settings.callbacks:
        return None, [f"No callback is sent: callbacks = no in {SETTINGS_FILE}."]
    checked(given, settings.private_hosts)
    return given, []


def next_attempt(attempts: int, moment: float) -> float | None:
    """Return when to try again after `attempts` failed attempts, the last of them at `moment`.

    None: no more.
    """
    return moment + DELAYS_S[attempts - 1] if attempts <= len(DELAYS_S) else None
