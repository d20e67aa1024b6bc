"""Load the pack as the package `comfyui_astria` outside ComfyUI, the way ComfyUI itself loads it.

The root never goes on sys.path: our `nodes/` would hide the host's `nodes.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent
NAME = "comfyui_astria"


def load() -> ModuleType:
    """Return the pack's root package, imported once.

    `import comfyui_astria.nodes.prompt` works afterwards.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    spec = importlib.util.spec_from_file_location(
        NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module
