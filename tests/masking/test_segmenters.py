"""The user's files as the host lists them, put together into one segmenter.

Through the real loaders, with tiny models on disk.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.masking.clipseg import ClipSeg, load_model, load_processor
from comfyui_astria.nodes.masking.grounding import find_boxes
from comfyui_astria.nodes.masking.grounding import load_model as load_dino
from comfyui_astria.nodes.masking.grounding import load_processor as load_dino_processor
from comfyui_astria.tests.masking.tiny_models import (
    photo,
    write_clipseg,
    write_grounding_dino,
    write_sam,
)
from comfyui_astria.tests.regions import comfy_inprocess

ALL = ("background_removal", "sam3", "grounding_dino", "sam", "clipseg")
# In the order of ALL.
FOLDERS = ("background_removal", "checkpoints", "grounding-dino", "sams", "clipseg")
IMAGE = photo(70, 100)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with a tiny CLIPSeg, GroundingDINO and segment-anything."""
    root = tmp_path_factory.mktemp("models")
    for name in FOLDERS:
        (root / name).mkdir()
    write_clipseg(root / "clipseg" / "tiny")
    write_grounding_dino(root / "grounding-dino" / "tiny")
    write_sam(root / "sams" / "sam_tiny.pth")
    (root / "sams" / "readme.txt").write_text("no model")
    (root / "clipseg" / "empty").mkdir()
    (root / "clipseg" / "half").mkdir()
    (root / "clipseg" / "half" / "config.json").write_text("{}")
    return root


@pytest.fixture
def segmenters(store: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder_paths = comfy_inprocess.load("folder_paths")
    for key in FOLDERS:
        monkeypatch.setitem(folder_paths.folder_names_and_paths, key, ([str(store / key)], set()))
        folder_paths.filename_list_cache.pop(key, None)
    yield comfy_inprocess.load("comfyui_astria.nodes.masking.host.segmenters")
    for key in FOLDERS:
        folder_paths.filename_list_cache.pop(key, None)


def make(segmenters: ModuleType, connected: dict[str, Any] | None = None, **chosen: str) -> Any:
    return segmenters.make_segmenter(
        {option: chosen.get(option, "none") for option in ALL},
        segmenters.Connected(**(connected or {})),
    )


def test_models_that_are_there_are_offered(segmenters: ModuleType) -> None:
    assert {option: segmenters.choices(option) for option in ALL} == {
        "background_removal": ["none"],
        "sam3": ["none"],
        "grounding_dino": ["none", "tiny"],
        "sam": ["none", "sam_tiny.pth"],
        "clipseg": ["none", "half", "tiny"],
    }


def test_nothing_chosen_names_every_model_with_file_folder_and_address(
    segmenters: ModuleType, store: Path
) -> None:
    with pytest.raises(MissingModelError) as caught:
        make(segmenters)
    text = str(caught.value)
    assert text.startswith("No segmentation model is chosen or connected.\nChoose one or more:\n")
    assert (
        text.splitlines()[2]
        == "- background_removal (foreground, subject, background): birefnet.safetensors into "
        f"{store / 'background_removal'}, from https://huggingface.co/Comfy-Org/BiRefNet"
    )
    for option, name in zip(ALL, FOLDERS, strict=True):
        [line] = [line for line in text.splitlines() if line.startswith(f"- {option} (")]
        assert f" into {store / name}, from https://" in line


def test_clipseg_through_the_loader(segmenters: ModuleType, store: Path) -> None:
    model = load_model(store / "clipseg" / "tiny").eval()
    processor = load_processor(store / "clipseg" / "tiny")
    direct = ClipSeg(lambda: model, lambda: processor).find(IMAGE, ("hat", "coat"), 0.5)
    found = make(segmenters, clipseg="tiny").find(IMAGE, ("hat", "coat"), 0.5)
    assert all(torch.equal(found[word].scores, direct[word].scores) for word in ("hat", "coat"))


def test_grounding_dino_and_segment_anything_through_the_loader(
    segmenters: ModuleType, store: Path
) -> None:
    folder = store / "grounding-dino" / "tiny"
    with torch.no_grad():
        boxes, _ = find_boxes(
            load_dino(folder).eval(), load_dino_processor(folder), IMAGE, ("hat", "coat")
        )
    found = make(segmenters, grounding_dino="tiny", sam="sam_tiny.pth", clipseg="tiny").find(
        IMAGE, ("hat", "coat"), 0.0
    )
    instances = [one for word in found.values() for one in word.instances]
    assert {one.source for one in found.values()} == {"GroundingDINO"}, "it comes before CLIPSeg"
    assert 0 < len(instances) <= len(boxes)
    assert {one.box for one in instances} <= {tuple(box.tolist()) for box in boxes}
    assert all(one.mask.shape == (70, 100) and one.mask.dtype == torch.bool for one in instances)


def test_words_for_the_subject_need_background_removal(segmenters: ModuleType) -> None:
    with pytest.raises(
        MissingModelError,
        match=(
            r"'foreground'; it has CLIPSeg\. They may also be said by name.*\n.*\n-"
            r" background_removal"
        ),
    ):
        make(segmenters, clipseg="tiny").find(IMAGE, ("foreground", "hat"), 0.5)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"grounding_dino": "tiny"},
            "grounding_dino finds boxes, and sam, which cuts things out of them, is 'none'",
        ),
        (
            {"sam": "sam_tiny.pth"},
            "sam cuts things out of boxes, and nothing is there that finds boxes",
        ),
        (
            {"sam": "../clipseg/tiny/config.json"},
            r"sam '\.\./clipseg/tiny/config\.json' is not in ",
        ),
        ({"clipseg": "empty"}, "clipseg 'empty' is not in "),
        (
            {"clipseg": "half"},
            (
                r"lacks preprocessor_config\.json or processor_config\.json, tokenizer\.json or .*,"
                r" model\.safetensors or "
            ),
        ),
    ],
)
def test_choices_that_cannot_work_are_refused_before_anything_loads(
    segmenters: ModuleType, chosen: dict[str, str], message: str
) -> None:
    with pytest.raises(MissingModelError, match=message):
        make(segmenters, **chosen)


