"""Room for large pictures: a file of a few kB may be decoded to hundreds of MB."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGE_PIXELS = 8_000_000  # of a usual photo; four at once have some 200 MB
_large = threading.Lock()


@contextmanager
def room_for(pixels: int) -> Iterator[None]:
    """Hold the block until no other thread has a large picture in the works, if this is one."""
    if pixels <= LARGE_PIXELS:
        yield
        return
    with _large:
        yield
