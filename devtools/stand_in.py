"""Stands in for a package that ComfyUI imports at its start, and of which `dev.py bench gpu` needs
nothing but that input pictures are read: imports of it succeed, a call of anything else is told. It
is copied into a bundle as that package.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

from PIL import Image


class LeftOut:
    """Any class or function of the package."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        raise RuntimeError(
            f"{__name__} was left out of the bundle of `dev.py bench gpu`. What calls it needs"
            f" {__name__} installed into this Python."
        )


class Picture:
    """A picture file as `av.open` gives it: a video of which no frame can be decoded.

    That is what PyAV makes of an animated WebP, and ComfyUI reads the file with Pillow then.
    """

    def __init__(self, file: str, mode: str) -> None:
        if mode != "r":
            LeftOut()
        Image.open(file).close()  # what is no picture raises here
        video = SimpleNamespace(time_base=1, average_rate=None)
        self.streams = SimpleNamespace(video=[video], audio=[])
        self.metadata: dict[str, str] = {}

    def __enter__(self) -> Picture:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def demux(self, *_: object) -> list[Any]:
        """Return the packets to decode."""
        return []

    def __getattr__(self, name: str) -> Any:
        return LeftOut()


_CALLED = {"av.open": Picture}


def _member(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return _CALLED.get(f"{__name__}.{name}", LeftOut)


class _Submodules(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.startswith(f"{__name__}.") else None

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _member


__getattr__ = _member
sys.meta_path.insert(0, _Submodules())
