"""Model folders that the host does not know: where users of such models already keep them."""

from __future__ import annotations

import os

import folder_paths

# Key of the folder -> its name below the models folder. Files with an ending that the host lists
# are listed; transformers models are folders.
FOLDERS = {
    "ipadapter": "ipadapter",
    "pulid": "pulid",
    "insightface": "insightface",
    "clipseg": "clipseg",
    "grounding-dino": "grounding-dino",
    "sams": "sams",
    "luts": "luts",
    "facedetection": "facedetection",
}


def register() -> None:
    """Make the folders known to the host, beside those that the user's own settings or another pack
    gave the same key.
    """
    for key, name in FOLDERS.items():
        folder_paths.add_model_folder_path(key, os.path.join(folder_paths.models_dir, name))
