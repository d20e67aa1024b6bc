"""Stands in for a package that ComfyUI imports at its start and that nothing of `dev.py bench gpu`
calls: imports of it succeed, a call of it is told. It is copied into a bundle as that package.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class LeftOut:
    """Any class or function of the package."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"{__name__} was left out of the bundle of `dev.py bench gpu`. What calls it needs"
            f" {__name__} installed into this Python."
        )


def _member(name: str) -> type[LeftOut]:
    if name.startswith("__"):
        raise AttributeError(name)
    return LeftOut


class _Submodules(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.startswith(f"{__name__}.") else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _member


__getattr__ = _member
sys.meta_path.insert(0, _Submodules())
