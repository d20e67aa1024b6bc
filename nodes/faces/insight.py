"""Detection, five points and embeddings by insightface, from the model packs that the user has put
into the models folder.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import MissingModelError
from .align import arcface_template, similarity, warp
from .detector import FaceAnalysis
from .face import Face
from .pack_files import DETECTOR, RECOGNISER, PackFiles, sort_files
from .tiles import finest_first

# Module -> what pip is asked for. onnxruntime beside onnxruntime-gpu would take CUDA away, and both
# bring the same module.
PACKAGES = {"insightface": "insightface>=1.0.1,<3", "onnxruntime": "onnxruntime"}
PUBLISHER = "https://github.com/deepinsight/insightface/tree/master/python-package"
CPU = "CPUExecutionProvider"
LICENCE = "The packs of InsightFace are free for non-commercial research only."
# Newer versions would look at 128 and 640 px at once, older ones at 640: the size is always given.
# A face that fills the photo is too large for the detector at 640 and is found at a smaller one.
SIZES = (640, 320, 160)
LOWEST_CONFIDENCE = 0.1  # the detector's own threshold; a higher one is applied to its faces


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
        # All sizes, also after a first find, which may be a bystander.
        return finest_first(self._seen(bgr, size, min_confidence) for size in SIZES)

    def _seen(self, bgr: np.ndarray, size: int, min_confidence: float) -> list[Face]:
        boxes, points = self._model.detect(bgr, input_size=(size, size))
        found = [
            Face(
                tuple(box[:4].tolist()),
                None if points is None else points[number],
                float(box[4]),
            )
            for number, box in enumerate(boxes)
        ]
        return [face for face in found if face.score >= min_confidence]


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


@dataclass(frozen=True, eq=False)
class FacePack:
    """A loaded pack; `notes` name the files of its folder that were left out, and why."""

    detector: InsightDetector
    recogniser: InsightRecogniser
    notes: tuple[str, ...]

    @property
    def analysis(self) -> FaceAnalysis:
        """The pack's own detector and recogniser together."""
        return FaceAnalysis(self.detector, self.recogniser)


def load_pack(folder: Path) -> FacePack:
    """Return the detector and the recogniser of the pack in `folder`.

    A pack that did not change since is not loaded again. Files that are no part of a pack, and
    damaged ones that are not needed, are left out and noted.

    They run on the CPU: a tune costs one detection ever, and the GPU's memory is the host's to
    give.
    Raises: MissingModelError when insightface, onnxruntime or files of the pack are missing or
    damaged.
    """
    files = [path for path in sorted(folder.glob("*.onnx")) if path.is_file()]
    if not files:
        raise MissingModelError(
            f"The face model pack {folder} holds no .onnx file.",
            code="empty-face-pack",
            hint=_where_from(folder),
        )
    stats = ((path.name, path.stat()) for path in files)
    pack = _loaded(folder, tuple((name, one.st_size, one.st_mtime_ns) for name, one in stats))
    gone = [path.name for path in sorted(folder.glob("*.onnx")) if path not in files]
    notes = [f"Left out: {name} is a link to a file that is not there." for name in gone]
    return replace(pack, notes=(*pack.notes, *notes)) if notes else pack


@functools.lru_cache(maxsize=2)
def _loaded(folder: Path, files: tuple[tuple[str, int, int], ...]) -> FacePack:
    """Load the pack; `files` tell one state of the folder from another."""
    library, failures = _library()
    # An absolute path: a bare name would mean a folder of the working directory, and a pack
    # that is absent be downloaded.
    place = folder.resolve()
    if library.has_manifest(place):
        detector, recogniser = _by_manifest(library, place, failures)
        notes: tuple[str, ...] = ()
    else:
        sorted_files = sort_files([folder / name for name, _, _ in files], library.look, failures)
        _check_whole(folder, sorted_files)
        detector, recogniser = (
            library.get_model(str(path.resolve()), providers=[CPU])
            for path in (sorted_files.detector, sorted_files.recogniser)
        )
        notes = (*sorted_files.strays, *(f"Left out: {one}" for one in sorted_files.damaged))
    detector.prepare(ctx_id=0, det_thresh=LOWEST_CONFIDENCE, input_size=(SIZES[0], SIZES[0]))
    for note in notes:
        logging.warning("Face model pack %s: %s", folder.name, note)
    detector_key, recogniser_key = (
        f"{folder.name}:{_digest(Path(one.model_file))}" for one in (detector, recogniser)
    )
    return FacePack(
        InsightDetector(detector, detector_key),
        InsightRecogniser(recogniser, folder.name, recogniser_key),
        notes,
    )


