"""A trained file as others read it: the host's loader, a person's LoRA, diffusers."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.tunes.state import training_folder
from comfyui_astria.tests.regions.comfy_inprocess import sample
from comfyui_astria.tests.regions.test_gated_lora import SIZE, difference, full, gated, merged

from .models import FAMILIES, load, run_of, tiny_model

File = Mapping[str, torch.Tensor]


@functools.cache
def trained(family: str) -> tuple[Any, File, File, Any]:
    """A model, its trained LoRA by the host's names, the file's tensors, and the outcome."""
    model = tiny_model(family)
    run = run_of(model, family, 4, learning_rate=2e-2)
    lora, outcome = run.run(None, None)
    file = load("comfyui_astria.nodes.training.host.save").file_tensors(lora, outcome.names)
    return model, lora, file, outcome


@pytest.mark.parametrize("family", FAMILIES)
def test_loader_and_person_draw_what_was_learned(family: str) -> None:
    model, lora, file, _ = trained(family)
    plain = sample(model, family, SIZE)
    learned = sample(merged(model, (lora, 1.0)), family, SIZE)
    assert difference(learned, plain) > 0.01
    loaded = sample(merged(model, (file, 1.0)), family, SIZE)
    assert difference(loaded, learned) < 2e-3, "float16"
    worn = sample(gated(model, [RegionLora(1, file, 1.0, "a")], full()), family, SIZE)
    assert difference(worn, loaded) < 1e-4
    with_factors = run_of(model, family, 4, learning_rate=2e-2)
    with_factors.run(None, None)
    assert difference(sample(with_factors.model, family, SIZE), learned) < 1e-4
    with_factors.model.eject_model()


@pytest.mark.parametrize("family", FAMILIES)
def test_only_linears_of_attention_and_mlp_are_in_the_file(family: str) -> None:
    model, _, file, _ = trained(family)
    stems = {name.partition(".")[0] for name in file}
    assert {name.partition(".")[2] for name in file} == {
        "lora_up.weight",
        "lora_down.weight",
        "alpha",
    }
    assert all(stem.startswith("lora_unet_") for stem in stems)
    unet, flux = r"attn[12]_to_(q|k|v|out_0)|ff_net_(0_proj|2)", r"linear[12]"
    known = rf"({unet}|(img|txt)_(attn_(qkv|proj)|mlp_[02])|{flux})$"
    assert [stem for stem in stems if not re.search(known, stem)] == []
    patched = load("comfy.sd").load_lora_for_models(model, None, dict(file), 1.0, 0)[0]
    assert len(patched.patches) == len(stems), "every layer of the file is one of the model's"


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_diffusers_unet_finds_every_layer_of_the_file_with_its_change(family: str) -> None:
    model, _, file, _ = trained(family)
    utils = conversion()
    config = SimpleNamespace(layers_per_block=2)
    converted, alphas = utils._convert_non_diffusers_lora_to_diffusers(
        utils._maybe_map_sgm_blocks_to_diffusers(dict(file), config)
    )
    assert set(alphas.values()) == {4.0}
    weights = diffusers_unet(family).state_dict()
    expected = load("comfy.sd").load_lora_for_models(model, None, dict(file), 1.0, 0)[0]
    names = load("comfy.utils").unet_to_diffusers(model.model.model_config.unet_config)
    found = 0
    for key in converted:
        match = re.fullmatch(r"unet\.(.+?)(?:_lora|\.lora)\.down\.weight", key)
        if match is None:
            continue
        up = key.replace(".down.", ".up.")
        path = match[1].replace(".processor", "")
        path = path + ".0" if path.endswith("to_out") else path
        change = converted[up].float() @ converted[key].float()
        assert weights[f"{path}.weight"].shape == change.shape
        own = f"diffusion_model.{names[f'{path}.weight']}"
        ((strength, patch, *_),) = expected.patches[own]
        torch.testing.assert_close(
            patch.weights[0].float() @ patch.weights[1].float() * strength, change
        )
        found += 1
    assert found == len(expected.patches) == len(file) / 3


# Inputs and outputs of Flux's own layers: the converter knows that size alone.
FLUX_LAYERS = {
    "attn.qkv": (3072, 9216),
    "attn.proj": (3072, 3072),
    "mlp.0": (3072, 12288),
    "mlp.2": (12288, 3072),
    "linear1": (3072, 21504),
    "linear2": (15360, 3072),
}


def test_diffusers_flux_finds_every_layer_of_the_file() -> None:
    _, _, _, outcome = trained("flux")
    generator = torch.Generator().manual_seed(0)
    lora = {}
    for path in outcome.names:
        width_in, width_out = next(
            size for name, size in FLUX_LAYERS.items() if path.endswith(name)
        )
        lora[f"diffusion_model.{path}.lora_down.weight"] = torch.randn(
            1, width_in, generator=generator
        )
        lora[f"diffusion_model.{path}.lora_up.weight"] = torch.randn(
            width_out, 1, generator=generator
        )
        lora[f"diffusion_model.{path}.alpha"] = torch.tensor(1.0)
    file = load("comfyui_astria.nodes.training.host.save").file_tensors(lora, outcome.names)
    converted = conversion()._convert_kohya_flux_lora_to_diffusers(dict(file))
    flux = diffusers_flux()
    found = set()
    for key in converted:
        if not key.endswith(".lora_A.weight"):
            continue
        path = key.removeprefix("transformer.").removesuffix(".lora_A.weight")
        layer = flux.get_submodule(path)
        down, up = converted[key], converted[key.replace("lora_A", "lora_B")]
        assert (up.shape[0], down.shape[1]) == (layer.out_features, layer.in_features), path
        found.add(path)
    trained_parts = r"transformer_blocks\.\d\.(attn|ff|ff_context|proj_mlp|proj_out)\b"
    wanted = {
        name
        for name, layer in flux.named_modules()
        if isinstance(layer, torch.nn.Linear) and re.search(trained_parts, name)
    }
    assert found == wanted
    # A fused layer's rows are its parts', one after another.
    whole = file["lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight"]
    parts = [
        converted[f"transformer.transformer_blocks.0.attn.to_{name}.lora_B.weight"]
        for name in "qkv"
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


@pytest.fixture
def saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that saves, with folders of its own."""
    module = load("comfyui_astria.nodes.training.host.save")
    for name in ("save", "ending"):
        one = load(f"comfyui_astria.nodes.training.host.{name}")
        monkeypatch.setattr(one, "state_folder", lambda: tmp_path)
    monkeypatch.setattr(module.folder_paths, "get_folder_paths", lambda _: [str(tmp_path / "m")])
    return module


