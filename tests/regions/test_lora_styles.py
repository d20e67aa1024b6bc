"""LoRA files of today's families under the names that trainers really write: each pair acts on the
rows of the layer that it was trained on, gated and merged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.gated_lora_files import File
from comfyui_astria.tests.regions.style_models import (
    CONFIGS,
    HIDDEN,
    Place,
    diffusers_layers,
    hosts_layers,
    style_model,
)
from comfyui_astria.tests.regions.test_lora_whole import merged_weights

RANK = 2
STRENGTH = 0.8
Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    yield {family: style_model(family) for family in CONFIGS}
    load("comfy.model_management").unload_all_models()


def flat(name: str) -> str:
    return name.replace(".", "_")


KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
DEFAULT = (".lora_A.default.weight", ".lora_B.default.weight")
# How trainers write a layer's name: a pattern, the ends of the two matrices, and if with an alpha.
STYLES: dict[str, tuple[str, tuple[str, str], bool]] = {
    "kohya, musubi-tuner": ("lora_unet_{flat}", KOHYA, True),
    "OneTrainer of old": ("lora_transformer_{flat}", KOHYA, True),
    "OneTrainer": ("transformer.{name}", KOHYA, True),
    "OneTrainer, original": ("{name}", PEFT, True),
    "ai-toolkit": ("diffusion_model.{name}", PEFT, False),
    "musubi-tuner, converted": ("diffusion_model.{mixed}", PEFT, False),
    "diffusers": ("transformer.{name}", PEFT, False),
    "PEFT": ("base_model.model.{name}", PEFT, False),
    "PEFT of a part": ("transformer.base_model.model.{name}", DEFAULT, False),
    "DiffSynth": ("{name}", DEFAULT, False),
    "DiffSynth with the pipeline's part": ("pipe.dit.{name}", DEFAULT, False),
    "SimpleTuner's LyCORIS": ("lycoris_{flat}", KOHYA, True),
    "kohya without the part": ("lora_{flat}", KOHYA, True),
    "ComfyUI, PEFT of the whole": ("base_model.model.diffusion_model.{name}", PEFT, False),
    "the network alone": ("net.{name}", PEFT, False),
}


def own_name(pattern: str, name: str) -> str:
    # musubi-tuner's converter puts dots for underscores and mends some of them.
    mixed = name.replace("img_attn.", "img_attn_").replace("txt_attn.", "txt_attn_")
    return pattern.format(name=name, flat=flat(name), mixed=mixed)


def shape_of(model: Any, place: Place) -> tuple[int, int]:
    weight = model.model.get_submodule(f"diffusion_model.{place.weight}").weight
    return place.rows or weight.shape[0], weight.shape[1]


def weight_of(model: Any, key: str) -> torch.Tensor:
    return load("comfy.utils").get_attr(model.model, key).detach().clone()


def file_of(model: Any, places: dict[str, Place], style: str) -> tuple[File, Weights]:
    """Return a LoRA of all layers under the style's names, and the changed weights."""
    pattern, (down, up), has_alpha = STYLES[style]
    generator = torch.Generator().manual_seed(0)
    file: File = {}
    weights: Weights = {}
    for name, place in places.items():
        rows, inputs = shape_of(model, place)
        own = own_name(pattern, name)
        file[own + down] = torch.randn(RANK, inputs, generator=generator)
        file[own + up] = torch.randn(rows, RANK, generator=generator)
        if has_alpha:
            file[f"{own}.alpha"] = torch.tensor(0.5)
        change = file[own + up] @ file[own + down] * (0.5 / RANK if has_alpha else 1.0)
        key = f"diffusion_model.{place.weight}.weight"
        whole = weights.setdefault(key, weight_of(model, key))
        whole[place.start : place.start + rows] += STRENGTH * change
    return file, weights


def gated(model: Any, file: File) -> tuple[Weights, LoraFit]:
    """Return the weights with a person's changes, and the fit."""
    read = load("comfyui_astria.nodes.regions.host.lora.files").read_lora
    forms, fit = read(model, RegionLora(1, file, STRENGTH, "a"))
    weights: Weights = {}
    for path, form in forms:
        key = f"{path}.weight"
        whole = weights.setdefault(key, weight_of(model, key))
        start, rows = form.target.start, form.target.rows
        whole[start : start + rows] += changed(form, whole[start : start + rows])
    return weights, fit


def changed(form: Any, weight: torch.Tensor) -> torch.Tensor:
    """Return what a form adds to a weight, by what it adds to the layer's outputs."""
    layer = load("comfyui_astria.nodes.regions.lora_forms").Layer
    inputs = torch.eye(weight.shape[1])
    return form.change_beside(inputs, inputs @ weight.T, layer(lambda x: x @ weight.T, False)).T


