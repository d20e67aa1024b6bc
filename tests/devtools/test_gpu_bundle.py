"""What `dev.py bench gpu --pack` packs, and that ComfyUI starts with it and torch alone."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_astria.devtools import gpu_bundle, gpu_kernels
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.environment import current
from PIL import Image

MOST_UNPACKED_MB = 400  # 520 with what is left out
# GLSL shaders, which no workflow of ours has.
NOT_STARTED = {"nodes_glsl.py"}
TEXT, CODE = 1, 2


def test_a_bundle_holds_the_source_and_nothing_of_who_packed_it(tmp_path: Path) -> None:
    comfyui = tmp_path / "mine"
    for name in ("main.py", "comfy/ops.py", "comfy/__pycache__/ops.pyc", "models/mine.safetensors"):
        (comfyui / name).parent.mkdir(parents=True, exist_ok=True)
        (comfyui / name).write_text("text", encoding="utf-8")
    listing = tmp_path / "there.txt"
    names = [*gpu_bundle.NEEDED, *gpu_bundle.BESIDE_TORCH, *gpu_bundle.STOOD_IN]
    listing.write_text("\n".join(f"{name.upper()}  1.0" for name in names), encoding="utf-8")
    file = tmp_path / "gpu.txz"
    gpu_bundle.pack(file, Path(sys.executable), comfyui, gpu_bundle.names_in(listing))
    unpacked = gpu_bundle.unpack(file, tmp_path / "there")
    there = sorted(path for path in unpacked.folder.rglob("*") if path.is_file())
    assert [path.relative_to(unpacked.comfyui).as_posix() for path in there] == [
        "comfy/ops.py",
        "main.py",
    ]
    assert unpacked.path(Path(sys.executable)) == [unpacked.folder / "site"]


def test_a_file_that_is_no_bundle_is_told(tmp_path: Path) -> None:
    file = tmp_path / "gpu.txz"
    file.write_bytes(b"not packed")
    with pytest.raises(DevError, match="is no bundle"):
        gpu_bundle.unpack(file, tmp_path / "there")


@pytest.mark.parametrize(
    "call", ["av.VideoFrame(8, 8)", "av.open('film.mp4', 'w')", "av.open(sys.argv[1], 'r').format"]
)
def test_what_stands_in_for_a_package_can_be_imported_and_says_what_it_is(
    tmp_path: Path, call: str
) -> None:
    gpu_bundle.stand_in_for(["av"], tmp_path)
    picture = tmp_path / "one.png"
    Image.new("RGB", (8, 8)).save(picture)
    program = (
        "import sys, av, av.codec.context\n"
        "from av.container import InputContainer\n"
        "print(isinstance(1, (av.VideoStream, InputContainer)), hasattr(av, '__version__'))\n"
        f"{call}"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, str(picture)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "av")},
    )
    assert answer.stdout.split() == ["False", "False"]
    assert "RuntimeError: av was left out of the bundle of `dev.py bench gpu`" in answer.stderr


_LOADS = """
import sys
folder, file = sys.argv[1:]
sys.path.insert(0, ".")
sys.argv[1:] = ["--cpu"]
import comfy.options
comfy.options.enable_args_parsing()
import folder_paths, nodes, torch
folder_paths.set_input_directory(folder)
loaded = [*nodes.LoadImage().load_image("plain.png"), *nodes.LoadImage().load_image("clear.png")]
for channel in ("alpha", "red"):
    loaded += nodes.LoadImageMask().load_image_mask("clear.png", channel)
