"""What is painted and read for the figures of outpainting in the small world: drawn pictures are
extended at each of the nine anchors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from comfyui_astria.bench._world import compiled, png_of, sampled, with_inputs
from comfyui_astria.devtools import small_world
from comfyui_astria.nodes.graph.graph import Graph, Link
from comfyui_astria.nodes.outpaint.geometry import ANCHORS, Canvas, place
from comfyui_astria.smallworld.captions import caption, place_words
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.reader import read
from comfyui_astria.smallworld.scene import NEAR_PX, Scene, random_scene
from PIL import Image

SIDE = 96  # of the source, in pixels; the new picture is half as wide again in both directions
WIDER = 144
_LEAST = 8  # pixels that a new side has to have for its horizon to be read


@dataclass(frozen=True)
class Source:
    """A drawn picture, the words of it, and where it stands in the new one."""

    seed: int
    text: str
    anchor: str

    @property
    def name(self) -> str:
        """Its file in the host's input folder."""
        return f"world_{self.seed}.png"

    @property
    def picture(self) -> Image.Image:
        """One person in a place with a horizon."""
        return drawn(_scene(self.seed))

    @property
    def file(self) -> bytes:
        """The picture as PNG."""
        return png_of(self.picture)

    @property
    def where(self) -> str:
        """The words of its place alone."""
        return place_words(_scene(self.seed))

    @property
    def canvas(self) -> Canvas:
        """The new picture."""
        return place(SIDE, SIDE, WIDER, WIDER, self.anchor)


def source_of(seed: int) -> Source:
    """Return the source of this seed; the anchors take turns."""
    return Source(seed, caption(_scene(seed)), ANCHORS[seed % len(ANCHORS)])


def _scene(seed: int) -> Scene:
    """Return someone near, in a place with a horizon."""
    while True:
        scene = random_scene(seed, people=1, size=(SIDE, SIDE))
        if scene.place != "room" and scene.figures[0].head_px <= NEAR_PX[1]:
            return scene
        seed += 1_000_000


OutpaintWay = Callable[[str, Source], Graph]


def ours(
    start: float | None = None,
    overlap: int | None = None,
    *,
    has_painter: bool = True,
    says_who: bool = True,
    **inputs: object,
) -> OutpaintWay:
    """Return the pack's way; `inputs` are those of the node that puts the source back, `start` is
    the part of the noise that painting begins with, `overlap` in pixels; without `has_painter` the
    base itself paints, without `says_who` by the words of the place alone.
    """

    def way(family: str, source: Source) -> Graph:
        asked = f"--outpaint {source.anchor} --outpaint_width {WIDER} --outpaint_height {WIDER}"
        said = "" if says_who else f" --outpaint_prompt '{source.where}'"
        text = f"{source.text} {asked}{said}\nw={SIDE}\nh={SIDE}\ndenoising_strength=0"
        graph = compiled(family, text, source.seed, image=source.name, has_painter=has_painter)
        if start is not None:
            graph = with_inputs(graph, "BasicScheduler", denoise=start)
        if overlap is not None:
            graph = with_inputs(graph, "AstriaOutpaintCanvas", overlap_px=overlap)
        return with_inputs(graph, "AstriaOutpaintComposite", **inputs)

    return way


def hosts(family: str, source: Source) -> Graph:
    """Return the host's own way: the picture padded, its margin painted by a noise mask."""
    return padded(family, source.name, source.text, source.canvas, source.seed)


def padded(family: str, image: str, text: str, canvas: Canvas, seed: int) -> Graph:
    """Return how the host extends a picture of its input folder onto a canvas by a text."""
    graph = Graph()
    loader = graph.add("models", small_world.LOADER, family=family)
    clip, vae = Link(loader.node, 1), Link(loader.node, 2)
    picture = graph.add("source", "LoadImage", image=image)
    window = canvas.window
    padding = {
        "left": window.x,
        "top": window.y,
        "right": canvas.width - window.x - window.width,
        "bottom": canvas.height - window.y - window.height,
    }
    wider = graph.add("padded", "ImagePadForOutpaint", image=picture, **padding, feathering=8)
    latent = graph.add("latent", "VAEEncode", pixels=wider, vae=vae)
    mask = Link(wider.node, 1)
    masked = graph.add("masked", "SetLatentNoiseMask", samples=latent, mask=mask)
    positive = graph.add("positive", "CLIPTextEncode", clip=clip, text=text)
    return sampled(graph, family, positive, masked, seed)


@dataclass(frozen=True)
class Seam:
    """How a new picture joins its source: the step of colour across the seam beyond what is usual
    within the source, of 255; how far the horizon jumps to the sides, pixels, None without any;
    the share of the sides that show a horizon, None without any; how many of the source's pixels
    are the same, a share.
    """

    step: float
    jump: float | None
    told: float | None
    kept: float


def seam_of(source: Source, picture: Image.Image) -> Seam:
    """Return how a painted picture joins its source."""
    pixels = np.asarray(picture.convert("RGB"), float)
    window = source.canvas.window
    right, bottom = window.x + window.width, window.y + window.height
    across = np.abs(np.diff(pixels, axis=1)).mean(2)[window.y : bottom]
    down = np.abs(np.diff(pixels, axis=0)).mean(2)[:, window.x : right]
    inner = np.median(
        [
            *across[:, window.x : right - 1].mean(0),
            *down[window.y : bottom - 1].mean(1),
        ]
    )
    steps = [across[:, at - 1].mean() for at in (window.x, right) if 0 < at < WIDER]
    steps += [down[at - 1].mean() for at in (window.y, bottom) if 0 < at < WIDER]
    sides = [(0, window.x), (right, WIDER)]
    own = _horizon(picture, window.x, right)
    there = [_horizon(picture, first, last) for first, last in sides if last - first >= _LEAST]
    found = [] if own is None else [abs(one - own) for one in there if one is not None]
    inside = pixels[window.y : bottom, window.x : right]
    return Seam(
        float(np.mean(steps) - inner),
        float(np.mean(found)) if found else None,
        sum(one is not None for one in there) / len(there) if there else None,
        float((inside == np.asarray(source.picture, float)).all(2).mean()),
    )


def _horizon(picture: Image.Image, left: int, right: int) -> int | None:
    """Return where the horizon stands between two columns, None where nothing tells."""
    found = read(picture.crop((left, 0, right, WIDER)))
    return found.horizon if found.place else None
