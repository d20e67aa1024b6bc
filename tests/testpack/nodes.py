"""Nodes that stand in for core's model loaders, and a few that show what the host does."""

from __future__ import annotations

import functools
import time

import torch
from comfy.model_management import throw_exception_if_processing_interrupted
from comfy_api.latest import ComfyExtension, io

from . import api_models
from .background import BrightForeground
from .control import NODES as CONTROL_NODES
from .control import NeutralControl
from .faces import NODES as FACE_NODES
from .families import FAMILIES, load_family
from .process import AstriaTestProcess
from .segmenter import AstriaTestSegmenter
from .training import AstriaTestNoMemory
from .upscaler import nearest_x4

_runs: dict[str, int] = {}


class AstriaTestModel(io.ComfyNode):
    """MODEL, CLIP and VAE of a tiny model; loaded once per process, as a file would be."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestModel",
            category="astria/test",
            inputs=[
                io.Combo.Input("family", options=list(FAMILIES)),
                io.Int.Input("seed", default=0, min=0),
            ],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls, family: str, seed: int) -> io.NodeOutput:
        return io.NodeOutput(*_load_once(family, seed))


class AstriaTestUpscaler(io.ComfyNode):
    """A tiny ESRGAN whose weights repeat each pixel 4x4 times."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestUpscaler",
            category="astria/test",
            inputs=[],
            outputs=[io.UpscaleModel.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(nearest_x4())


class AstriaTestBackground(io.ComfyNode):
    """A background removal model for which what is bright is foreground."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestBackground",
            category="astria/test",
            inputs=[],
            outputs=[io.BackgroundRemoval.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(BrightForeground())


class AstriaTestCount(io.ComfyNode):
    """Passes a picture on and counts its runs under `name`.

    The count goes to the history as text.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestCount",
            category="astria/test",
            is_output_node=True,
            inputs=[io.Image.Input("image"), io.String.Input("name", default="count")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, name: str) -> io.NodeOutput:
        _runs[name] = _runs.get(name, 0) + 1
        return io.NodeOutput(image, ui={"text": [str(_runs[name])]})


class AstriaTestPass(io.ComfyNode):
    """Passes a picture on and counts its runs as AstriaTestCount does, but runs only when something
    asks for it.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestPass",
            category="astria/test",
            inputs=[io.Image.Input("image"), io.String.Input("name", default="count")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, name: str) -> io.NodeOutput:
        _runs[name] = _runs.get(name, 0) + 1
        return io.NodeOutput(image)


class AstriaTestLoaders(io.ComfyNode):
    """Everything that Explain can be connected to, from one node that counts its runs as
    AstriaTestCount does.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        kinds = (io.Image, io.Mask, io.UpscaleModel, io.ControlNet, io.BackgroundRemoval)
        return io.Schema(
            node_id="AstriaTestLoaders",
            category="astria/test",
            inputs=[io.String.Input("name", default="count")],
            outputs=[kind.Output() for kind in kinds],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        _runs[name] = _runs.get(name, 0) + 1
        return io.NodeOutput(
            torch.zeros(1, 8, 8, 3),
            torch.zeros(1, 8, 8),
            nearest_x4(),
            NeutralControl(),
            BrightForeground(),
        )


class AstriaTestFail(io.ComfyNode):
    """Raises ValueError with the given message when it runs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestFail",
            category="astria/test",
            is_output_node=True,
            inputs=[io.String.Input("message", default="line 2, column 5: boom")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, message: str) -> io.NodeOutput:
        raise ValueError(message)


class AstriaTestWait(io.ComfyNode):
    """Runs until it is interrupted, and holds up what is queued behind it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTestWait",
            category="astria/test",
            is_output_node=True,
            inputs=[],
            outputs=[],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        while True:
            throw_exception_if_processing_interrupted()
            time.sleep(0.05)


_load_once = functools.cache(load_family)


class TestPack(ComfyExtension):
    """The pack as the host sees it."""

    async def on_load(self) -> None:
        api_models.register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        own = (
            AstriaTestModel,
            AstriaTestUpscaler,
            AstriaTestBackground,
            AstriaTestCount,
            AstriaTestPass,
            AstriaTestFail,
            AstriaTestWait,
        )
        return [
            *own,
            AstriaTestLoaders,
            AstriaTestNoMemory,
            AstriaTestProcess,
            AstriaTestSegmenter,
            *CONTROL_NODES,
            *FACE_NODES,
        ]
