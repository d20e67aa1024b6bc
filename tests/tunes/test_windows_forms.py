"""Names, lists, commands and locks as Windows has them, as far as that can be said elsewhere."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from comfyui_astria.nodes.net import writing
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import ROLES, Bindings
from comfyui_astria.nodes.tunes.choices import choices
from comfyui_astria.nodes.tunes.file_search import Missing
from comfyui_astria.nodes.tunes.names import shell_word
from comfyui_astria.nodes.tunes.resolve import Resolver

# As os.path.relpath writes them there.
LISTED = {
    "loras": ["people\\anna.safetensors", "Offset.SafeTensors"],
    "insightface": [
        "inswapper_128.onnx",
        "below\\other.onnx",
        "models\\buffalo_l\\det_10g.onnx",
        "models\\empty\\readme.txt",
        "models\\nested\\nested\\det_10g.onnx",
    ],
    "clipseg": ["rd64\\config.json", "rd64\\model.safetensors"],
    "ipadapter": ["sd15\\FaceID.BIN"],
}


class Files:
    def list(self, folder: str) -> list[str]:
        return LISTED.get(folder, [])

    def roots(self, folder: str) -> list[str]:
        return [f"C:\\ComfyUI portable\\models\\{folder}"]


def test_what_is_listed_with_backslashes_is_offered_with_slashes() -> None:
    expected = {
        "1533312": ["people/anna.safetensors", "Offset.SafeTensors"],
        "face_swapper": ["inswapper_128.onnx"],
        "face_analysis": ["buffalo_l"],
        "clipseg": ["rd64"],
        "faceid": ["sd15/FaceID.BIN"],
    }
    for key, names in expected.items():
        assert choices(key, Files(), Bindings()) == names


def test_a_bound_file_comes_back_as_the_host_lists_it() -> None:
    roles = {"faceid": "sd15/FaceID.BIN", "face_analysis": "buffalo_l", "clipseg": "rd64"}
    resolver = Resolver(Bindings(roles=roles), None, Files())
    assert resolver.role("faceid") == "sd15\\FaceID.BIN", "as the loader's choices have it"
    assert (resolver.role("face_analysis"), resolver.role("clipseg")) == ("buffalo_l", "rd64")
    found = resolver.lora("people/anna")
    assert not isinstance(found, Missing) and found.file == "people\\anna.safetensors"
    assert resolver.lora("people\\anna") == found, "either stroke, as it is written elsewhere"


@pytest.mark.parametrize(
    "name", ["..\\anna", "C:\\anna", "C:anna", "\\\\server\\anna", "NUL", "con.safetensors"]
)
def test_names_that_mean_more_on_windows_find_nothing(name: str) -> None:
    assert isinstance(Resolver(Bindings(), None, Files()).lora(name), Missing)


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_role_takes_the_same_files_with_either_slash(name: str) -> None:
    for listed in (one for names in LISTED.values() for one in names):
        assert ROLES[name].takes(listed) == ROLES[name].takes(listed.replace("\\", "/"))


@pytest.mark.parametrize(
    "name",
    [
        "C:\\photos\\me.png",
        "c:me.png",
        "\\\\server\\share\\me.png",
        "..\\me.png",
        "a\\..\\..\\me.png",
        "CON",
        "nul.png",
        "photos/com1.tar.png",
        "photos\\LPT9",
        "aux .png",
    ],
)
def test_a_picture_is_never_a_path_or_a_device_of_windows(name: str) -> None:
    request, told = PromptRequest.from_text(f"a cat\ninput_image={name}")
    assert request is None
    assert [one.code for one in told if one.severity == "error"] == ["bad-file-name"]


@pytest.mark.parametrize(
    "name", ["console.png", "nullify.png", "com10.png", "sub\\me.png", "my con.png"]
)
def test_names_that_only_look_like_devices_are_pictures(name: str) -> None:
    request, _ = PromptRequest.from_text(f"a cat\ninput_image={name}")
    assert request is not None and request.input_image is not None
    assert request.input_image.value == name


def test_commands_in_hints_can_be_typed_there() -> None:
    assert shell_word("C:\\ComfyUI\\dev.py", is_windows=True) == "C:\\ComfyUI\\dev.py"
    assert shell_word("C:\\My UI\\dev.py", is_windows=True) == '"C:\\My UI\\dev.py"'
    assert shell_word("a&b.pth", is_windows=True) == '"a&b.pth"'
    assert shell_word("/my ui/dev.py", is_windows=False) == "'/my ui/dev.py'"


def writing_on_windows(msvcrt: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that writes and locks, as it is on Windows with this `msvcrt`."""
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(sys, "platform", "win32")
    spec = importlib.util.spec_from_file_location("writing_on_windows", writing.__file__)
    assert spec is not None and spec.loader is not None
    there = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(there)
    return there


def test_one_of_two_holds_a_place_of_a_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in of msvcrt.locking, which says EACCES where another holds the byte."""
    held: set[int] = set()

    def locking(handle: int, mode: str, size: int) -> None:
        place = os.lseek(handle, 0, os.SEEK_CUR)
        if mode == "unlock":
            held.remove(place)
        elif place in held:
            raise OSError(errno.EACCES, "Permission denied")
        else:
            held.add(place)

    stand_in = SimpleNamespace(LK_NBLCK="at once", LK_UNLCK="unlock", locking=locking)
    there = writing_on_windows(stand_in, monkeypatch)
    path = tmp_path / "folder" / "x.lock"
    hold = there.held_apart
    with hold(path, 7) as first, hold(path, 7) as second, hold(path, 8) as other:
        assert (first, second, other) == (True, False, True)
    assert not held


def test_a_lock_is_waited_for_longer_than_windows_itself_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against a stand-in of msvcrt.locking, which gives up with EDEADLK after ten tries."""
    called: list[str] = []

    def locking(handle: int, mode: str, size: int) -> None:
        called.append(mode)
        assert size == 1
        if called.count("lock") < 3 and mode == "lock":
            raise OSError(errno.EDEADLK, "Resource deadlock avoided")

    stand_in = SimpleNamespace(LK_LOCK="lock", LK_UNLCK="unlock", locking=locking)
    there = writing_on_windows(stand_in, monkeypatch)
    with there.exclusive(tmp_path / "folder" / "x.lock"):
        called.append("held")
        there.atomic_write(tmp_path / "x", b"whole")
    assert called == ["lock", "lock", "lock", "held", "unlock"]
    assert (tmp_path / "x").read_bytes() == b"whole"

    stand_in.locking = lambda *given: (_ for _ in ()).throw(OSError(errno.EBADF, "no file"))
    with pytest.raises(OSError, match="no file"), there.exclusive(tmp_path / "x.lock"):
        pass
