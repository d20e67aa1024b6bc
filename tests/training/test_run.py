"""Whole trainings on tiny models: they learn, repeat, go on, and leave the host as it was."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.tests.regions.comfy_inprocess import sample

from .models import FAMILIES, load, run_of, tiny_model


def hashes(model: Any) -> dict[str, str]:
    """What every weight and buffer of the model is, byte for byte."""
    return {
        name: hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()
        for name, tensor in model.model.state_dict().items()
    }


def equal(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_training_learns_repeats_and_leaves_the_host_as_it_was(family: str) -> None:
    with torch.inference_mode():
        model = tiny_model(family)
        before, drawn = hashes(model), sample(model, family, (8, 8))
    torch.manual_seed(1)
    random = torch.get_rng_state()
    with torch.inference_mode():  # as the host runs nodes
        first, outcome = run_of(model, family, 6).run(None, None)
        again, _ = run_of(model, family, 6).run(None, None)
        other, _ = run_of(model, family, 6, seed=4).run(None, None)
    assert torch.equal(torch.get_rng_state(), random)
    assert equal(first, again)
    assert not equal(first, other)
    assert all(one.norm() > 0 for one in first.values())
    assert len(outcome.losses) == 6
    assert {tensor.dtype for tensor in first.values()} == {torch.float32}
    alphas = {value.item() for name, value in first.items() if name.endswith(".alpha")}
    assert alphas == {4.0}
    assert hashes(model) == before
    assert not any("forward" in vars(module) for module in model.model.modules())
    assert model.injections == {}
    with torch.inference_mode():
        assert torch.equal(sample(model, family, (8, 8)), drawn)


def test_the_loss_falls_on_the_pictures_that_are_learned() -> None:
    _, outcome = run_of(tiny_model("flux"), "flux", 60).run(None, None)
    losses = [loss for _, loss in outcome.losses]
    assert sum(losses[-20:]) < 0.9 * sum(losses[:20])


class Stop:
    """Interrupts a training before its nth step, as the host's button does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        management = load("comfy.model_management")
        self.left = step

        def throw() -> None:
            self.left -= 1
            if self.left <= 0:
                raise management.InterruptProcessingException()

        monkeypatch.setattr(management, "throw_exception_if_processing_interrupted", throw)


