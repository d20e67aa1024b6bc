"""A GPU that is not there: PyTorch's own FakeTensorMode, with the numbers beside.

A tensor "on cuda:0" is a FakeTensor, which says device, shape and dtype, with its numbers on the
CPU as its `real_tensor`. So what meets on two devices fails by PyTorch's own rules, what differs in
dtype fails in the kernels that compute the numbers, and code that asks for numbers, such as
`nonzero`, gets them. Two operations of PyTorch need a stand-in, in `ON_CPU`. CPU tensors stay what
they are.

What CUDA refuses and the CPU's kernels do not is refused in `_refuse_as_cuda_does`; what the host
asks a GPU's driver is answered in `attached`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
)

from ...devtools.environment import current
from ..regions.comfy_inprocess import load

GPU = torch.device("cuda:0")
CPU = torch.device("cpu")
PACK = str(Path(__file__).resolve().parents[2] / "nodes")
HOST = str(current().comfyui)
FREE_BYTES = 2**36
aten = torch.ops.aten

# What waits for the GPU: it hands Python a number, or a size that follows from numbers.
READS_A_NUMBER = {aten._local_scalar_dense.default, aten.equal.default}
SIZED_BY_NUMBERS = {
    aten.nonzero.default,
    aten.masked_select.default,
    aten.repeat_interleave.Tensor,
    aten._unique2.default,
    aten.bincount.default,
}
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default}
COPIES = {aten._to_copy.default, aten.copy_.default}
NORMS = {aten.native_layer_norm.default, aten.native_group_norm.default}
# PyTorch chooses these by the device; the CPU has others for the same sums. The last of what cuDNN
# returns of a norm is for its gradient.
ON_CPU = {
    aten.cudnn_grid_sampler.default: lambda planes, grid: aten.grid_sampler_2d(
        planes, grid, 0, 0, True
    ),
    aten.cudnn_batch_norm.default: lambda *given: (
        *aten.native_batch_norm(*given),
        torch.zeros(0, dtype=torch.uint8),
    ),
}
# The work of a model. What runs in a wider dtype than the model's own was widened by mistake.
PRODUCTS = {
    aten.mm.default,
    aten.addmm.default,
    aten.addmm_.default,
    aten.bmm.default,
    aten.convolution.default,
}


class FakeGpu(FakeTensorMode):
    """While it is on, "cuda" is a device.

    `waits` names each operation for which Python waits for the GPU, copies between it and the CPU
    among them, with the line of pack or host behind it. `products_in`, where set, is the only dtype
    that matrix products and convolutions may run in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.products_in: torch.dtype | None = None
        self._is_asking_rules = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # a wrapper less around every operation

    def holding(self, numbers: Tensor, device: torch.device = GPU) -> FakeTensor:
        """Return a tensor of the device with these numbers."""
        shaped = torch.empty_strided(
            numbers.shape, numbers.stride(), dtype=numbers.dtype, device="meta"
        )
        fake = FakeTensor(self, shaped, device)
        fake.real_tensor = numbers
        return fake

    def __torch_dispatch__(
        self, function: Any, types: Sequence, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._is_asking_rules:
            return super().__torch_dispatch__(function, types, args, kwargs)
        if function is torch.ops.prim.device.default:
            return args[0].fake_device
        found: list[Any] = []
        on_cpu = _mapped((args, kwargs), lambda one: found.append(one) or _on_cpu(one))
        tensors = [one for one in found if isinstance(one, Tensor)]
        on_gpu = [one for one in tensors if isinstance(one, FakeTensor)]
        named = [one for one in found if isinstance(one, torch.device)]
        if not on_gpu and not any(device.type == GPU.type for device in named):
            return function(*args, **kwargs)
        self._refuse(function, found, tensors)
        if function in READS_A_NUMBER:
            device = None
        elif not named and len(on_gpu) == len(tensors):
            device = GPU
        else:
            device = self._device_by_rules(function, types, args, kwargs)
        self._note_wait(function, tensors, device)
        result = ON_CPU.get(function, function)(*on_cpu[0], **on_cpu[1])
        if device != GPU:
            return result
        given = {id(one.real_tensor): one for one in on_gpu}  # changed in place, it stays the same

        def on_gpu_again(value: Any) -> Any:
            if not isinstance(value, Tensor):
                return value
            return given[id(value)] if id(value) in given else self.holding(value)

        return _mapped(result, on_gpu_again)

    def _device_by_rules(
        self, function: Any, types: Sequence, args: tuple, kwargs: dict
    ) -> torch.device | None:
        """Return where PyTorch puts the result, None for results that are no tensors.

        Raises: RuntimeError of PyTorch where devices may not meet.
        """
        self._is_asking_rules = True
        try:
            args, kwargs = _mapped((args, kwargs), self._without_numbers)
            result = super().__torch_dispatch__(function, types, args, kwargs)
        except DynamicOutputShapeException:
            return GPU
        finally:
            self._is_asking_rules = False
        devices: list[torch.device] = []
        _mapped(result, lambda one: devices.append(one.device) if isinstance(one, Tensor) else None)
        return devices[0] if devices else None

    def _without_numbers(self, value: Any) -> Any:
        if isinstance(value, Tensor) and not isinstance(value, FakeTensor):
            return self.holding(value, CPU)
        return value

    def _refuse(self, function: Any, found: Sequence, tensors: Sequence[Tensor]) -> None:
        """Raise RuntimeError for what CUDA refuses and the CPU does not, and for products in
        another dtype than is expected.
        """
        dtypes = {one.dtype for one in tensors}
        if function in NORMS and len(dtypes) > 1:
            raise RuntimeError(f"{function} of {dtypes}; expected one dtype")
        if any(isinstance(one, torch.Generator) and one.device != GPU for one in found):
            raise RuntimeError(f"{function} on {GPU} with a generator of another device")
        if self.products_in and function in PRODUCTS and dtypes != {self.products_in}:
            raise RuntimeError(f"{function} of {dtypes}; expected {self.products_in}")

    def _note_wait(
        self, function: Any, tensors: Sequence[Tensor], device: torch.device | None
    ) -> None:
        if function in COPIES:
            if tensors[-1].device == device:
                return
        elif function in INDEXED:
            if all(one.dtype is not torch.bool and one.device == GPU for one in tensors[1:]):
                return
        elif function not in READS_A_NUMBER and function not in SIZED_BY_NUMBERS:
            return
        self.waits.append(f"{function} at {_where()}")


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a structure of tuples, lists and dicts with each value in it changed."""
    if isinstance(value, tuple | list):
        return type(value)([_mapped(one, change) for one in value])
    if isinstance(value, dict):
        return {key: _mapped(one, change) for key, one in value.items()}
    return change(value)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, FakeTensor):
        return value.real_tensor
    if isinstance(value, torch.device) and value.type == GPU.type:
        return CPU
    return value


def _where() -> str:
    """Return the innermost line of the pack or of the host that is running."""
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_filename
        for root, title in ((PACK, "nodes/"), (HOST, "ComfyUI/")):
            if name.startswith(root):
                return f"{title}{name[len(root) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "a test"


@contextmanager
def attached(patch: pytest.MonkeyPatch, *, is_memory_short: bool = False) -> Iterator[FakeGpu]:
    """Let the host find the GPU.

    Where memory is short it keeps all weights on the CPU, and casts them layer by layer.
    """
    management = load("comfy.model_management")
    attention = load("comfy.ldm.modules.attention")
    states = management.VRAMState
    patch.setattr(management, "vram_state", states.NO_VRAM if is_memory_short else states.HIGH_VRAM)
    patch.setattr(management, "get_torch_device", lambda: GPU)
    patch.setattr(management, "get_free_memory", _free_memory)
    patch.setattr(torch.cuda, "current_device", lambda: GPU.index)
    patch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    for module in (attention, load("comfy.ldm.flux.math")):
        # As on every GPU; on a CPU the host takes another.
        patch.setattr(module, "optimized_attention", attention.attention_pytorch)
    try:
        with FakeGpu() as gpu, torch.no_grad():
            yield gpu
    finally:
        management.current_loaded_models.clear()  # they were on this GPU


def _free_memory(dev: Any = None, torch_free_too: bool = False) -> Any:
    return (FREE_BYTES, FREE_BYTES) if torch_free_too else FREE_BYTES