class NoClip:
    """A CLIP without layers."""

    cond_stage_model = torch.nn.Module()

    def clone(self) -> NoClip:
        return self

    def add_patches(self, _patches: dict, _strength: float) -> tuple:
        return ()


def whole(model: Any, file: File, monkeypatch: pytest.MonkeyPatch) -> tuple[Weights, LoraFit]:
    """Return the weights with the file merged by Astria Load LoRA, and the fit."""
    module = load("comfyui_astria.nodes.regions.host.lora.whole")
    monkeypatch.setattr(module, "load_lora_file", lambda _name: (file, None))
    patched, _, fit = module.apply_whole_lora(model, NoClip(), "a", STRENGTH, 0.0)
    return merged_weights(patched), fit


def assert_worn(model: Any, file: File, expected: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    for weights, fit in (gated(model, file), whole(model, file, monkeypatch)):
        assert fit.left == ()
        assert fit.fitted == fit.total == len(file)
        assert weights.keys() == expected.keys()
        for key, one in expected.items():
            assert torch.allclose(weights[key], one, atol=1e-4), key


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", CONFIGS)
def test_every_layer_is_changed_where_the_trainer_meant(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch, family: str, style: str
) -> None:
    model = models[family]
    places = diffusers_layers(family, model)
    assert len(places) > 20
    assert_worn(model, *file_of(model, places, style), monkeypatch)


@pytest.mark.parametrize(
    "style",
    ["kohya, musubi-tuner", "OneTrainer, original", "musubi-tuner, converted", "diffusers", "PEFT"],
)
@pytest.mark.parametrize("family", [family for family in CONFIGS if family != "qwen"])
def test_so_are_layers_under_the_names_of_the_published_model(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch, family: str, style: str
) -> None:
    model = models[family]
    assert_worn(model, *file_of(model, hosts_layers(model), style), monkeypatch)


def test_hunyuan_videos_names_of_flux_layers_are_known(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models["flux2"]
    places = {
        "double_blocks.1.img_attn_qkv": Place("double_blocks.1.img_attn.qkv"),
        "double_blocks.1.txt_mlp.fc1": Place("double_blocks.1.txt_mlp.0"),
        "double_blocks.1.img_mlp.fc2": Place("double_blocks.1.img_mlp.2"),
        "double_stream_modulation_img.linear": Place("double_stream_modulation_img.lin"),
    }
    assert_worn(model, *file_of(model, places, "ai-toolkit"), monkeypatch)


@pytest.mark.parametrize("family", ["flux2"])
def test_scale_and_shift_change_places_in_the_last_layer(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """diffusers keeps the scale first, the published model the shift."""
    model, key = models[family], "final_layer.adaLN_modulation.1"
    file, weights = file_of(model, {key: Place(key)}, "ai-toolkit")
    file = {
        name.replace(f"diffusion_model.{key}", "transformer.norm_out.linear"): one
        for name, one in file.items()
    }
    (path,) = weights
    plain = weight_of(model, path)
    change = (weights[path] - plain).chunk(2)
    assert_worn(model, file, {path: plain + torch.cat([change[1], change[0]])}, monkeypatch)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fused_forms(rows: int, inputs: int) -> dict[str, File]:
    """Return changes of a layer of that size in each form, by the ends of their names."""
    low_rank = {
        ".lora_up.weight": random(rows, 4),
        ".lora_down.weight": random(4, inputs),
        ".alpha": torch.tensor(2.0),
    }
    return {
        "LoRA": low_rank,
        "PEFT": {".lora_A.weight": random(4, inputs), ".lora_B.weight": random(rows, 4)},
        "DoRA": low_rank | {".dora_scale": random(rows, 1).abs() + 1},
        "DoRA of one number a row": low_rank | {".dora_scale": random(rows).abs() + 1},
        "LoHa": {
            ".hada_w1_a": random(rows, 3),
            ".hada_w1_b": random(3, inputs),
            ".hada_w2_a": random(rows, 3, seed=1),
            ".hada_w2_b": random(3, inputs, seed=1),
            ".alpha": torch.tensor(1.5),
        },
        "LoKr": {".lokr_w1": random(rows // 8, 4), ".lokr_w2": random(8, inputs // 4)},
        "LoKr of few blocks": {
            ".lokr_w1": random(2, 4),
            ".lokr_w2_a": random(rows // 2, 3),
            ".lokr_w2_b": random(3, inputs // 4),
            ".alpha": torch.tensor(1.5),
        },
        "LoKr of one block, decomposed": {
            ".lokr_w1_a": random(1, 2),
            ".lokr_w1_b": random(2, 4),
            ".lokr_w2": random(rows, inputs // 4),
            ".dora_scale": random(rows, 1).abs() + 1,
        },
        "stored": {".diff": random(rows, inputs)},
    }


# A trainer's one layer of queries, keys and values, and the host's weights that it is.
FUSED = {
    "krea2": (
        "transformer_blocks.1.attn.to_qkv",
        [Place(f"blocks.1.attn.w{one}") for one in "qkv"],
    ),
    "qwen": (
        "transformer_blocks.1.attn.to_added_qkv",
        [Place(f"transformer_blocks.1.attn.add_{one}_proj") for one in "qkv"],
    ),
    "flux2": ("transformer_blocks.1.attn.to_qkv", [Place("double_blocks.1.img_attn.qkv")]),
    "chroma": (
        "single_transformer_blocks.1.attn.to_qkv",
        [Place("single_blocks.1.linear1", 0, 3 * HIDDEN)],
    ),
    "zimage": ("layers.1.attention.to_qkv", [Place("layers.1.attention.qkv")]),
}


def host_merged(file: File, weight: torch.Tensor) -> torch.Tensor:
    """Return what the host makes of one weight with a change of all of it."""
    named = {f"a{ending}": one for ending, one in file.items()}
    (patch,) = load("comfy.lora").load_lora(named, {"a": "a"}, log_missing=False).values()
    patches = [(STRENGTH, patch, 1.0, None, None)]
    return load("comfy.lora").calculate_weight(patches, weight.clone(), "a")


@pytest.mark.parametrize("form", fused_forms(8, 8))
@pytest.mark.parametrize("family", FUSED)
def test_queries_keys_and_values_trained_as_one_layer_are_worn(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch, family: str, form: str
) -> None:
    """As SimpleTuner's LyCORIS writes them, over what the host holds in one weight or in three."""
    model = models[family]
    name, places = FUSED[family]
    sizes = [shape_of(model, place) for place in places]
    ends = fused_forms(sum(rows for rows, _ in sizes), sizes[0][1])[form]
    keys = [f"diffusion_model.{place.weight}.weight" for place in places]
    whole_weights = [weight_of(model, key) for key in keys]
    parts = [
        one[place.start : place.start + rows]
        for one, place, (rows, _) in zip(whole_weights, places, sizes, strict=True)
    ]
    rows_first = {
        ending: one[:, None] if ending == ".dora_scale" and one.ndim == 1 else one
        for ending, one in ends.items()
    }
    merged = host_merged(rows_first, torch.cat(parts)).split([rows for rows, _ in sizes])
    for part, one in zip(parts, merged, strict=True):
        part.copy_(one)
    file = {f"lycoris_{flat(name)}{ending}": one for ending, one in ends.items()}
    assert_worn(model, file, dict(zip(keys, whole_weights, strict=True)), monkeypatch)


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (
            {".lora_up.weight": random(100, 4), ".lora_down.weight": random(4, HIDDEN)},
            "100 outputs; the layers have 64 + 32 + 32",
        ),
        ({".lokr_w1": random(3, 4), ".lokr_w2": random(8, 16)}, "3 times 8 outputs; the layers"),
        ({".lokr_w1": random(3, 4)}, "the other half of the pair is missing"),
        ({".oft_blocks": random(4, 32, 32)}, "a form (oft_blocks) that cannot be taken apart"),
        (
            {
                ".lora_up.weight": random(128, 4),
                ".lora_down.weight": random(4, HIDDEN),
                ".dora_scale": random(1, HIDDEN),
            },
            "a DoRA by inputs, which its parts share",
        ),
    ],
)
def test_what_cannot_be_taken_apart_is_told(models: dict[str, Any], ends: File, why: str) -> None:
    model = models["krea2"]
    known, _ = file_of(model, {"img_in": Place("first")}, "diffusers")
    file = {f"lycoris_transformer_blocks_0_attn_to_qkv{end}": one for end, one in ends.items()}
    _, fit = gated(model, file | known)
    assert {name for name, _ in fit.left} == set(file)
    assert why in fit.describe()
    assert f"fits {len(known)} of {len(file) + len(known)} tensors" in fit.describe()


def test_a_layer_of_the_file_is_not_counted_as_worn_where_one_of_its_parts_is_not(
    models: dict[str, Any],
) -> None:
    """Another tensor of the file changes the queries as well."""
    model = models["krea2"]
    ends = {".lora_up.weight": random(128, 4), ".lora_down.weight": random(4, HIDDEN)}
    one, _ = file_of(
        model, {"transformer_blocks.0.attn.to_q": Place("blocks.0.attn.wq")}, "diffusers"
    )
    file = {f"lycoris_transformer_blocks_0_attn_to_qkv{end}": ones for end, ones in ends.items()}
    _, fit = gated(model, file | one)
    assert fit.fitted + len(fit.left) == fit.total == len(file) + 2
    assert "another tensor of the file changes the same weight" in fit.describe()