class Crash(BaseException):
    """What nobody handles: the training ends where it stands, as with its process."""


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A store with tune 7."""
    store = load("comfyui_astria.nodes.tunes.store").TuneStore(tmp_path)
    store.create(title="Anna", id=7)
    return tmp_path


def test_an_interrupted_training_goes_on_to_the_same_lora(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = load("comfyui_astria.nodes.training.progress")
    management = load("comfy.model_management")
    state = kept / "training" / "7"
    model = tiny_model("sd15")
    before = hashes(model)
    whole, outcome = run_of(model, "sd15", 8, accumulation=2).run(None, None)
    with monkeypatch.context() as host:
        Stop(host, 700)  # in the midst of a step: every layer asks
        with pytest.raises(management.InterruptProcessingException):
            run_of(model, "sd15", 8, kept, accumulation=2, tune_id=7).run(None, state)
    assert not any("forward" in vars(module) for module in model.model.modules())
    assert hashes(model) == before
    run = run_of(model, "sd15", 8, kept, accumulation=2, tune_id=7)
    resumed, resumed_outcome = run.run(None, state)
    assert 0 < run._teller._first < 8
    for name, tensor in whole.items():
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-6, atol=1e-6)
    assert resumed_outcome.losses == outcome.losses
    assert progress.read_progress(kept, 7).step == 8


@pytest.mark.parametrize(
    ("crashes", "begun"), [((1, 3, 4), [0, 0, 2, 4]), ((5, 5, 5), [0, 4, 4, 4])]
)
def test_three_crashes_in_a_row_change_nothing_of_what_is_learned(
    kept: Path, monkeypatch: pytest.MonkeyPatch, crashes: tuple[int, ...], begun: list[int]
) -> None:
    """Each in the midst of a step, between its gradient and what the optimiser makes of it."""
    monkeypatch.setattr(load("comfyui_astria.nodes.training.host.run"), "STATE_EVERY", 2)
    lessons = load("comfyui_astria.nodes.training.host.lessons").Lessons
    state, model = kept / "training" / "7", tiny_model("sd15")
    before, losses = hashes(model), lessons.losses
    whole, outcome = run_of(model, "sd15", 6).run(None, None)
    firsts = []

    def crash_at(last: int) -> Callable[[Any, int], Iterator[torch.Tensor]]:
        def until_crash(self: Any, step: int) -> Iterator[torch.Tensor]:
            yield from losses(self, step)
            if step == last:
                raise Crash

        return until_crash

    for step in crashes:
        run = run_of(model, "sd15", 6, kept, tune_id=7)
        with monkeypatch.context() as process:
            process.setattr(lessons, "losses", crash_at(step))
            with pytest.raises(Crash):
                run.run(None, state)
        firsts.append(run._teller._first)
        assert hashes(model) == before
    run = run_of(model, "sd15", 6, kept, tune_id=7)
    resumed, resumed_outcome = run.run(None, state)
    assert [*firsts, run._teller._first] == begun, "each goes on from the last state written"
    assert equal(resumed, whole)
    assert resumed_outcome.losses == outcome.losses


def test_a_crash_while_the_state_is_written_leaves_the_one_before(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load("comfyui_astria.nodes.training.host.run"), "STATE_EVERY", 2)
    states = load("comfyui_astria.nodes.training.host.state")
    state = kept / "training" / "7"
    model = tiny_model("sd15")
    whole, _ = run_of(model, "sd15", 6).run(None, None)
    written: list[Path] = []

    def cut_off(tensors: object, path: Path, metadata: object) -> None:
        written.append(path)
        if len(written) < 2:
            load("safetensors.torch").save_file(tensors, path, metadata)
            return
        path.write_bytes(b"half of it")
        raise Crash

    with monkeypatch.context() as disk:
        disk.setattr(states, "save_file", cut_off)
        with pytest.raises(Crash):
            run_of(model, "sd15", 6, kept, tune_id=7).run(None, state)
    run = run_of(model, "sd15", 6, kept, tune_id=7)
    resumed, _ = run.run(None, state)
    assert run._teller._first == 2
    assert equal(resumed, whole)


def test_a_state_of_other_numbers_is_not_gone_on_from(kept: Path) -> None:
    state = kept / "training" / "7"
    model = tiny_model("sd15")
    run_of(model, "sd15", 2, kept, tune_id=7).run(None, state)
    run = run_of(model, "sd15", 2, kept, tune_id=7, learning_rate=1e-4)
    _, outcome = run.run(None, state)
    assert run._teller._first == 0
    assert any("begins anew" in note for note in outcome.notes)
    (state / "resume.safetensors").write_bytes(b"cut off")
    run = run_of(model, "sd15", 2, kept, tune_id=7)
    _, outcome = run.run(None, state)
    assert any("begins anew" in note for note in outcome.notes)


def test_a_state_of_another_base_or_guidance_is_not_gone_on_from(kept: Path) -> None:
    state = kept / "training" / "7"
    model = tiny_model("flux")
    run_of(model, "flux", 1, kept, tune_id=7).run(None, state)

    def goes_on(base: Any, **changes: Any) -> bool:
        run = run_of(base, "flux", 1, kept, tune_id=7)
        for one in changes.items():
            run._material.captions[0][0][1].update([one])
        _, outcome = run.run(None, state)
        assert any("another base" in note for note in outcome.notes) != bool(run._teller._first)
        return bool(run._teller._first)

    assert goes_on(model)
    worn = model.clone()
    path = "diffusion_model.double_blocks.0.img_attn.qkv.weight"
    weight = load("comfy.utils").get_attr(model.model, path)
    worn.add_patches({path: ("diff", (torch.ones_like(weight),))}, 0.5)
    assert not goes_on(worn), "with a LoRA"
    assert goes_on(worn), "whose weights the host has merged by now"
    assert not goes_on(model)
    assert not goes_on(model, guidance=1.0)
    assert not goes_on(tiny_model("flux", seed=1))


def test_a_state_that_lacks_a_part_changes_nothing_of_the_training_that_begins_anew(
    kept: Path,
) -> None:
    state = kept / "training" / "7"
    model = tiny_model("flux")
    whole, _ = run_of(model, "flux", 2, kept, tune_id=7).run(None, state)
    files = load("safetensors.torch")
    path = state / "resume.safetensors"
    with load("safetensors").safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = files.load_file(path)
    tensors.pop([name for name in tensors if name.startswith("weight.")][-1])
    files.save_file(tensors, path, metadata)
    again, outcome = run_of(model, "flux", 2, kept, tune_id=7).run(None, state)
    assert any("cannot be read" in note for note in outcome.notes)
    assert len(outcome.losses) == 2
    assert equal(again, whole)


def test_a_tune_that_is_deleted_stops_its_training_and_leaves_nothing(kept: Path) -> None:
    store = load("comfyui_astria.nodes.tunes.store").TuneStore(kept)
    run = run_of(tiny_model("sd15"), "sd15", 2, kept, tune_id=7)
    store.delete(7)
    with pytest.raises(TrainingError, match="deleted") as stopped:
        run.run(None, kept / "training" / "7")
    assert stopped.value.code == "training-deleted"
    assert not (kept / "training" / "7").exists()


def test_a_tune_that_is_deleted_and_interrupted_leaves_nothing(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = load("comfyui_astria.nodes.tunes.store").TuneStore(kept)
    management = load("comfy.model_management")
    run = run_of(tiny_model("flux"), "flux", 4, kept, tune_id=7)
    state = kept / "training" / "7"

    asked = iter(range(100))

    def throw() -> None:
        if next(asked) < 99:  # the model asks, too
            return
        store.delete(7)
        raise management.InterruptProcessingException()

    with monkeypatch.context() as host:
        host.setattr(management, "throw_exception_if_processing_interrupted", throw)
        with pytest.raises(management.InterruptProcessingException):
            run.run(None, state)
    assert not state.exists()


def test_the_time_left_is_told_after_ten_steps(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tellers = load("comfyui_astria.nodes.training.host.teller")
    now = [0.0]
    clock = SimpleNamespace(time=lambda: 5.0, monotonic=lambda: now[0])
    monkeypatch.setattr(tellers, "time", clock)
    teller = tellers.Teller(kept, 7, 130)
    teller.begin(100)  # gone on from there
    told = {}
    for step in range(101, 121):
        now[0] += 3.0
        teller.step(step, [0.5] * step)
        told[step] = teller.progress.eta_s
    assert (told[109], told[110], told[120]) == (None, 60.0, 30.0)
    progress = load("comfyui_astria.nodes.training.progress").read_progress(kept, 7)
    assert (progress.seconds_per_step, progress.eta_s, progress.loss) == (3.0, 30.0, 0.5)


def test_a_loss_that_is_no_number_stops_at_its_step() -> None:
    model = tiny_model("sd15")
    with torch.no_grad():
        model.model.diffusion_model.out[2].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingError, match="loss of step 1 is no number") as stopped:
        run_of(model, "sd15", 3).run(None, None)
    assert stopped.value.code == "training-nan"
    assert not any("forward" in vars(module) for module in model.model.modules())


def tensor_bytes() -> int:
    """Bytes of all tensors that are alive, each storage once."""
    gc.collect()
    held = {}
    for one in gc.get_objects():
        # Not isinstance: lazy modules would import themselves to answer.
        if issubclass(type(one), torch.Tensor) and one.device.type == "cpu":
            storage = one.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
    return sum(held.values())


def test_five_trainings_leave_no_memory_behind_and_copy_no_model() -> None:
    model = tiny_model("flux")
    weights = {one.data_ptr() for one in model.model.parameters()}
    held = []
    for _ in range(5):
        run = run_of(model, "flux", 2)
        assert run.model.model is model.model
        lora, _ = run.run(None, None)
        assert {one.data_ptr() for one in model.model.parameters()} == weights
        del run, lora
        load("comfy.model_management").cleanup_models_gc()
        held.append(tensor_bytes())
    assert max(held[1:]) <= held[0] + 1024


def test_a_base_in_float16_learns_in_bfloat16_and_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on every newer card; the host computes pictures in float16 again afterwards."""
    hosts = load("comfyui_astria.nodes.training.host.model")
    monkeypatch.setattr(hosts, "should_use_bf16", lambda _: True)
    model = tiny_model("flux", dtype=torch.float16)
    before, drawn = hashes(model), sample(model, "flux", (8, 8))
    assert hosts.training_dtype(model) is torch.bfloat16
    lora, outcome = run_of(model, "flux", 3).run(None, None)
    assert {one.dtype for one in lora.values()} == {torch.float32}
    assert all(loss > 0 for _, loss in outcome.losses)
    assert hashes(model) == before
    assert torch.equal(sample(model, "flux", (8, 8)), drawn)
    assert model.model.manual_cast_dtype is None
