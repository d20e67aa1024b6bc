"""What `python dev.py bench gpu` needs on a machine without a network, as one file.

ComfyUI's source, and the packages that it and the pack need beside torch, for a Python of one
version on Linux. What that Python has already can be left out.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import gpu_kernels
from .console import DevError, say

PYTHON_VERSION = "3.12"
LIMIT_MB = 60
# By what they are for. Torch brings sympy, networkx, jinja2 and fsspec.
_HOST = (
    *("numpy", "scipy", "einops", "torchsde", "trampoline", "safetensors", "pillow", "tqdm"),
    *("psutil", "comfy-kitchen", "comfy-aimdo", "spandrel", "blake3", "simpleeval", "kornia"),
)
_TEXTS = (
    *("transformers", "tokenizers", "regex", "huggingface_hub", "httpx2", "httpcore2"),
    *("truststore", "h11", "anyio", "idna", "packaging", "pyyaml", "requests", "urllib3"),
    *("certifi", "charset-normalizer"),
)
_SERVER = (
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "multidict", "propcache"),
    *("yarl", "alembic", "mako", "markupsafe", "sqlalchemy", "pydantic"),
    *("pydantic_core", "pydantic-settings", "annotated-types", "typing-inspection"),
    *("python-dotenv", "typing_extensions", "filelock"),
)
NEEDED = (*_HOST, *_TEXTS, *_SERVER)
# Built for one torch: that Python's own where it has it.
BESIDE_TORCH = ("torchvision",)
# What ComfyUI imports at its start and no workflow of ours calls but to read a picture: videos,
# sound, picture files read by kornia. Where that Python lacks them, stand_in.py takes their place.
STOOD_IN = ("av", "torchaudio", "kornia_rs")
_STAND_IN = Path(__file__).with_name("stand_in.py")  # not imported: it needs Pillow
_PLATFORMS = tuple(
    f"{name}_x86_64"
    for name in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
)
_SITE, _BESIDE, _COMFYUI = "site", "beside", "ComfyUI"
# Of ComfyUI's folder what is no source, or not used here.
_NOT_SOURCE = {
    *("models", "input", "output", "temp", "user", "custom_nodes", "venv", ".venv"),
    *("tests", "tests-unit", "blueprints", "comfy_api_nodes", "script_examples", "openapi.yaml"),
}
_MODELS_OF_TRANSFORMERS = "auto|bert|byt5|clip|encoder_decoder|gpt2|llama|qwen2|t5"
# Tests, windows and sources of packages, kernels for AMD's GPUs, tokenizers of families that are
# not drawn, models of which ComfyUI takes no tokenizer, what reads files of other programs, and
# compiled forms of what is there in Python too.
LEFT_OUT = re.compile(
    r"(^|/)(tests|__pycache__|sboms|\.git\w*)(/|$)|\.(pyc|pyi|pyx|pxd|h|hpp|cuh)$"
    r"|comfy_kitchen/backends/hip/"
    r"|(qwen35|llama|hydit_clip|ace_lyrics|t5_pile)_tokenizer/"
    rf"|transformers/models/(?!({_MODELS_OF_TRANSFORMERS}|__init__\.py)(/|$))."
    r"|scipy/(cluster|datasets|fftpack|io|odr)/|scipy/stats/_sobol_|numpy/_core/_simd\."
    r"|sqlalchemy/(testing|dialects/(mssql|oracle))/|sqlalchemy/.*_cy\.[^/]*so$|yaml/_yaml\."
    r"|comfy_aimdo/aimdo_rocm\."
    r"|PIL/_avif\.|pillow\.libs/libavif-"
    r"|torchvision/image\.so$|torchvision\.libs/"
)
_KERNELS = re.compile(r"comfy_kitchen/backends/cuda/\w+[\w.]*\.so$")
# x86's jumps, which are in most of what is packed, then as small as it gets.
_PACKED = (
    {"id": lzma.FILTER_X86},
    {"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 2**26},
)


@dataclass(frozen=True)
class Unpacked:
    """An unpacked bundle."""

    folder: Path

    @property
    def comfyui(self) -> Path:
        return self.folder / _COMFYUI

    def path(self, python: Path) -> list[Path]:
        """Return the folders that this Python needs in front of its own packages."""
        program = "import importlib.util, json, sys; print(json.dumps([name for name in"
        program += " sys.argv[1:] if importlib.util.find_spec(name) is None]))"
        answer = subprocess.run(
            [str(python), "-c", program, *BESIDE_TORCH, *STOOD_IN],
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            raise DevError(f"{python} cannot be run.", answer.stderr.strip())
        lacking = json.loads(answer.stdout)
        return [self.folder / _SITE, *(self.folder / _BESIDE / name for name in lacking)]


def names_in(listing: Path) -> frozenset[str]:
    """Return the packages that a list of pip's names, one a line."""
    lines = listing.read_text(encoding="utf-8").splitlines()
    found = (re.match(r"\s*([A-Za-z0-9][\w.-]*)", line) for line in lines)
    return frozenset(_plain(one[1]) for one in found if one)


