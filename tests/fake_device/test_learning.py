"""The small world's models learn on a GPU as they do on a CPU; see fake_gpu.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.tests.fake_device.fake_gpu import CPU, GPU, attached
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.smallworld.test_learning import learned, t5, work
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

__all__ = ["t5", "work"]  # fixtures


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.device]]:
    """Where each step was taken, while there is a GPU.

    PyTorch's engine for gradients starts a thread for each device, which this one has not: a
    gradient here is the parameter itself.
    """
    modules: list[torch.nn.Module] = []
    devices: list[torch.device] = []
    loop = load("comfyui_astria.smallworld.learning.loop")
    optimisers = loop.optimisers

    def kept(module: torch.nn.Module, *about: Any) -> list[torch.optim.Optimizer]:
        modules.append(module)
        return optimisers(module, *about)

    def backward(loss: torch.Tensor) -> None:
        assert loss.requires_grad
        devices.append(loss.device)
        for one in modules[-1].parameters():
            one.grad = one.detach().clone() if one.requires_grad else None

    monkeypatch.setattr(loop, "optimisers", kept)
    monkeypatch.setattr(torch.Tensor, "backward", backward)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *about, **more: True)
    for name in ("load", "save"):
        monkeypatch.setattr(torch, name, _beside_the_gpu(getattr(torch, name)))
    change = torch.__future__.set_overwrite_module_params_on_conversion
    change(True)  # this device's tensors are of another class
    try:
        with attached(monkeypatch), torch.enable_grad():
            yield devices
    finally:
        change(False)


def _beside_the_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*about: Any, **more: Any) -> Any:
        with unset_fake_temporarily():
            return function(*about, **more)

    return call


@pytest.mark.usefixtures("t5")
@pytest.mark.parametrize("name", ["unet", "flux"])
def test_a_model_learns_on_a_gpu_and_goes_on_anywhere(
    work: Path, name: str, used: list[torch.device]
) -> None:
    file = f"{name}.state.pt"
    on_gpu = learned(work, name, file, "--steps", "2", "--device", str(GPU))
    assert used == [GPU] * 2
    assert not any(isinstance(value, FakeTensor) for value in on_gpu.values())
    learned(work, name, file, "--steps", "3")
    assert used == [GPU, GPU, CPU], "from the third step on"


@pytest.mark.usefixtures("t5")
def test_guidance_is_learned_on_a_gpu(
    work: Path, used: list[torch.device], monkeypatch: pytest.MonkeyPatch
) -> None:
    flux = load("comfyui_astria.smallworld.learning.flux")
    monkeypatch.setattr(flux, "DISTILLED", 0.0)
    learned(work, "flux", "flux.state.pt", "--steps", "1", "--device", str(GPU))
    assert used == [GPU]
    assert (work / "flux.teacher.pt").exists()
