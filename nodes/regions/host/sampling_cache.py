"""What is made once for a sampling and used at each of its steps."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

Value = TypeVar("Value")


@dataclass(eq=False)
class SamplingCache:
    """Values kept from the first step of a sampling to its end.

    A copy from the CPU to the GPU, and a number or size read off the GPU, make Python wait until
    the GPU has done all that it was given. Kept values cost that in the first step only. Outside a
    sampling nothing is kept: nobody would say when it ends.
    """

    _samplings: int = 0
    _kept: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of_one_sampling(cls) -> SamplingCache:
        """Return a cache whose owner lives no longer than a sampling."""
        return cls(_samplings=1)

    def attach(self, model: ModelPatcher, key: str) -> None:
        """Have the host say when samplings of `model`, which is changed, begin and end."""
        model.add_callback_with_key(CallbacksMP.ON_PRE_RUN, key, self._begin)
        model.add_callback_with_key(CallbacksMP.ON_CLEANUP, key, self._end)

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what `make` returned for this key first in the sampling that runs."""
        if not self._samplings:
            return make()
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _begin(self, _: ModelPatcher) -> None:
        self._samplings += 1

    def _end(self, _: ModelPatcher) -> None:
        # The host also cleans up a model whose sampling never began.
        self._samplings = max(self._samplings - 1, 0)
        if not self._samplings:
            self._kept.clear()
