"""A face model pack without weights.

A detector that finds one known face by comparing, and a recogniser that projects pixels.

The files have the inputs and outputs of a pack of insightface (SCRFD with five points, ArcFace), so
that its real code loads and runs them. The known face is that of scikit-image's `astronaut`. It is
found wherever it stands in a picture, at two sizes: as in the whole photo made square at the
detector's 640 px (any size of the photo itself), and half of that, as in two of them side by side.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import skimage.data
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

# Of the face in the photo of 512x512: box, and eyes, nose, mouth corners.
FACE_BOX = (181.0, 66.0, 270.0, 178.0)
FACE_POINTS = np.array(
    [[203.75, 101.25], [246.75, 103.75], [224.5, 127.5], [205.75, 142.0], [243.75, 142.0]],
    dtype=np.float32,
)
PHOTO_PX = 512
# Pixels of the detector's input for one of the photo: one a template.
SCALES = (640 / PHOTO_PX, 320 / PHOTO_PX)

_CELL = 8  # the detector's finest stride
_LEAST_ALIKE = 0.8  # correlation that counts as nothing
_EMBEDDING = 512
_OPSET = [helper.make_opsetid("", 17)]


def write_face_pack(folder: Path, fixed_batch: bool = False) -> Path:
    """Write det_test.onnx and rec_test.onnx into `folder`, made when missing; return it.

    `fixed_batch`: the recogniser takes one face a call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_detector(), folder / "det_test.onnx")
    onnx.save(_recogniser(1 if fixed_batch else "batch"), folder / "rec_test.onnx")
    return folder


def astronaut() -> np.ndarray:
    """Return the photo, uint8 [512,512,3]."""
    return np.array(skimage.data.astronaut())


def _detector() -> onnx.ModelProto:
    """Nine outputs as SCRFD has them.

    Scores, boxes and points of three strides with two anchors a cell, which are the two sizes here.
    """
    nodes = [
        helper.make_node(
            "AveragePool", ["input"], ["cells"], kernel_shape=[_CELL, _CELL], strides=[_CELL, _CELL]
        )
    ]
    constants: dict[str, np.ndarray] = {}
    boxes, points = [], []
    for number, scale in enumerate(SCALES):
        template, box, five = _template(scale)
        nodes += _correlation(f"t{number}", template, constants)
        boxes.append(box)
        points.append(five)
    nodes.append(helper.make_node("Concat", ["t0_score", "t1_score"], ["score_map"], axis=1))
    outputs = []
    for stride, pool in ((8, 1), (16, 2), (32, 4)):
        nodes += _outputs(stride, pool, np.stack(boxes), np.stack(points), constants)
        outputs += [
            (kind, stride, width) for kind, width in (("score", 1), ("box", 4), ("points", 10))
        ]
    order = sorted(outputs, key=lambda one: (("score", "box", "points").index(one[0]), one[1]))
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "height", "width"])],
        [
            helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, ["cells", width])
            for kind, stride, width in order
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return _checked(graph)


