"""Test-only node pack: tiny models of the real architectures with fixed random weights.

Their pictures are noise by design.
"""

from __future__ import annotations


async def comfy_entrypoint():
    """Return the V3 extension.

    The host is imported here, so that test runners can import this file without it.
    """
    from .nodes import TestPack

    return TestPack()


__all__ = ["comfy_entrypoint"]
