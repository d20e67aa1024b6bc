"""Astria Load LoRA is the host's LoraLoader, to the bit, and says how much of the file fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import LoraError
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.tests.host.tiny_lora import LAYERS
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.gated_lora_files import (
    CONVOLUTIONS,
    File,
    kohya,
    layers,
    mixed_file,
    stored_changes,
    whole_file,
)
from comfyui_astria.tests.regions.test_gated_lora_bfl import control_file
from safetensors.torch import save_file

NAME = "whole.safetensors"
FLUX_LAYER = "diffusion_model.double_blocks.0.img_mlp.0"
STRENGTHS = (0.8, 0.5)


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, tuple[Any, Any]]]:
    family = load("comfyui_astria.tests.testpack.families").load_family
    yield {name: family(name, 0)[:2] for name in ("sd15", "sdxl", "flux")}
    load("comfy.model_management").unload_all_models()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[File], Path]:
    """Writes a file into a loras folder of the test."""
    folders = load("folder_paths")
    monkeypatch.setitem(
        folders.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"})
    )

    def written(file: File) -> Path:
        save_file({key: one.contiguous().clone() for key, one in file.items()}, tmp_path / NAME)
        return tmp_path / NAME

    return written


def text_layers(branch: str) -> File:
    generator = torch.Generator().manual_seed(2)
    file: File = {}
    for key, (outputs, inputs) in LAYERS[branch].items():
        if key.startswith("lora_te"):
            file[f"{key}.lora_up.weight"] = torch.randn(outputs, 2, generator=generator)
            file[f"{key}.lora_down.weight"] = torch.randn(2, inputs, generator=generator)
    return file


def ours(model: Any, clip: Any, strengths: tuple[float, float] = STRENGTHS) -> tuple:
    return load("comfyui_astria.nodes.regions.host.lora.whole").apply_whole_lora(
        model, clip, NAME, *strengths
    )


def hosts(model: Any, clip: Any, strengths: tuple[float, float] = STRENGTHS) -> tuple:
    return load("nodes").LoraLoader().load_lora(model, clip, NAME, *strengths)


def merged_weights(patcher: Any) -> dict[str, torch.Tensor]:
    """Return every patched weight as the host merges it."""
    found = {}
    for key in patcher.patches:
        weight = load("comfy.model_patcher").get_key_weight(patcher.model, key)[0]
        found[key] = load("comfy.lora").calculate_weight(
            patcher.patches[key], weight.detach().clone(), key
        )
    return found


def assert_equal(one: Any, other: Any) -> None:
    mine, theirs = merged_weights(one), merged_weights(other)
    assert mine.keys() == theirs.keys()
    assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []


def locon(model: Any) -> File:
    generator = torch.Generator().manual_seed(0)
    kernels = [(name, shape) for name, shape in layers(model) if len(shape) == 4]
    return {
        key: one
        for number, (name, shape) in enumerate(kernels)
        for key, one in CONVOLUTIONS[number % 2](name, shape, generator).items()
    }


FILES: dict[str, Callable[[Any], File]] = {
    "lora": whole_file,
    "kohya": lambda model: kohya(whole_file(model)),
    "every form": mixed_file,
    "stored": stored_changes,
}


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_it_patches_model_and_text_encoder_as_the_hosts_loader_does(
    models: dict[str, tuple[Any, Any]], write: Callable, family: str, form: str
) -> None:
    model, clip = models[family]
    file = FILES[form](model) | text_layers(family)
    write(file)
    mine, theirs = ours(model, clip), hosts(model, clip)
    assert_equal(mine[0], theirs[0])
    assert_equal(mine[1].patcher, theirs[1].patcher)
    assert len(mine[0].patches) > 20 and len(mine[1].patcher.patches) >= 1
    fit: LoraFit = mine[2]
    assert (fit.fitted, fit.total, fit.left) == (len(file), len(file), ())
    assert fit.describe() == (
        f"LoRA '{NAME}' at 0.8 on the whole model and 0.5 on its text encoder:"
        f" fits {len(file)} of {len(file)} tensors."
    )
    same: LoraFit = ours(model, clip, (0.8, 0.8))[2]
    assert same.describe().startswith(f"LoRA '{NAME}' at 0.8 on the whole model: fits ")


def test_forms_that_only_the_host_merges_are_patched_the_same_way(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    blocks = torch.randn(16, 32, 32, generator=torch.Generator().manual_seed(0)) / 50
    for family, file in (
        ("sd15", locon(models["sd15"][0])),
        ("flux", control_file()),
        ("flux", {f"{FLUX_LAYER}.oft_blocks": blocks}),
    ):
        write(file)
        mine, theirs = ours(*models[family]), hosts(*models[family])
        assert_equal(mine[0], theirs[0])
        assert (mine[2].fitted, mine[2].total, mine[2].left) == (len(file), len(file), ())


def test_a_file_that_fits_in_part_is_worn_in_part_and_told(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    """What the host passes over without a word: another layer, another size, half of a pair."""
    model, clip = models["sd15"]
    file = whole_file(model, only="attn1") | text_layers("sd15")
    more = {
        "lora_unet_nowhere.lora_up.weight": torch.ones(2, 2),
        "diffusion_model.out.2.diff": torch.ones(3),
        "lora_te_text_model_encoder_layers_9_mlp_fc1.alpha": torch.tensor(1.0),
        "diffusion_model.out.2.lora_up.weight": torch.ones(5, 2),
        "diffusion_model.out.2.lora_down.weight": torch.ones(2, 5),
        "bundle_emb.anna.string_to_param.*": torch.ones(2, 8),
    }
    write(file | more)
    mine, theirs = ours(model, clip), hosts(model, clip)
    whole = merged_weights(theirs[0])
    assert_equal(mine[1].patcher, theirs[1].patcher)
    for key, weight in merged_weights(mine[0]).items():
        assert torch.equal(weight, whole[key])
    fit = mine[2]
    total = len(file) + len(more) - 1
    assert f"fits {len(file)} of {total} tensors. Left out: " in fit.describe()
    assert "an embedding (anna)" in fit.describe()
    assert {name for name, _ in fit.left} == set(more) - {"bundle_emb.anna.string_to_param.*"}
    lone = whole_file(model, only="attn1") | {
        "diffusion_model.out.2.lora_up.weight": torch.ones(4, 2)
    }
    write(lone)
    with pytest.raises(KeyError):
        hosts(model, clip)
    assert "the other half of the pair is missing" in ours(model, clip)[2].describe()


@pytest.mark.parametrize(
    ("of", "on", "seems", "title"),
    [("sdxl", "flux", "SDXL", "Flux.1 dev"), ("flux", "sd15", "Flux.1", "SD1.5")],
)
def test_a_file_of_another_family_is_refused_though_its_text_encoder_fits(
    models: dict[str, tuple[Any, Any]], write: Callable, of: str, on: str, seems: str, title: str
) -> None:
    """The host would change the words' meaning a little and nothing else."""
    write(kohya(whole_file(models[of][0])) | text_layers(of))
    with pytest.raises(LoraError) as caught:
        ours(*models[on])
    assert f"The LoRA '{NAME}' cannot be applied to the whole model: " in caught.value.message
    assert f"The file seems made for {seems}." in caught.value.message
    assert caught.value.hint == f"Use a LoRA made for {title}."