def pack(file: Path, python: Path, comfyui: Path, there: Collection[str]) -> None:
    """Write the bundle: ComfyUI's source, and in the versions that `python` has, the packages that
    are not `there`.

    Raises: DevError when a package cannot be fetched.
    """
    wanted = [name for name in NEEDED if _plain(name) not in there]
    beside = [name for name in BESIDE_TORCH if _plain(name) not in there]
    versions = _versions(python, [*wanted, *beside])
    with tempfile.TemporaryDirectory(prefix="astria-bundle-") as scratch:
        root = Path(scratch)
        say(f"- fetching {len(versions)} packages for Python {PYTHON_VERSION} on Linux")
        _install(python, root / _SITE, [versions[name] for name in wanted if name in versions])
        for name in beside:
            found = [versions[name]] if name in versions else []
            _install(python, root / _BESIDE / name, found)
        stand_in_for([name for name in STOOD_IN if _plain(name) not in there], root / _BESIDE)
        shutil.copytree(
            comfyui,
            root / _COMFYUI,
            ignore=lambda folder, names: _NOT_SOURCE & set(names) if folder == str(comfyui) else [],
        )
        say("- packing, which takes some minutes")
        file.parent.mkdir(parents=True, exist_ok=True)
        write(root, file)
    size_mb = file.stat().st_size / 1e6
    say(f"written: {file}, {size_mb:.1f} MB")
    if size_mb > LIMIT_MB:
        say(
            f"That is over {LIMIT_MB} MB. On the other machine `PYTHON -m pip list > there.txt`"
            " names what it has; with --there there.txt that is left out."
        )


def write(root: Path, file: Path) -> None:
    """Write a folder of ComfyUI, packages and what stands beside them as one file, but for what is
    left out.
    """
    with (
        lzma.open(file, "wb", filters=_PACKED) as stream,
        tarfile.open(fileobj=stream, mode="w", dereference=True) as bundle,
    ):
        for name, path in members(root):
            entry = bundle.gettarinfo(path, name)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""  # nothing of who packed it
            if _KERNELS.search(name):
                content = io.BytesIO(gpu_kernels.without_old_texts(path.read_bytes()))
                bundle.addfile(entry, content)
            else:
                with path.open("rb") as content:
                    bundle.addfile(entry, content)


def members(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files below a folder that go into a bundle, with their names in it; files of a kind
    stand together, which packs them smaller.
    """
    for path in sorted(root.rglob("*"), key=lambda one: (one.suffix, one.as_posix())):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not LEFT_OUT.search(name):
            yield name, path


def stand_in_for(names: Sequence[str], folder: Path) -> None:
    """Write a package that stands in for each of these, in a folder of its own."""
    for name in names:
        package = folder / name / name
        package.mkdir(parents=True)
        shutil.copyfile(_STAND_IN, package / "__init__.py")


def unpack(file: Path, folder: Path) -> Unpacked:
    """Unpack a bundle. Raises: DevError for a file that is none."""
    say(f"- unpacking {file.name}")
    try:
        with tarfile.open(file, "r:xz") as bundle:
            bundle.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise DevError(
            f"{file} is no bundle: {error}", "Make one: python dev.py bench gpu --pack FILE"
        ) from error
    return Unpacked(folder)


def _versions(python: Path, names: Sequence[str]) -> dict[str, str]:
    """Return `name==version` of those that the Python has."""
    program = (
        "import importlib.metadata as m, json, sys\n"
        "there = {d.metadata['Name'].lower().replace('_', '-'): d.version"
        " for d in m.distributions()}\n"
        "print(json.dumps({n: f'{n}=={there[k]}' for n in sys.argv[1:]"
        " if (k := n.lower().replace('_', '-')) in there}))"
    )
    answer = subprocess.run(
        [str(python), "-c", program, *names], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def _install(python: Path, target: Path, requirements: Sequence[str]) -> None:
    if not requirements:
        return
    command = [str(python), "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    command += ["--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", PYTHON_VERSION, "--no-compile"]
    command += [part for name in _PLATFORMS for part in ("--platform", name)]
    if subprocess.run([*command, *requirements], check=False).returncode != 0:
        raise DevError(
            "Packages for the bundle could not be fetched.",
            "pip's own words stand above. This command needs a network.",
        )


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
