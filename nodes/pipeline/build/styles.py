"""The service's ten styles as prompt templates.

Words around the prompt, and words for the negative prompt.

The wording is ours. What follows `{prompt}` continues a sentence, so a text may end in a word, a
comma or a full stop. There are no brackets, colons or line breaks in it, which the weight syntax or
the host's text encoder would read, and nothing beyond ASCII.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...errors import PlanError


@dataclass(frozen=True)
class Style:
    """`prompt` holds `{prompt}` once, where the text goes.

    `negative` is added to the negative prompt.
    """

    prompt: str
    negative: str


STYLES: Mapping[str, Style] = MappingProxyType(
    {
        "Cinematic": Style(
            "a still from a feature film, {prompt} in dramatic motivated light, "
            "anamorphic lens, shallow depth of field, restrained colour grading, "
            "fine film grain",
            "cartoon, drawing, flat light, snapshot, oversaturated, text, watermark",
        ),
        "Animated": Style(
            "a frame of an animated feature, {prompt} with clean outlines, expressive shapes, "
            "painted background, soft cel shading, vivid colours",
            "photograph, realistic skin, film grain, noise, blurry, dull colours",
        ),
        "Digital Art": Style(
            "polished digital painting, {prompt} with rich brushwork, careful composition, "
            "luminous colours, crisp detail, concept art finish",
            "photograph, low detail, rough sketch, jpeg artifacts, watermark",
        ),
        "Photographic": Style(
            "professional photograph, {prompt} in natural light, 50mm lens, accurate colours, "
            "lifelike texture, sharp focus on the subject",
            "painting, drawing, cartoon, 3d render, plastic skin, overprocessed, blurry",
        ),
        "Fantasy art": Style(
            "epic fantasy illustration, {prompt} in an enchanted world, ornate detail, "
            "glowing magical light, sweeping atmosphere, painterly finish",
            "modern objects, photograph, plain background, flat light, low detail",
        ),
        "Neonpunk": Style(
            "futuristic city at night, {prompt} lit by neon in magenta and cyan, "
            "wet reflections, haze, high contrast, retro-futurist detail",
            "daylight, pastel colours, rustic, vintage, washed out, low contrast",
        ),
        "Enhance": Style(
            "striking high quality image, {prompt} in fine detail, balanced light, "
            "clear focus, harmonious colours, pleasing composition",
            "low quality, blurry, noise, jpeg artifacts, distorted, deformed, watermark",
        ),
        "Comic book": Style(
            "printed comic book panel, {prompt} with bold ink outlines, halftone dots, "
            "dynamic pose, strong shadows, flat saturated colours",
            "photograph, realistic, soft focus, 3d render, muted colours, blurry",
        ),
        "Lowpoly": Style(
            "low poly 3d model, {prompt} built of flat triangular facets, simple geometry, "
            "clean edges, soft studio light, limited palette",
            "photograph, smooth surfaces, fine texture, noise, realistic skin, clutter",
        ),
        "Line art": Style(
            "elegant line drawing, {prompt} in confident black ink lines on white paper, "
            "varied line weight, minimal shading, uncluttered",
            "photograph, colour, gradients, 3d render, heavy shading, blurry, smudged",
        ),
    }
)


def styled(name: str) -> Style:
    """Return the style of that name. Raises PlanError naming the known ones."""
    if name not in STYLES:
        raise PlanError(f"Style '{name}' is not one of {', '.join(STYLES)}.", code="unknown-style")
    return STYLES[name]
