"""What of the pack runs here, for machines of a fleet to be told apart that are not alike."""

from __future__ import annotations

import functools
import hashlib

from ..devtools.paths import ROOT


@functools.cache
def pack_version() -> str:
    """Return a hash of the pack's code, the same on machines with the same checkout."""
    found = hashlib.sha256()
    for folder in ("nodes", "fleet"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:12]
