"""The outputs of planned nodes by name, for those of which a plan takes more than the first."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

from .graph import Graph, Link, Value


class CheckpointNode(NamedTuple):
    """A loader of the whole checkpoint."""

    class_type = "CheckpointLoaderSimple"
    model: Link
    clip: Link
    vae: Link


class LoadLoraNode(NamedTuple):
    """A LoRA on the model and on its text encoder."""

    class_type = "AstriaLoadLora"
    model: Link
    clip: Link


class ImageSizeNode(NamedTuple):
    """The size of an image in pixels."""

    class_type = "GetImageSize"
    width: Link
    height: Link


class FitImageNode(NamedTuple):
    """An image with its mask at a size that the model can sample; `fit` cuts the padding off."""

    class_type = "AstriaFitImage"
    image: Link
    mask: Link
    fit: Link


class OutpaintCanvasNode(NamedTuple):
    """The image on a larger canvas; `mask` is 1 on what is new."""

    class_type = "AstriaOutpaintCanvas"
    image: Link
    mask: Link
    canvas: Link


class PromptMaskNode(NamedTuple):
    """The mask of words, and the boxes of what was found."""

    class_type = "AstriaPromptMask"
    mask: Link
    boxes: Link


class RegionsNode(NamedTuple):
    """Where the persons stand: a mask each, the mask of all of them, and their pose picture."""

    class_type = "AstriaRegions"
    regions: Link
    masks: Link
    people: Link
    pose: Link


class RegionalPromptNode(NamedTuple):
    """The model that draws the persons in their regions, and the scene's conditionings."""

    class_type = "AstriaRegionalPrompt"
    model: Link
    positive: Link
    negative: Link


class ControlNetNode(NamedTuple):
    """Both conditionings, steered by a ControlNet."""

    class_type = "ControlNetApplyAdvanced"
    positive: Link
    negative: Link


class InpaintNode(NamedTuple):
    """Both conditionings with the masked picture of an inpaint model, and the latent."""

    class_type = "InpaintModelConditioning"
    positive: Link
    negative: Link
    latent: Link


class CreateTuneNode(NamedTuple):
    """A tune made of photos."""

    class_type = "AstriaCreateTune"
    tune_id: Link
    report: Link


class TunePhotosNode(NamedTuple):
    """A person's photos as a training takes them, their captions, and texts of samples."""

    class_type = "AstriaTunePhotos"
    pictures: Link
    captions: Link
    photos: Link
    samples: Link
    report: Link


class TrainLoraNode(NamedTuple):
    """A trained LoRA, and how the training went."""

    class_type = "AstriaTrainLora"
    lora: Link
    training: Link
    curve: Link
    report: Link


Node = TypeVar(
    "Node",
    CheckpointNode,
    LoadLoraNode,
    ImageSizeNode,
    FitImageNode,
    OutpaintCanvasNode,
    PromptMaskNode,
    RegionsNode,
    RegionalPromptNode,
    ControlNetNode,
    InpaintNode,
    CreateTuneNode,
    TunePhotosNode,
    TrainLoraNode,
)


def add_node(graph: Graph, kind: type[Node], name: str, /, **inputs: Value) -> Node:
    """Add a node of this kind to the graph and return its outputs."""
    return outputs_of(kind, graph.add(name, kind.class_type, **inputs))


def outputs_of(kind: type[Node], link: Link) -> Node:
    """Return the outputs of the node behind `link`, which is of this kind."""
    return kind(*(Link(link.node, slot) for slot in range(len(kind._fields))))
