"""Which of the found faces count: at most so many, the largest, and none that is too small. Those
left out are reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .face import Face


@dataclass(frozen=True)
class Limits:
    """`min_size_px`: least shorter side of a face's box, in pixels; `min_size`: the same as a share
    of the picture's shorter side; `max_faces`: how many count, the largest, 0 for all.
    """

    min_size_px: float = 0
    min_size: float = 0.0
    max_faces: int = 0

    def applied(
        self, faces: Sequence[Face], width: int, height: int
    ) -> tuple[list[Face], list[str]]:
        """Return the faces that count, in their order, and what was left out, a line each reason.

        `width` and `height` are the picture's, in pixels.
        """
        least = max(self.min_size_px, self.min_size * min(width, height))
        kept = [face for face in faces if min(face.width, face.height) >= least]
        left_out = []
        if small := len(faces) - len(kept):
            left_out.append(f"{small} smaller than {least:.0f} px")
        if self.max_faces and len(kept) > self.max_faces:
            left_out.append(
                f"{len(kept) - self.max_faces} smaller than the {self.max_faces} largest"
            )
            largest = sorted(kept, key=lambda face: -face.area)[: self.max_faces]
            kept = [face for face in kept if any(face is one for one in largest)]
        return kept, left_out


@dataclass(frozen=True)
class Detection:
    """The faces of one picture from left to right, the reasons for those left out, and whether they
    were found in turned copies.
    """

    faces: tuple[Face, ...]
    left_out: tuple[str, ...] = ()
    turned: bool = False


def report(looks: Sequence[Detection]) -> str:
    """Return in words, a line a picture, how many faces it has, which were left out, and what they
    lack.
    """
    return "\n".join(
        f"Image {number}: {_detection_line(look)}." for number, look in enumerate(looks, 1)
    )


def _detection_line(look: Detection) -> str:
    parts = [f"{len(look.faces)} face(s)" if look.faces else "no face"]
    if look.turned:
        parts.append("of heads that lie or hang, found in turned copies")
    bare = [number for number, face in enumerate(look.faces, 1) if face.points is None]
    if bare:
        parts.append(
            f"face {', '.join(map(str, bare))} without points, which face swap and correction leave"
            " as it is"
        )
    parts += [f"left out: {reason}" for reason in look.left_out]
    return "; ".join(parts)
