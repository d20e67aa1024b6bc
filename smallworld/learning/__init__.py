"""Training the small world's models from nothing; using them needs none of it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from ...devtools.console import DevError, say

# In this order.
NAMES = ("autoencoder", "latents", "encoders", "unet", "pose", "flux", "detector", "recogniser")
NAMES += ("upscaler", "export", "faceid", "inpaint", "look", "faces", "people", "restore")


def run(argv: Sequence[str]) -> int:
    """Train what the first argument names; the others are for it."""
    if argv and argv[0] in ("-h", "--help"):
        say("python dev.py learn NAME [ARGUMENTS]; --help behind a name lists its arguments.")
        say(f"Names, in this order: {', '.join(NAMES)}.")
        return 0
    if not argv or argv[0] not in NAMES:
        raise DevError(
            f"There is no model {argv[0]!r} to train." if argv else "Which model is to be trained?",
            f"One of {', '.join(NAMES)}, in this order.",
        )
    importlib.import_module(f".{argv[0]}", __package__).main(list(argv[1:]))
    return 0