def test_a_tunes_file_is_kept_with_the_tune_and_nothing_else(saving: Any, tmp_path: Path) -> None:
    store = load("comfyui_astria.nodes.tunes.store").TuneStore(tmp_path)
    progress = load("comfyui_astria.nodes.training.progress")
    tune = store.create(title="Anna", model_type="lora")
    _, lora, _, outcome = trained("flux")
    progress.write_progress(tmp_path, progress.TrainingProgress(tune.id, "training"))
    folder = training_folder(tmp_path, tune.id)
    for name in ("resume.safetensors", "best.safetensors"):
        (folder / name).write_bytes(b"a person")
    name = saving.save_tune(lora, outcome, tune, "1504944", None)
    assert (tmp_path / "m" / name).is_file()
    assert [path.name for path in folder.iterdir()] == ["progress.json"]
    assert progress.read_progress(tmp_path, tune.id).state == "done"
    (tmp_path / saving.BINDINGS_FILE).write_text(f"[tunes]\n{tune.id} = other.safetensors\n")
    assert f"bind --remove {tune.id}" in saving.binding_note(tune.id)
    assert saving.binding_note(tune.id + 1) == ""
    store.delete(tune.id)
    with pytest.raises(TrainingError, match="what was trained is not kept"):
        saving.save_tune(lora, outcome, tune, "1504944", None)
    assert not (tmp_path / "m" / name).exists()
    assert not folder.exists()


def test_what_was_noticed_is_told_before_the_callback_is_owed(
    saving: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = load("comfyui_astria.nodes.tunes.store").TuneStore
    progress = load("comfyui_astria.nodes.training.progress")
    tune = store(tmp_path).create(title="Anna", model_type="lora")
    _, lora, _, outcome = trained("flux")
    progress.write_progress(tmp_path, progress.TrainingProgress(tune.id, "training"))
    owed, told = store.trained, []

    def watched(self: Any, *given: Any) -> Any:
        told.append(progress.read_progress(tmp_path, tune.id).notes)
        return owed(self, *given)

    monkeypatch.setattr(store, "trained", watched)
    noticed = replace(outcome, notes=("Likeness fell.",))
    saving.save_tune(lora, noticed, tune, "1504944", None)
    assert told == [("Likeness fell.",)]


def test_a_full_disk_and_too_many_checkpoints_are_said_before_anything_is_written(
    saving: Any, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"needs 1073741824.00 GiB.*1 GiB are to stay"):
        saving._require_room(tmp_path / "m" / "astria", 2**60)
    path = tmp_path / "m" / "astria" / "tune-99.safetensors"
    path.parent.mkdir(parents=True)
    for number in range(20):
        (path.parent / f"tune-{number}.safetensors").touch()
    with pytest.raises(TrainingError, match="There are 20 trained checkpoints"):
        saving._save_merged(path, {}, None, {})
    assert len(list(path.parent.iterdir())) == 20


def test_what_another_training_trained_is_not_named_wrongly() -> None:
    _, lora, _, _ = trained("flux")
    names = trained("sd15")[3].names
    with pytest.raises(TrainingError, match="did not train"):
        load("comfyui_astria.nodes.training.host.save").file_tensors(lora, names)


@functools.cache
def conversion() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        from diffusers.loaders import lora_conversion_utils
    return lora_conversion_utils


def diffusers_unet(family: str) -> Any:
    """diffusers' UNet of the tiny model's sizes, without numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import UNet2DConditionModel
    options: dict[str, Any] = {
        "block_out_channels": (32, 64, 128, 128),
        "cross_attention_dim": 64,
        "attention_head_dim": 8,
    }
    if family == "sdxl":
        options = {
            "block_out_channels": (32, 64, 128),
            "cross_attention_dim": 160,
            "attention_head_dim": (2, 4, 8),
            "transformer_layers_per_block": (1, 1, 2),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "use_linear_projection": True,
        }
    with torch.device("meta"):
        return UNet2DConditionModel(**options)


def diffusers_flux() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from diffusers import FluxTransformer2DModel
    with torch.device("meta"):
        return FluxTransformer2DModel(
            in_channels=64,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=128,
            num_attention_heads=24,
            joint_attention_dim=4096,
            pooled_projection_dim=768,
            guidance_embeds=True,
        )
