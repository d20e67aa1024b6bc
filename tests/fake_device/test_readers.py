"""Models that read pictures, on a fake GPU: what they are given comes to them, and what they find
is handed back where the picture is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.masking.clipseg import ClipSeg
from comfyui_astria.nodes.masking.grounding import find_boxes
from comfyui_astria.nodes.masking.sam import BoxCutter, build_sam
from comfyui_astria.tests.faceid.pulid_support import (
    TINY,
    TINY_EVA,
    bisenet_shapes,
    eva_shapes,
    make_identity,
    pulid_shapes,
    random_weights,
)
from comfyui_astria.tests.fake_device.fake_gpu import CPU, GPU, attached
from comfyui_astria.tests.masking.tiny_models import photo, write_sam
from comfyui_astria.tests.regions.comfy_inprocess import load
from safetensors.torch import save_file
from torch import Tensor, nn

WORDS = ("hat", "red coat")
PLACES = pytest.mark.parametrize("is_there", [True, False], ids=["on the GPU", "on the CPU"])


class Reader(nn.Module):
    """Stands in for a model of transformers: each word's and token's scores, and boxes."""

    config = SimpleNamespace(max_text_len=64)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-2, 2, 64))

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> SimpleNamespace:
        ids = input_ids.sum(1).float()[:, None, None]
        seen = pixel_values.mean(1) * self.weight + ids
        boxes = (self.weight.reshape(1, 16, 4) + ids[:1]).sigmoid()
        return SimpleNamespace(logits=seen, pred_boxes=boxes)


class Processor:
    """Stands in for transformers' own, which hands out tensors on the CPU."""

    def __call__(self, *, images: Any, text: Any, **_: Any) -> dict[str, Tensor]:
        pixels = torch.from_numpy(images[:64, :64]).movedim(-1, 0)[None] / 255
        words = [text] if isinstance(text, str) else text
        return {"pixel_values": pixels, "input_ids": torch.tensor([[len(one)] for one in words])}

    def tokenizer(self, text: str, **_: Any) -> dict[str, list]:
        ends = [len(part) for part in text.split(" ")]
        starts = [sum(ends[:number]) + number for number in range(len(ends))]
        return {"offset_mapping": [(at, at + 1) for at in starts]}


@contextmanager
def given(image: Tensor, is_there: bool, patch: pytest.MonkeyPatch) -> Iterator[Tensor]:
    """Yield the picture, on the GPU or not, while there is a GPU."""
    with attached(patch) as gpu:
        yield gpu.holding(image) if is_there else image


def on_demand(build: Any) -> Any:
    return load("comfyui_astria.nodes.masking.host.models").OnDemand(build)


@PLACES
def test_clipseg(is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image, model = photo(70, 100), Reader()
    expected = ClipSeg(lambda: model, Processor).find(image, WORDS, 0.5)
    with given(image, is_there, monkeypatch) as picture:
        found = ClipSeg(on_demand(lambda: model), Processor).find(picture, WORDS, 0.5)
    for word in WORDS:
        assert found[word].scores.device == picture.device
        torch.testing.assert_close(found[word].scores.cpu(), expected[word].scores)


@PLACES
def test_boxes_of_words(is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    image, model = photo(70, 100), Reader()
    expected = find_boxes(model, Processor(), image, WORDS)
    with given(image, is_there, monkeypatch) as picture:
        found = find_boxes(on_demand(lambda: model)(), Processor(), picture, WORDS)
    torch.testing.assert_close(tuple(found), tuple(expected))


# segment-anything makes a deep copy of its boxes.
@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_masks_of_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, boxes = photo(70, 100), [(5.0, 10.0, 40.0, 60.0), (60.5, 20.25, 90.0, 50.0)]
    model = build_sam(write_sam(tmp_path / "sam.pth").state_dict(), "sam.pth").eval()
    expected = list(BoxCutter(lambda: model)(image, boxes))
    with attached(monkeypatch):
        masks = list(BoxCutter(on_demand(lambda: model))(image, boxes))
        assert {mask.device for mask in masks} == {CPU}
    torch.testing.assert_close(masks, expected)


def test_background_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host hands its mask back on the CPU."""
    models = load("comfyui_astria.nodes.masking.host.models")
    bright = load("comfyui_astria.tests.testpack.background").BrightForeground
    monkeypatch.setattr(bright, "encode_image", lambda _, image: image.cpu().mean(-1))
    with given(photo(70, 100), True, monkeypatch) as picture:
        found = models.BackgroundRemover(bright).find(picture, ("background",), 0.5)
    assert found["background"].scores.device == GPU


@pytest.mark.parametrize(
    ("is_memory_short", "is_there"),
    [(False, False), (True, True)],
    ids=["loaded, of a picture on the CPU", "offloaded, of one on the GPU"],
)
def test_sam3(is_memory_short: bool, is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sam3 = load("comfyui_astria.nodes.masking.host.models").Sam3
    tiny = load("comfyui_astria.tests.testpack.sam3").tiny_sam3
    image, words = photo(70, 100), WORDS[:1]
    expected = sam3(lambda: tiny("SAM3")).find(image, words, 0.0)
    model, clip = tiny("SAM3")
    model.load_device = GPU
    with attached(monkeypatch, is_memory_short=is_memory_short) as gpu:
        picture = gpu.holding(image) if is_there else image
        found = sam3(lambda: (model, clip)).find(picture, words, 0.0)
    assert found["hat"].scores.device == picture.device
    torch.testing.assert_close(found["hat"].scores.cpu(), expected["hat"].scores)


def test_photos_become_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short and every weight is cast from the CPU."""
    files = {
        "pulid": random_weights(pulid_shapes(TINY)),
        "eva": random_weights(eva_shapes(TINY_EVA)),
        "parsing": random_weights(bisenet_shapes()),
    }
    for name, tensors in files.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    paths = [str(tmp_path / f"{name}.safetensors") for name in files]
    loader = load("comfyui_astria.nodes.faceid.host.pulid_loader")
    expected = loader.load_pulid(*paths).tokens(make_identity())
    with attached(monkeypatch, is_memory_short=True):
        tokens = loader.load_pulid(*paths).tokens(make_identity())
    torch.testing.assert_close(tokens, expected, atol=1e-5, rtol=0)


def test_parts_of_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(random_weights(bisenet_shapes()), tmp_path / "parsing.safetensors")
    models = load("comfyui_astria.nodes.swap.host.models")
    monkeypatch.setattr(
        models.folder_paths, "get_full_path_or_raise", lambda _, name: str(tmp_path / name)
    )
    crops = torch.rand(2, 64, 64, 3)
    expected = models.face_parser("parsing.safetensors")(crops)
    with attached(monkeypatch):
        parts = models.face_parser("parsing.safetensors")(crops).cpu()
    assert torch.equal(parts, expected)
