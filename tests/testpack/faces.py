"""A node that stands in for another pack's face detector."""

from __future__ import annotations

from collections import namedtuple

import torch
from comfy_api.latest import io

Segment = namedtuple("Segment", ["bbox", "confidence"])


class MiddleBox:
    """A BBOX_DETECTOR that takes the middle of every picture for a face."""

    def detect(
        self,
        image: torch.Tensor,
        threshold: float,
        dilation: int,
        crop_factor: float,
        drop_size: int,
    ) -> tuple:
        height, width = image.shape[1:3]
        return (height, width), [
            Segment((width // 4, height // 4, 3 * width // 4, 3 * height // 4), 0.9)
        ]


class AstriaTestBoxes(io.ComfyNode):
    """A face detector that gives boxes only."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestBoxes",
            category="astria/test",
            inputs=[],
            outputs=[io.Custom("BBOX_DETECTOR").Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(MiddleBox())


NODES = [AstriaTestBoxes]
