"""What the pack adds to ComfyUI's start, in ComfyUI's own words and by Python's import clock."""

from __future__ import annotations

import re
import statistics
import tempfile
from pathlib import Path

from comfyui_astria.bench._figures import figure
from comfyui_astria.devtools.base import PACK
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions

STARTS = 3
BUDGET_MS = 150
_OWN_LINE = re.compile(rf"([\d.]+) seconds: \S*{PACK}$", re.MULTILINE)
# "import time: self [us] | cumulative | imported package", the name indented by depth
_CLOCK_LINE = re.compile(rf"^import time: +\d+ \| +(\d+) \|( +)\S*{PACK}\.nodes", re.MULTILINE)
_ANSI = re.compile(r"\x1b\[\d+m")


def run() -> list[dict]:
    """Return the figures over several starts of a real host, each with a fresh base directory."""
    logs = [_log_of_one_start() for _ in range(STARTS)]
    own_s = [float(_only(_OWN_LINE, log)) for log in logs]
    clock_ms = [_imported_ms(log) for log in logs]
    typical_ms = statistics.median(clock_ms)
    return [
        # ComfyUI prints tenths of a second, so 0.1 stands for 50 to 150 ms.
        figure(
            f"ComfyUI's own import time, worst of {STARTS}",
            max(own_s),
            "s",
            max(own_s) <= BUDGET_MS / 1000,
        ),
        figure(
            f"importing the pack and what it brings, median of {STARTS}",
            typical_ms,
            "ms",
            typical_ms <= BUDGET_MS,
        ),
    ]


def _log_of_one_start() -> str:
    with tempfile.TemporaryDirectory() as folder:
        options = HostOptions(Path(folder), variables=(("PYTHONPROFILEIMPORTTIME", "1"),))
        with Host(current(), options) as host:
            return _ANSI.sub("", host.log_text())


def _imported_ms(log: str) -> float:
    """The time of the outermost imports of the pack, with everything they import in turn that the
    host had not loaded yet.
    """
    found = [
        (len(indent), int(cumulative_us)) for cumulative_us, indent in _CLOCK_LINE.findall(log)
    ]
    outermost = min(depth for depth, _ in found)
    return sum(cumulative_us for depth, cumulative_us in found if depth == outermost) / 1000


def _only(pattern: re.Pattern[str], log: str) -> str:
    [found] = pattern.findall(log)
    return found
