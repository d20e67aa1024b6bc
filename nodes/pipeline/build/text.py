"""Text and LoRAs of a segment -> conditioning nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...families.family import Family
from ...families.lora_files import LoraSigns
from ...graph.graph import Graph, Link, Value
from ...graph.outputs import LoadLoraNode, add_node
from ...prompt import PromptRequest, Segment, encoder_text
from .styles import styled


@dataclass(frozen=True)
class Models:
    """Where the stages take their models from.

    Sockets when expanded in ComfyUI, loader nodes when compiled.
    """

    model: Value
    clip: Value
    vae: Value


@dataclass(frozen=True)
class Encoded:
    """A model with its LoRAs and the two conditionings made with its text encoder."""

    models: Models
    positive: Link
    negative: Link


@dataclass(frozen=True)
class Lora:
    """A LoRA tag with the file it stands for, as the host lists it.

    `text_weight` is that of the text encoder, where it is another one.
    """

    file: str
    weight: float
    text_weight: float | None = None

    @property
    def clip_weight(self) -> float:
        return self.weight if self.text_weight is None else self.text_weight


@dataclass(frozen=True)
class WornLora:
    """A LoRA, on whom it acts (in words), and what its file seems to be."""

    lora: Lora
    wearer: str
    signs: LoraSigns

    def describe(self) -> str:
        seems = f", seems {self.signs.describe()}" if self.signs.describe() else ""
        weight, text_weight = self.lora.weight, self.lora.clip_weight
        at = f"{weight:g}"
        if text_weight != weight:
            at += f" on the model and {text_weight:g} on the text encoder"
        return f"LoRA {self.lora.file} at {at}: {self.wearer}{seems}"


@dataclass(frozen=True)
class FaceID:
    """A FaceID tag with the tune whose photos it means."""

    tune: str
    strength: float


@dataclass(frozen=True)
class PromptText:
    """The texts that a stage encodes.

    The positive segments, the negative ones, and the files behind their tags.

    `weighs`: the text encoder takes weights. `checkpoint` is a person's own model. `photos` are the
    tunes that show the person's face, of FaceID and LoRA tags alike.
    """

    positive: tuple[Segment, ...]
    negative: tuple[Segment, ...]
    loras: tuple[Lora, ...]
    use_lpw: bool
    weighs: bool
    style: str | None = None
    faceids: tuple[FaceID, ...] = ()
    checkpoint: str | None = None
    photos: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The positive text as the encoder takes it, in the words of the style."""
        text = joined_text(self.positive, use_lpw=self.use_lpw, weighs=self.weighs)
        return in_style(text, self.style)

    @property
    def negative_text(self) -> str:
        text = joined_text(self.negative, use_lpw=self.use_lpw, weighs=self.weighs)
        unwanted = styled(self.style).negative if self.style else ""
        return ", ".join(filter(None, (text, unwanted)))


def in_style(text: str, style: str | None) -> str:
    """Return the text put into the template of the style.

    An empty text leaves the template's own words.
    """
    if style is None:
        return text
    return styled(style).prompt.format(prompt=text.rstrip(" ,.")).strip(" ,")


def prompt_segments(request: PromptRequest) -> tuple[Segment, ...]:
    """Return what describes the whole picture: the base prompt followed by the common prompt."""
    return tuple(segment for segment in (request.base, request.common) if not segment.is_empty)


def negative_segments(request: PromptRequest) -> tuple[Segment, ...]:
    """Return the negative base prompt followed by the negative common prompt."""
    return tuple(segment for segment in request.negative[:2] if not segment.is_empty)


def lora_weights(segments: Sequence[Segment]) -> dict[str, tuple[float, float]]:
    """Return the weights of each LoRA name in `segments`, on model and text encoder, in order.

    One named twice counts once with the sums, as two patches would.
    """
    weights: dict[str, tuple[float, float]] = {}
    for segment in segments:
        for tag in segment.loras:
            model, text = weights.get(tag.name, (0.0, 0.0))
            own = tag.weight if tag.text_weight is None else tag.text_weight
            weights[tag.name] = model + tag.weight, text + own
    return weights


def joined_text(segments: Sequence[Segment], *, use_lpw: bool, weighs: bool = True) -> str:
    """Return the encoder's text of `segments`, joined by a comma so that the words of one do not
    run into the next, and without commas at the ends, where a tag or BREAK stood.
    """
    texts = (encoder_text(segment, use_lpw=use_lpw, weighs=weighs).strip() for segment in segments)
    bare = (text.strip(", ") for text in texts)
    return ", ".join(text for text in bare if text)


def add_encoding(
    graph: Graph,
    stage: str,
    models: Models,
    prompt_text: PromptText,
    family: Family,
    guidance: float,
) -> Encoded:
    """Add text encoders and, for Flux, the distilled guidance.

    Return what the sampler of `stage` takes.
    """
    positive = graph.add(
        f"{stage}.positive", "CLIPTextEncode", clip=models.clip, text=prompt_text.text
    )
    # Flux runs at true CFG 1: its negative is only a placeholder for nodes that want a pair, so the
    # text would mislead.
    text = prompt_text.negative_text if family.takes_negative else ""
    negative = graph.add(f"{stage}.negative", "CLIPTextEncode", clip=models.clip, text=text)
    if family.is_distilled:
        positive = graph.add(
            f"{stage}.guidance", "FluxGuidance", conditioning=positive, guidance=guidance
        )
    return Encoded(models, positive, negative)


def add_loras(graph: Graph, stage: str, models: Models, loras: Sequence[Lora]) -> Models:
    """Add LoRAs that act on the whole model and on its text encoder."""
    for number, lora in enumerate(loras, start=1):
        strengths = {"strength_model": lora.weight, "strength_clip": lora.clip_weight}
        loaded = add_node(
            graph,
            LoadLoraNode,
            f"{stage}.lora_{number}",
            model=models.model,
            clip=models.clip,
            lora_name=lora.file,
            **strengths,
        )
        models = replace(models, model=loaded.model, clip=loaded.clip)
    return models


def with_text_loras(graph: Graph, name: str, models: Models, loras: Sequence[Lora]) -> Models:
    """Add what LoRAs change in the text encoder; on the model they act elsewhere."""
    clip = models.clip
    for number, lora in enumerate(loras, start=1):
        strengths = {"strength_model": 0.0, "strength_clip": lora.clip_weight}
        loaded = add_node(
            graph,
            LoadLoraNode,
            f"{name}_text_lora_{number}",
            model=models.model,
            clip=clip,
            lora_name=lora.file,
            **strengths,
        )
        clip = loaded.clip
    return replace(models, clip=clip)
