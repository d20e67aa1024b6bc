"""Stand-ins for ControlNets, background removal, pose estimation and CLIP vision."""

from __future__ import annotations

import comfy.clip_vision
import comfy.controlnet
import torch
from comfy_api.latest import io

from .segmenter import figures
from .weights import fill

# Shoulders, elbows, wrists, hips, knees, ankles and head of a standing person, in shares of the
# person's box (OpenPose's 18 points).
_BODY = (
    (0.5, 0.05), (0.5, 0.18), (0.3, 0.18), (0.25, 0.35), (0.4, 0.45), (0.7, 0.18), (0.75, 0.35),
    (0.6, 0.45), (0.38, 0.52),
    (0.38, 0.75), (0.38, 0.97), (0.62, 0.52), (0.62, 0.75), (0.62, 0.97), (0.46, 0.03),
    (0.54, 0.03), (0.42, 0.05), (0.58, 0.05),
)  # fmt: skip
_BOXES = ((0.15, 0.1, 0.45, 0.95), (0.55, 0.1, 0.85, 0.95))


class NeutralControl(comfy.controlnet.ControlBase):
    """A ControlNet that steers nowhere.

    It asks for its map at the latent's size, as a real one does.
    """

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        assert self.cond_hint_original is not None, "a ControlNet is given its map"
        assert self.cond_hint_original.shape[1] == 3, "the map is a picture [B,3,H,W]"
        before = self.previous_controlnet
        return (
            None
            if before is None
            else before.get_control(x_noisy, t, cond, batched_number, transformer_options)
        )

    def copy(self):
        copied = NeutralControl()
        self.copy_to(copied)
        return copied


class AstriaTestControlNet(io.ComfyNode):
    """A CONTROL_NET that changes nothing."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestControlNet",
            category="astria/test",
            inputs=[],
            outputs=[io.ControlNet.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(NeutralControl())


class _Foreground:
    """A BACKGROUND_REMOVAL that finds the scripted foreground."""

    def encode_image(self, image: torch.Tensor) -> torch.Tensor:
        mask = figures("foreground", image.shape[2], image.shape[1])[0].float()
        return mask.expand(len(image), -1, -1)


class AstriaTestBackgroundRemoval(io.ComfyNode):
    """A background removal model without weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestBackgroundRemoval",
            category="astria/test",
            inputs=[],
            outputs=[io.BackgroundRemoval.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(_Foreground())


class AstriaTestPosePoints(io.ComfyNode):
    """The points of two people who stand side by side, in the picture's pixels, as the host's pose
    estimator gives them.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestPosePoints",
            category="astria/test",
            inputs=[io.Image.Input("image")],
            outputs=[io.Custom("POSE_KEYPOINT").Output(display_name="keypoints")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor) -> io.NodeOutput:
        height, width = image.shape[1:3]
        unseen = {
            "face_keypoints_2d": [0.0] * 210,
            "hand_right_keypoints_2d": [0.0] * 63,
            "hand_left_keypoints_2d": [0.0] * 63,
        }
        people = [{"pose_keypoints_2d": _points(box, width, height), **unseen} for box in _BOXES]
        return io.NodeOutput(
            [{"canvas_width": width, "canvas_height": height, "people": people} for _ in image]
        )


def _points(box: tuple[float, float, float, float], width: int, height: int) -> list[float]:
    left, top, right, bottom = box
    found: list[float] = []
    for x, y in _BODY:
        found += [(left + x * (right - left)) * width, (top + y * (bottom - top)) * height, 1.0]
    return found


class AstriaTestDepth(io.ComfyNode):
    """The geometry of a plane that comes nearer from top to bottom, as the host's depth estimator
    gives it.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestDepth",
            category="astria/test",
            inputs=[io.Image.Input("image")],
            outputs=[io.Custom("DA3_GEOMETRY").Output(display_name="da3_geometry")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor) -> io.NodeOutput:
        depth = (
            torch.linspace(10, 1, image.shape[1])[None, :, None]
            .expand(*image.shape[:3])
            .contiguous()
        )
        return io.NodeOutput({"depth": depth, "image": image, "mode": "mono"})


_CLIP_VISION = {
    "model_type": "clip_vision_model", "hidden_size": 32, "image_size": 224,
    "intermediate_size": 64, "num_attention_heads": 2,
    "num_channels": 3, "num_hidden_layers": 3, "patch_size": 56, "projection_dim": 24,
    "hidden_act": "gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip


class AstriaTestClipVision(io.ComfyNode):
    """A tiny CLIP_VISION with the wiring of CLIP-ViT-H."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestClipVision",
            category="astria/test",
            inputs=[],
            outputs=[io.ClipVision.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        model = comfy.clip_vision.ClipVisionModel(dict(_CLIP_VISION))
        fill(model.model, seed=5)
        model.model.float()
        return io.NodeOutput(model)


NODES = [
    AstriaTestClipVision,
    AstriaTestControlNet,
    AstriaTestBackgroundRemoval,
    AstriaTestPosePoints,
    AstriaTestDepth,
]
