"""The pack's private folder on the running host, and fingerprints that tell nothing of what lies
in it.
"""

from __future__ import annotations

from pathlib import Path

import folder_paths

from ..net.secret import keyed_hash, own_key

STATE_NAME = "astria"


def state_folder() -> Path:
    """Return the pack's private folder inside ComfyUI's user directory.

    It is not reachable over HTTP.
    """
    return Path(folder_paths.get_system_user_directory(STATE_NAME))


def fingerprint(*parts: str) -> str:
    """Return a keyed hash that changes when one of the texts does, and reveals none of them.

    ComfyUI writes what a node's `fingerprint_inputs` returns into the metadata of every picture
    (`is_changed`, in `prompt`), and pictures are shared.
    """
    return keyed_hash(own_key(state_folder()), parts)
