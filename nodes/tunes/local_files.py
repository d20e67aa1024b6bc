"""The model files below a ComfyUI folder, listed as ComfyUI would, for the command line where no
host runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# ComfyUI's keys whose files may also lie in a folder of an older name.
FOLDER_NAMES = {
    "text_encoders": ("text_encoders", "clip"),
    "diffusion_models": ("diffusion_models", "unet"),
}
MODEL_ENDINGS = frozenset(
    {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft", ".onnx"}
)


class LocalFiles:
    """The files of one or more model folders, as `<ComfyUI>/models`."""

    def __init__(self, *models: Path) -> None:
        self._models = models

    def roots(self, folder: str) -> Sequence[str]:
        return [
            str(models / name)
            for models in self._models
            for name in FOLDER_NAMES.get(folder, (folder,))
        ]

    def list(self, folder: str) -> Sequence[str]:
        found = set()
        for root in map(Path, self.roots(folder)):
            found |= {
                str(path.relative_to(root))
                for path in root.rglob("*")
                if path.suffix.lower() in MODEL_ENDINGS and path.is_file()
            }
        return sorted(found)
