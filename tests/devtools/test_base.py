from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from comfyui_astria.devtools.base import link_folder, make_base, models_config
from comfyui_astria.devtools.lock import try_lock
from comfyui_astria.devtools.paths import ROOT


def test_a_base_directory_shows_the_pack(tmp_path: Path) -> None:
    assert make_base(tmp_path, test_pack=False) == ("comfyui_astria",)
    assert (tmp_path / "custom_nodes" / "comfyui_astria" / "pack_loader.py").samefile(
        ROOT / "pack_loader.py"
    )
    assert make_base(tmp_path, test_pack=True) == ("comfyui_astria", "astria_testpack")
    assert (tmp_path / "custom_nodes" / "astria_testpack" / "families.py").is_file()
    assert (tmp_path / "models" / "loras").is_dir()


def test_a_link_to_another_checkout_is_replaced_and_nothing_behind_it_touched(
    tmp_path: Path,
) -> None:
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "link"
    for folder in (old, new):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    link_folder(link, old)
    link_folder(link, new)
    assert (link / "file").read_text() == "new"
    assert (old / "file").read_text() == "old"


def test_models_of_another_comfyui_are_named_by_folder(tmp_path: Path) -> None:
    models = tmp_path / "own: models"
    (models / "checkpoints").mkdir(parents=True)
    (models / "loras").mkdir()
    (models / "put_models_here").write_text("")
    expected = {
        "own_models": {"checkpoints": str(models / "checkpoints"), "loras": str(models / "loras")}
    }
    assert yaml.safe_load(models_config(models)) == expected


def test_an_empty_models_folder_gives_an_empty_configuration(tmp_path: Path) -> None:
    assert yaml.safe_load(models_config(tmp_path)) == {}


def test_a_lock_keeps_others_out_until_it_is_closed(tmp_path: Path) -> None:
    first = try_lock(tmp_path / "lock")
    assert first is not None
    assert try_lock(tmp_path / "lock") is None
    first.close()
    second = try_lock(tmp_path / "lock")
    assert second is not None
    second.close()


@pytest.mark.skipif(sys.platform == "win32", reason="the other process takes the lock with fcntl")
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
        " print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert try_lock(tmp_path / "lock") is None
        other.kill()
    after = try_lock(tmp_path / "lock")
    assert after is not None
    after.close()
