"""A small drawn world, to learn on a CPU and to measure pictures by.

A host that is started with it loads this folder as a pack of its own.
"""

from __future__ import annotations


async def comfy_entrypoint():
    """Return the V3 extension. The host is imported here: most of the world needs none."""
    from .nodes import SmallWorld

    return SmallWorld()


__all__ = ["comfy_entrypoint"]
