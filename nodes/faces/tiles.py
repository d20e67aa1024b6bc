"""Several looks at one picture: small faces are found in overlapping tiles, large ones at smaller
sizes, and a face that was seen several times counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .face import Face, overlap

SMALLEST_TILE_PX = 384  # below, a tile shows no more than the one it is cut from
MOST_PARTS = 4  # along each side
# Of a tile's side: a face up to this large stands whole in one of them; a larger one is found in
# the coarser tiles.
OVERLAP = 0.25
SAME_FACE = 0.4  # share of the union of two boxes
SAME_FACE_WITHIN = 0.7  # share of the smaller box: half a face that a neighbouring tile saw
SMALL_PART = 0.5  # of a face's box: a box within it that is smaller is a part of the face
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


def finest_first(looks: Iterable[Sequence[Face]]) -> list[Face]:
    """Return the faces of several looks at one picture, the finest look first.

    A face stays as the finest look saw it, and coarser ones add those that it missed. Only what
    proves to be a part of a larger and surer face gives way to that: an eye, a mouth of a face that
    fills the picture.
    """
    kept: list[Face] = []
    for faces in looks:
        finer = list(kept)
        for face in faces:
            same = [other for other in finer if _same(face, other)]
            if all(_is_part(other, face) for other in same):
                kept = [other for other in kept if not any(other is one for one in same)]
                kept.append(face)
    return kept


def _is_part(face: Face, whole: Face) -> bool:
    return face.area < SMALL_PART * whole.area and face.score < whole.score


def _same(a: Face, b: Face) -> bool:
    share = overlap(a, b)
    # The intersection, from its share of the union.
    shared = share / (1 + share) * (a.area + b.area)
    return share > SAME_FACE or shared > SAME_FACE_WITHIN * min(a.area, b.area)
