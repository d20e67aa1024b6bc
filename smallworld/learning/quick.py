"""What makes training quick: bfloat16 where there are units for it, on a CPU a normalisation and an
attention with fast gradients, compiled blocks, Muon for kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CPU = torch.device("cpu")
COMPILED = 256  # forms of one function that PyTorch's compiler keeps


@cache
def _has_halves(device: torch.device) -> bool:
    """Say whether a device has units for bfloat16; a CPU without takes ten times as long."""
    if device.type != CPU.type:
        return True
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@contextmanager
def half(device: torch.device = CPU) -> Iterator[None]:
    """Compute in bfloat16 where this device multiplies matrices of it, else as ever."""
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=_has_halves(device))
    with warnings.catch_warnings(), autocast:
        # A norm whose weights are not halves takes a slower way.
        warnings.filterwarnings("ignore", message="Mismatch dtype between input and weight")
        yield


def _whole_attention(attention: Callable[..., Tensor], *tensors: Tensor, **more: Any) -> Tensor:
    """Return the host's attention, on a CPU in float32."""
    if tensors[0].device.type != CPU.type:
        return attention(*tensors, **more)
    with torch.autocast("cpu", enabled=False):
        found = attention(
            *(one.float() if torch.is_tensor(one) else one for one in tensors), **more
        )
    return found.to(tensors[0].dtype)


# The host's own place for another attention: its gradient in bfloat16 takes ten times as long.
ATTENTION = {"optimized_attention_override": _whole_attention}


def group_norm(norm: torch.nn.GroupNorm, x: Tensor) -> Tensor:
    """Return what `norm` returns, by LayerNorm over each group."""
    groups = x.contiguous().view(x.shape[0] * norm.num_groups, -1)
    result = functional.layer_norm(groups, groups.shape[1:], eps=norm.eps).view(x.shape)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return torch.addcmul(norm.bias.view(shape), result, norm.weight.view(shape))


def quicken(module: torch.nn.Module) -> None:
    """Let every GroupNorm of a module run by `group_norm`."""
    for one in module.modules():
        if isinstance(one, torch.nn.GroupNorm):
            one.forward = lambda x, norm=one: group_norm(norm, x)


def keep_inputs(module: torch.nn.Module) -> None:
    """Let every LayerNorm of a module keep its input for the gradient; the host's text encoders
    and its Flux add to it in place.
    """
    for one in module.modules():
        if isinstance(one, torch.nn.LayerNorm):
            one.forward = lambda x, norm=one.forward: norm(x.clone())


def compile_blocks(blocks: Iterable[torch.nn.Module]) -> None:
    """Let the host's blocks run by PyTorch's compiler, which takes minutes for the first steps and
    needs a C++ compiler.
    """
    # All blocks share one function; past the limit its further forms would run as they are.
    torch._dynamo.config.recompile_limit = COMPILED
    for block in blocks:
        block.forward = torch.compile(partial(_on_copies, block.forward), dynamic=True)


def _on_copies(forward: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Return what `forward` returns, its inputs as they were: compiled gradients need them so, and
    the host's blocks add to them in place.
    """

    def copied(one: Any) -> Any:
        return one.clone() if torch.is_tensor(one) and one.requires_grad else one

    return forward(*map(copied, given), **{key: copied(one) for key, one in named.items()})


class Muon(torch.optim.Optimizer):
    """Momentum whose steps are made orthogonal, for matrices and kernels (Jordan et al. 2024).

    torch.optim.Muon takes matrices only; kernels [out,in,h,w] are matrices [out,in*h*w] here.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        """Take one step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                kept = self.state[parameter]
                if not kept:
                    kept["momentum"] = torch.zeros_like(parameter)
                kept["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(kept["momentum"], group["momentum"])
                flat = orthogonal(ahead.reshape(len(ahead), -1))
                size = max(1.0, flat.shape[0] / flat.shape[1]) ** 0.5
                parameter.add_(flat.view_as(parameter), alpha=-group["lr"] * size)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about the nearest matrix with orthonormal rows or columns, by Newton and Schulz; in
    bfloat16, as PyTorch's own, where that is quick.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = (x / (x.norm() + 1e-7)).to(torch.bfloat16 if _has_halves(x.device) else torch.float32)
    for _ in range(5):
        squared = x @ x.T
        x = torch.addmm(x, torch.addmm(squared, squared, squared, beta=b, alpha=c), x, beta=a)
    x = x.to(matrix.dtype)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def optimisers(
    module: torch.nn.Module, muon: float, adam: float, plain: Sequence[str] = ()
) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices and kernels of a module that learn, AdamW for all else.

    `plain` are parts of names that go to AdamW too: the first and the last layer, embeddings.
    """
    matrices, others = [], []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_plain = parameter.ndim < 2 or any(part in name for part in plain)
        (others if is_plain else matrices).append(parameter)
    own = [Muon(matrices, muon)] if matrices else []
    return [*own, torch.optim.AdamW(others, adam, (0.9, 0.98), weight_decay=0.0)]
