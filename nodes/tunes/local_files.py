"""The model files below a ComfyUI folder, listed as ComfyUI would, for the command line where no
host runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..graph.model_files import OWN_FOLDERS

# ComfyUI's keys whose files may also lie in a folder of another name.
FOLDER_NAMES = {
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("diffusion_models", "unet"),
    "controlnet": ("controlnet", "t2i_adapter"),
}
# Where ComfyUI's nodes that save models put them, below its output folder.
OUTPUT_NAMES = {
    "checkpoints": "checkpoints",
    "text_encoders": "clip",
    "vae": "vae",
    "diffusion_models": "diffusion_models",
    "loras": "loras",
}
# What ComfyUI lists in its own folders; in those that a pack brings it lists every file.
LISTED_ENDINGS = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
_PASSED_OVER = ".git"


class LocalFiles:
    """The files of one or more model folders, as `<ComfyUI>/models`.

    Beside the first one lies the output folder, where ComfyUI saves models.
    """

    def __init__(self, *models: Path) -> None:
        self._models = models

    def roots(self, folder: str) -> Sequence[str]:
        found = [
            models / name
            for models in self._models
            for name in FOLDER_NAMES.get(folder, (OWN_FOLDERS.get(folder, folder),))
        ]
        if folder in OUTPUT_NAMES:
            found += [
                models.parent / "output" / OUTPUT_NAMES[folder] for models in self._models[:1]
            ]
        return [str(root) for root in found]

    def list(self, folder: str) -> Sequence[str]:
        takes_all = folder in OWN_FOLDERS
        names = {name for root in self.roots(folder) for name in _files_below(root)}
        return sorted(
            name
            for name in names
            if takes_all or os.path.splitext(name)[1].lower() in LISTED_ENDINGS
        )


def _files_below(root: str) -> Iterator[str]:
    """Give the files, through links to folders as well, as the system writes their paths."""
    for place, folders, names in os.walk(root, followlinks=True):
        folders[:] = [one for one in folders if one != _PASSED_OVER]
        for name in names:
            yield os.path.relpath(os.path.join(place, name), root)
