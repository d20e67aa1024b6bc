"""The user's segmentation models as ComfyUI lists them, put together into one segmenter."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import folder_paths

from ...errors import MissingModelError
from ...graph.model_files import WEIGHT_ENDINGS
from ...graph.sockets import NO_FILE
from .. import clipseg, grounding
from ..detector import DetectedClasses
from ..sam import BoxCutter
from ..segmenter import Backend, RoutedSegmenter
from .models import (
    BackgroundRemover,
    OnDemand,
    Sam3,
    checked_sam3,
    load_background,
    load_sam3,
    read_sam,
)

# What a folder in transformers' layout must hold; each entry names files of which one is enough.
_FOLDER_FILES = (
    ("config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("tokenizer.json", "vocab.txt", "vocab.json"),
    (
        "model.safetensors",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
    ),
)


@dataclass(frozen=True)
class SegmenterKind:
    """One kind of model.

    The node's input, the host's folder key, which words it finds, and which file to get where.
    `layout`: a folder, or the file's endings.
    """

    option: str
    folder: str
    finds: str
    files: str
    address: str
    layout: tuple[str, ...] | None = None

    def names(self) -> list[str]:
        """Return the names of the models that are there."""
        if self.folder not in folder_paths.folder_names_and_paths:
            return []
        if self.layout is None:
            return sorted(
                {
                    path.name
                    for root in folder_paths.get_folder_paths(self.folder)
                    for path in _model_folders(Path(root))
                }
            )
        return sorted(
            name
            for name in folder_paths.get_filename_list(self.folder)
            if name.lower().endswith(self.layout)
        )

    def path(self, name: str) -> Path:
        """Return where a listed model is.

        Raises: MissingModelError for a name that is not listed.
        """
        if name not in self.names():
            raise MissingModelError(
                f"{self.option} '{name}' is not in {self.place()}.",
                code="segmenter-file",
                hint=self.advice(),
            )
        if self.layout is not None:
            return Path(folder_paths.get_full_path_or_raise(self.folder, name))
        return next(
            path
            for root in folder_paths.get_folder_paths(self.folder)
            for path in _model_folders(Path(root))
            if path.name == name
        )

    def place(self) -> str:
        """Return the folder where models of this kind belong."""
        return folder_paths.get_folder_paths(self.folder)[0]

    def advice(self) -> str:
        """Return what to get, where to put it and from where."""
        return (
            f"- {self.option} ({self.finds}): {self.files} into {self.place()}, from {self.address}"
        )


KINDS = {
    kind.option: kind
    for kind in (
        SegmenterKind(
            "background_removal",
            "background_removal",
            "foreground, subject, background",
            "birefnet.safetensors",
            "https://huggingface.co/Comfy-Org/BiRefNet",
            WEIGHT_ENDINGS,
        ),
        SegmenterKind(
            "sam3",
            "checkpoints",
            "any word, each thing by itself",
            "sam3.1_multiplex_fp16.safetensors",
            "https://huggingface.co/Comfy-Org/sam3.1",
            WEIGHT_ENDINGS,
        ),
        SegmenterKind(
            "grounding_dino",
            "grounding-dino",
            "any word, each thing by itself; with sam",
            "a folder with all files of the model",
            "https://huggingface.co/IDEA-Research/grounding-dino-tiny",
        ),
        SegmenterKind(
            "sam",
            "sams",
            "cuts out what grounding_dino or a detector found",
            "sam_vit_b_01ec64.pth",
            "https://github.com/facebookresearch/segment-anything",
            WEIGHT_ENDINGS,
        ),
        SegmenterKind(
            "clipseg",
            "clipseg",
            "any word, coarse",
            "a folder with all files of the model",
            "https://huggingface.co/CIDAS/clipseg-rd64-refined",
        ),
    )
}


@dataclass(frozen=True)
class Connected:
    """Models that the artist connected."""

    background_model: Any = None
    sam3_model: Any = None
    sam3_clip: Any = None
    detector: Any = None


def choices(option: str) -> list[str]:
    """Return what the node offers for one kind of model."""
    return [NO_FILE, *KINDS[option].names()]


def make_segmenter(chosen: dict[str, str], connected: Connected) -> RoutedSegmenter:
    """Return the segmenter of the chosen files and connected models.

    Files are read when a word first needs them.

    A connected model stands in for a file of its kind, and a detector comes first.
    Raises: MissingModelError without a model, for one that is not there, and where one lacks what
    it works with.
    """
    paths = {option: KINDS[option].path(name) for option, name in chosen.items() if name != NO_FILE}
    backends = tuple(_backends(paths, connected))
    advice = "\n".join(kind.advice() for kind in KINDS.values())
    if not backends:
        raise MissingModelError(
            "No segmentation model is chosen or connected.",
            code="no-segmenter",
            hint=f"Choose one or more:\n{advice}",
        )
    return RoutedSegmenter(backends, advice)


def _backends(paths: dict[str, Path], connected: Connected) -> Iterator[Backend]:
    """Yield the models in the order in which words are offered to them."""
    cut = (
        BoxCutter(OnDemand(functools.partial(read_sam, _with_its_library(paths["sam"]))))
        if "sam" in paths
        else None
    )
    if connected.detector is not None:
        yield DetectedClasses(connected.detector, cut)
    if connected.background_model is not None:
        yield BackgroundRemover(lambda: connected.background_model)
    elif "background_removal" in paths:
        yield BackgroundRemover(_once(load_background, paths["background_removal"]))
    if connected.sam3_model is not None:
        both = checked_sam3(connected.sam3_model, connected.sam3_clip, "The connected sam3_model")
        yield Sam3(lambda: both)
    elif connected.sam3_clip is not None:
        raise MissingModelError(
            "sam3_clip is connected without sam3_model.",
            code="sam3-file",
            hint="Connect both outputs of their loader.",
        )
    elif "sam3" in paths:
        yield Sam3(_once(load_sam3, paths["sam3"]))
    if "grounding_dino" in paths:
        if cut is None:
            raise MissingModelError(
                "grounding_dino finds boxes, and sam, which cuts things out of them, is 'none'.",
                code="segmenter-file",
                hint=f"Choose a sam model as well:\n{KINDS['sam'].advice()}",
            )
        folder = _complete(paths["grounding_dino"], KINDS["grounding_dino"])
        yield grounding.GroundingDino(
            OnDemand(functools.partial(grounding.load_model, folder)),
            _once(grounding.load_processor, folder),
            cut,
        )
    elif cut is not None and connected.detector is None:
        raise MissingModelError(
            "sam cuts things out of boxes, and nothing is there that finds boxes.",
            code="segmenter-file",
            hint=f"Connect a detector, or choose:\n{KINDS['grounding_dino'].advice()}",
        )
    if "clipseg" in paths:
        folder = _complete(paths["clipseg"], KINDS["clipseg"])
        yield clipseg.ClipSeg(
            OnDemand(functools.partial(clipseg.load_model, folder)),
            _once(clipseg.load_processor, folder),
        )


def _with_its_library(path: Path) -> Path:
    """Return the file of segment-anything.

    Raises: MissingModelError when the library that runs it is not installed.
    """
    if importlib.util.find_spec("segment_anything") is None:
        raise MissingModelError(
            "The Python package segment-anything, which runs sam models, is not installed.",
            code="segmenter-library",
            hint=(
                "Install it into ComfyUI's Python: pip install segment-anything. SAM3 and CLIPSeg"
                " need no such package."
            ),
        )
    return path


def _once(load: Callable[[Path], Any], path: Path) -> Callable[[], Any]:
    """Return a call that loads on first use."""
    return functools.cache(functools.partial(load, path))


def _model_folders(root: Path) -> list[Path]:
    """Return the folders in `root` that hold a model."""
    return (
        [path for path in root.iterdir() if (path / "config.json").is_file()]
        if root.is_dir()
        else []
    )


def _complete(folder: Path, kind: SegmenterKind) -> Path:
    """Return the folder when it holds what transformers needs.

    Raises: MissingModelError naming what it lacks.
    """
    lost = [
        " or ".join(names)
        for names in _FOLDER_FILES
        if not any((folder / name).is_file() for name in names)
    ]
    if lost:
        raise MissingModelError(
            f"The {kind.option} folder {folder} lacks {', '.join(lost)}.",
            code="segmenter-file",
            hint=kind.advice(),
        )
    return folder
