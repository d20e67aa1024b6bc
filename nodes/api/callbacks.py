"""When a callback is tried, and how long."""

from __future__ import annotations

DELAYS_S = (5, 30, 120, 600, 3600)  # after the first, second ... attempt that failed
TIMEOUT_S = 15.0
LEASE_S = 60.0  # one attempt is over by then: whoever made it has told how it went, or is gone
AT_ONCE = 4


def next_attempt(attempts: int, moment: float) -> float | None:
    """Return when to try again after `attempts` failed attempts, the last of them at `moment`; None: no more."""
    return moment + DELAYS_S[attempts - 1] if attempts <= len(DELAYS_S) else None
