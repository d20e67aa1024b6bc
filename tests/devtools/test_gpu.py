"""`dev.py bench gpu`: its whole way, tiny and on the CPU, and what it says when something is
missing, fails, or has no time left.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.devtools import bench, gpu
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.environment import current
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.regions.comfy_inprocess import load

MACHINE = {"gpu": "none", "torch": "2.11.0", "cuda": "13.0", "host": "ComfyUI 0.30.0", "dry": True}
WORKFLOWS = ("multi_person", "color_grading")
PEOPLE = ("1 person", "2 people", "3 people", "4 people")
IDENTITIES = ("1 identity", "2 identities", "3 identities")
ROWS = {
    "SDXL": (
        *("one plain prompt", *(f"{who}, each with text and LoRA" for who in PEOPLE)),
        *(f"{who}, each with text and LoRA, by the host's masks and LoRA hooks" for who in PEOPLE),
        *(f"{who}, FaceID Portrait" for who in IDENTITIES),
    ),
    "Flux.1 dev": (
        *("one plain prompt", *(f"{who}, each with text and LoRA" for who in PEOPLE)),
        *(f"{who}, each with text and LoRA, by the host's masks and LoRA hooks" for who in PEOPLE),
        *(f"{who}, PuLID" for who in IDENTITIES),
    ),
    **{
        model: ("one plain prompt", *(f"{who}, each with text and LoRA" for who in PEOPLE))
        for model in ("Flux.1 dev fp8-scaled", "Flux.2 dev", "Z-Image", "Krea 2")
    },
}
# What the names of all layers have that are in a block.
BLOCKS = {
    "sdxl": r"\.transformer_blocks\.",
    "flux": r"\.(double|single)_blocks\.",
    "flux_fp8": r"\.(double|single)_blocks\.",
    "flux2": r"\.(double|single)_blocks\.",
    "zimage": r"diffusion_model\.layers\.",
    "krea2": r"diffusion_model\.blocks\.",
}


def in_this_process(
    hosts: tuple[LiveHost, LiveHost] | None,
) -> Callable[[str, float, bool], Iterator[dict[str, Any]]]:
    """Return what runs a part here, without processes of its own; without hosts no workflows."""

    def rows(part: str, seconds: float, dry: bool) -> Iterator[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if part != "workflows":
            load("comfyui_astria.bench._gpu_part").run_part(part, 600.0, found.append, dry=dry)
        elif hosts is not None:
            workflows = load("comfyui_astria.bench._gpu_workflows")
            limits = load("comfyui_astria.bench._gpu_rows").Limits(time.monotonic() + 600, 600, 0)
            running = workflows.Running(hosts[0], {"half precision": hosts[1]})
            workflows.compare(running, limits, found.append, WORKFLOWS)
        yield from found

    return rows


def dry_run(folder: Path, run_part: Callable) -> tuple[int, dict[str, dict[str, Any]]]:
    options = gpu.Options(dry=True, output=folder, minutes=60)
    code = gpu.measure(options, MACHINE, run_part, time.monotonic())
    written = json.loads((folder / "gpu.json").read_text(encoding="utf-8"))
    assert written["machine"] == MACHINE
    return code, {row["name"]: row for row in written["rows"]}


def test_a_dry_run_measures_everything(
    tmp_path: Path, host: LiveHost, classic_host: LiveHost, capsys: pytest.CaptureFixture[str]
) -> None:
    code, rows = dry_run(tmp_path, in_this_process((host, classic_host)))
    expected = {
        f"{model}: {case}{ending}"
        for model, cases in ROWS.items()
        for case in cases
        for ending in ([", step"] if "plain" in case else [", step", " / plain"])
    }
    expected |= {
        f"SDXL: 4 faces, each with text and LoRA, {what}"
        for what in ("sampler calls", "in one call, a face", "in one call / in a call each")
    }
    expected |= {f"workflow {name}, half precision" for name in WORKFLOWS}
    assert set(rows) == expected
    assert [name for name, row in rows.items() if not _is_finite(row["value"])] == []
    assert [name for name, row in rows.items() if row["ok"] is False] == []
    assert code == 0
    tokens = [rows[f"Flux.1 dev: {who}, each with text and LoRA / plain"] for who in PEOPLE]
    assert ["tokens" in row["note"] for row in tokens] == [True] * 4
    markdown = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in markdown for name in expected)
    assert str(tmp_path) not in markdown + json.dumps(rows)
    assert "A dry run" in markdown
    assert "0 not run" in capsys.readouterr().out


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def test_a_case_that_fails_is_named_and_the_others_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError(f"expected all tensors on one device; see {Path.home()}/a/file")

    monkeypatch.setattr(load("comfyui_astria.bench.faceid"), "pulid", broken)
    monkeypatch.setattr(gpu, "PARTS", (("flux", 1.0),))
    code, rows = dry_run(tmp_path, in_this_process(None))
    assert code == 1
    wrong = [name for name, row in rows.items() if row["ok"] is False]
    assert wrong == [f"Flux.1 dev: {who}, PuLID" for who in IDENTITIES]
    assert rows[wrong[0]]["note"] == (
        "failed: RuntimeError: expected all tensors on one device; see <path>"
    )
    assert f"NOT OK: {'; '.join(wrong)}" in capsys.readouterr().out
    assert _is_finite(rows["Flux.1 dev: 4 people, each with text and LoRA, step"]["value"])


def test_a_latent_that_is_not_finite_fails_its_case() -> None:
    """Half precision that overflows would else be measured like any other."""
    steps = load("comfyui_astria.bench._gpu_steps")
    setup, cpu = steps.DRY["flux"], torch.device("cpu")
    subject = steps.Subject(setup, cpu, load("comfyui_astria.bench._models").model_of)
    with torch.no_grad():
        next(subject.model.model.diffusion_model.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        subject.plain()


@pytest.mark.parametrize("part", [part for part, _ in gpu.PARTS if part != "workflows"])
def test_a_person_wears_a_lora_on_all_linear_layers_of_the_blocks(part: str) -> None:
    steps, models = (load(f"comfyui_astria.bench.{name}") for name in ("_gpu_steps", "_models"))
    regions = "comfyui_astria.nodes.regions"
    loras, lora, run = (load(f"{regions}.{name}") for name in ("host.loras", "lora", "run"))
    make = steps.fp8_model_of if part == "flux_fp8" else models.model_of
    model, fits = make(steps.DRY[part], torch.device("cpu")), []
    worn = lora.RegionLora(1, models.lora_of(model, 1), 1.0, "person 1")
    patched = loras.apply_gated_loras(model, [worn], run.RegionRun(), on_fit=fits.append)
    assert [fit.is_whole for fit in fits] == [True]
    [[changes]] = patched.additional_models.values()
    linear = {
        name
        for name, module in model.model.named_modules()
        if re.search(BLOCKS[part], name) and type(module).__name__ == "Linear"
    }
    assert linear
    assert linear - {change.path for change in changes.model} == set()


@pytest.mark.parametrize(
    ("people", "ratio"),
    [(2, (4096 + 3 * 256) / (4096 + 256)), (4, (4096 + 5 * 256) / (4096 + 256))],
)
def test_tokens_of_the_full_flux(people: int, ratio: float) -> None:
    steps = load("comfyui_astria.bench._gpu_steps")
    assert steps.token_ratio(steps.FULL["flux"], people) == pytest.approx(ratio)


def test_no_case_is_begun_without_time_or_memory() -> None:
    rows = load("comfyui_astria.bench._gpu_rows")
    cases = [rows.Case("large", lambda: [rows.row("large", 1.0, "ms")], least_gb=36)]
    told: list[dict[str, Any]] = []
    rows.run_cases(cases, rows.Limits(time.monotonic() + 60, 60, 24.0), told.append)
    rows.run_cases(cases, rows.Limits(time.monotonic() - 1, 60, 80.0), told.append)
    rows.run_cases(cases, rows.Limits(time.monotonic() + 60, 60, 80.0), told.append)
    assert [row["note"] for row in told] == [
        "not run: it needs about 36 GB of GPU memory, this GPU has 24",
        "not run: the 60 s of its part were used up",
        "",
    ]
    assert [(row["value"], row["ok"]) for row in told] == [(None, None)] * 2 + [(1.0, None)]


ROW = {"name": "one", "value": 1.0, "unit": "ms", "ok": None, "note": ""}
TELLS = f"import sys, time; print({gpu.MARK + json.dumps(ROW)!r}, flush=True); print('noise');"


@pytest.mark.parametrize(
    ("then", "last", "ok"),
    [
        (f"print({gpu.MARK + 'null'!r})", "", None),
        ("time.sleep(600)", "not run: it was ended, 3 s were over and a case still ran", None),
        ("sys.exit('GPU is lost')", "failed: its process ended with 1: GPU is lost", False),
    ],
)
def test_a_part_that_hangs_or_dies_leaves_its_rows_and_a_word(
    tmp_path: Path, then: str, last: str, ok: bool | None
) -> None:
    command = [sys.executable, "-c", f"{TELLS} {then}"]
    rows = list(gpu.told_rows(command, "flux", 3.0, tmp_path / "log"))
    assert rows[0] == ROW
    assert [(row["name"], row["note"], row["ok"]) for row in rows[1:]] == (
        [("flux: the rest", last, ok)] if last else []
    )


def test_without_time_a_part_is_not_begun(tmp_path: Path) -> None:
    rows = list(gpu.told_rows(["no such program"], "flux", -1.0, tmp_path / "log"))
    assert [row["note"] for row in rows] == ["not run: no time was left for it"]


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"error": "No module named 'torch'"}, "has no torch: No module named 'torch'"),
        ({"torch": "2.4.1+cu121", "gpu": "A", "cuda": "12.1"}, "torch is 2.4.1"),
        ({"torch": "2.11.0+cpu", "gpu": "none", "cuda": "none"}, "finds no CUDA device"),
    ],
)
def test_a_machine_that_cannot_is_told_why(facts: dict[str, Any], words: str) -> None:
    with pytest.raises(DevError, match=words.replace("+", r"\+")):
        gpu.check_machine(facts, Path("python3.12"), dry=False)


def test_a_dry_run_needs_no_gpu_and_says_what_it_ran_on() -> None:
    machine = gpu.machine_of(current(), [], dry=True)
    assert machine["host"].startswith("ComfyUI 0.")
    assert set(machine) == {
        *("torch", "cuda", "gpu", "memory_gb", "python", "host", "pack", "dry"),
    }


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--fast"], "does not know '--fast'"),
        (["--output"], "lacks its value"),
        (["--minutes", "soon"], "--minutes is 'soon'"),
        (["--bundle", "gpu.txz"], "go together"),
    ],
)
def test_wrong_arguments_are_told(argv: list[str], words: str) -> None:
    with pytest.raises(DevError, match=words):
        gpu.options_of(argv)


def test_all_measurements_leave_the_gpu_out() -> None:
    assert not [path for path in bench.BENCH.glob("[!_]*.py") if "gpu" in path.stem]


def picture(level: int) -> np.ndarray:
    values = np.arange(8 * 8 * 3, dtype=np.int16).reshape(8, 8, 3)
    return values + level


@pytest.mark.parametrize(
    ("its", "exact", "ok"),
    [
        (picture(0), True, True),
        (picture(2), True, True),
        (picture(3), True, False),
        (picture(3), False, True),
        (np.zeros((8, 8, 3), np.int16), False, False),
        (picture(0)[:4], False, False),
    ],
)
def test_pictures_are_held_against_the_cpus(its: np.ndarray, exact: bool, ok: bool) -> None:
    workflows = load("comfyui_astria.bench._gpu_workflows")
    assert workflows.difference("it", [picture(0)], [its], exact=exact)["ok"] is ok
