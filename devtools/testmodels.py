"""Put the test pack's tiny models in the place of the model files that a compiled workflow
loads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .client import Graph

MODEL_SLOT, CLIP_SLOT, VAE_SLOT = 0, 1, 2
# core's loader -> (the input that names its file, the slots of AstriaTestModel that stand for its
# outputs)
_LOADERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "CheckpointLoaderSimple": ("ckpt_name", (MODEL_SLOT, CLIP_SLOT, VAE_SLOT)),
    "UNETLoader": ("unet_name", (MODEL_SLOT,)),
    "CLIPLoader": ("clip_name", (CLIP_SLOT,)),
    "DualCLIPLoader": ("clip_name1", (CLIP_SLOT,)),
    "VAELoader": ("vae_name", (VAE_SLOT,)),
}
# Loaders whose model comes whole from a node of the test pack; face restorers are upscale models
# too, and loaded from their files.
_STAND_INS = {
    "ControlNetLoader": "AstriaTestControlNet",
    "LoadBackgroundRemovalModel": "AstriaTestBackgroundRemoval",
    "AstriaLoadSegmenter": "AstriaTestSegmenter",
    "CLIPVisionLoader": "AstriaTestClipVision",
}
_RESTORERS = ("GFPGAN", "RestoreFormer", "CodeFormer")


def with_test_models(
    graph: Graph, family: str, *, by_file: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return a copy of an API graph that loads tiny test models.

    Node ids stay, links go to the slots that mean the same.

    Every loader gives the models of `family`, but those whose file name is in `by_file`, which give
    that family's (`{"flux1-fill-dev.safetensors": "flux_fill"}`). Upscale models, ControlNets,
    segmenters, background removal, CLIP vision and the estimators of pose and depth become the test
    pack's; LoRAs and everything about faces are left alone.
    """
    slots: dict[str, tuple[int, ...]] = {}
    result: dict[str, dict[str, Any]] = {}
    for node_id, node in graph.items():
        kind = node["class_type"]
        if kind in _LOADERS:
            file_input, slots[node_id] = _LOADERS[kind]
            chosen = (by_file or {}).get(node["inputs"][file_input], family)
            result[node_id] = {
                **node,
                "class_type": "AstriaTestModel",
                "inputs": {"family": chosen, "seed": 0},
            }
        elif kind == "UpscaleModelLoader":
            is_restorer = node["inputs"]["model_name"].startswith(_RESTORERS)
            result[node_id] = (
                {**node}
                if is_restorer
                else {**node, "class_type": "AstriaTestUpscaler", "inputs": {}}
            )
        elif kind in _STAND_INS:
            result[node_id] = {**node, "class_type": _STAND_INS[kind], "inputs": {}}
        elif kind == "DA3Inference":
            result[node_id] = {
                **node,
                "class_type": "AstriaTestDepth",
                "inputs": {"image": node["inputs"]["image"]},
            }
        elif kind == "SDPoseKeypointExtractor":
            result[node_id] = {
                **node,
                "class_type": "AstriaTestPosePoints",
                "inputs": {"image": node["inputs"]["image"]},
            }
        else:
            result[node_id] = {**node, "inputs": dict(node["inputs"])}
    for node in result.values():
        node["inputs"] = {name: _relinked(value, slots) for name, value in node["inputs"].items()}
    return result


def _relinked(value: Any, slots: Mapping[str, tuple[int, ...]]) -> Any:
    if isinstance(value, list) and len(value) == 2 and value[0] in slots:
        return [value[0], slots[value[0]][value[1]]]
    return value
