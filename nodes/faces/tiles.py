"""Looking twice: small faces are found in overlapping parts of a picture, and what several parts
saw counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .detector import overlap
from .face import Face

SMALLEST_TILE_PX = 384  # below, a tile shows no more than the one it is cut from
MOST_PARTS = 4  # along each side
# Of a tile's side: a face up to this large stands whole in one of them; a larger one is found in
# the coarser tiles.
OVERLAP = 0.25
SAME_FACE = 0.4  # share of the union of two boxes
SAME_FACE_WITHIN = 0.7  # share of the smaller box: half a face that a neighbouring tile saw
EDGE = 0.01  # of a tile's side: a face that touches its cut edge is cut

Window = tuple[int, int, int, int]  # left, top, right, bottom


def windows(width: int, height: int) -> list[Window]:
    """Return the parts of a picture to look at.

    The whole, then 2x2 and 4x4 overlapping tiles as far as the picture is large enough.
    """
    found = [(0, 0, width, height)]
    parts = 2
    while parts <= MOST_PARTS and min(width, height) / parts >= SMALLEST_TILE_PX:
        found += [
            (left, top, right, bottom)
            for top, bottom in _spans(height, parts)
            for left, right in _spans(width, parts)
        ]
        parts *= 2
    return found


def _spans(length: int, parts: int) -> Iterator[tuple[int, int]]:
    """Cut a side into equal overlapping parts that reach from end to end."""
    size = round(length / (parts - (parts - 1) * OVERLAP))
    for part in range(parts):
        start = round(part * (length - size) / (parts - 1))
        yield start, start + size


def is_cut(face: Face, window: Window, width: int, height: int) -> bool:
    """Say whether the face, in the picture's pixels, touches an edge of the window that is not the
    picture's own.
    """
    left, top, right, bottom = window
    across, down = EDGE * (right - left), EDGE * (bottom - top)
    return (
        (left > 0 and face.box[0] <= left + across)
        or (top > 0 and face.box[1] <= top + down)
        or (right < width and face.box[2] >= right - across)
        or (bottom < height and face.box[3] >= bottom - down)
    )


def each_once(faces: Iterable[Face]) -> list[Face]:
    """Return the faces without those that mean the same as a surer one.

    Boxes that overlap, or of which one lies in the other.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda one: -one.score):
        if not any(_same(face, other) for other in kept):
            kept.append(face)
    return kept


def _same(a: Face, b: Face) -> bool:
    share = overlap(a, b)
    # The intersection, from its share of the union.
    shared = share / (1 + share) * (a.area + b.area)
    return share > SAME_FACE or shared > SAME_FACE_WITHIN * min(a.area, b.area)
