"""Models of faces in the host's memory.

Restorers by its own management, and room for those that run outside of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import comfy.model_management
import comfy.utils
import folder_paths
import torch

from ...faceid.bisenet import parts_of
from ...faceid.host.files import PARSING
from ...faceid.host.pulid_loader import load_parser
from ...graph.sockets import NO_FILE
from ...host.loading import load_whole
from ..keep import Parse
from ..restore import Restorer, call, is_face_model

# What the host reserves for an upscale model's tile of 512 px: bytes a pixel and channel, as
# ImageUpscaleWithModel counts them.
_BYTES = 4 * 384


def swapper_names() -> list[str]:
    """Return the .onnx files that stand in the insightface model folders themselves.

    The packs below them recognise faces and swap none.
    """
    return [
        name
        for name in folder_paths.get_filename_list("insightface")
        if Path(name).suffix.lower() == ".onnx" and Path(name).name == name
    ]


def swapper_path(name: str) -> Path | None:
    """Return the file of a listed swapper, None for another name."""
    return (
        Path(folder_paths.get_full_path_or_raise("insightface", name))
        if name in swapper_names()
        else None
    )


def swapper_folder() -> str:
    """Return where swappers belong."""
    return folder_paths.get_folder_paths("insightface")[0]


def make_room(size_bytes: int) -> None:
    """Free memory on the host's device for a model of that size which the host does not load
    itself, and as much to work in.
    """
    comfy.model_management.free_memory(2 * size_bytes, comfy.model_management.get_torch_device())
    comfy.model_management.soft_empty_cache()


def each_face(count: int) -> Callable[[], None]:
    """Return the function to call after each of `count` faces.

    It moves the progress on, and raises where the user has interrupted the run.
    """
    progress = comfy.utils.ProgressBar(count)

    def done() -> None:
        progress.update(1)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return done


def face_parser(name: str) -> Parse | None:
    """Return the call that says which part of a head each pixel is, by a file of the
    facedetection folder that the host loads; None for none.

    Raises: FaceIDError where the file is damaged or something else.
    """
    if name == NO_FILE:
        return None
    patcher = load_parser(folder_paths.get_full_path_or_raise(PARSING, name))

    def parse(crops: torch.Tensor) -> torch.Tensor:
        comfy.model_management.load_models_gpu([patcher])
        return parts_of(crops.float().to(patcher.load_device), patcher.model)

    return parse


def painter(restorer: Restorer, fidelity: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the call that runs crops [n,h,w,3] 0..1 through a restorer, loaded by the host.

    float32 on the device of the crops.

    As many faces at once as its memory holds; models that are not made for faces get one at a time.
    """
    management = comfy.model_management

    def paint(crops: torch.Tensor) -> torch.Tensor:
        device = restorer.patcher.load_device
        each = crops[0].numel() * _BYTES * max(restorer.scale, 1)
        load_whole(restorer.patcher, each)
        at_once = (
            max(int(management.get_free_memory(device) // each), 1)
            if is_face_model(restorer)
            else 1
        )
        progress = comfy.utils.ProgressBar(len(crops))
        painted: list[torch.Tensor] = []
        while len(painted) < len(crops):
            management.throw_exception_if_processing_interrupted()
            chunk = crops[len(painted) : len(painted) + at_once].movedim(-1, 1)  # BHWC -> BCHW
            # GFPGAN views its layers as rows, which channels that lie last do not allow.
            chunk = chunk.to(device).contiguous()
            try:
                result = call(restorer, chunk, fidelity)
            except (management.OOM_EXCEPTION, management.ACCELERATOR_ERROR) as error:
                management.raise_non_oom(error)
                if at_once == 1:
                    raise
                at_once = max(len(chunk) // 2, 1)
                continue
            painted.extend(result.movedim(1, -1).to(crops.device).float())
            progress.update(len(chunk))
        return torch.stack(painted)

    return paint
