"""Latent consistency models (LCM), recognised by the names of their files."""

from __future__ import annotations

import re
from pathlib import PurePath

# A word of its own (lcm-lora-sdv1-5), or capitals beside small letters (sdxlLCM, LCMv2 but not
# falcMan).
_NAMED = re.compile(r"(?<![A-Za-z])[Ll][Cc][Mm](?=v\d|[^a-z]|$)|LCM(?![A-Z])")


def is_named_lcm(file: str) -> bool:
    """Say whether the name of a file, without its folders, says that it is an LCM."""
    return _NAMED.search(PurePath(file.replace("\\", "/")).name) is not None
