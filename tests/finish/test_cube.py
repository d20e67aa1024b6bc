"""Colour tables in .cube files: what they do to colours, and what is said of damaged ones."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy
import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.finish.cube import apply_cube, read_cube
from scipy.interpolate import RegularGridInterpolator

COLOURS = torch.rand(400, 3, generator=torch.Generator().manual_seed(1))
IDENTITY_3D = "LUT_3D_SIZE 3\n" + "".join(
    f"{r / 2} {g / 2} {b / 2}\n" for b, g, r in product(range(3), repeat=3)
)


def cube_of(folder: Path, text: str):
    (folder / "look.cube").write_text(text, encoding="utf-8")
    return read_cube(folder / "look.cube")


@pytest.mark.parametrize(
    "text",
    [
        IDENTITY_3D,
        '\ufeff# made by hand\r\n\r\nTITLE "a b"\r\nDOMAIN_MIN 0 0 0\r\nDOMAIN_MAX 1.0 1.0 1.0\r\n'
        + IDENTITY_3D,
        "LUT_1D_SIZE 2\n0 0 0\n1 1 1\n",
        "LUT_1D_SIZE 3\nLUT_1D_INPUT_RANGE -1.0 1.0\n-1 -1 -1\n 0\t0 0 \n# middle\n1e0 1 1\n",
        "DOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 3 3 3\nLUT_3D_SIZE 2\n"
        + "".join(f"{r} {g} {b}\n" for b, g, r in product((-1, 3), repeat=3)),
    ],
)
def test_an_identity_changes_nothing(tmp_path: Path, text: str) -> None:
    colours = torch.cat([COLOURS, torch.zeros(1, 3), torch.ones(1, 3)])
    assert torch.allclose(apply_cube(colours, cube_of(tmp_path, text)), colours, atol=1e-6)


@pytest.mark.parametrize("size", [2, 5, 9])
def test_three_dimensions_equal_scipys_interpolator(tmp_path: Path, size: int) -> None:
    # Red, green, blue -> colour.
    table = torch.rand(size, size, size, 3, generator=torch.Generator().manual_seed(size)).numpy()
    rows = "\n".join(
        " ".join(f"{value:.8f}" for value in table[r, g, b])
        for b, g, r in product(range(size), repeat=3)
    )
    cube = cube_of(
        tmp_path, f"LUT_3D_SIZE {size}\nDOMAIN_MIN -0.1 0.05 0\nDOMAIN_MAX 1.2 1 0.9\n{rows}\n"
    )
    axes = [numpy.linspace(low, high, size) for low, high in ((-0.1, 1.2), (0.05, 1), (0, 0.9))]
    inside = numpy.clip(
        COLOURS.double().numpy(), [axis[0] for axis in axes], [axis[-1] for axis in axes]
    )
    assert (
        numpy.abs(
            apply_cube(COLOURS, cube).numpy() - RegularGridInterpolator(axes, table)(inside)
        ).max()
        < 1e-5
    )


def test_one_dimension_equals_numpys_interpolation(tmp_path: Path) -> None:
    table = numpy.random.default_rng(1).random((7, 3))
    cube = cube_of(
        tmp_path,
        "LUT_1D_SIZE 7\nDOMAIN_MIN 0 0.1 0\nDOMAIN_MAX 1 0.8 2\n"
        + "\n".join(" ".join(map(str, row)) for row in table),
    )
    ends = ((0, 1), (0.1, 0.8), (0, 2))
    expected = [
        numpy.interp(COLOURS[:, channel], numpy.linspace(*ends[channel], 7), table[:, channel])
        for channel in range(3)
    ]
    assert numpy.abs(apply_cube(COLOURS, cube).numpy() - numpy.stack(expected, 1)).max() < 1e-5


def test_results_stay_in_range(tmp_path: Path) -> None:
    cube = cube_of(tmp_path, "LUT_1D_SIZE 2\n-1 -1 -1\n2 2 2\n")
    assert apply_cube(torch.tensor([[0.0, 0.5, 1.0]]), cube).tolist() == [[0, 0.5, 1]]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 0, "the file ends after 0 entries; expected LUT_1D_SIZE or LUT_3D_SIZE"),
        (
            "LUT_3D_SIZE 2\n0 0 0\n1 1 1\n",
            3,
            "the file ends after 2 entries; expected 8 for LUT_3D_SIZE 2",
        ),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n1 1 1\n", 4, "more than the 2 entries of LUT_1D_SIZE 2"),
        (
            "LUT_1D_SIZE 2\n0 0 0\n1 x 1\n",
            3,
            "'1 x 1'; expected 3 numbers for an entry of the table",
        ),
        ("LUT_1D_SIZE 2\n0 0\n", 2, "'0 0'; expected 3 numbers for an entry of the table"),
        ("LUT_1D_SIZE 2\n0 nan 0\n", 2, "'0 nan 0'; expected 3 numbers for an entry of the table"),
        (
            "0 0 0\n",
            1,
            "'0 0 0' before LUT_1D_SIZE or LUT_3D_SIZE; expected the table's size first",
        ),
        ("LUT_3D_SIZE 1\n", 1, "LUT_3D_SIZE is 1; expected a whole number from 2 to 256"),
        ("LUT_3D_SIZE 2.5\n", 1, "LUT_3D_SIZE is 2.5; expected a whole number from 2 to 256"),
        ("LUT_3D_SIZE 99999\n", 1, "LUT_3D_SIZE is 99999; expected a whole number from 2 to 256"),
        ("LUT_3D_SIZE\n", 1, "''; expected 1 number after LUT_3D_SIZE"),
        ("LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n", 2, "LUT_3D_SIZE after LUT_1D_SIZE; expected one table"),
        ("DOMAIN_MIN 0 0\n", 1, "'0 0'; expected 3 numbers after DOMAIN_MIN"),
        (
            "DOMAIN_MIN 1 0 0\nLUT_1D_SIZE 2\n0 0 0\n1 1 1\n",
            4,
            (
                "the domain from [1.0, 0.0, 0.0] to [1.0, 1.0, 1.0] is empty; expected each maximum"
                " above its minimum"
            ),
        ),
        (
            "LUT_1D_SIZE 2\n\x00\x01\ufffd\n",
            2,
            "'\x00\x01\ufffd'; expected 3 numbers for an entry of the table",
        ),
    ],
)
def test_damage_is_named_with_file_and_line(
    tmp_path: Path, text: str, line: int, what: str
) -> None:
    with pytest.raises(
        AstriaError,
        match=re.escape(f"The colour table look.cube, line {line}: {what} (in {tmp_path})."),
    ) as caught:
        cube_of(tmp_path, text)
    assert caught.value.code == "bad-lut"
    assert "Export the LUT again" in caught.value.hint
