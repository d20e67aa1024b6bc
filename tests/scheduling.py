"""How a run over several processes is shared out: each process starts as few hosts as it can."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# Files that share what is dear to start go to one process: the editor's host and the browser with
# its page, and the host with the classic cache.
WEB = "tests/web/"
CLASSIC = {
    "tests/devtools/test_gpu.py",
    "tests/host/test_finish.py",
    "tests/host/test_generate.py",
    "tests/host/test_masking.py",
    "tests/host/test_pictures.py",
    "tests/host/test_start.py",
}
# What takes longest comes first, so that the processes end together on what is short.
FIRST = (
    WEB,
    "tests/host/",
    "tests/workflows/",
    "tests/faceid/",
    "tests/regions/",
    "tests/redraw/",
)


def group_of(nodeid: str) -> str:
    """Return what runs in one process with this test: its file, or several files."""
    file = nodeid.partition("::")[0]
    if file.startswith(WEB):
        return WEB
    return "classic" if file in CLASSIC else file


def place_of(nodeid: str) -> tuple[int, bool]:
    """Return where a test stands in the whole run, for sorting."""
    group = group_of(nodeid)
    start = "tests/host/" if group == "classic" else nodeid
    places = [place for place, folder in enumerate(FIRST) if start.startswith(folder)]
    return min(places, default=len(FIRST)), group != "classic"


class HostScheduling(LoadFileScheduling):
    """Hand out the groups in the order in which their tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
