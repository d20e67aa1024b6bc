"""What is painted and read for the figures of faces far away in the small world: a drawn picture of
one person far away, four times as large, before and after the face is painted anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from comfyui_astria.bench._world import compiled, person_of, png_of
from comfyui_astria.nodes.graph.graph import Graph, Link, NodeCall
from comfyui_astria.smallworld import identities, words
from comfyui_astria.smallworld.captions import figure_words, place_words
from comfyui_astria.smallworld.comparing import asked, person_words
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.learning.faces import Gallery
from comfyui_astria.smallworld.reader import read
from comfyui_astria.smallworld.scene import FAR_PX, TO_FEET, Scene, random_scene
from PIL import Image

SIDE = 128
FACTOR = 4  # of the upscaler
BEFORE, MASK = "output.before", "output.mask"
_FACES, _PEOPLE = "inpaint_faces.faces", ("persons", "regions")


@dataclass(frozen=True)
class Far:
    """A drawn picture of one person far away, and the number of the face."""

    seed: int
    drawn: Scene
    number: int

    @property
    def name(self) -> str:
        """Its file in the host's input folder."""
        return f"far_{self.seed}.png"

    @property
    def file(self) -> bytes:
        """The picture as PNG."""
        return png_of(drawn(self.drawn))

    @property
    def person(self) -> str:
        """The words of the person."""
        [figure] = self.drawn.figures
        return f"ohwx {figure_words(figure)}"

    @property
    def scene(self) -> str:
        """The words of the place."""
        return f"far away, {place_words(self.drawn)}, one person"


def far_of(seed: int, numbers: Sequence[int]) -> Far:
    """Return the picture of this seed: one of these people, without a hat."""
    rng = np.random.default_rng(seed)
    number = int(rng.choice(list(numbers)))
    scene = random_scene(seed, 1, (SIDE, SIDE))
    head = float(rng.uniform(*FAR_PX))
    own = {"kind": words.KINDS[number % len(words.KINDS)], "identity": identities.ALL[number]}
    place = {"x": SIDE / 2, "y": scene.horizon + 2 * head - TO_FEET * head, "head_px": head}
    [figure] = (replace(one, hat="", **own, **place) for one in scene.figures)
    return Far(seed, replace(scene, house_x=None, tree_xs=(), figures=(figure,)), number)


def ours(family: str, far: Far, *, is_matched: bool) -> Graph:
    """Return the pack's way, which saves the picture before it and where a face was painted too;
    unless `is_matched`, the face is nobody's, and gets the scene's words alone.
    """
    more = f"w={SIDE}\nh={SIDE}\ndenoising_strength=0\nsuper_resolution=true\ninpaint_faces=true"
    text = f"{far.scene} BREAK BREAK {person_of(far.number)} {far.person}\n{more}"
    graph = compiled(family, text, far.seed, image=far.name)
    painted = graph.nodes[_FACES]
    inputs = {
        key: value for key, value in painted.inputs.items() if is_matched or key not in _PEOPLE
    }
    made = Graph({**graph.nodes, _FACES: NodeCall(_FACES, painted.class_type, inputs)})
    made.add(BEFORE, "SaveImage", images=painted.inputs["image"], filename_prefix="world")
    touched = made.add("touched", "ThresholdMask", mask=Link(_FACES, 1), value=0.0)
    mask = made.add("mask", "MaskToImage", mask=touched)
    made.add(MASK, "SaveImage", images=mask, filename_prefix="world")
    return made


@dataclass(frozen=True)
class FaceRead:
    """What of a face is right, each a share of 1: read as its person's by geometry, named as its
    person by the recogniser, what is said of the head.
    """

    identity: float
    named: float
    words: float


def face_of(far: Far, picture: Image.Image, gallery: Gallery) -> FaceRead:
    """Return what is right of the face in a picture that is four times as large as the drawn."""
    near = _near(far, picture)
    person = max(read(near).people, key=lambda one: one.unit, default=None)
    seen = frozenset() if person is None else person_words(person)
    told = asked(far.person) & _OF_HEADS
    face = identities.ALL[far.number]
    return FaceRead(
        float(person is not None and person.identity == face),
        float(gallery.named(np.asarray(near)) == face),
        len(told & seen) / len(told),
    )


def kept_of(before: Image.Image, after: Image.Image, mask: Image.Image) -> float:
    """Return which share of the pixels outside of the mask of painted faces stays the same."""
    outside = np.asarray(mask.convert("L")) == 0
    return float((np.asarray(before) == np.asarray(after)).all(2)[outside].mean())


_OF_HEADS = frozenset(
    ["glasses", "no glasses"]
    + [f"{hair} hair" for hair in words.HAIRS]
    + [f"{skin} skin" for skin in words.SKINS]
)


def _near(far: Far, picture: Image.Image) -> Image.Image:
    """Return the part of a picture that shows the person, of a size that the reader knows."""
    [figure] = far.drawn.figures
    left, top = FACTOR * figure.x - SIDE / 2, FACTOR * (figure.y - 2.2 * figure.head_px)
    left, top = round(left), max(round(top), 0)
    return picture.convert("RGB").crop((left, top, left + SIDE, top + SIDE))
