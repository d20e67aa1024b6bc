"""Photos of people: read, hashed, and checked for the one usable face that a tune needs of each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ImageError
from ..net.decoding import room_for
from .detector import FaceAnalysis
from .face import EMBEDDING_SIZE, Face, largest
from .identity import Identity, PhotoFace

# Shorter side of the box; a recogniser looks at 112 px.
MIN_FACE_PX = 64
LEAST_FACE_PX = 16  # the least that may be set in its place: smaller boxes are chance
# As the photo's header says, before anything is decoded; Pillow would warn a little above.
MAX_PIXELS = 85_000_000
GREY_16_MAX = 65535
MAX_SIDE_PX = 4096  # larger photos are scaled down: no part of this pack looks at more of a face

_NUMBERS = 4 + 1 + 10 + EMBEDDING_SIZE  # of a face in the cache: box, score, points, embedding


class Cache(Protocol):
    """Keeps bytes by photo and kind of analysis."""

    def get(self, photo: str, analysis: str) -> bytes | None: ...

    def put(self, photo: str, analysis: str, data: bytes) -> None: ...


@dataclass(frozen=True)
class PhotoFinding:
    """A photo and the person's face in it, None where there is no usable one; `note` says why, or
    which of several was chosen.
    """

    pixels: np.ndarray
    face: Face | None
    note: str = ""


def read_photo(path: Path) -> np.ndarray:
    """Return a photo as uint8 [H,W,3] RGB, turned as its camera held it.

    Raises: ImageError for a file that is no picture, or has more than `MAX_PIXELS`.
    """
    try:
        with Image.open(path) as photo:
            if photo.width * photo.height > MAX_PIXELS:
                raise _unreadable(
                    path,
                    f"it has {photo.width}x{photo.height} pixels; expected at most {MAX_PIXELS}",
                )
            with room_for(photo.width * photo.height):
                return bounded(np.array(_rgb(ImageOps.exif_transpose(photo))))
    except UnidentifiedImageError as error:  # its own text tells the path
        raise _unreadable(path, "it is no picture of a known kind") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (Image.DecompressionBombError, SyntaxError) as error:
        raise _unreadable(path, str(error)) from error


def _rgb(photo: Image.Image) -> Image.Image:
    """Return a photo of any mode in 8-bit RGB, without alpha.

    Grey of 16 bits is scaled, as ComfyUI's Load Image does; Pillow would cut it off at 255.
    """
    if photo.mode.startswith("I"):
        levels = np.asarray(photo).astype(np.float64) * (255 / GREY_16_MAX)
        photo = Image.fromarray(levels.round().clip(0, 255).astype(np.uint8), "L")
    return photo.convert("RGB")


def bounded(pixels: np.ndarray) -> np.ndarray:
    """Return the photo, uint8 [H,W,3], scaled down to `MAX_SIDE_PX` where it is larger."""
    if max(pixels.shape[:2]) <= MAX_SIDE_PX:
        return pixels
    photo = Image.fromarray(pixels)
    photo.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    return np.array(photo)


def _unreadable(path: Path, problem: str) -> ImageError:
    # The folder has the tune's id; where it stands on this machine is nobody's business.
    return ImageError(
        f"The photo {path.parent.name}/{path.name} cannot be read: {problem}.",
        code="photo-unreadable",
        hint="Make the tune anew from readable photos.",
    )


def png_bytes(pixels: np.ndarray) -> bytes:
    """Return the photo as a PNG file, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def photo_hash(pixels: np.ndarray) -> str:
    """Return the SHA-256 of a photo's pixels and shape, the same for every file that holds them."""
    return hashlib.sha256(
        repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()
    ).hexdigest()


def faces_of(pixels: np.ndarray, analysis: FaceAnalysis, cache: Cache) -> tuple[Face, ...]:
    """Return the faces of a photo that have an embedding, from the cache where the same model files
    have analysed it before.
    """
    key = analysis.key
    photo = "" if key is None else photo_hash(pixels)
    kept = None if key is None else cache.get(photo, key)
    if kept is None:
        kept = _packed(face for face in analysis.faces(pixels) if face.embedding is not None)
        if key is not None:
            cache.put(photo, key, kept)
    # Fresh ones too are read back: the first run and the second give equal numbers.
    return _unpacked(kept, None if analysis.recogniser is None else analysis.recogniser.name)


def _packed(faces: Iterable[Face]) -> bytes:
    rows = [
        np.concatenate([face.box, [face.score], np.ravel(face.points), np.ravel(face.embedding)])
        for face in faces
    ]
    return b"".join(row.astype("<f4").tobytes() for row in rows)


def _unpacked(data: bytes, recogniser: str | None) -> tuple[Face, ...]:
    rows = np.frombuffer(data, dtype="<f4").reshape(-1, _NUMBERS).astype(np.float32)
    return tuple(
        Face(tuple(row[:4].tolist()), row[5:15].reshape(5, 2), float(row[4]), row[15:], recogniser)
        for row in rows
    )


def find_person(
    pixels: np.ndarray, analysis: FaceAnalysis, cache: Cache, min_face_px: int = MIN_FACE_PX
) -> PhotoFinding:
    """Return the largest face of a photo, or why there is none to use.

    A face below `MIN_FACE_PX` that `min_face_px` lets pass is noted.
    """
    faces = faces_of(pixels, analysis, cache)
    face = largest(faces)
    if face is None:
        return PhotoFinding(pixels, None, "no face was found")
    side = min(face.width, face.height)
    small = f"the largest face is {side:.0f} px wide"
    if side < min_face_px:
        return PhotoFinding(pixels, None, f"{small}; expected at least {min_face_px} px")
    noted = [f"{len(faces)} faces were found; the largest is used"] if len(faces) > 1 else []
    if side < MIN_FACE_PX:
        noted.append(f"{small}, and below {MIN_FACE_PX} px the likeness suffers")
    return PhotoFinding(pixels, face, "; ".join(noted))


def notes(findings: Sequence[PhotoFinding]) -> list[str]:
    """Return the notes about the photos, a line each, with their numbers from 1."""
    used = {True: "", False: "not used: "}
    return [
        f"Photo {number}: {used[one.face is not None]}{one.note}."
        for number, one in enumerate(findings, 1)
        if one.note
    ]


def identity_of(findings: Sequence[PhotoFinding], analysis: FaceAnalysis, title: str) -> Identity:
    """Return the identity that the photos show.

    Raises: ImageError when no photo has a usable face, saying what is wrong with each.
    """
    assert analysis.recogniser is not None
    usable = tuple(PhotoFace(one.pixels, one.face) for one in findings if one.face is not None)
    if not usable:
        raise ImageError(
            f"No photo of '{title}' shows a usable face. {' '.join(notes(findings))}",
            code="no-usable-face",
            hint=(
                "Use sharp photos in which the face is large, seen from the front or half from the"
                " side; for small photos lower min_face_px."
            ),
        )
    return Identity(usable, analysis.recogniser.name, title)