def _by_manifest(
    library: _Library, place: Path, failures: tuple[type[Exception], ...]
) -> tuple[Any, Any]:
    """Return the models of a pack whose manifest.json says which file is which, and how it is fed.

    insightface reads it.
    """
    try:
        models = library.analysis(
            str(place), allowed_modules=["detection", "recognition"], providers=[CPU]
        ).models
    except failures as error:
        message = (
            f"The face model pack {place} cannot be loaded by its manifest.json:"
            f" {type(error).__name__} {str(error)[:200]}"
        )
        raise MissingModelError(
            message, code="damaged-face-pack", hint=f"Unpack the pack anew, from {PUBLISHER}."
        ) from error
    _check_whole(place, PackFiles(models.get("detection"), models.get("recognition"), (), ()))
    return models["detection"], models["recognition"]


def _check_whole(folder: Path, files: PackFiles) -> None:
    """Raise: MissingModelError, naming what is there, where detector or recogniser are missing."""
    has = {DETECTOR: files.detector, RECOGNISER: files.recogniser}
    missing = [kind for kind, path in has.items() if path is None]
    if not missing:
        return
    raise MissingModelError(
        "\n".join(
            [
                f"The face model pack {folder} has no {' and no '.join(missing)}.",
                *files.damaged,
                *files.strays,
            ]
        ),
        code="damaged-face-pack" if files.damaged else f"face-pack-{missing[0]}",
        hint=_where_from(folder),
    )


def _where_from(folder: Path) -> str:
    """Return the hint for a folder that is no whole pack."""
    inner = next((one.parent for one in sorted(folder.glob("*/*.onnx"))), None)
    if inner:
        return f"Move the files of {inner} to {folder}."
    archive = next(
        (one for one in (*folder.glob("*.zip"), folder.with_suffix(".zip")) if one.is_file()), None
    )
    if archive:
        return f"Unpack {archive} so that its .onnx files stand in {folder}. {LICENCE}"
    return f"Unpack a whole pack such as buffalo_l into it, from {PUBLISHER}. {LICENCE}"


def _not_installed(error: ImportError) -> MissingModelError:
    """Return the error that names what is to be installed; web/js/binding_buttons.js reads the
    line.
    """
    absent = [word for name, word in PACKAGES.items() if importlib.util.find_spec(name) is None]
    wanted = absent or list(PACKAGES.values())
    quoted = " ".join(f'"{one}"' if "<" in one else one for one in wanted)
    return MissingModelError(
        f"Finding faces by a model pack needs insightface and onnxruntime; {error} (Python"
        f" {sys.version_info[0]}.{sys.version_info[1]}).",
        code="missing-insightface",
        hint=(
            f"Install them in ComfyUI-Manager by Install PIP Packages: {' '.join(wanted)}\nIn a"
            f' terminal: "{sys.executable}" -m pip install {quoted}\nOr use MediaPipe\'s model,'
            " which needs no further package: bind face_detector in the Astria sidebar, or connect"
            " it. It finds faces and cannot tell whose they are."
        ),
    )


def _digest(path: Path) -> str:
    """Return the beginning of a file's hash: packs are retrained under the same names."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            whole.update(block)
    return whole.hexdigest()[:16]


@dataclass(frozen=True)
class _Library:
    """The functions of insightface and onnxruntime that load packs."""

    analysis: Callable[..., Any]
    get_model: Callable[..., Any]
    has_manifest: Callable[[Path], bool]
    look: Callable[[Path], Any]  # a session to read a file's inputs and outputs by


def _library() -> tuple[_Library, tuple[type[Exception], ...]]:
    """Return the libraries, and the errors that they raise for files that are no models.

    Raises: MissingModelError where one is not installed.
    """
    try:
        import onnxruntime
        from insightface.app import face_analysis
        from insightface.model_zoo import model_zoo
        from onnxruntime.capi import onnxruntime_pybind11_state as runtime
    except ImportError as error:
        raise _not_installed(error) from error

    def look(path: Path) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # Never run, so nothing is spent on making it fast.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(str(path), options, providers=[CPU])

    damaged = (
        one
        for one in vars(runtime).values()
        if isinstance(one, type) and issubclass(one, Exception)
    )
    library = _Library(
        face_analysis.FaceAnalysis,
        model_zoo.get_model,
        # Before 2.0 no pack had a manifest.
        getattr(face_analysis, "has_model_package_manifest", lambda _: False),
        look,
    )
    return library, (*damaged, AssertionError, ValueError, IndexError, TypeError, OSError)
