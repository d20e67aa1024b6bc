"""What was found in photos: kept over restarts, bounded, forgotten on demand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_astria.nodes.tunes import face_cache
from comfyui_astria.nodes.tunes.face_cache import CACHE_FILE, FaceCache
from comfyui_astria.nodes.tunes.store import TuneError

ROOT = Path(__file__).resolve().parent.parent.parent


def test_what_was_put_is_there_for_the_same_photo_and_analysis_only(tmp_path: Path) -> None:
    cache = FaceCache(tmp_path / "new")
    assert cache.get("photo", "analysis") is None
    cache.put("photo", "analysis", b"one")
    cache.put("photo", "other", b"")
    cache.put("photo", "analysis", b"two")
    later = FaceCache(tmp_path / "new")
    assert (
        later.get("photo", "analysis"),
        later.get("photo", "other"),
        later.get("x", "analysis"),
    ) == (b"two", b"", None)


def test_what_was_not_used_for_longest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter(range(100))
    monkeypatch.setattr(face_cache.time, "time", lambda: float(next(moments)))
    cache = FaceCache(tmp_path, max_entries=3)
    for photo in "abc":
        cache.put(photo, "", photo.encode())
    assert cache.get("a", "") == b"a"
    cache.put("d", "", b"d")
    cache.put("d", "", b"d")
    assert [cache.get(photo, "") for photo in "abcd"] == [b"a", None, b"c", b"d"]


def test_a_photo_is_forgotten_with_all_that_was_found_in_it(tmp_path: Path) -> None:
    cache = FaceCache(tmp_path)
    for photo in "ab":
        for analysis in "xy":
            cache.put(photo, analysis, b"face")
    cache.forget(["a", "never seen"])
    assert [cache.get(photo, analysis) for photo in "ab" for analysis in "xy"] == [
        None,
        None,
        b"face",
        b"face",
    ]


def test_a_forgotten_face_is_nowhere_in_the_files(tmp_path: Path) -> None:
    cache = FaceCache(tmp_path)
    face = bytes(range(256)) * 8
    cache.put("a", "x", face)
    assert any(face[:64] in path.read_bytes() for path in tmp_path.iterdir())
    cache.forget(["a"])
    assert not [path.name for path in tmp_path.iterdir() if face[:64] in path.read_bytes()]


def test_a_kept_face_survives_a_process_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import importlib.util, os, signal
from pathlib import Path
spec = importlib.util.spec_from_file_location("pack_loader", {str(ROOT / "pack_loader.py")!r})
loader = importlib.util.module_from_spec(spec); spec.loader.exec_module(loader); loader.load()
from comfyui_astria.nodes.tunes.face_cache import FaceCache
FaceCache(Path({str(tmp_path)!r})).put("photo", "analysis", b"face")
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode != 0
    assert FaceCache(tmp_path).get("photo", "analysis") == b"face"


def test_a_deleted_cache_is_made_again(tmp_path: Path) -> None:
    FaceCache(tmp_path).put("photo", "analysis", b"face")
    for path in tmp_path.glob(f"{CACHE_FILE}*"):
        path.unlink()
    assert FaceCache(tmp_path).get("photo", "analysis") is None


def test_error_a_damaged_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / CACHE_FILE).write_bytes(
        b"no database at all, but long enough to look like one" * 50
    )
    with pytest.raises(
        TuneError,
        match=r"faces\.sqlite3 cannot be used: file is not a database\n.*may be moved away",
    ):
        FaceCache(tmp_path)
