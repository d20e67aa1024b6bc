"""The measurements of bench/ can be loaded as `dev.py bench` loads them.

What they find is not judged here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.devtools import bench
from comfyui_astria.tests.regions import comfy_inprocess

MEASUREMENTS = sorted(bench.BENCH.glob("[!_]*.py"))


def test_there_are_measurements() -> None:
    assert {"masks", "regions", "startup"} <= {path.stem for path in MEASUREMENTS}


@pytest.mark.parametrize("path", MEASUREMENTS, ids=lambda path: path.stem)
def test_a_measurement_can_be_loaded(path: Path) -> None:
    comfy_inprocess.load("comfy.options")  # they may import of ComfyUI what they like
    run = bench._load(path)
    assert callable(run) and run.__name__ == "run"


def test_a_measurement_may_hold_dataclasses(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass,"
        " field\n@dataclass\nclass A:\n    b: list = field()\ndef run():\n    return [{'name':"
        " 'it', 'value': A([2]).b[0], 'unit': 's', 'ok': True}]\n",
        encoding="utf-8",
    )
    assert bench._load(path)() == [{"name": "it", "value": 2, "unit": "s", "ok": True}]


def test_the_long_measurement_is_taken_where_it_is_asked_for_and_there_is_one(
    tmp_path: Path,
) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("def run():\n    return ['short']\n", encoding="utf-8")
    two.write_text(
        f"{one.read_text(encoding='utf-8')}def run_long():\n    return ['long']\n",
        encoding="utf-8",
    )
    found = [bench._load(path, is_long)() for path in (one, two) for is_long in (False, True)]
    assert found == [["short"], ["short"], ["short"], ["long"]]
