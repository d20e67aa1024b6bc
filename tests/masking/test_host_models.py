"""The host's background removal and SAM3 behind a segmenter, against the host's own nodes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.tests.masking.tiny_models import photo
from comfyui_astria.tests.regions import comfy_inprocess

WORDS = ("red hat", "person", "shoes")


@pytest.fixture(scope="module")
def models() -> ModuleType:
    return comfy_inprocess.load("comfyui_astria.nodes.masking.host.models")


class Edges(torch.nn.Module):
    """Logits that depend on every channel and on what lies around a pixel."""

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        weight = (
            torch.tensor([4.0, -6.0, 3.0])
            .reshape(1, 3, 1, 1)
            .repeat_interleave(3, 2)
            .repeat_interleave(3, 3)
            / 3
        )
        return torch.nn.functional.conv2d(pixel_values, weight, padding=1)


@pytest.fixture(scope="module")
def background() -> Any:
    """A BACKGROUND_REMOVAL of the host around a small network.

    BiRefNet itself has 220 million weights.
    """
    host = comfy_inprocess.load("comfy.bg_removal_model")
    model = host.BackgroundRemovalModel.__new__(host.BackgroundRemovalModel)
    model.image_size, model.image_mean, model.image_std = 64, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    model.model, model.load_device = Edges(), torch.device("cpu")
    model.patcher = comfy_inprocess.load("comfy.model_patcher").CoreModelPatcher(
        model.model, model.load_device, model.load_device
    )
    return model


def test_foreground_is_what_the_hosts_node_finds_and_background_the_rest(
    models: ModuleType, background: Any
) -> None:
    image = photo(70, 100)
    node = comfy_inprocess.load("comfy_extras.nodes_bg_removal").RemoveBackground
    expected = node.execute(background, image)[0][0]
    found = models.BackgroundRemover(lambda: background).find(
        image, ("foreground", "subject", "background"), 0.5
    )
    assert torch.equal(found["foreground"].scores, expected) and torch.equal(
        found["subject"].scores, expected
    )
    assert torch.equal(found["background"].scores, 1 - expected)
    assert 0.1 < float((expected > 0.5).float().mean()) < 0.9
    assert found["background"].best == pytest.approx(float(1 - expected.min()))


def test_background_removal_takes_no_other_word(models: ModuleType, background: Any) -> None:
    taken = [
        word
        for word in ("foreground", "subject", "background", "person")
        if models.BackgroundRemover(lambda: background).takes(word)
    ]
    assert taken == ["foreground", "subject", "background"]


@pytest.mark.parametrize("kind", ["SAM3", "SAM31"])
def test_sam3_finds_what_the_hosts_node_finds(models: ModuleType, kind: str) -> None:
    """The picture is looked at once for all words; each mask is refined as often as the node does.

    By its defaults, not by this pack's numbers.
    """
    model, clip = comfy_inprocess.load("comfyui_astria.tests.testpack.sam3").tiny_sam3(kind)
    passes: list[int] = []
    model.model.diffusion_model.detector.backbone["vision_backbone"].trunk.register_forward_hook(
        lambda *_: passes.append(1)
    )
    image = photo(70, 100)
    segmenter = models.Sam3(lambda: models.checked_sam3(model, clip, "tiny"))
    found = segmenter.find(image, WORDS, 0.5)
    own = len(passes)

    # The host splits at commas, and takes one thing of each unless told a number.
    conditioning = clip.encode_from_tokens_scheduled(
        clip.tokenize(", ".join(f"{word}:64" for word in WORDS))
    )
    with torch.no_grad():
        node = comfy_inprocess.load("comfy_extras.nodes_sam3").SAM3_Detect
        masks, [boxes] = node.execute(
            model, image, conditioning, threshold=0.5, individual_masks=True
        ).result
    assert len(passes) - own == own + len(WORDS) - 1
    ours = [instance for word in WORDS for instance in found[word].instances]
    kept = [(mask > 0, box) for mask, box in zip(masks, boxes, strict=True) if mask.any()]
    assert len(ours) == len(kept) > 0
    for instance, (mask, box) in zip(ours, kept, strict=True):
        assert torch.equal(instance.mask, mask)
        assert instance.score == pytest.approx(box["score"], abs=1e-4)
        left, top = box["x"], box["y"]
        assert instance.box == pytest.approx(
            (left, top, left + box["width"], top + box["height"]), abs=0.01
        )
    for word in WORDS:
        assert torch.equal(
            found[word].scores > 0, torch.stack([one.mask for one in found[word].instances]).any(0)
        )
    assert len({found[word].best for word in WORDS}) == len(WORDS)


def test_the_words_of_a_batch_are_read_once(models: ModuleType) -> None:
    model, clip = comfy_inprocess.load("comfyui_astria.tests.testpack.sam3").tiny_sam3("SAM3")
    read: list[str] = []

    class Clip:
        def tokenize(self, text: str) -> Any:
            read.append(text)
            return clip.tokenize(text)

        def encode_from_tokens_scheduled(self, tokens: Any) -> list:
            return clip.encode_from_tokens_scheduled(tokens)

    segmenter = models.Sam3(lambda: (model, Clip()))
    first, second = (segmenter.find(photo(40, size), WORDS[:2], 1.0) for size in (50, 60))
    assert read == list(WORDS[:2])
    other = segmenter.find(photo(40, 60), (WORDS[2], WORDS[1]), 1.0)
    assert read == list(WORDS) and other[WORDS[1]].best == second[WORDS[1]].best > 0
    assert first[WORDS[0]].scores.shape == (40, 50)


def test_a_colon_within_a_word_asks_for_no_number(models: ModuleType) -> None:
    class Clip:
        def tokenize(self, text: str) -> str:
            return text

        def encode_from_tokens_scheduled(self, tokens: str) -> list:
            assert tokens == "hat 3"
            return [[torch.zeros(1, 4, 8), {"pooled_output": None}]]

    embedding, mask = models._encoded(Clip(), "hat:3")
    assert embedding.shape == (1, 4, 8) and torch.equal(mask, torch.ones(1, 4, dtype=torch.int64))


def test_a_model_of_another_kind_is_refused(models: ModuleType) -> None:
    model = comfy_inprocess.tiny_model("sd15")
    with pytest.raises(
        MissingModelError,
        match="The connected sam3_model is SD15 with its text encoder; expected SAM3",
    ):
        models.checked_sam3(model, object(), "The connected sam3_model")
    with pytest.raises(MissingModelError, match="is SD15 without its text encoder"):
        models.checked_sam3(model, None, "x.safetensors")


def test_a_module_is_built_on_first_use_and_handed_to_the_hosts_memory_management(
    models: ModuleType,
) -> None:
    management = comfy_inprocess.load("comfy.model_management")
    built: list[torch.nn.Module] = []

    def build() -> torch.nn.Module:
        built.append(torch.nn.Linear(2, 2))
        return built[-1].train()

    ready = models.OnDemand(build)
    assert built == []
    assert ready() is ready() is built[0] and len(built) == 1
    assert not built[0].training and not built[0].weight.requires_grad
    held = [
        loaded.model.model[0]
        for loaded in management.current_loaded_models
        if isinstance(loaded.model.model, torch.nn.ModuleList)
    ]
    assert built[0] in held


def test_a_sam_file_that_cannot_be_read_is_refused_by_name(
    models: ModuleType, tmp_path: Path
) -> None:
    page = tmp_path / "sam_vit_b.pth"
    page.write_text("<!doctype html>", encoding="utf-8")
    with pytest.raises(
        MissingModelError, match=r"sam_vit_b\.pth does not hold a model of"
    ) as refused:
        models.read_sam(page)
    assert refused.value.code == "sam-file" and str(page) in refused.value.message
