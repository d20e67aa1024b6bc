"""The seed prompts on the small world: what is asked for there, and what has to be found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from ...devtools import small_world
from ...devtools.paths import ROOT
from ...nodes.prompt import PromptRequest, Segment
from ...nodes.prompt.images import ImageRef
from ...nodes.tunes.file_search import Missing
from ...nodes.tunes.resolve import Resolver
from ..pipeline.support import seed_prompt

SEED = 44
SEEDS = {"faceid": 45}  # by 44 the FaceID makes a man of her
STEPS = 20
# Seed -> words that it says and that its picture must show, as far as the models have learned them.
WORDS: Mapping[str, frozenset[str]] = {
    # 72 pixels high, as no picture is that was learned: its people are cut off.
    "multi_person": frozenset({"room"}),
    # It says no place: the picture's own has to stay.
    "multi_person_background": frozenset({"field", "day", "man", "standing"}),
    "masked_portrait": frozenset({"day", "woman", "white dress"}),
    "face_inpainting": frozenset({"forest", "day", "one person"}),
    "faceid": frozenset({"snow", "day", "one person", "woman", "red dress", "standing"}),
    # It says nothing: what its source shows has to go on, the sky to both sides.
    "outpaint_only": frozenset({"day", "woman", "ginger hair", "green dress", "man", "grey hair"}),
    "outpaint_text_to_image": frozenset(
        {"field", "day", "one person", "woman", "brown hair", "orange dress", "standing"}
    ),
    "outpaint_second_person": frozenset(
        {"field", "day", "woman", "brown hair", "orange dress", "man", "blue suit", "standing"}
    ),
}
# The same of seeds on a picture as large as the wide ones that were learned.
WIDE = (192, 128)
WIDE_WORDS: Mapping[str, frozenset[str]] = {
    "multi_person": frozenset(
        {"room", "two people", "standing"}
        | {"woman", "black hair", "pale skin", "yellow dress"}
        | {"man", "grey hat", "tan skin", "white suit"}
    ),
}
# A seed whose people are counted by their hair -> how many: a white patch on its ground is read as
# a bare head, so that the reader's own count is another.
HAIRED = {"outpaint_only": 2}
_FIELDS = ("face_inpainting", "faceid")  # those that are sent as separate fields
# Role -> the fields of a request that need it.
_NEEDS = {
    "upscaler": ("super_resolution", "hires_fix", "inpaint_faces"),
    "face_analysis": ("inpaint_faces",),
    "face_swapper": ("face_swap",),
    "face_restorer": ("face_correct",),
    "pose_estimator": ("controlnet",),
}


def seed_request(name: str) -> PromptRequest:
    """Return the request of a seed as it was printed."""
    if name in _FIELDS:
        fields = json.loads((ROOT / f"tests/seeds/{name}.json").read_text(encoding="utf-8"))
        request, _ = PromptRequest.from_fields(fields)
        assert request is not None
        return request
    return PromptRequest.require(seed_prompt(name))


def small_seed(name: str, family: str) -> PromptRequest:
    """Return the request of a seed in the world's sizes, words and pictures, one image of it,
    without what the world has no model for.
    """
    request = small_world.small(seed_request(name).to_text())
    resolver = small_world.resolver(family)
    lacking = [role for role in _NEEDS if isinstance(resolver.role(role, family), Missing)]
    off = dict.fromkeys(field for role in lacking for field in _NEEDS[role])
    # What the hires fix paints is no other words, at many times the cost.
    given = {
        "num_images": 1,
        "seed": SEEDS.get(name, SEED),
        "steps": STEPS,
        "hires_fix": False,
        **off,
    }
    if request.mask_prompt and isinstance(resolver.role("background_removal", family), Missing):
        # A drawn mask in place of words for one.
        mask = ImageRef("file", small_world.MASK)
        given |= {"mask_prompt": None, "mask_negative": None, "mask_invert": None}
        given |= {"mask_image": mask, "hires_denoising_strength": None}
    prompt = tuple(_possible(segment, resolver, family) for segment in request.prompt)
    return replace(request, prompt=prompt, **given)


def _possible(segment: Segment, resolver: Resolver, family: str) -> Segment:
    loras = tuple(tag for tag in segment.loras if not isinstance(resolver.lora(tag.name), Missing))
    has_faceid = not isinstance(resolver.role("faceid", family), Missing)
    return replace(segment, loras=loras, faceids=segment.faceids if has_faceid else ())
