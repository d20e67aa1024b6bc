"""What is painted for the figures of people by FaceID in the small world: people whom no model has
learned, known by drawn photos.
"""

from __future__ import annotations

from collections.abc import Sequence

from comfyui_astria.bench import _world
from comfyui_astria.bench._world import HEIGHT, Scene, Sitter, Way, compiled, with_inputs
from comfyui_astria.devtools.world_photos import keep_photos
from comfyui_astria.nodes.graph.graph import Graph
from comfyui_astria.smallworld import identities

NUMBERS = range(len(identities.learned), len(identities.ALL))
_FIRST_ID = 1100  # of the people's tunes


def keep_photos_of(scenes: Sequence[Scene]) -> None:
    """Let the host that paints have the photos of scenes' people as tunes."""
    numbers = {one.number for scene in scenes for one in scene.sitters}
    keep_photos(_world.BASE, {_FIRST_ID + number: number for number in sorted(numbers)})


def alone(family: str, scene: Scene) -> Graph:
    """Return the prompt of one person on a picture of their own."""
    return _alone(family, scene, scene.text)


def close_up(family: str, scene: Scene) -> Graph:
    """Return the same, seen from near."""
    return _alone(family, scene, f"close-up, {scene.text}")


def from_part(start: float) -> Way:
    """Return the same, the face drawn from that part of the steps on."""

    def way(family: str, scene: Scene) -> Graph:
        return with_inputs(close_up(family, scene), "AstriaApplyFaceID", start=start)

    return way


def _alone(family: str, scene: Scene, text: str) -> Graph:
    [sitter] = scene.sitters
    text = f"{text}, {_tag(sitter)} {_words(sitter)}"
    return compiled(family, f"{text}\nw={scene.width}\nh={HEIGHT}", scene.seed)


def ours(family: str, scene: Scene) -> Graph:
    """Return the pack's way: people in one pass, each with their own text and face."""
    people = [f" BREAK {_tag(one)} {_words(one)}" for one in scene.sitters]
    return _people(family, scene, "", people)


def without_gates(family: str, scene: Scene) -> Graph:
    """Return the same regions, with all faces on everybody."""
    tags = " ".join(map(_tag, scene.sitters))
    people = [f" BREAK {_words(one)}" for one in scene.sitters]
    return _people(family, scene, f" {tags}", people)


def _people(family: str, scene: Scene, common: str, people: Sequence[str]) -> Graph:
    size = f"w={scene.width}\nh={HEIGHT}"
    return compiled(family, f"{scene.text} BREAK{common}{''.join(people)}\n{size}", scene.seed)


def _tag(sitter: Sitter) -> str:
    return f"<faceid:{_FIRST_ID + sitter.number}:1>"


def _words(sitter: Sitter) -> str:
    """Return what a prompt says of a person without a LoRA."""
    return sitter.text.removeprefix("ohwx ")
