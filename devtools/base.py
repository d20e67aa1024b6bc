"""Private base directories for ComfyUI.

Models, input, output, user, and the pack linked in as a custom node.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from .paths import ROOT

PACK = "comfyui_astria"
TEST_PACK = "astria_testpack"
TEST_PACK_FOLDER = ROOT / "tests" / "testpack"
SMALL_WORLD = "astria_smallworld"
SMALL_WORLD_FOLDER = ROOT / "smallworld"
TEMPLATES = "example_workflows"  # where ComfyUI looks for those of a pack
_FOLDERS = (
    "input",
    "output",
    "temp",
    "user",
    "custom_nodes",
    *(
        f"models/{name}"
        for name in (
            "checkpoints",
            "diffusion_models",
            "text_encoders",
            "vae",
            "loras",
            "embeddings",
            "controlnet",
            "upscale_models",
        )
    ),
)
_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "demo_output", "node_modules")


def make_base(
    folder: Path, *, test_pack: bool = False, small_world: bool = False
) -> tuple[str, ...]:
    """Make `folder` a base directory and return the names of the packs linked into it.

    Ours, and the test pack and the small world if wanted.
    """
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    packs = {PACK: ROOT, TEST_PACK: TEST_PACK_FOLDER} if test_pack else {PACK: ROOT}
    for name, target in packs.items():
        link_folder(folder / "custom_nodes" / name, target)
    if not small_world:
        return tuple(packs)
    _make_small_world(folder / "custom_nodes" / SMALL_WORLD)
    return (*packs, SMALL_WORLD)


def _make_small_world(pack: Path) -> None:
    """Make the small world a pack, with room for templates beside what is linked."""
    (pack / TEMPLATES).mkdir(parents=True, exist_ok=True)
    link_folder(pack / SMALL_WORLD_FOLDER.name, SMALL_WORLD_FOLDER)
    text = f"from .{SMALL_WORLD_FOLDER.name} import comfy_entrypoint\n"
    (pack / "__init__.py").write_text(text, encoding="utf-8")


def link_folder(link: Path, target: Path) -> None:
    """Make `link` show the folder `target`.

    A symbolic link, a junction on Windows without that right, else a copy.
    """
    if link.exists() and link.resolve() == target.resolve():
        return
    _remove(link)
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError:
        if os.name != "nt":
            raise
        _junction_or_copy(link, target)


def _junction_or_copy(link: Path, target: Path) -> None:
    import _winapi

    try:
        _winapi.CreateJunction(str(target), str(link))
    except OSError:  # a file system without reparse points
        shutil.copytree(target, link, ignore=_NOT_COPIED)


def _remove(link: Path) -> None:
    if link.is_symlink():
        link.unlink()
    elif os.name == "nt" and link.exists() and link.resolve() != link.absolute():
        os.rmdir(link)  # a junction: removes the link, never what it shows
    elif link.is_dir():
        shutil.rmtree(link)


def models_config(models: Path) -> str:
    """Return the text of an extra_model_paths.yaml that adds each folder of `models`.

    JSON strings are YAML strings.
    """
    lines = [
        f"  {json.dumps(folder.name)}: {json.dumps(str(folder))}"
        for folder in sorted(models.iterdir())
        if folder.is_dir()
    ]
    return "\n".join(["own_models:" if lines else "{}", *lines]) + "\n"


def write_models_config(base: Path, models: Path, name: str = "own_models") -> Path:
    """Write the configuration `name` that lets a host on `base` read another folder of models too.

    Return its path.
    """
    path = base / f"{name}.yaml"
    path.write_text(models_config(models), encoding="utf-8")
    return path
