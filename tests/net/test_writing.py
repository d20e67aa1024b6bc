"""What two processes do to one folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from comfyui_astria.nodes.net import writing

_HOLDER = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("writing", sys.argv[1])
writing = importlib.util.module_from_spec(spec)
spec.loader.exec_module(writing)
from pathlib import Path
with writing.held_apart(Path(sys.argv[2]), 7) as is_held:
    print(is_held, flush=True)
    time.sleep(60)
"""


def test_a_place_is_held_by_one_process_until_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "training" / "x.lock"
    command = [sys.executable, "-c", _HOLDER, writing.__file__, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        with writing.held_apart(path, 7) as is_held, writing.held_apart(path, 8) as is_other_held:
            assert (is_held, is_other_held) == (False, True)
        holder.kill()
    with writing.held_apart(path, 7) as is_held:
        assert is_held
