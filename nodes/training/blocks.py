"""Stand-ins for a model's blocks while it learns: they compute twice to save memory, and add
without writing over what the gradient still needs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from ..regions.lora_hooks import Hook

_IN_PLACE = {torch.Tensor.__iadd__: torch.add, torch.Tensor.add_: torch.add}


class AddedApart(TorchFunctionMode):
    """Makes `x += y` a new tensor.

    Flux's blocks add in place to what their own first half was computed from. In a block that is
    computed again for its gradient, that would be the sum already.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _IN_PLACE.get(func, func)(*args, **(kwargs or {}))


class LearningBlock(Hook):
    """Runs a block so that its gradient is exact.

    `checkpointing` keeps only what goes in, and computes the rest again for the gradient;
    `adds_in_place` says that the block does so.
    """

    def __init__(self, module: nn.Module, *, checkpointing: bool, adds_in_place: bool) -> None:
        super().__init__(module)
        self._checkpointing = checkpointing
        self._adds_in_place = adds_in_place

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return self.original(*args, **kwargs)
        if not self._checkpointing:
            return self._run(*args, **kwargs)
        # The host goes on writing into its options: the second time they are to be as they were.
        args = tuple(map(_kept, args))
        kwargs = {name: _kept(value) for name, value in kwargs.items()}
        return checkpoint(self._run, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        if not self._adds_in_place:
            return self.original(*args, **kwargs)
        with AddedApart():
            return self.original(*args, **kwargs)


def _kept(value: Any) -> Any:
    return dict(value) if isinstance(value, dict) else value
