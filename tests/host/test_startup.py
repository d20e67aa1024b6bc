"""What the pack does to the process of a host that starts with it.

No heavy library comes in, and no module of the host is hidden.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from comfyui_astria.devtools.base import PACK
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, text_of
from comfyui_astria.tests.source import HEAVY

# "import time: self [us] | cumulative | imported package", the name indented by depth, and printed
# when the import is over
_CLOCK_LINE = re.compile(r"import time: +\d+ \| +\d+ \|( +)(\S+)")


def brought_by_the_pack(log: str) -> set[str]:
    """Return the full names of all modules whose import stands under one of the pack's in Python's
    import clock.
    """
    brought: set[str] = set()
    outermost = None
    for indent, name in reversed(_CLOCK_LINE.findall(log)):
        if outermost is None or len(indent) <= outermost:
            outermost = len(indent) if PACK in name else None
        if outermost is not None:
            brought.add(name)
    return brought


def test_the_clock_is_read_by_depth() -> None:
    lines = (
        ("    ", "cv2"),
        ("  ", "the.host"),
        ("      ", "scipy"),
        ("    ", f"a/{PACK}.nodes.x"),
        ("  ", f"a/{PACK}.nodes"),
        ("  ", "torch"),
    )
    log = "\n".join(f"import time:       1 |          2 |{indent}{name}" for indent, name in lines)
    assert brought_by_the_pack(log) == {"scipy", f"a/{PACK}.nodes.x", f"a/{PACK}.nodes"}


def test_the_pack_brings_no_heavy_library_into_a_starting_host(tmp_path: Path) -> None:
    """The host has some of them anyway; those are not ours."""
    with Host(
        current(), HostOptions(tmp_path, variables=(("PYTHONPROFILEIMPORTTIME", "1"),))
    ) as host:
        brought = brought_by_the_pack(host.log_text())
    assert any(name.endswith(f"{PACK}.nodes.regions.nodes") for name in brought), (
        "the nodes themselves"
    )
    assert {name.split(".")[0] for name in brought if "/" not in name} & HEAVY == set()


def test_the_pack_never_stands_where_modules_are_looked_for(host: LiveHost) -> None:
    """Its folder `nodes` would hide the host's nodes.py."""
    process = json.loads(
        text_of(host.client.run({"process": node("AstriaTestProcess")}), "process")
    )
    places = {Path(place).resolve() for place in process["path"]}
    assert current().comfyui.resolve() in places
    assert ROOT.resolve() not in places
    assert Path(process["nodes"]).resolve() == current().comfyui.resolve() / "nodes.py"
