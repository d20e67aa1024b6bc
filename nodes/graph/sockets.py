"""The sockets of the pack's nodes that hold a model, and the choice that stands for no file."""

from __future__ import annotations

from collections.abc import Mapping

# Sockets of AstriaModels (and some of AstriaGenerate) that hold a model -> its type.
MODEL_SOCKETS: Mapping[str, str] = {
    "upscale_model": "UPSCALE_MODEL",
    "pose_controlnet": "CONTROL_NET",
    "controlnet": "CONTROL_NET",
    "segmenter": "ASTRIA_SEGMENTER",
    "background_model": "BACKGROUND_REMOVAL",
    "face_analysis": "ASTRIA_FACE_ANALYSIS",
    "faceid": "ASTRIA_FACEID",
    "face_restorer": "UPSCALE_MODEL",
    "face_swapper": "ASTRIA_FACE_SWAPPER",
}
NO_FILE = "none"  # the choice of a loader's input that is left out
