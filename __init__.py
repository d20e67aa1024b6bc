"""Astria prompts for ComfyUI.

Paste a prompt of the photo service, get the picture on your own machine.
"""

from __future__ import annotations

import logging

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Return the V3 extension.

    The host is imported here, not above: test runners import this file without ComfyUI.
    """
    try:
        from .nodes.extension import AstriaExtension
    except Exception:
        # The host reports a failing entrypoint in one line, without the traceback that says where.
        logging.getLogger(__name__).exception("The Astria prompts pack could not be loaded.")
        raise
    return AstriaExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
