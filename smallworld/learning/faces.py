"""Measures the face models by InsightFace's own FaceAnalysis: `python dev.py learn faces`."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...devtools.console import DevError, say
from ...nodes.faces.match import STRANGERS
from .. import identities
from ..identities import Identity
from ..landmarks import face_points
from ..model_files import face_pack
from ..scene import CLOSE_UP_PX, FAR_PX, Figure, random_figure, random_scene
from .face_pictures import seen

FIRST_SEED = 5_000_000
GALLERY_SEED = 6_000_000
OVERLAP = 0.5  # of a found box and a drawn one: it is that face
BORDER = 1 - STRANGERS  # the cosine below which two faces are strangers to users of ArcFace


@dataclass
class Found:
    """What became of the faces of one size; cosines with the same person and with the others."""

    drawn: int = 0
    found: int = 0
    off: list[float] = field(default_factory=list)  # of five points, in half widths of a head
    first: dict[str, list[bool]] = field(default_factory=dict)  # the nearest is that person
    same: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


def main(argv: Sequence[str]) -> None:
    """Say how many faces of unseen pictures are found, and whether they are told apart."""
    ask = argparse.ArgumentParser(prog="dev.py learn faces")
    ask.add_argument("--count", type=int, default=200, help="pictures")
    given = ask.parse_args(argv)
    sizes, strays = measured(analysis(), range(FIRST_SEED, FIRST_SEED + given.count))
    say(f"{strays} boxes without a face in {given.count} pictures")
    for size, one in sizes.items():
        say(f"{size}: {'; '.join(_told(one))}")


class Gallery:
    """Every face of the world from one portrait each."""

    def __init__(self) -> None:
        self._faces = analysis()
        known = dict(_gallery(self._faces))
        self._people, self._known = list(known), np.stack(list(known.values()))

    def named(self, pixels: np.ndarray) -> Identity | None:
        """Return whose the largest face in a picture [H,W,3] is, None without any."""
        found = faces_of(self._faces, pixels)
        sizes = [np.prod(one.bbox[2:] - one.bbox[:2]) for one in found]
        if not found:
            return None
        face = found[int(np.argmax(sizes))].normed_embedding
        return self._people[int((self._known @ face).argmax())]


def analysis() -> Any:
    """Return InsightFace's own FaceAnalysis of the small world's pack."""
    from insightface.app import FaceAnalysis

    found = FaceAnalysis(
        str(face_pack()),
        allowed_modules=["detection", "recognition"],
        providers=["CPUExecutionProvider"],
    )
    found.prepare(ctx_id=0, det_size=(640, 640))
    return found


def faces_of(faces: Any, pixels: np.ndarray) -> list[Any]:
    """Return what InsightFace finds in a picture [H,W,3]."""
    with warnings.catch_warnings():  # it calls what scikit-image has a new name for
        warnings.simplefilter("ignore")
        return faces.get(np.ascontiguousarray(pixels[..., ::-1]))


def measured(faces: Any, seeds: Iterable[int]) -> tuple[dict[str, Found], int]:
    """Return size -> what became of its faces, and how many boxes hold no face."""
    gallery = dict(_gallery(faces))
    known = np.stack(list(gallery.values()))
    sizes = {name: Found() for name in ("far", "near", "close-up")}
    strays = 0
    for seed in seeds:
        scene = random_scene(seed)
        rng = np.random.default_rng(seed)
        figures = tuple(replace(one, identity=_anybody(rng)) for one in scene.figures)
        picture = seen(replace(scene, figures=figures))
        found = faces_of(faces, picture.pixels)
        whose = [_whose(one.bbox, picture.boxes) for one in found]
        strays += whose.count(None)
        for number, figure in enumerate(figures):
            size = sizes[_size(figure)]
            size.drawn += 1
            if number in whose:
                face = found[whose.index(number)]
                size.found += 1
                size.off.append(_points_off(face.kps, figure))
                _compare(size, figure.identity, face.normed_embedding, list(gallery), known)
    return sizes, strays


def _anybody(rng: np.random.Generator) -> Identity:
    return identities.ALL[rng.integers(len(identities.ALL))]


def _gallery(faces: Any) -> Iterator[tuple[Identity, np.ndarray]]:
    """Yield each person with the embedding of one portrait."""
    for number, identity in enumerate(identities.ALL):
        scene = random_scene(GALLERY_SEED + number, people=0, size=(128, 128))
        rng = np.random.default_rng(number)
        figure = replace(random_figure(rng, 64, 56, 24.0), identity=identity)
        picture = seen(replace(scene, figures=(figure,)))
        found = [
            one for one in faces_of(faces, picture.pixels) if _whose(one.bbox, picture.boxes) == 0
        ]
        if not found:
            raise DevError(f"The portrait of {identity} holds no face.", "Train the detector on.")
        yield identity, found[0].normed_embedding


def _whose(box: np.ndarray, boxes: np.ndarray) -> int | None:
    """Return the number of the drawn face in that box."""
    for number, other in enumerate(boxes):
        low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
        shared = np.prod((high - low).clip(0))
        both = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - shared
        if shared > OVERLAP * both:
            return number
    return None


def _size(figure: Figure) -> str:
    if figure.head_px >= CLOSE_UP_PX[0]:
        return "close-up"
    return "far" if figure.head_px <= FAR_PX[1] else "near"


def _points_off(points: np.ndarray, figure: Figure) -> float:
    off = np.linalg.norm(points - face_points(figure), axis=1).mean()
    return float(off) / figure.head_px


def _compare(
    size: Found, identity: Identity, face: np.ndarray, people: list[Identity], known: np.ndarray
) -> None:
    cosines = known @ face
    number = people.index(identity)
    group = "learned" if identity in identities.learned else "held out"
    size.first.setdefault(group, []).append(int(cosines.argmax()) == number)
    size.same.append(float(cosines[number]))
    size.others += np.delete(cosines, number).tolist()


def _told(one: Found) -> Iterator[str]:
    yield f"{one.found} of {one.drawn} found"
    if one.found:
        yield f"points {np.median(one.off):.3f} off"
        for group, right in one.first.items():
            yield f"{np.mean(right):.1%} of {len(right)} {group} people named"
        same, others = np.array(one.same), np.array(one.others)
        for name, cosines, is_right in (
            ("same person", same, same >= BORDER),
            ("others", others, others < BORDER),
        ):
            low, middle, high = np.percentile(cosines, (1, 50, 99))
            yield (
                f"{name} {middle:.2f} ({low:.2f} to {high:.2f}),"
                f" {is_right.mean():.1%} on their side of {BORDER:.2f}"
            )
