"""What is painted and read of one person alone who stands where one of several would: at best so
much can be right of each of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from comfyui_astria.bench._world import (
    HEIGHT,
    Scene,
    Sitter,
    compiled,
    person_in,
    person_of,
    posed,
    scene_of,
)
from comfyui_astria.nodes.graph.graph import Graph, Link
from comfyui_astria.smallworld.comparing import asked, person_words
from comfyui_astria.smallworld.reader import Reading


@dataclass(frozen=True)
class Narrow:
    """A scene of several people, and who of them is painted, from the left."""

    scene: Scene
    at: int

    @property
    def sitter(self) -> Sitter:
        """Who is painted."""
        return self.scene.sitters[self.at]

    @property
    def room(self) -> int:
        """How wide that one's column is, in pixels."""
        return self.scene.width // len(self.scene.sitters)


def narrow_of(seed: int, people: int, numbers: Sequence[int]) -> Narrow:
    """Return one of the scene of this seed; each place as often."""
    return Narrow(scene_of(seed, people, numbers), seed % people)


def ours(family: str, narrow: Narrow) -> Graph:
    """Return one prompt of one person, whom their part of the constant pose of all steers."""
    graph = posed(lambda family, scene: _said(family, narrow))(family, narrow.scene)
    pose = graph.nodes["pose"]
    width, at = narrow.scene.width, {"x": narrow.at * narrow.room, "y": 0}
    part = {"image": pose.inputs["image"], "width": narrow.room, "height": HEIGHT, **at}
    graph.add("pose.part", "ImageCrop", **part)
    graph.add("pose.nobody", "EmptyImage", width=width, height=HEIGHT, batch_size=1, color=0)
    both = {"destination": Link("pose.nobody"), "source": Link("pose.part")}
    one = graph.add("pose.one", "ImageCompositeMasked", **both, **at, resize_source=False)
    own = {**pose.inputs, "image": one}
    return Graph({**graph.nodes, "pose": replace(pose, inputs=own)})


def _said(family: str, narrow: Narrow) -> Graph:
    one = narrow.sitter
    text = f"{narrow.scene.place}, one person, {person_of(one.number)} {one.text}"
    size = f"w={narrow.scene.width}\nh={HEIGHT}"
    return compiled(family, f"{text}\n{size}", narrow.scene.seed)


def words_of(narrow: Narrow, reading: Reading) -> float:
    """Return the share of that one's words that are right in their place, 1 is all."""
    left = narrow.at * narrow.room
    person = person_in(reading, left, left + narrow.room)
    own = asked(narrow.sitter.text)
    return len(own & person_words(person)) / len(own) if person else 0.0
