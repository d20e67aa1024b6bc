"""Detection, five points and embeddings by insightface, from the model packs that the user has put
into the models folder.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from ..errors import MissingModelError
from .align import arcface_template, similarity, warp
from .face import Face

PACKAGES = '"insightface>=1.0.1,<3" onnxruntime'
PUBLISHER = "https://github.com/deepinsight/insightface/tree/master/python-package"
LICENCE = "The packs of InsightFace are free for non-commercial research only."
# Newer versions would look at 128 and 640 px at once, older ones at 640: the size is always given.
# A face that fills the photo is too large for the detector at 640 and is found at a smaller one.
SIZES = (640, 320, 160)
LOWEST_CONFIDENCE = 0.1  # what the detector hands on; who asks for more leaves out the rest


def find_packs(roots: Iterable[str]) -> dict[str, Path]:
    """Return the model packs below the insightface model folders: name -> folder. Opens no file."""
    folders = [
        folder
        for root in roots
        for folder in sorted(Path(root, "models").glob("*"))
        if folder.is_dir()
    ]
    # The first folder of a name counts.
    return {folder.name: folder for folder in reversed(folders)}


def missing_pack(name: str, packs: Sequence[str], roots: Sequence[str]) -> MissingModelError:
    """Return the error for a pack that is not there.

    Where it belongs, who publishes it, and on which terms.
    """
    place = Path(next(iter(roots), "models/insightface"), "models", name)
    there = ", ".join(packs) or "none"
    return MissingModelError(
        f"The face model pack '{name}' was not found. Packs there: {there}.",
        code="missing-face-pack",
        hint=(
            f"Unpack {name}.zip of {PUBLISHER} so that its .onnx files stand in {place}. {LICENCE}"
        ),
    )


class InsightDetector:
    """The detector of a pack: SCRFD with five points."""

    def __init__(self, model, key: str) -> None:
        self._model = model
        self.key = key

    def find(self, pixels: np.ndarray, min_confidence: float) -> list[Face]:
        bgr = np.ascontiguousarray(pixels[..., ::-1])
        for size in SIZES:
            boxes, points = self._model.detect(bgr, input_size=(size, size))
            found = [
                Face(
                    tuple(box[:4].tolist()),
                    None if points is None else points[number],
                    float(box[4]),
                )
                for number, box in enumerate(boxes)
            ]
            if found := [face for face in found if face.score >= min_confidence]:
                return found
        return []


class InsightRecogniser:
    """The recogniser of a pack: ArcFace on an aligned crop."""

    def __init__(self, model, name: str, key: str) -> None:
        self._model = model
        self.name = name
        self.key = key

    def embed(self, pixels: np.ndarray, points: Sequence[np.ndarray]) -> np.ndarray:
        size = self._model.input_size[0]
        template = arcface_template(size)
        image = torch.from_numpy(np.ascontiguousarray(pixels))
        # RGB -> BGR.
        crops = [
            warp(image, similarity(one, template), size).round().byte().numpy()[..., ::-1]
            for one in points
        ]
        # One at a time where the model file fixes the batch.
        chunks = (
            [[crop] for crop in crops] if isinstance(self._model.input_shape[0], int) else [crops]
        )
        return np.concatenate([self._model.get_feat(chunk) for chunk in chunks]).astype(np.float32)


def load_pack(folder: Path) -> tuple[InsightDetector, InsightRecogniser]:
    """Return the detector and the recogniser of the pack in `folder`.

    A pack that did not change since is not loaded again.

    They run on the CPU: a tune costs one detection ever, and the GPU's memory is the host's to
    give.
    Raises: MissingModelError when insightface, onnxruntime or files of the pack are missing or
    damaged.
    """
    files = sorted(folder.glob("*.onnx"))
    if not files:
        inner = next((one.parent for one in sorted(folder.glob("*/*.onnx"))), None)
        hint = (
            f"Move the files of {inner} to {folder}."
            if inner
            else f"Unpack the pack's files into it, from {PUBLISHER}. {LICENCE}"
        )
        raise MissingModelError(
            f"The face model pack {folder} holds no .onnx file.", code="empty-face-pack", hint=hint
        )
    return _loaded(
        folder, tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)
    )


@functools.lru_cache(maxsize=2)
def _loaded(
    folder: Path, files: tuple[tuple[str, int, int], ...]
) -> tuple[InsightDetector, InsightRecogniser]:
    """Load the pack; `files` only tells one state of the folder from another."""
    library, failures = _library()
    try:
        # An absolute path: a bare name would mean a folder of the working directory, and a pack
        # that is absent be downloaded.
        models = library.FaceAnalysis(
            str(folder.resolve()),
            allowed_modules=["detection", "recognition"],
            providers=["CPUExecutionProvider"],
        )
    except failures as error:
        names = ", ".join(name for name, _, _ in files)
        message = (
            f"The face model pack {folder} cannot be loaded ({names}): {type(error).__name__}"
            f" {str(error)[:200]}"
        )
        hint = (
            "A file is damaged, or there is no detector among them. Unpack the pack anew, from"
            f" {PUBLISHER}."
        )
        raise MissingModelError(message, code="damaged-face-pack", hint=hint) from error
    if "recognition" not in models.models:
        message = (
            f"The face model pack {folder} has no recogniser:"
            f" {', '.join(name for name, _, _ in files)}."
        )
        raise MissingModelError(
            message,
            code="face-pack-recogniser",
            hint=f"Use a whole pack such as buffalo_l, from {PUBLISHER}.",
        )
    models.prepare(ctx_id=0, det_thresh=LOWEST_CONFIDENCE, det_size=(SIZES[0], SIZES[0]))
    detector, recogniser = models.models["detection"], models.models["recognition"]
    detector_key, recogniser_key = (
        f"{folder.name}:{_digest(Path(one.model_file))}" for one in (detector, recogniser)
    )
    return InsightDetector(detector, detector_key), InsightRecogniser(
        recogniser, folder.name, recogniser_key
    )


def _digest(path: Path) -> str:
    """Return the beginning of a file's hash: packs are retrained under the same names."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            whole.update(block)
    return whole.hexdigest()[:16]


def _library() -> tuple[ModuleType, tuple[type[Exception], ...]]:
    """Return insightface's analysis, and what it raises for files that are no models.

    Raises: MissingModelError where it is not installed.
    """
    try:
        from insightface.app import face_analysis
        from onnxruntime.capi import onnxruntime_pybind11_state as runtime
    except ImportError as error:
        raise MissingModelError(
            f"Finding faces by a model pack needs insightface and onnxruntime; {error} (Python"
            f" {sys.version_info[0]}.{sys.version_info[1]}).",
            code="missing-insightface",
            hint=(
                f'Install them for ComfyUI\'s own Python: "{sys.executable}" -m pip install'
                f" {PACKAGES}\nOr connect a MediaPipe face model."
            ),
        ) from error
    damaged = (
        runtime.InvalidProtobuf,
        runtime.InvalidGraph,
        runtime.Fail,
        runtime.InvalidArgument,
        runtime.NotImplemented,
    )
    return face_analysis, (*damaged, AssertionError, ValueError, IndexError)
