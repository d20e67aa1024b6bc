"""`python dev.py learn NAME ... --bundle FILE --python PYTHON`: a training on a machine without a
network, by a Python that has torch and what `bench gpu --pack` packed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import gpu_bundle
from .console import DevError
from .paths import ROOT

OPTION = "--bundle"
_PROGRAM = """
import importlib, runpy, sys
loader = sys.argv.pop(1)
runpy.run_path(loader)["load"]()
from comfyui_astria.devtools.console import DevError
learning = importlib.import_module("comfyui_astria.smallworld.learning")
try:
    raise SystemExit(learning.run(sys.argv[1:]))
except DevError as error:
    raise SystemExit(f"dev.py learn: {error}")
"""


def run(argv: Sequence[str]) -> int:
    """Train what the arguments name and return the exit code of its process.

    Raises: DevError for a bundle without a Python, or the other way round, and for a file that is
    no bundle.
    """
    ask = argparse.ArgumentParser(prog="dev.py learn", add_help=False, allow_abbrev=False)
    ask.add_argument(OPTION, type=Path, required=True)
    ask.add_argument("--python", type=Path)
    given, rest = ask.parse_known_args(argv)
    if given.python is None:
        raise DevError(
            f"{OPTION} goes together with --python.", "Name a Python 3.12 there that has torch."
        )
    with tempfile.TemporaryDirectory(prefix="astria-learn-") as folder:
        unpacked = gpu_bundle.unpack(given.bundle.expanduser(), Path(folder))
        path = [*map(str, unpacked.path(given.python)), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "PYTHONUNBUFFERED": "1",
            "COMFYUI_PATH": str(unpacked.comfyui),
        }
        command = [str(given.python), "-c", _PROGRAM, str(ROOT / "pack_loader.py"), *rest]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
