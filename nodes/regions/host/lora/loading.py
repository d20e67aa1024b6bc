"""LoRA files of ComfyUI's loras folder as tensors by name."""

from __future__ import annotations

from collections.abc import Mapping

import folder_paths
from torch import Tensor

from ....host.weight_files import UnreadableWeights, read_weights
from ...lora import LoraError


def load_lora_file(name: str) -> tuple[dict[str, Tensor], Mapping[str, str] | None]:
    """Return the tensors of the file `name` and its metadata.

    Raises: LoraError for a file that cannot be read; FileNotFoundError of the host for a name that
    it does not list.
    """
    path = folder_paths.get_full_path_or_raise("loras", name)
    try:
        held, metadata = read_weights(path)
    except UnreadableWeights as error:
        raise LoraError(
            f"The LoRA '{name}' cannot be read: {error}.",
            code="lora-file",
            hint="The file may be cut off, or a web page saved in its place: download it again.",
        ) from error
    tensors = held if isinstance(held, Mapping) else {}
    return {key: one for key, one in tensors.items() if isinstance(one, Tensor)}, metadata
