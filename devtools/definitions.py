"""Write the snapshot of node definitions that planning uses without ComfyUI.

`nodes/graph/node_definitions.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..nodes.graph.definitions import FILE_INPUTS, SNAPSHOT

# The host's nodes that plans are made of; the pack's own are found by their prefix.
HOST_NODES = (
    "BasicGuider",
    "BasicScheduler",
    "CFGGuider",
    "CLIPLoader",
    "CLIPTextEncode",
    "CLIPVisionLoader",
    "Canny",
    "CheckpointLoaderSimple",
    "ControlNetApplyAdvanced",
    "ControlNetLoader",
    "CropMask",
    "DA3Inference",
    "DifferentialDiffusion",
    "DualCLIPLoader",
    "EmptyFlux2LatentImage",
    "EmptyLatentImage",
    "EmptyImage",
    "EmptySD3LatentImage",
    "FluxGuidance",
    "GetImageSize",
    "ImageCrop",
    "ImageToMask",
    "InpaintModelConditioning",
    "KSampler",
    "LoadBackgroundRemovalModel",
    "LoadImage",
    "LoadImageMask",
    "LoadDA3Model",
    "LoadMediaPipeFaceLandmarker",
    "MaskToImage",
    "ModelPatchLoader",
    "PreviewAny",
    "PrimitiveStringMultiline",
    "RebatchLatents",
    "RepeatImageBatch",
    "SDPoseDrawKeypoints",
    "SDPoseKeypointExtractor",
    "SamplerCustomAdvanced",
    "SaveImage",
    "SetLatentNoiseMask",
    "SolidMask",
    "T5TokenizerOptions",
    "UNETLoader",
    "UpscaleModelLoader",
    "VAEDecode",
    "VAEEncode",
    "VAELoader",
    "ZImageFunControlnet",
)


def reduced(info: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the part of an `/object_info` answer that the snapshot holds.

    What plans need, without the machine's own files.
    """
    names = sorted(
        {
            *HOST_NODES,
            *(
                name
                for name in info
                if name.startswith("Astria") and not name.startswith("AstriaTest")
            ),
        }
    )
    return {name: _entry(info[name]) for name in names}


def write_snapshot(info: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the snapshot from a host's `/object_info`."""
    SNAPSHOT.write_text(
        json.dumps(reduced(info), indent=1, sort_keys=False) + "\n", encoding="utf-8"
    )


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {
        group: {name: _input(name, spec) for name, spec in entry["input"].get(group, {}).items()}
        for group in ("required", "optional")
    }
    return {
        "input": inputs,
        "output": entry["output"],
        "output_name": entry["output_name"],
        "display_name": entry["display_name"],
    }


def _input(name: str, spec: list) -> list:
    settings = spec[1] if len(spec) > 1 else {}
    lists_files = name in FILE_INPUTS and (isinstance(spec[0], list) or spec[0] == "COMBO")
    left_out = {"tooltip", "default", "options"} if lists_files else {"tooltip"}
    options = {key: value for key, value in settings.items() if key not in left_out}
    return ["COMBO" if lists_files else spec[0], options]
