"""What nodes of the host have put into a MODEL, as far as this pack must know it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Of the host's ZImageControlPatch and DiffSynthCnetPatch: the picture that steers, as a latent,
# scaled to the size of whatever is drawn.
_STEERS = "encoded_image"


def steering_patch(transformer_options: Mapping[str, Any]) -> str:
    """Return the class of a patch that steers by a control picture, "" where there is none.

    Unlike a ControlNet in a conditioning, such a patch is not cut to a part of the picture.
    """
    for patches in transformer_options.get("patches", {}).values():
        for patch in patches:
            if hasattr(patch, _STEERS):
                return type(patch).__name__
    return ""
