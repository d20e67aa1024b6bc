"""What a training is said to need, against published sizes and what autograd keeps."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.memory import GIB, Trained, memory_need

from .models import FAMILIES, load, run_of, tiny_model

FLUX_FP8 = 12 * GIB
FLUX_PARAMETERS = 56_000_000  # rank 16 on attention and MLP


def test_flux_in_fp8_fits_a_card_of_24_gb_with_checkpointing_only() -> None:
    trained = Trained("flux", FLUX_FP8, FLUX_PARAMETERS, 3072, 2)
    need = memory_need(trained, (768 // 8) ** 2)
    assert need.weights + need.total(checkpointing=True) < 17 * GIB
    assert need.weights + need.total(checkpointing=False) > 24 * GIB
    assert need.trained == FLUX_PARAMETERS * 16
    said = need.lines(checkpointing=True, free=20 * GIB)
    assert "not measured on a GPU yet" in said
    assert "base 12.0 GiB" in said


def test_more_pixels_need_more() -> None:
    trained = Trained("sdxl", 5 * GIB, 25_000_000, 320, 2)
    small, large = memory_need(trained, 96**2), memory_need(trained, 128**2)
    assert large.kept / small.kept == pytest.approx((128 / 96) ** 2, rel=1e-3)
    assert large.kept_checkpointed < 0.3 * large.kept


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_holds_no_more_than_plain_autograd_and_far_less_with_blocks_twice(
    family: str,
) -> None:
    """At its peak, beyond base, LoRA and optimiser; every allocation counted."""
    measured = load("comfyui_astria.bench._train_memory")
    setup = replace(measured.NARROW[family], side=16)
    model = tiny_model(family)
    for weight in model.model.parameters():
        weight.requires_grad_(False)  # plain autograd asks
    plain, ours, twice = (
        measured.held_at_peak(setup, model, way) for way in islice(measured.ways(setup), 3)
    )
    assert ours <= measured.EQUAL * plain
    assert twice < 0.6 * ours


def test_what_cannot_fit_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    management = load("comfy.model_management")
    monkeypatch.setattr(management, "get_total_memory", lambda _: GIB // 2)
    with pytest.raises(TrainingError, match=r"and the device has 0\.5 GiB") as refused:
        run_of(tiny_model("flux"), "flux", 1)
    assert refused.value.code == "training-memory"


def test_blocks_are_computed_twice_where_they_would_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    management = load("comfy.model_management")
    assert not run_of(tiny_model("flux"), "flux", 1).checkpointing
    monkeypatch.setattr(management, "get_free_memory", lambda _: GIB)
    assert run_of(tiny_model("flux"), "flux", 1).checkpointing
    assert not run_of(tiny_model("flux"), "flux", 1, checkpointing="off").checkpointing


def test_running_out_of_memory_names_need_and_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    management = load("comfy.model_management")
    run = run_of(tiny_model("flux"), "flux", 1)
    lessons = load("comfyui_astria.nodes.training.host.lessons").Lessons

    def full(*_: object) -> None:
        raise management.OOM_EXCEPTION("full")

    monkeypatch.setattr(lessons, "losses", full)
    with pytest.raises(TrainingError, match="ran out of memory") as refused:
        run.run(None, None)
    assert refused.value.code == "training-memory"
    assert not any("forward" in vars(module) for module in run.model.model.modules())
