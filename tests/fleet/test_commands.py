"""Every command of a fleet that a message or a page names is one."""

from __future__ import annotations

import re

from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.fleet.cli import _COMMANDS


def test_what_is_named_can_be_called() -> None:
    files = [*ROOT.glob("fleet/*.py"), *ROOT.glob("nodes/**/*.py"), *ROOT.glob("docs/*.md")]
    named = {
        word
        for file in files
        for word in re.findall(r"dev\.py fleet (\w+)", file.read_text(encoding="utf-8"))
    }
    assert {"head", "join", "dispatch"} <= named
    assert named <= _COMMANDS.keys()
