"""Stand-ins for the forward of a model's modules, put in while the host has the model injected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import nn

from .lora_forms import Layer


class Change(Protocol):
    """A change of a layer's output `out`, by the layer's input `x` and its unchanged output `y`."""

    @property
    def reads_output(self) -> bool:
        """Whether the change is computed from `y`, which then must outlive the additions."""

    def __call__(
        self, out: torch.Tensor, x: torch.Tensor, y: torch.Tensor, layer: Layer
    ) -> torch.Tensor: ...


class Hook:
    """Stands in for one module's forward from `put` to `remove`."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self.is_put = False

    def put(self) -> None:
        """Take the place of the module's forward."""
        # Another pack's stand-in; absent where the class's own method runs.
        self._previous = self._module.__dict__.get("forward")
        self.original: Callable[..., Any] = self._module.forward
        self._module.forward = self
        self.is_put = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.original(*args, **kwargs)

    def remove(self) -> bool:
        """Put the former forward back.

        Returns False, and does nothing, where another pack's stand-in lies above this one.
        """
        if self._module.__dict__.get("forward") is not self:
            return False
        if self._previous is None:
            del self._module.forward
        else:
            self._module.forward = self._previous
        self.is_put = False
        return True


class Watch(Hook):
    """Shows each call's arguments to `see` before the module runs."""

    see: Callable[..., None]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.see(*args, **kwargs)
        return self.original(*args, **kwargs)


class Addition(Hook):
    """Runs the module's own forward, unchanged, and lets each of `changes` add to its output."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self.changes: list[Change] = []

    def put(self) -> None:
        super().put()
        self._layer = Layer(self.original, getattr(self._module, "bias", None) is not None)

    def __call__(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        y = self.original(x, *args, **kwargs)
        out = y.clone() if any(change.reads_output for change in self.changes) else y
        for change in self.changes:
            out = change(out, x, y, self._layer)
        return out


AnyHook = TypeVar("AnyHook", bound=Hook)


class Hooks:
    """The hooks that one owner puts into a model.

    A hook that was taken out is put in again: a compiler that has traced a model through its hooks
    would trace it anew where it finds others.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[type[Hook], nn.Module], Any] = {}
        self._watches: list[Hook] = []
        self._additions: list[tuple[Addition, Change]] = []

    def watch(self, module: nn.Module, see: Callable[..., None]) -> None:
        hook = self._put(Watch, module)
        hook.see = see
        self._watches.append(hook)

    def add(self, module: nn.Module, change: Change) -> None:
        """Add `change` to the module.

        Two owners share one hook, so that each sees the layer's own output.
        """
        standing = module.__dict__.get("forward")
        hook = standing if isinstance(standing, Addition) else self._put(Addition, module)
        hook.changes.append(change)
        self._additions.append((hook, change))

    def _put(self, kind: type[AnyHook], module: nn.Module) -> AnyHook:
        """Return a hook of this kind, put into the module; a new one where the former one could not
        be taken out.
        """
        hook = self._known.get((kind, module))
        if hook is None or hook.is_put:
            hook = self._known[kind, module] = kind(module)
        hook.put()
        return hook

    def remove(self) -> None:
        """Take everything out.

        A hook under another pack's stand-in stays in place without an effect, until a later call
        can remove it.
        """
        for hook, change in self._additions:
            if change in hook.changes:
                hook.changes.remove(change)
        self._additions = [
            (hook, change)
            for hook, change in self._additions
            if not hook.changes and not hook.remove()
        ]
        self._watches = [watch for watch in reversed(self._watches) if not watch.remove()][::-1]
