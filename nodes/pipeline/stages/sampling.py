"""Sampler nodes that every painting stage shares, and the ways of painting under a mask and
without one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...families.family import Family
from ...graph.graph import Graph, Link, Value
from ...graph.outputs import ImageSizeNode, InpaintNode, add_node
from ..build.settings import Settings
from ..build.text import Encoded

Sides = tuple[Value, Value]  # width and height, numbers or links


@dataclass(frozen=True)
class Painting:
    """What a stage samples.

    Its conditionings and model, the latent to start from, how much of it is redrawn, and its size:
    a picture of that size, or width and height in pixels.
    """

    encoded: Encoded
    latent: Link
    denoise: float
    size: Link | Sides


def add_sampling(
    graph: Graph, stage: str, painting: Painting, family: Family, settings: Settings
) -> Link:
    """Add noise, sampler, sigmas, guider and the host's sampler node.

    Return the decoded picture [B,H,W,C].
    """
    encoded = painting.encoded
    model = shifted(graph, stage, encoded.models.model, family, settings, painting.size)
    if family.takes_negative:
        pair = {"positive": encoded.positive, "negative": encoded.negative}
        cfg = family.true_cfg(settings.cfg)
        guider = graph.add(f"{stage}.guider", "CFGGuider", model=model, **pair, cfg=cfg)
    else:
        guider = graph.add(
            f"{stage}.guider", "BasicGuider", model=model, conditioning=encoded.positive
        )
    method = add_method(graph, stage, model, settings, painting.denoise)
    sampled = graph.add(
        f"{stage}.sampler",
        "SamplerCustomAdvanced",
        guider=guider,
        **method,
        latent_image=painting.latent,
    )
    return graph.add(f"{stage}.decode", "VAEDecode", samples=sampled, vae=encoded.models.vae)


def shifted(
    graph: Graph,
    stage: str,
    model: Value,
    family: Family,
    settings: Settings,
    size: Link | Sides,
) -> Value:
    """Return the model with the noise levels of what is sampled, where its family's go by its
    size.
    """
    if not family.is_shifted_by_size:
        return model
    if isinstance(size, Link):
        size = add_node(graph, ImageSizeNode, f"{stage}.sampled_size", image=size)
    width, height = size
    return graph.add(
        f"{stage}.shift",
        "AstriaFlux2Shift",
        model=model,
        width=width,
        height=height,
        steps=settings.steps,
    )


def add_method(
    graph: Graph, stage: str, model: Value, settings: Settings, denoise: float
) -> dict[str, Link]:
    """Add noise, sampler and sigmas; return them by the names of a sampling node's inputs."""
    schedule = {"scheduler": settings.schedule, "steps": settings.steps, "denoise": denoise}
    return {
        "noise": graph.add(f"{stage}.noise", "AstriaNoise", seed=settings.seed),
        "sampler": graph.add(f"{stage}.method", "AstriaSampler", sampler_name=settings.sampler),
        "sigmas": graph.add(f"{stage}.sigmas", "BasicScheduler", model=model, **schedule),
    }


def add_masked_latent(
    graph: Graph, stage: str, encoded: Encoded, pixels: Link, mask: Link, family: Family
) -> tuple[Encoded, Link]:
    """Add what the family needs to repaint `pixels` where `mask` is 1.

    Return the changed conditionings and the latent.

    Inpaint models (SD inpaint, Flux Fill) see the masked picture as extra channels. Others only get
    a noise mask. Both run with differential diffusion, which turns a soft mask edge into a gradual
    start instead of a cut.
    """
    model = graph.add(
        f"{stage}.differential", "DifferentialDiffusion", model=encoded.models.model, strength=1.0
    )
    encoded = replace(encoded, models=replace(encoded.models, model=model))
    vae = encoded.models.vae
    if family.inpaint:
        pair = {"positive": encoded.positive, "negative": encoded.negative}
        shown = add_node(
            graph,
            InpaintNode,
            f"{stage}.inpaint",
            **pair,
            vae=vae,
            pixels=pixels,
            mask=mask,
            noise_mask=True,
        )
        return replace(encoded, positive=shown.positive, negative=shown.negative), shown.latent
    if family.latent.is_video:
        given = {"pixels": pixels, "vae": vae, "mask": mask}
        return encoded, graph.add(f"{stage}.encode", "AstriaEncodeImages", **given)
    latent = graph.add(f"{stage}.encode", "VAEEncode", pixels=pixels, vae=vae)
    return encoded, graph.add(
        f"{stage}.noise_mask", "SetLatentNoiseMask", samples=latent, mask=mask
    )


def add_whole_latent(
    graph: Graph, stage: str, encoded: Encoded, pixels: Link, family: Family
) -> tuple[Encoded, Link]:
    """Add what the family needs to repaint all of `pixels`.

    Return the changed conditionings and the latent of the pixels.

    Inpaint models are shown neutral grey under a full mask, which is how they were trained to paint
    where nothing is to be kept. The host shows Flux Fill an empty latent instead, and SDXL the grey
    of SD1.5's latents.
    """
    vae = encoded.models.vae
    if not family.inpaint:
        node = "AstriaEncodeImages" if family.latent.is_video else "VAEEncode"
        return encoded, graph.add(f"{stage}.encode", node, pixels=pixels, vae=vae)
    # Of one value, so any size will do: it is scaled to that of the pixels.
    mask = graph.add(f"{stage}.whole", "SolidMask", value=1.0, width=64, height=64)
    shown = add_node(
        graph,
        InpaintNode,
        f"{stage}.inpaint",
        positive=encoded.positive,
        negative=encoded.negative,
        vae=vae,
        pixels=pixels,
        mask=mask,
        noise_mask=False,
    )
    return replace(encoded, positive=shown.positive, negative=shown.negative), shown.latent