def _template(scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the face as cells [3,rows,columns] without mean and of length 1, and its box and
    points as distances from the middle cell.
    """
    side = round(PHOTO_PX * scale)
    small = Image.fromarray(astronaut()).resize((side, side), Image.Resampling.BILINEAR)
    values = (np.asarray(small, dtype=np.float32) - 127.5) / 128.0
    cells = (
        values.reshape(side // _CELL, _CELL, side // _CELL, _CELL, 3)
        .mean((1, 3))
        .transpose(2, 0, 1)
    )
    left, top, right, bottom = (round(edge * scale / _CELL) for edge in FACE_BOX)
    # Odd: a convolution has a middle cell.
    rows, columns = (bottom - top) // 2 * 2 + 1, (right - left) // 2 * 2 + 1
    patch = cells[:, top : top + rows, left : left + columns]
    patch = patch - patch.mean()
    middle = np.array([left + columns // 2, top + rows // 2], dtype=np.float32)
    box = np.array(FACE_BOX) * scale / _CELL
    distances = np.concatenate([middle - box[:2], box[2:] - middle])
    five = (FACE_POINTS * scale / _CELL - middle).reshape(-1)
    return (
        (patch / np.linalg.norm(patch)).astype(np.float32),
        distances.astype(np.float32),
        five.astype(np.float32),
    )


def _correlation(
    name: str, template: np.ndarray, constants: dict[str, np.ndarray]
) -> list[onnx.NodeProto]:
    """Nodes for <name>_score [1,1,rows,columns].

    How much the cells around are the template, whatever their brightness and contrast.
    """
    _, rows, columns = template.shape
    pads = [rows // 2, columns // 2, rows // 2, columns // 2]
    constants |= {
        f"{name}_kernel": template[None],
        f"{name}_mean": np.full((1, *template.shape), 1 / template.size, np.float32),
        f"{name}_sum": np.ones((1, *template.shape), np.float32),
        f"{name}_count": np.array(template.size, np.float32),
        f"{name}_least": np.array(_LEAST_ALIKE, np.float32),
        f"{name}_range": np.array(1 - _LEAST_ALIKE, np.float32),
        f"{name}_zero": np.array(0, np.float32),
        f"{name}_one": np.array(1, np.float32),
        f"{name}_tiny": np.array(0.5, np.float32),
    }
    steps = [
        ("Conv", ["cells", f"{name}_kernel"], "dot", {"pads": pads}),
        ("Conv", ["cells", f"{name}_mean"], "average", {"pads": pads}),
        ("Mul", ["cells", "cells"], "square", {}),
        ("Conv", [f"{name}_square", f"{name}_sum"], "energy", {"pads": pads}),
        ("Mul", [f"{name}_average", f"{name}_average"], "average2", {}),
        ("Mul", [f"{name}_average2", f"{name}_count"], "level", {}),
        ("Sub", [f"{name}_energy", f"{name}_level"], "spread", {}),
        ("Max", [f"{name}_spread", f"{name}_tiny"], "safe", {}),
        ("Sqrt", [f"{name}_safe"], "length", {}),
        ("Div", [f"{name}_dot", f"{name}_length"], "alike", {}),
        ("Sub", [f"{name}_alike", f"{name}_least"], "above", {}),
        ("Div", [f"{name}_above", f"{name}_range"], "share", {}),
        ("Clip", [f"{name}_share", f"{name}_zero", f"{name}_one"], "score", {}),
    ]
    return [
        helper.make_node(kind, inputs, [f"{name}_{output}"], **attributes)
        for kind, inputs, output, attributes in steps
    ]


def _outputs(
    stride: int, pool: int, boxes: np.ndarray, points: np.ndarray, constants: dict[str, np.ndarray]
) -> list[onnx.NodeProto]:
    """Nodes for one stride: the map of two anchors as rows; coarser strides find nothing.

    Boxes and points are the same at every cell.
    """
    rows = f"rows_{stride}"
    constants |= {
        f"{rows}_shape": np.array([-1, 1], np.int64),
        f"{rows}_found": np.array(float(pool == 1), np.float32),
        f"{rows}_zero": np.array(0, np.float32),
        f"box_{stride}_value": boxes,
        f"points_{stride}_value": points,
        f"box_{stride}_shape": np.array([-1, 4], np.int64),
        f"points_{stride}_shape": np.array([-1, 10], np.int64),
        f"{rows}_pair": np.array([-1, 2, 1], np.int64),
    }
    nodes = [
        helper.make_node(
            "AveragePool",
            ["score_map"],
            [f"{rows}_pooled"],
            kernel_shape=[pool, pool],
            strides=[pool, pool],
        ),
        helper.make_node("Mul", [f"{rows}_pooled", f"{rows}_found"], [f"{rows}_scaled"]),
        helper.make_node("Transpose", [f"{rows}_scaled"], [f"{rows}_last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [f"{rows}_last", f"{rows}_shape"], [f"score_{stride}"]),
        helper.make_node("Mul", [f"{rows}_last", f"{rows}_zero"], [f"{rows}_zeros"]),
        helper.make_node("Reshape", [f"{rows}_zeros", f"{rows}_pair"], [f"{rows}_pairs"]),
    ]
    for kind in ("box", "points"):
        nodes += [
            helper.make_node(
                "Add", [f"{rows}_pairs", f"{kind}_{stride}_value"], [f"{kind}_{stride}_every"]
            ),
            helper.make_node(
                "Reshape",
                [f"{kind}_{stride}_every", f"{kind}_{stride}_shape"],
                [f"{kind}_{stride}"],
            ),
        ]
    return nodes


def _recogniser(batch: int | str) -> onnx.ModelProto:
    """A fixed random projection of the crop's 14x14 cells without their mean.

    Like crops give like embeddings.
    """
    projection = (
        np.random.default_rng(112).standard_normal((3 * 14 * 14, _EMBEDDING)).astype(np.float32)
    )
    graph = helper.make_graph(
        [
            helper.make_node(
                "AveragePool", ["input"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]
            ),
            helper.make_node("Flatten", ["cells"], ["flat"], axis=1),
            helper.make_node("ReduceMean", ["flat"], ["level"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["flat", "level"], ["contrast"]),
            helper.make_node("MatMul", ["contrast", "projection"], ["embedding"]),
        ],
        "recogniser",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, _EMBEDDING])],
        [numpy_helper.from_array(projection, "projection")],
    )
    return _checked(graph)


def _checked(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=_OPSET, ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
