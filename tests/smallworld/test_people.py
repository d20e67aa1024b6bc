"""Files of the small world's people: who is trained, and which ranks are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import scipy.linalg
import torch
from comfyui_astria.smallworld import model_files
from comfyui_astria.smallworld.learning import people
from comfyui_astria.smallworld.learning.people import KEPT, cut, write_cut
from comfyui_astria.tests.regions.comfy_inprocess import load
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

LAYER = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k"


@pytest.fixture
def trained() -> dict[str, Tensor]:
    """A layer of rank 16 and one of rank 2, their alphas other than their ranks."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, rank, alpha in ((LAYER, 16, 8.0), ("small", 2, 3.0)):
        found[f"{name}.lora_down.weight"] = torch.randn(rank, 40, generator=generator)
        found[f"{name}.lora_up.weight"] = torch.randn(64, rank, generator=generator)
        found[f"{name}.alpha"] = torch.tensor(alpha)
    return found


def change(weights: dict[str, Tensor], name: str) -> Tensor:
    """Return what the host adds to a layer."""
    lora = load("comfy.lora")
    [patch] = lora.load_lora(weights, {name: "layer.weight"}, log_missing=False).values()
    return patch.calculate_weight(
        torch.zeros(64, 40), "layer.weight", 1.0, 1.0, None, lambda weight: weight
    )


def test_what_is_left_out_is_the_smallest_part(trained: dict[str, Tensor]) -> None:
    """Eckart and Young: no change of that rank is nearer."""
    before = change(trained, LAYER)
    after = change(cut(trained, 4), LAYER)
    values = scipy.linalg.svdvals(before.numpy())
    assert torch.linalg.matrix_rank(after) == 4
    off = float((before - after).norm())
    assert off == pytest.approx(float((values[4:] ** 2).sum()) ** 0.5, rel=1e-4)


def test_a_person_whose_file_is_there_is_left_alone_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)
    there = people.path_of("flux", 61)
    there.parent.mkdir(parents=True)
    there.touch()
    assert people._missing("flux", range(60, 63)) == [60, 62]
    assert "flux_61.safetensors is there already" in capsys.readouterr().out


def test_a_lora_of_few_ranks_stays_as_it_is(trained: dict[str, Tensor]) -> None:
    found = cut(trained, 4)
    assert found.keys() == trained.keys()
    small = [name for name in trained if name.startswith("small")]
    assert all(torch.equal(found[name], trained[name]) for name in small)


def test_a_file_keeps_what_it_says_of_itself(trained: dict[str, Tensor], tmp_path: Path) -> None:
    half = {name: value.half() for name, value in trained.items()}
    save_file(half, tmp_path / "trained.safetensors", metadata={"token": "ohwx"})
    path = tmp_path / "kept.safetensors"
    write_cut(tmp_path / "trained.safetensors", path)
    weights = load_file(path)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert len(weights[f"{LAYER}.lora_down.weight"]) == KEPT
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"token": "ohwx"}
