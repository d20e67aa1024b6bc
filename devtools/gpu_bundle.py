"""What `python dev.py bench gpu` needs on a machine without a network, as one file.

ComfyUI's source, and the packages that it and the pack need beside torch, for a Python of one
version on Linux. What that Python has already can be left out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from .console import DevError, say

PYTHON_VERSION = "3.12"
LIMIT_MB = 60
# By what they are for. Torch brings sympy, networkx, jinja2 and fsspec.
_HOST = (
    *("numpy", "scipy", "einops", "torchsde", "trampoline", "safetensors", "pillow", "tqdm"),
    *("psutil", "av", "comfy-kitchen", "comfy-aimdo", "spandrel", "blake3", "simpleeval"),
    *("kornia", "kornia_rs"),
)
_TEXTS = (
    *("transformers", "tokenizers", "regex", "huggingface_hub", "typer", "click", "httpx2"),
    *("httpcore2", "truststore", "h11", "anyio", "idna", "shellingham", "rich", "markdown-it-py"),
    *("mdurl", "pygments", "sentencepiece", "packaging", "pyyaml", "requests", "urllib3"),
    *("certifi", "charset-normalizer"),
)
_SERVER = (
    *("aiohttp", "aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "multidict", "propcache"),
    *("yarl", "alembic", "mako", "markupsafe", "sqlalchemy", "greenlet", "pydantic"),
    *("pydantic_core", "pydantic-settings", "annotated-types", "typing-inspection"),
    *("python-dotenv", "typing_extensions", "filelock", "insightface"),
)
NEEDED = (*_HOST, *_TEXTS, *_SERVER)
# Built for one torch: that Python's own where it has them.
BESIDE_TORCH = ("torchvision", "torchaudio")
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
# Tests and windows of packages, kernels for AMD's GPUs, tokenizers of families that are not drawn.
_LEFT_OUT = re.compile(
    r"(^|/)(tests|__pycache__|\.git\w*)(/|$)|\.pyc$"
    r"|insightface/(gui|data/images)/|comfy_kitchen/backends/hip/"
    r"|(qwen25|qwen35|llama|hydit_clip|ace_lyrics|t5_pile)_tokenizer/"
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
            [str(python), "-c", program, *BESIDE_TORCH], capture_output=True, text=True, check=False
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
        shutil.copytree(
            comfyui,
            root / _COMFYUI,
            ignore=lambda folder, names: _NOT_SOURCE & set(names) if folder == str(comfyui) else [],
        )
        say("- packing, which takes some minutes")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(file, "w:xz", preset=6) as bundle:
            for name in (_COMFYUI, _SITE, _BESIDE):
                if (root / name).exists():
                    bundle.add(root / name, name, filter=_member)
    size_mb = file.stat().st_size / 1e6
    say(f"written: {file}, {size_mb:.1f} MB")
    if size_mb > LIMIT_MB:
        say(
            f"That is over {LIMIT_MB} MB. On the other machine `PYTHON -m pip list > there.txt`"
            " names what it has; with --there there.txt that is left out."
        )


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


def _member(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""  # nothing of who packed it
    return None if _LEFT_OUT.search(entry.name) else entry


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