def test_files_without_a_part_for_the_model(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    """Of the text encoder alone: worn by it. Of another encoder's, or an embedding's: refused."""
    model, clip = models["sd15"]
    write(texts := text_layers("sd15"))
    assert_equal(ours(model, clip)[1].patcher, hosts(model, clip)[1].patcher)
    assert (ours(model, clip)[2].fitted, ours(model, clip)[2].left) == (len(texts), ())
    write({"lora_te3_encoder_block_0_layer_0_SelfAttention_q.alpha": torch.tensor(1.0)})
    with pytest.raises(LoraError, match="none of its 1 tensors fits the model and text encoder"):
        ours(model, clip)
    write({"emb_params": torch.ones(2, 8)})
    with pytest.raises(LoraError, match="it is an embedding"):
        ours(model, clip)


def test_strengths_of_0_leave_their_part_alone(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    model, clip = models["sd15"]
    own, texts = whole_file(model, only="attn1"), text_layers("sd15")
    write(own | texts)
    _, encoder, fit = ours(model, clip, (0.0, 0.7))
    assert_equal(encoder.patcher, hosts(model, clip, (0.0, 0.7))[1].patcher)
    assert (fit.fitted, fit.total) == (len(texts), len(texts))
    assert "at 0.7 on the text encoder: fits" in fit.describe()
    patched, encoder, fit = ours(model, clip, (0.7, 0.0))
    assert_equal(patched, hosts(model, clip, (0.7, 0.0))[0])
    assert (fit.fitted, fit.total) == (len(own), len(own))
    assert ours(model, clip, (0.0, 0.0)) == (model, clip, None)


def test_names_that_the_host_passes_over_are_worn(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    """Those of PEFT, in the model and in the text encoder."""
    model, clip = models["sd15"]
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    text = "text_model.encoder.layers.0.self_attn.q_proj"
    up, down = torch.randn(32, 2), torch.randn(2, 32)
    text_up, text_down = torch.randn(64, 2), torch.randn(2, 64)
    write(
        {
            f"unet.base_model.model.{name}.lora_B.weight": up,
            f"unet.base_model.model.{name}.lora_A.weight": down,
            f"text_encoder.base_model.model.{text}.lora_B.weight": text_up,
            f"text_encoder.base_model.model.{text}.lora_A.weight": text_down,
        }
    )
    mine = ours(model, clip)
    assert hosts(model, clip)[0].patches == {}
    write(
        {
            f"lora_unet_{name.replace('.', '_')}.lora_up.weight": up,
            f"lora_unet_{name.replace('.', '_')}.lora_down.weight": down,
            f"lora_te_{text.replace('.', '_')}.lora_up.weight": text_up,
            f"lora_te_{text.replace('.', '_')}.lora_down.weight": text_down,
        }
    )
    known = hosts(model, clip)
    assert_equal(mine[0], known[0])
    assert_equal(mine[1].patcher, known[1].patcher)
    assert (mine[2].fitted, mine[2].total) == (4, 4)
    assert len(known[0].patches) == len(known[1].patcher.patches) == 1


def test_a_model_that_this_pack_does_not_plan_for_is_patched_as_well(
    models: dict[str, tuple[Any, Any]], write: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clip = models["flux"]
    write(whole_file(model))
    monkeypatch.setitem(model.model.model_config.unet_config, "in_channels", 17)
    assert_equal(ours(model, clip)[0], hosts(model, clip)[0])


def loaded_in_a_graph(
    model: Any, clip: Any, strengths: tuple[float, float], takes: int
) -> tuple[str, dict[str, list[str]] | None]:
    """Return info and ui of the node, run as the host runs it beside one that takes output `takes`
    of it.
    """
    node_class = load("comfyui_astria.nodes.regions.lora_nodes").AstriaLoadLora
    graph = load("comfy_execution.graph").DynamicPrompt(
        {
            "1": {"class_type": "AstriaLoadLora", "inputs": {"lora_name": NAME}},
            "2": {"class_type": "Any", "inputs": {"it": ["1", takes], "text": "a cat"}},
        }
    )
    hidden = {load("comfy_api.latest").io.Hidden.dynprompt: graph}
    prepared = node_class.PREPARE_CLASS_CLONE({"hidden_inputs": hidden})
    with load("comfy_execution.utils").CurrentNodeContext("prompt", "1"):
        output = prepared.execute(model, clip, NAME, *strengths)
    return output.result[2], output.ui


def test_a_lora_that_changes_nothing_is_told_and_warned_of(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    model, clip = models["sd15"]
    for file, strengths, nothing, off in (
        (whole_file(model), (0.0, 1.0), "text encoder", "strength_model"),
        (text_layers("sd15"), (1.0, 0.0), "model", "strength_clip"),
    ):
        write(file)
        info, ui = loaded_in_a_graph(model, clip, strengths, 0)
        assert f"the file holds nothing for the {nothing}. At strength_model" in info
        assert f"it changes nothing: set {off} to another value than 0" in info
        assert ui == {"astria_notes": [info], "astria_warnings": [info]}


def test_a_plans_node_for_the_words_of_a_person_says_nothing_of_a_file_without_them(
    models: dict[str, tuple[Any, Any]], write: Callable
) -> None:
    """Its text encoder alone is taken; the person's own node tells what acts on the model."""
    model, clip = models["sd15"]
    write(whole_file(model))
    assert loaded_in_a_graph(model, clip, (0.0, 1.0), 1) == ("", None)
    write(whole_file(model) | text_layers("sd15"))
    info, ui = loaded_in_a_graph(model, clip, (0.0, 1.0), 1)
    assert "on the text encoder: fits" in info and "astria_warnings" not in ui
