"""The signs in the sizes of a ControlNet file's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

# Of Z-Image's Fun ControlNet, by ComfyUI's comfy_extras/nodes_model_patch.py: what it embeds of a
# token, 2x2 cells of a latent of 16 channels; with a masked picture also of the mask and of that
# picture's latent.
_EMBEDDER = "control_all_x_embedder.2-1.weight"
_OF_MAP_MASK_AND_PICTURE = 2 * 2 * (16 + 1 + 16)


def takes_masked_picture(shapes: Mapping[str, Sequence[int]]) -> bool:
    """Say whether a ControlNet that is a patch of the model is also shown a masked picture, which
    it learned to inpaint by.
    """
    return tuple(shapes.get(_EMBEDDER, ()))[1:] == (_OF_MAP_MASK_AND_PICTURE,)
