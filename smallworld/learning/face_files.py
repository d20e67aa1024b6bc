"""Writes the face models as a pack of InsightFace: det.onnx and rec.onnx, whose large weights are
bytes with a scale for each row.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor, nn

from ..model_files import ABOUT, face_pack
from ..packing import SCALES, packed
from .face_nets import ANCHORS, CROP, FaceDetector, FaceRecogniser

OPSET = 17
BYTES = ".bytes"  # beside the scales
_KINDS = ("score", "bbox", "kps")


def save_faces(work: Path) -> list[Path]:
    """Write what was learned of the two, and return the files."""
    outputs = [f"{kind}_{stride}" for kind in _KINDS for stride in ANCHORS]
    sides = {2: "height", 3: "width"}
    batches = {name: {0: "batch"} for name in ("input", "embedding")}
    rows = {name: {0: "cells"} for name in outputs}
    models = (
        ("detector", "det", FaceDetector, 640, outputs, {"input": sides, **rows}),
        ("recogniser", "rec", FaceRecogniser, CROP, ["embedding"], batches),
    )
    found = []
    for state_name, name, kind, side, names, free in models:
        state = work / f"{state_name}.state.pt"
        if state.exists():
            model = kind()
            model.load_state_dict(torch.load(state, weights_only=False)["average"])
            x = torch.zeros(1, 3, side, side)
            found.append(_save(model, x, face_pack() / f"{name}.onnx", names, free))
    return found


def _save(
    model: nn.Module, x: Tensor, path: Path, outputs: list[str], free: dict[str, dict[int, str]]
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The exporter by tracing; the newer one needs a package more.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (x,),
            str(path),
            input_names=["input"],
            output_names=outputs,
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    written = onnx.load(path)
    written.doc_string = ABOUT
    pack(written)
    onnx.checker.check_model(written, full_check=True)
    onnx.save(written, path)
    return path


def pack(model: ModelProto) -> None:
    """Have a model hold its large weights [n,...] as bytes and scales [n], which DequantizeLinear
    multiplies when it runs; a model that already does so stays as it is.
    """
    graph = model.graph
    weights = {
        one.name: torch.tensor(numpy_helper.to_array(one))
        for one in graph.initializer
        if one.data_type == onnx.TensorProto.FLOAT and not one.name.endswith(SCALES)
    }
    found = packed(weights)
    large = [name for name in weights if name + SCALES in found]
    kept = [one for one in graph.initializer if one.name not in large]
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    for name in large:
        parts = [name + BYTES, name + SCALES]
        for part, value in zip(parts, (found[name], found[name + SCALES]), strict=True):
            graph.initializer.append(numpy_helper.from_array(value.numpy(), part))
        graph.node.append(helper.make_node("DequantizeLinear", parts, [name], axis=0))
    graph.node.extend(nodes)
