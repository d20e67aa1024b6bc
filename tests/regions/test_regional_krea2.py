"""What Krea 2 has beyond other joint sequences: a transformer over the layers of each text's tokens
and over the tokens, before text and image meet.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.regions.lora import LoraError, RegionLora
from comfyui_astria.nodes.regions.lora_gates import Rows
from comfyui_astria.nodes.regions.lora_layer import GatedChange
from comfyui_astria.nodes.regions.run import Forward, RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import ANYWHERE, layers, whole_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    model_of,
    person_everywhere,
    with_regions,
)
from torch import Tensor

FAMILY = "krea2_turbo"
LENGTHS = (8, 5, 11)
LAYERS = 12  # of the encoder, for each token


def texts(*seeds: int) -> list:
    return [text("krea2", seed, length) for seed, length in zip(seeds, LENGTHS, strict=True)]


def fused(positive: list) -> Tensor:
    """Return the texts [T,C] of all regions as they go into the joint sequence."""
    seen: list[Tensor] = []
    model = model_of(FAMILY)
    fusion = model.model.diffusion_model.txtfusion
    handle = fusion.register_forward_hook(lambda _module, _given, out: seen.append(out[0]))
    try:
        denoised(with_regions(model, halves(), positive, [text("krea2", 2)]), FAMILY, positive[0])
    finally:
        handle.remove()
    return seen[0]


def test_a_text_is_fused_by_itself() -> None:
    """No scene: persons only, whose texts are each what they are beside any other."""
    one, other = fused(texts(1, 5, 6)), fused(texts(1, 5, 7))
    first = LENGTHS[1]
    assert len(one) == LENGTHS[1] + LENGTHS[2]
    assert torch.equal(one[:first], other[:first])
    assert (one[first:] != other[first:]).any(-1).all()


def worn(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Rows, Tensor, Tensor]]:
    """Return, for each layer, the meaning of its rows and where a LoRA of person 1 changed its
    output [..] of the input's shape.
    """
    seen: dict[str, tuple[Rows, Tensor, Tensor]] = {}
    add = GatedChange.__call__

    def recorded(change: GatedChange, out: Tensor, x: Tensor, y: Tensor, layer: Any) -> Tensor:
        plain = y.clone()
        result = add(change, out, x, y, layer)
        spot = change.change.spot
        seen[spot.name.removeprefix("diffusion_model.")] = spot.rows, result - plain, x
        return result

    monkeypatch.setattr(GatedChange, "__call__", recorded)
    model, run, people = model_of(FAMILY), RegionRun(), texts(1, 5, 6)
    patched = with_regions(model, halves(), people, [text("krea2", 2)], run)
    lora = RegionLora(1, whole_file(model), 1.0, "a")
    gated = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, [lora], run)
    denoised(gated, FAMILY, people[0])
    return seen


def test_a_lora_reaches_its_persons_tokens_before_their_layers_are_mixed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = worn(monkeypatch)
    person = torch.arange(LENGTHS[1] + LENGTHS[2]) < LENGTHS[1]
    for name in ("attn.wq", "attn.wk", "attn.wo", "attn.gate", "mlp.up", "mlp.down"):
        rows, change, x = seen[f"txtfusion.layerwise_blocks.1.{name}"]
        assert rows is Rows.TEXT_ITEMS and x.shape[1] == LAYERS
        assert torch.equal((change != 0).any(-1).all(1), person), name
        assert not change[~person].any(), name
    rows, change, x = seen["txtfusion.projector"]
    assert rows is Rows.TEXT_STACKS and x.shape[-1] == LAYERS
    assert torch.equal((change != 0)[0].flatten(1).any(-1), person)


def test_the_times_projection_is_by_row_and_its_embedding_by_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last layer takes the embedding for two numbers and no more."""
    seen = worn(monkeypatch)
    assert seen["tproj.1"][0] is Rows.JOINT and seen["tproj.1"][1].shape[1] > 1
    assert seen["tmlp.0"][0] is Rows.WHOLE and seen["tmlp.0"][1].shape[1] == 1


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float8_e4m3fn])
def test_every_form_on_weights_of_few_bits_is_the_merged_one(stored: torch.dtype) -> None:
    """As its published files are stored. DoRA reads the weights that it scales."""
    model = tiny_model(FAMILY, dtype=stored, compute=torch.float32)
    same = tiny_model(FAMILY)
    weights = {
        name: weight.float() for name, weight in model.model.diffusion_model.named_parameters()
    }
    same.model.diffusion_model.load_state_dict(weights)
    wide = [one for one in layers(same) if one[1][0] % 4 == 0 and one[1][1] % 4 == 0]
    generator = torch.Generator().manual_seed(0)
    file = {}
    for number, (name, shape) in enumerate(wide):
        file |= ANYWHERE[number % len(ANYWHERE)](name, shape, generator)
    lora = RegionLora(1, file, 0.3, "a")
    merged = load("comfy.sd").load_lora_for_models(same, None, file, 0.3, 0)[0]
    scene, person = texts(1, 5, 6)[:2]
    run = RegionRun()
    patched = with_regions(model, person_everywhere(), [scene, person], [text("krea2", 2)], run)
    worn = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, [lora], run)
    expected = denoised(merged, FAMILY, person)
    assert difference(denoised(worn, FAMILY, scene), expected) < 1e-4
    assert difference(denoised(same, FAMILY, person), expected) > 0.01


def test_faces_drawn_together_are_items_of_the_encoders_layers_too() -> None:
    gates = load("comfyui_astria.nodes.regions.lora_gates")
    forward = Forward.of_items(torch.eye(3)[:, 1:])  # persons 1 and 2 in a row each
    spot = gates.Spot("txtfusion.layerwise_blocks.0.attn.wq", Rows.TEXT_ITEMS)
    x = torch.zeros(2 * 5, LAYERS, 4)
    gate = gates.gate_of(forward, spot, gates.BlockSizes(), x, x)
    values = gate.weigh(torch.ones(10, LAYERS, 1), (1,), pixels=False)
    assert torch.equal(values[:, 0, 0], (torch.arange(10) < 5).float())
    with pytest.raises(LoraError, match="works on 9 items"):
        gates.gate_of(forward, spot, gates.BlockSizes(), x[:9], x[:9])


def test_an_attention_mask_that_the_model_does_not_read_is_no_obstacle() -> None:
    people = texts(1, 5, 6)
    masked = [[[one[0][0], {**one[0][1], "attention_mask": torch.ones(1, 8)}]] for one in people]
    model, negative = model_of(FAMILY), [text("krea2", 2)]
    plain = denoised(with_regions(model, halves(), people, negative), FAMILY, people[0])
    other = denoised(with_regions(model, halves(), masked, negative), FAMILY, masked[0])
    assert torch.equal(plain, other)


def test_reference_pictures_are_refused() -> None:
    people = texts(1, 5, 6)
    scene = [
        [people[0][0][0], {**people[0][0][1], "reference_latents": [torch.zeros(1, 16, 1, 4, 4)]}]
    ]
    patched = with_regions(model_of(FAMILY), halves(), [scene, *people[1:]], [text("krea2", 2)])
    with pytest.raises(PlanError, match="Reference pictures of Krea 2"):
        denoised(patched, FAMILY, scene)
