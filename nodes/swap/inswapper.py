"""Faces replaced by those of given people.

inswapper-class ONNX models on aligned crops, pasted back with a soft border.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError, MissingModelError
from ..faces.align import arcface_template
from ..faces.face import EMBEDDING_SIZE, W600K_PACKS
from ..faces.identity import Identity
from .inswapper_file import LICENCE, PUBLISHER, embedding_matrix

_PRECISIONS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_QUIET = 3  # errors only: that the matrix is not used by the network is its purpose, not a fault


@dataclass(frozen=True, eq=False)
class Network:
    """An opened swapper: the side of its crops in pixels, and the call."""

    session: object
    size: int
    target: str
    source: str
    target_precision: type
    source_precision: type

    def __call__(self, crop: Tensor, latent: np.ndarray) -> Tensor:
        """Return the crop [size,size,3] 0..1 RGB with the face of `latent` [512].

        float32 on the CPU.
        """
        # HWC -> BCHW.
        picture = crop.movedim(-1, 0)[None].cpu().numpy().astype(self.target_precision)
        painted = self.session.run(
            None, {self.target: picture, self.source: latent[None].astype(self.source_precision)}
        )[0]
        # CHW -> HWC.
        return torch.from_numpy(painted[0].astype(np.float32)).movedim(0, -1).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class Swapper:
    """A face swap model's file and its embedding matrix [512,512].

    Its network is opened for the time of a run, so nothing stays on the GPU.
    """

    path: Path
    matrix: np.ndarray

    def latent(self, identity: Identity) -> np.ndarray:
        """Return the identity as the network's input, [512] of length 1: the mean of the photos'
        embeddings times the matrix.

        Raises: ImageError for embeddings of a recogniser that the model was not trained on.
        Source: insightface, model_zoo/inswapper.py, for one photo.
        """
        if identity.recogniser not in W600K_PACKS:
            raise ImageError(
                f"The identity '{identity.title}' was read with the face model pack"
                f" {identity.recogniser}; face swap models know the embeddings of"
                f" {' and '.join(W600K_PACKS)} only.",
                code="swap-recogniser",
                hint=(
                    "Load buffalo_l in Astria Load Face Analysis, and read the identity of a face"
                    " swap with that."
                ),
            )
        mean = F.normalize(identity.normed.mean(0), dim=0).numpy()
        mapped = mean @ self.matrix
        return mapped / np.linalg.norm(mapped)

    @contextmanager
    def opened(self, providers: Sequence[str | tuple[str, dict[str, str]]]) -> Iterator[Network]:
        """Load the network for the time of a block.

        `providers` are onnxruntime's, the CPU is added.

        Raises: MissingModelError where onnxruntime is missing, or the file is no swapper.
        """
        runtime, failures = _runtime()
        options = runtime.SessionOptions()
        options.log_severity_level = _QUIET
        try:
            session = runtime.InferenceSession(
                str(self.path), options, providers=[*providers, "CPUExecutionProvider"]
            )
        except failures as error:
            raise MissingModelError(
                f"The face swap model {self.path} cannot be loaded: {type(error).__name__}"
                f" {str(error)[:200]}",
                code="damaged-face-swapper",
                hint=(
                    "The file is damaged, or too new for this onnxruntime. Get it anew, from"
                    f" {PUBLISHER}. {LICENCE}"
                ),
            ) from error
        yield _network(session, self.path)


def load_swapper(path: Path) -> Swapper:
    """Return the swapper of a file; only its embedding matrix is read.

    Raises: MissingModelError as `embedding_matrix` does.
    """
    return Swapper(path, embedding_matrix(path))


def missing_swapper(name: str, folder: str) -> MissingModelError:
    """Return the error for a swapper that is not there.

    Where it belongs, who publishes it, and on which terms.
    """
    return MissingModelError(
        f"The face swap model '{name}' was not found in {folder}.",
        code="missing-face-swapper",
        hint=(
            f"Put inswapper_128.onnx into that folder; its publisher is InsightFace, {PUBLISHER}."
            f" {LICENCE}"
        ),
    )


def gpu_provider(device: torch.device) -> list[tuple[str, dict[str, str]]]:
    """Return onnxruntime's provider for a CUDA device where it has one, else nothing."""
    runtime, _ = _runtime()
    if device.type != "cuda" or "CUDAExecutionProvider" not in runtime.get_available_providers():
        return []
    return [("CUDAExecutionProvider", {"device_id": str(device.index or 0)})]


def _network(session: object, path: Path) -> Network:
    inputs = {len(one.shape): one for one in session.get_inputs()}
    known = (
        len(session.get_inputs()) == 2
        and set(inputs) == {2, 4}
        and all(one.type in _PRECISIONS for one in inputs.values())
    )
    size = inputs[4].shape[2] if known else None
    if (
        not known
        or inputs[4].shape[1:] != [3, size, size]
        or not isinstance(size, int)
        or inputs[2].shape[1] != EMBEDDING_SIZE
    ):
        found = ", ".join(f"{one.name} {one.shape}" for one in session.get_inputs())
        raise MissingModelError(
            f"The face swap model {path} takes {found}; expected a picture [1, 3, size, size] and"
            " an embedding [1, 512].",
            code="face-swapper-inputs",
            hint=(
                "Use inswapper_128.onnx or a model with the same inputs, of a size that the file"
                f" names. See {PUBLISHER}. {LICENCE}"
            ),
        )
    arcface_template(size)  # says which sizes a face can be aligned to
    target, source = inputs[4], inputs[2]
    return Network(
        session, size, target.name, source.name, _PRECISIONS[target.type], _PRECISIONS[source.type]
    )


def _runtime() -> tuple[object, tuple[type[Exception], ...]]:
    """Return onnxruntime, and the errors that it raises for files that it cannot load.

    Raises: MissingModelError where it is not installed.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as state
    except ImportError as error:
        raise MissingModelError(
            f"Swapping faces needs onnxruntime; {error} (Python"
            f" {sys.version_info[0]}.{sys.version_info[1]}).",
            code="missing-onnxruntime",
            hint=(
                f'Install it for ComfyUI\'s own Python: "{sys.executable}" -m pip install'
                " onnxruntime"
            ),
        ) from error
    return onnxruntime, (
        state.InvalidProtobuf,
        state.InvalidGraph,
        state.Fail,
        state.InvalidArgument,
        state.NotImplemented,
        state.NoSuchFile,
    )
