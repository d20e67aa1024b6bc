"""Pictures of the small world that a host painted, and what was read off each: every answer is kept
in .dev/smallworld, so that a measurement goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from comfyui_astria.bench import (
    _world_far,
    _world_narrow,
    _world_portraits,
    _world_replaced,
    _world_second,
)
from comfyui_astria.bench._world import HEIGHT, OUTPUT, Scene, Way, read_of
from comfyui_astria.bench._world_far import BEFORE, MASK, Far, face_of
from comfyui_astria.bench._world_narrow import Narrow
from comfyui_astria.bench._world_outpaint import OutpaintWay, Source, seam_of
from comfyui_astria.bench._world_portraits import Portrait, kept_of
from comfyui_astria.bench._world_replaced import Replaced
from comfyui_astria.bench._world_second import Second, SecondWay
from comfyui_astria.devtools.client import Client, images_of
from comfyui_astria.devtools.demo_models import picture_of
from comfyui_astria.devtools.paths import DEV
from comfyui_astria.nodes.graph.graph import Graph, api_workflow
from comfyui_astria.smallworld import comparing, heads, model_files, reader
from comfyui_astria.smallworld.learning.faces import Gallery
from comfyui_astria.smallworld.reader import read
from PIL import Image

Answer = dict[str, float]  # what was read -> its number; the name ends with the unit


class Kept:
    """Answers of pictures that were painted before by the same graph with the same files, and read
    the same way.
    """

    def __init__(self, family: str, client: Client) -> None:
        self.family = family
        self.client = client
        self._by = _hash_of(family)
        self._file = DEV / "smallworld" / "world.jsonl"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._known = {tuple(key): answer for key, answer in map(json.loads, lines)}

    def of_people(self, name: str, way: Way, scene: Scene) -> Answer:
        """Return what is right in the picture of a scene, in percent, and its seconds."""

        def read_off(picture: Image.Image) -> Answer:
            # Faces painted anew come larger.
            in_world = picture.resize((scene.width, HEIGHT), Image.Resampling.BOX)
            found = read_of(scene, read(in_world))
            return {f"{name}, %": 100 * share for name, share in asdict(found).items()}

        key = (name, len(scene.sitters), scene.seed)
        return self._answer(key, lambda: way(self.family, scene), read_off)

    def of_place(self, narrow: Narrow) -> Answer:
        """Return how many words are right of one person where one of several would stand."""

        def read_off(picture: Image.Image) -> Answer:
            return {"words, %": 100 * _world_narrow.words_of(narrow, read(picture))}

        key = ("one of them alone", len(narrow.scene.sitters), narrow.scene.seed)
        return self._answer(key, lambda: _world_narrow.ours(self.family, narrow), read_off)

    def of_portrait(self, portrait: Portrait) -> Answer:
        """Return what is right in a portrait with another place and clothes, in percent."""

        def read_off(picture: Image.Image) -> Answer:
            found = kept_of(portrait, picture)
            return {f"{name}, %": 100 * share for name, share in asdict(found).items()}

        for name, file in portrait.files.items():
            self.client.upload_image(file, name)
        key = ("portrait", portrait.seed)
        return self._answer(key, lambda: _world_portraits.ours(self.family, portrait), read_off)

    def of_replaced(self, replaced: Replaced) -> Answer:
        """Return what is right in a picture whose people were replaced, in percent."""

        def read_off(picture: Image.Image) -> Answer:
            found = {**asdict(read_of(replaced.wanted, read(picture)))}
            found["kept"] = _world_replaced.kept_of(replaced, picture)
            return {f"{name}, %": 100 * share for name, share in found.items()}

        self.client.upload_image(replaced.file, replaced.name)
        key = ("replaced", replaced.seed)
        return self._answer(key, lambda: _world_replaced.ours(self.family, replaced), read_off)

    def of_far(self, far: Far, gallery: Gallery, *, is_matched: bool) -> Answer:
        """Return what is right of a face far away before and after it is painted, in percent."""

        def read_off(after: Image.Image, before: Image.Image, mask: Image.Image) -> Answer:
            found = {f"{name} before": share for name, share in _face(before).items()}
            found |= {**_face(after), "kept": _world_far.kept_of(before, after, mask)}
            return {f"{name}, %": 100 * share for name, share in found.items()}

        def _face(picture: Image.Image) -> dict[str, float]:
            return asdict(face_of(far, picture, gallery))

        def graph() -> Graph:
            return _world_far.ours(self.family, far, is_matched=is_matched)

        self.client.upload_image(far.file, far.name)
        return self._answer(("far", is_matched, far.seed), graph, read_off, (OUTPUT, BEFORE, MASK))

    def of_sides(self, name: str, way: OutpaintWay, source: Source) -> Answer:
        """Return how a new picture joins its source, and its seconds."""

        def read_off(picture: Image.Image) -> Answer:
            seam = seam_of(source, picture)
            found = {"colour step at the seam, of 255": seam.step, "kept, %": 100 * seam.kept}
            found["people read, of 1"] = len(read(picture).people)
            if seam.told is not None:
                found["sides with a horizon, %"] = 100 * seam.told
            if seam.jump is not None:
                found["horizon's jump, px"] = seam.jump
            return found

        self.client.upload_image(source.file, source.name)
        key = (name, "outpainting", source.seed)
        return self._answer(key, lambda: way(self.family, source), read_off)

    def of_second(self, name: str, way: SecondWay, second: Second) -> Answer:
        """Return what is right in a picture that was extended for a second person, in percent."""

        def read_off(picture: Image.Image) -> Answer:
            reading = read(picture)
            found = asdict(_world_second.found_in(second, picture, reading))
            answer = {f"{what}, %": 100 * share for what, share in found.items()}
            return {**answer, "people read, of 2": len(reading.people)}

        self.client.upload_image(second.file, second.name)
        key = (name, "second", second.seed)
        return self._answer(key, lambda: way(self.family, second), read_off)

    def _answer(
        self,
        key: tuple[object, ...],
        graph_of: Callable[[], Graph],
        read_off: Callable[..., Answer],
        outputs: Sequence[str] = (OUTPUT,),
    ) -> Answer:
        """Return what is read off the pictures of these outputs of a graph."""
        graph = api_workflow(graph_of())
        key = (self._by, *key, _hash_of_graph(graph))
        if key not in self._known:
            started = time.monotonic()
            entry = self.client.run(graph, timeout_s=600)
            seconds = time.monotonic() - started
            pictures = [image for output in outputs for image in images_of(entry, output)]
            found = read_off(*(picture_of(self.client, one) for one in pictures))
            self._known[key] = {**found, "a picture, s": seconds}
            with self._file.open("a") as lines:
                lines.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]


def _hash_of(family: str) -> str:
    """Return what the family's files are, and what reads its pictures, in short."""
    found = hashlib.sha256()
    for module in (reader, heads, comparing):
        found.update(Path(module.__file__).read_bytes())
    loras = [model_files.FOLDER / "loras" / name for name in model_files.loras(family).values()]
    vae = model_files.path_of(model_files.VAES[family])
    steering = (model_files.pose(), model_files.faceid(), model_files.inpaint(family))
    more = [path for path in steering if path.exists() and path.name.startswith(family)]
    for path in (model_files.path_of(family), vae, *loras, *more):
        found.update(Path(path).read_bytes())
    return found.hexdigest()[:12]


def _hash_of_graph(graph: Mapping[str, object]) -> str:
    """Return what a workflow is, in short: what the pack plans may have changed since."""
    return hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).hexdigest()[:12]
