"""Model folders that the host does not know: where users of such models already keep them."""

from __future__ import annotations

import os

import folder_paths

from ..graph.model_files import OWN_FOLDERS


def register() -> None:
    """Make the folders known to the host, beside those that the user's own settings or another pack
    gave the same key.
    """
    for key, name in OWN_FOLDERS.items():
        folder_paths.add_model_folder_path(key, os.path.join(folder_paths.models_dir, name))
