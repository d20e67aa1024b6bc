"""The key of fingerprints: one for all processes, and hashes that tell texts apart and nothing of
them.
"""

from __future__ import annotations

import hashlib
import hmac
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.net.secret import KEY_BYTES, KEY_FILE, keyed_hash, own_key

ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import pack_loader
pack_loader.load()
from pathlib import Path
from comfyui_astria.nodes.net.secret import own_key
sys.stdin.readline()
print(own_key(Path(sys.argv[2])).hex())
"""


def test_several_processes_that_ask_at_once_get_one_key(tmp_path: Path) -> None:
    folder = tmp_path / "not there yet"
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(ROOT), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    keys = {one.communicate("\n")[0].strip() for one in asking}
    assert keys == {(folder / KEY_FILE).read_bytes().hex()}
    assert len(keys.pop()) == 2 * KEY_BYTES


def test_threads_that_find_no_key_make_one(tmp_path: Path, monkeypatch) -> None:
    """All of them look before the first has written."""
    looked = threading.Barrier(4)
    seen = Path.exists

    def exists(path: Path) -> bool:
        found = seen(path)
        if path.name == KEY_FILE and threading.current_thread() not in waited:
            waited.add(threading.current_thread())
            looked.wait(10)
        return found

    waited: set[threading.Thread] = set()
    monkeypatch.setattr(Path, "exists", exists)
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(own_key(tmp_path))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(keys) == 4
    assert len(set(keys)) == 1


def test_a_key_is_kept_and_another_folder_has_another(tmp_path: Path) -> None:
    first, second = own_key(tmp_path / "a"), own_key(tmp_path / "b")
    assert first == own_key(tmp_path / "a") != second


def test_a_damaged_key_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(AstriaError, match=r"fingerprint\.key holds 5 bytes; expected 32"):
        own_key(tmp_path)


def test_the_hash_is_hmac_sha256_and_tells_where_texts_end() -> None:
    key = bytes(range(KEY_BYTES))
    data = (3).to_bytes(8, "big") + b"abc" + (2).to_bytes(8, "big") + "é".encode()
    assert keyed_hash(key, ["abc", "é"]) == hmac.digest(key, data, hashlib.sha256).hex()
    one = {keyed_hash(key, parts) for parts in (["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""])}
    assert len(one) == 4


def test_names_that_are_no_utf_8_count_too() -> None:
    key = bytes(KEY_BYTES)
    assert keyed_hash(key, ["photo\udcff.png"]) != keyed_hash(key, ["photo\ud800.png"])
