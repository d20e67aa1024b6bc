"""A face swapper and face restorers without weights, in the form of the published files.

Loaded and run by the real libraries.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from spandrel import ImageModelDescriptor, ModelLoader, SizeRequirements
from spandrel.architectures.GFPGAN import GFPGAN, GFPGANArch
from spandrel.architectures.RestoreFormer import RestoreFormer

from .weights import fill

EMBEDDING = 512
MATRIX = "buff2fs"  # the published file's name of the embedding matrix


def matrix() -> np.ndarray:
    """Return the embedding matrix of `write_swapper`."""
    return np.random.default_rng(1).standard_normal((EMBEDDING, EMBEDDING)).astype(np.float32) / 20


def colour_of(latent: np.ndarray) -> np.ndarray:
    """Return the colour [3] that the swapper mixes into a face for a latent [512].

    A plain reading of its network.
    """
    inner, outer = _weights()
    return 1 / (1 + np.exp(-(latent @ inner @ outer)))


def write_swapper(
    path: Path,
    size: int | str = 128,
    at: int = 4,
    precision: type = np.float32,
    matrices: Sequence[str] = (MATRIX,),
) -> Path:
    """Write an inswapper-shaped file: half the picture, half a colour that stands for the latent.

    `matrices` names the weights of the embedding matrix's shape that the network does not read;
    they stand at place `at` of all weights, in the published file the last. One weight of the same
    shape belongs to the network.
    """
    inner, outer = _weights()
    weights = [
        ("half", np.array(0.5, np.float32)),
        ("inner", inner),
        ("outer", outer),
        ("shape", np.array([1, 3, 1, 1], np.int64)),
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights]
    initializers[at:at] = [
        numpy_helper.from_array(matrix().astype(precision), name) for name in matrices
    ]
    steps = [
        ("MatMul", ["source", "inner"], "a"),
        ("MatMul", ["a", "outer"], "b"),
        ("Sigmoid", ["b"], "c"),
        ("Reshape", ["c", "shape"], "colour"),
        ("Add", ["target", "colour"], "sum"),
        ("Mul", ["sum", "half"], "output"),
    ]
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, [output]) for kind, inputs, output in steps],
        "swapper",
        [
            helper.make_tensor_value_info("target", TensorProto.FLOAT, [1, 3, size, size]),
            helper.make_tensor_value_info("source", TensorProto.FLOAT, [1, EMBEDDING]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, size, size])],
        initializers,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def tiny_gfpgan(size: int = 128) -> ImageModelDescriptor:
    """Return a narrow GFPGAN of random weights for crops of `size` instead of 512.

    The real architecture under the real descriptor.
    """
    model = GFPGAN(out_size=size, narrow=1 / 32, channel_multiplier=1)
    fill(model, seed=3)
    return ImageModelDescriptor(
        model,
        model.state_dict(),
        architecture=GFPGANArch(),
        purpose="FaceSR",
        tags=[],
        supports_half=False,
        supports_bfloat16=True,
        scale=1,
        input_channels=3,
        output_channels=3,
        size_requirements=SizeRequirements(minimum=size),
        call_fn=lambda network, image: network(image)[0],
    )


def restoreformer_weights() -> dict[str, torch.Tensor]:
    """Return the weights of a narrow RestoreFormer, by which the host's loader knows it."""
    model = RestoreFormer(
        n_embed=16, embed_dim=32, ch=32, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1, z_channels=32
    )
    fill(model, seed=4)
    return model.state_dict()


def tiny_restoreformer() -> ImageModelDescriptor:
    """Return it as the host's loader makes it from a file."""
    model = ModelLoader().load_from_state_dict(restoreformer_weights()).eval()
    assert isinstance(model, ImageModelDescriptor)
    return model


def _weights() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(2)
    return (
        draw.standard_normal((EMBEDDING, EMBEDDING)).astype(np.float32) / 20,
        draw.standard_normal((EMBEDDING, 3)).astype(np.float32),
    )