torch.save(loaded, file)
"""


def test_pictures_are_loaded_without_pyav_as_with_it(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (33, 41, 4), dtype=np.uint8)
    Image.fromarray(levels).save(tmp_path / "clear.png")
    Image.fromarray(levels[..., :3]).save(tmp_path / "plain.png")
    gpu_bundle.stand_in_for(["av"], tmp_path)
    for path, file in (("", "with"), (str(tmp_path / "av"), "without")):
        answer = subprocess.run(
            [sys.executable, "-c", _LOADS, str(tmp_path), str(tmp_path / file)],
            capture_output=True,
            text=True,
            check=False,
            cwd=current().comfyui,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert answer.returncode == 0, answer.stderr
    pictures = [torch.load(tmp_path / name) for name in ("with", "without")]
    assert [torch.equal(*pair) for pair in zip(*pictures, strict=True)] == [True] * 6


def container(*entries: tuple[int, int, bytes]) -> bytes:
    """Return kernels as nvcc keeps them: kind, generation and payload of each."""
    made = b"".join(
        struct.pack("<HHIQ12xI32x", kind, 257, 64, len(payload), generation) + payload
        for kind, generation, payload in entries
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(made)) + made


def test_kernels_keep_their_code_and_the_newest_text() -> None:
    codes = [(CODE, 80, b"code of 80"), (CODE, 120, b"code of 120")]
    texts = [(TEXT, 80, b"text of 80" * 9), (TEXT, 90, b"text of 90"), (TEXT, 120, b"text of 120")]
    given = b"before" + container(*texts[:1], *codes, *texts[1:]) + b"between" + container(*codes)
    made = gpu_kernels.without_old_texts(given)
    assert len(made) == len(given)
    # No machine code runs on generation 90, so its text stays.
    assert made.startswith(b"before" + container(*codes, *texts[1:]) + bytes(64 + 90) + b"between")
    assert made.endswith(container(*codes))


@pytest.mark.parametrize(
    "broken",
    [
        container((CODE, 80, b"code"), (TEXT, 80, b"text"))[:-1],
        container((CODE, 80, b"code"), (7, 80, b"of a kind that is not known")),
        struct.pack("<IHHQ", 0xBA55ED50, 2, 16, 0),
        struct.pack("<I", 0xBA55ED50),
    ],
)
def test_kernels_that_cannot_be_read_stay_as_they_are(broken: bytes) -> None:
    assert gpu_kernels.without_old_texts(broken) == broken


def test_comfyui_starts_with_what_is_packed_and_torch_alone(tmp_path: Path) -> None:
    """Of this environment's packages; nothing else of it can be imported."""
    folders = [tmp_path / name for name in ("whole", "packed", "base", "frontend")]
    whole, packed, base, frontend = folders
    for folder in (*folders, *(base / name for name in ("input", "output", "temp", "user"))):
        folder.mkdir()
    _link_packages([*gpu_bundle.NEEDED, *gpu_bundle.BESIDE_TORCH], whole / "site")
    size = 0
    for name, path in gpu_bundle.members(whole):
        (packed / name).parent.mkdir(parents=True, exist_ok=True)
        (packed / name).symlink_to(path.resolve())
        size += path.stat().st_size
    gpu_bundle.stand_in_for(gpu_bundle.STOOD_IN, packed / "beside")
    site = [packed / "site", *(packed / "beside" / name for name in gpu_bundle.STOOD_IN)]
    command = ["main.py", "--cpu", "--quick-test-for-ci", "--disable-all-custom-nodes"]
    command += ["--disable-api-nodes", "--front-end-root", str(frontend)]
    command += ["--base-directory", str(base), "--database-url", "sqlite:///:memory:"]
    answer = subprocess.run(
        [sys.executable, "-c", _ONLY_PACKED, json.dumps(_not_packed()), *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=current().comfyui,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, site)), "OMP_NUM_THREADS": "1"},
    )
    log = answer.stdout + answer.stderr
    assert answer.returncode == 0, log
    assert set(re.findall(r"IMPORT FAILED: (\S+)", log)) == NOT_STARTED, log
    assert not re.findall(r"Failed to import .*|Error importing .*", log)
    assert size / 1e6 < MOST_UNPACKED_MB


_ONLY_PACKED = """
import json, runpy, sys
from importlib.machinery import PathFinder
blocked = set(json.loads(sys.argv[1]))
class Packed(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        is_left = name.partition(".")[0] in blocked
        return None if is_left else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Packed
sys.argv = sys.argv[2:]
sys.path.insert(0, ".")
runpy.run_path("main.py", run_name="__main__")
"""


def _link_packages(names: Sequence[str], folder: Path) -> None:
    for name in names:
        for file in metadata.files(name) or []:
            source, target = Path(file.locate()), folder / file
            if ".." not in file.parts and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(source)


def _not_packed() -> list[str]:
    """Return the names that can be imported here and belong to no packed package nor to torch."""
    there = {_plain(one) for one in (*gpu_bundle.NEEDED, *gpu_bundle.BESIDE_TORCH)}
    left = ["torch", "setuptools"]
    while left:
        name = _plain(left.pop())
        if name not in there:
            there.add(name)
            left += [
                re.split(r"[^\w.-]", line)[0] for line in _requires(name) if "extra ==" not in line
            ]
    given = {*gpu_bundle.STOOD_IN}
    return [
        module
        for module, packages in metadata.packages_distributions().items()
        if module not in given and not there & set(map(_plain, packages))
    ]


def _requires(name: str) -> list[str]:
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:  # for another system
        return []


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
