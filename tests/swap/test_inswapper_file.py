"""The embedding matrix of a swapper's file, found by what it is and not by where it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.swap.inswapper_file import embedding_matrix
from comfyui_astria.tests.testpack.swap_models import MATRIX, matrix, write_swapper
from onnx import helper


@pytest.mark.parametrize("at", [0, 1, 2, 4])
def test_the_matrix_is_found_wherever_it_stands(tmp_path: Path, at: int) -> None:
    """Another weight of the network has its shape, and the last weight is another one unless `at`
    is 4.
    """
    found = embedding_matrix(write_swapper(tmp_path / "swapper.onnx", at=at))
    np.testing.assert_array_equal(found, matrix())


def test_half_precision_values_are_read(tmp_path: Path) -> None:
    found = embedding_matrix(write_swapper(tmp_path / "swapper.onnx", precision=np.float16))
    np.testing.assert_array_equal(found, matrix().astype(np.float16).astype(np.float32))
    assert found.dtype == np.float32


def test_values_stored_as_numbers_are_read(tmp_path: Path) -> None:
    """As onnx.helper.make_tensor writes them, which exporters of other swappers use."""
    path = write_swapper(tmp_path / "swapper.onnx", matrices=())
    model = onnx.load(path)
    model.graph.initializer.append(
        helper.make_tensor(MATRIX, onnx.TensorProto.FLOAT, (512, 512), matrix().flatten())
    )
    onnx.save(model, path)
    np.testing.assert_array_equal(embedding_matrix(path), matrix())


def test_a_file_without_the_matrix_is_refused(tmp_path: Path) -> None:
    path = write_swapper(tmp_path / "swapper.onnx", matrices=())
    with pytest.raises(
        MissingModelError,
        match=r"no embedding matrix: of its weights, 1 are \[512, 512\] and all of these belong",
    ) as caught:
        embedding_matrix(path)
    assert str(path) in str(caught.value) and "inswapper_128.onnx" in caught.value.hint


def test_a_file_with_two_matrices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MissingModelError, match=r"holds 2 embedding matrices \(one, other\); expected one"
    ):
        embedding_matrix(write_swapper(tmp_path / "swapper.onnx", matrices=("one", "other")))


def test_values_in_another_file_are_refused(tmp_path: Path) -> None:
    path = write_swapper(tmp_path / "swapper.onnx")
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=1024,
    )
    with pytest.raises(
        MissingModelError, match=f"keeps the values of its embedding matrix '{MATRIX}' elsewhere"
    ):
        embedding_matrix(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Not found</html>",
        b"version https://git-lfs.github.com/spec/v1\nsize 554253681\n",
        b"\xff" * 40,
    ],
)
def test_what_is_no_onnx_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "swapper.onnx"
    path.write_bytes(content)
    with pytest.raises(MissingModelError, match="cannot be read as an ONNX file"):
        embedding_matrix(path)


@pytest.mark.parametrize("kept", [10, 3000, 1_500_000])
def test_a_file_that_ends_too_early_is_refused(tmp_path: Path, kept: int) -> None:
    path = write_swapper(tmp_path / "swapper.onnx")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MissingModelError, match="cannot be read as an ONNX file"):
        embedding_matrix(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError, match="cannot be read as an ONNX file"):
        embedding_matrix(tmp_path / "none.onnx")
