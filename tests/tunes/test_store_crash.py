"""kill -9 in any write, and two processes at once, lose nothing and leave no half tune."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from comfyui_astria.nodes.tunes.bindings import BINDINGS_FILE, Bindings, bind, load
from comfyui_astria.nodes.tunes.store import TuneStore

TURNS = 3
SCRIPT = Path(__file__).parent / "crashing.py"
_spec = importlib.util.spec_from_file_location("crashing", SCRIPT)
assert _spec is not None and _spec.loader is not None
crashing = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(crashing)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def run(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    with start(folder, *arguments) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output.splitlines()


def check_whole(folder: Path) -> set[str]:
    """Every tune has all its photos, and after opening there is no file of none.

    Return the titles.
    """
    store = TuneStore(folder)
    tunes = store.list(limit=10_000)
    files = set()
    for tune in tunes:
        paths = store.photo_paths(tune.id)
        assert [path.read_bytes() for path in paths] == crashing.photos_of(tune.title)
        files.update(paths)
    assert {path for path in (folder / "photos").rglob("*") if path.is_file()} == files
    assert {path.name for path in (folder / "photos").iterdir()} == {str(tune.id) for tune in tunes}
    return {tune.title for tune in tunes}


def test_a_crash_at_any_step_leaves_whole_tunes_only(tmp_path: Path) -> None:
    TuneStore(tmp_path)
    known: set[str] = set()
    for crash_at in count(1):
        status, stored = run(tmp_path, "create", f"run {crash_at}", str(crash_at))
        assert status != 0
        now = check_whole(tmp_path)
        assert now == known | set(stored)
        known = now
        if stored:  # the crash came after the first tune: each of its steps has had its turn
            break
    assert crash_at > 3 * crashing.PHOTOS


def test_a_crash_in_deleting_leaves_the_tune_whole_or_gone(tmp_path: Path) -> None:
    for crash_at in count(1):
        title = f"tune {crash_at}"
        tune = TuneStore(tmp_path).create(title=title, photos=crashing.photos_of(title))
        status, _ = run(tmp_path, "delete", str(tune.id), str(crash_at))
        assert check_whole(tmp_path) <= {title}
        if status == 0:
            break
        TuneStore(tmp_path).delete(tune.id)
    assert crash_at > crashing.PHOTOS


def test_a_crash_in_binding_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    path = tmp_path / BINDINGS_FILE
    bind(path, "upscaler", "old.pth")
    for crash_at in count(1):
        status, _ = run(tmp_path, "bind", "new.pth", str(crash_at))
        assert load(path) in (
            Bindings(roles={"upscaler": "old.pth"}),
            Bindings(roles={"upscaler": "new.pth"}),
        )
        if status == 0:
            break
        bind(path, "upscaler", "old.pth")
    assert load(path).roles == {"upscaler": "new.pth"}
    assert crash_at > 3


def test_two_processes_binding_at_once_lose_no_binding(tmp_path: Path) -> None:
    with (
        start(tmp_path, "bind-many", "100") as first,
        start(tmp_path, "bind-many", "200") as second,
    ):
        assert (first.wait(timeout=60), second.wait(timeout=60)) == (0, 0)
    ids = [str(first + number) for first in (100, 200) for number in range(crashing.BINDINGS)]
    assert load(tmp_path / BINDINGS_FILE) == Bindings(tunes=dict.fromkeys(ids, "a.pt"))


def test_two_processes_killed_at_random_lose_no_reported_tune(tmp_path: Path) -> None:
    chance = random.Random(0)
    reported: set[str] = set()
    for turn in range(TURNS):
        with (
            start(tmp_path, "create", f"A{turn}") as first,
            start(tmp_path, "create", f"B{turn}") as second,
        ):
            try:
                for process in (first, second):
                    assert process.stdout is not None
                    reported.update(process.stdout.readline().strip() for _ in range(3))
                    time.sleep(chance.uniform(0, 0.03))  # to hit any point of the next write
                    process.kill()
                    # Opening sweeps, while the second process may be between its photos and their
                    # tune.
                    assert reported <= {
                        tune.title for tune in TuneStore(tmp_path).list(limit=10_000)
                    }
            finally:
                for process in (first, second):
                    process.kill()
                    assert process.stdout is not None
                    reported.update(line.strip() for line in process.stdout)
        titles = check_whole(tmp_path)
        assert reported <= titles
        # A killed process may have stored one tune that it could not report any more.
        assert len(titles - reported) <= 2 * (turn + 1)
    assert len(reported) >= TURNS * 2 * 3