def test_a_library_that_is_not_installed_is_named(
    segmenters: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "segment_anything", None)  # as if it were not there
    with pytest.raises(
        MissingModelError,
        match=(
            r"(?s)The Python package segment-anything.*is not installed.*pip install"
            r" segment-anything"
        ),
    ):
        make(segmenters, grounding_dino="tiny", sam="sam_tiny.pth")


def test_connected_models_come_first(segmenters: ModuleType) -> None:
    class Background:
        def encode_image(self, image: torch.Tensor) -> torch.Tensor:
            return image.mean(-1)

    class Detector:
        def detect(self, *arguments: object) -> tuple:
            return (70, 100), []

    made = make(
        segmenters,
        {"background_model": Background(), "detector": Detector()},
        clipseg="tiny",
        sam="sam_tiny.pth",
    )
    assert [str(backend) for backend in made.backends] == [
        "the connected detector",
        "background removal",
        "CLIPSeg",
    ]
    found = made.find(IMAGE, ("background", "hat"), 0.5)
    assert torch.allclose(found["background"].scores, 1 - IMAGE[0].mean(-1))
    assert found["hat"].source == "CLIPSeg"


def test_sam3_needs_both_of_its_sockets(segmenters: ModuleType) -> None:
    with pytest.raises(MissingModelError, match="sam3_clip is connected without sam3_model"):
        make(segmenters, {"sam3_clip": object()})
    with pytest.raises(
        MissingModelError, match="The connected sam3_model is SD15 without its text encoder"
    ):
        make(segmenters, {"sam3_model": comfy_inprocess.tiny_model("sd15")})


def test_a_background_file_of_another_kind_is_refused_when_it_is_needed(
    segmenters: ModuleType, store: Path
) -> None:
    from safetensors.torch import save_file

    path = store / "background_removal" / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    comfy_inprocess.load("folder_paths").filename_list_cache.pop("background_removal", None)
    made = make(segmenters, background_removal="other.safetensors")
    with pytest.raises(
        MissingModelError, match=r"other\.safetensors does not hold a background-removal model"
    ):
        made.find(IMAGE, ("foreground",), 0.5)
    path.unlink()
