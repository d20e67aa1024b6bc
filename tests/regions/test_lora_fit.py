"""LoRAs of persons by what of them fits: that acts, the rest is told, and nothing at all is an
error that says what the file is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.regions.lora import LoraError, RegionLora
from comfyui_astria.nodes.regions.lora_fit import LoraFit
from comfyui_astria.nodes.regions.run import Forward, RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, sample, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import (
    File,
    lora,
    peft,
    stored_changes,
    whole_file,
)
from comfyui_astria.tests.regions.regional_support import difference
from comfyui_astria.tests.regions.test_gated_lora import full, gated, merged

SIZE = (9, 7)
FAMILIES = ("sd15", "sdxl", "flux")
FLUX_LAYER = "diffusion_model.double_blocks.0.img_mlp.0"


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    yield {family: tiny_model(family) for family in (*FAMILIES, "flux_fill")}
    load("comfy.model_management").unload_all_models()


def worn(model: Any, file: File, name: str = "her.safetensors") -> tuple[Any, LoraFit]:
    """Return the model with the file on person 1, and its fit."""
    fits: list[LoraFit] = []
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        model, [RegionLora(1, file, 0.8, name)], RegionRun(), on_fit=fits.append
    )
    (fit,) = fits
    return patched, fit


def refused(model: Any, file: File) -> LoraError:
    with pytest.raises(LoraError) as caught:
        worn(model, file)
    assert "her.safetensors" in caught.value.message
    return caught.value


def on_everybody(model: Any, file: File, family: str) -> torch.Tensor:
    """Return a picture of one person who is all of it, with the file on that person."""
    return sample(gated(model, [RegionLora(1, file, 0.8, "a")], full()), family, SIZE)


@pytest.mark.parametrize("family", FAMILIES)
def test_stored_changes_of_weights_biases_and_norms_are_the_merged_ones(
    models: dict[str, Any], family: str
) -> None:
    model = models[family]
    file = stored_changes(model)
    expected = sample(merged(model, (file, 0.8)), family, SIZE)
    assert difference(on_everybody(model, file, family), expected) < 1e-5
    assert difference(sample(model, family, SIZE), expected) > 0.1
    fit = worn(model, file)[1]
    assert (fit.fitted, fit.total, fit.left) == (len(file), len(file), ())


@pytest.mark.parametrize(
    ("family", "part"),
    [("sd15", "norm"), ("sd15", "in_layers.0"), ("sd15", "diff_b"), ("flux", "norm")],
)
def test_norms_and_biases_change_the_picture_by_themselves(
    models: dict[str, Any], family: str, part: str
) -> None:
    """And as much as merged, so that none of them is passed over."""
    model = models[family]
    file = {key: value for key, value in stored_changes(model, 2.0).items() if part in key}
    expected = sample(merged(model, (file, 0.8)), family, SIZE)
    assert difference(on_everybody(model, file, family), expected) < 1e-4
    assert difference(sample(model, family, SIZE), expected) > 1e-3


@pytest.mark.parametrize(
    ("family", "layer", "shape", "rows"),
    [
        ("sd15", "input_blocks.1.1.transformer_blocks.0.norm1", (1, 24, 32), -2),
        ("sd15", "input_blocks.1.0.in_layers.0", (1, 32, 4, 6), None),
        ("flux", "double_blocks.0.img_attn.norm.query_norm", (1, 1, 6, 128), -2),
        ("flux", FLUX_LAYER.removeprefix("diffusion_model."), (1, 6, 128), -2),
    ],
)
def test_a_stored_change_acts_in_its_region_only(
    models: dict[str, Any], family: str, layer: str, shape: tuple[int, ...], rows: int | None
) -> None:
    model = models[family]
    file = {key: value for key, value in stored_changes(model).items() if f"{layer}." in f"{key}."}
    left = torch.zeros(1, 4, 6)
    left[..., :2] = 1
    run = RegionRun(Forward(torch.cat([1 - left, left]), patch=2 if family == "flux" else 1))
    patched = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(
        model, [RegionLora(1, file, 0.8, "a")], run
    )
    module = model.model.get_submodule(f"diffusion_model.{layer}")
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    plain = module(x)
    place = [spot for spot in model.model.modules() if type(spot).__name__ == "SpatialTransformer"]
    patched.patch_model()
    try:
        if family == "sd15" and rows is not None:  # the block tells its layers its grid
            with torch.no_grad():
                place[0](torch.randn(1, 32, 4, 6), torch.randn(1, 8, 64))
        changed = module(x) - plain
    finally:
        patched.unpatch_model()
    columns = (
        changed.abs().sum((0, 1, 2))
        if rows is None
        else changed.abs().movedim(rows, -1).sum(tuple(range(changed.ndim - 1)))
    )
    expected = [True, True, False, False, False, False]
    if rows is not None:
        expected = [True, False, False] * 2 if family == "flux" else expected * 4
    assert (columns != 0).tolist() == expected


EXTRAS = {
    "a layer that no model has": {"lora_unet_nowhere_at_all.lora_up.weight": torch.ones(2, 2)},
    "an embedding of one encoder": {"clip_g": torch.ones(4, 8)},
    "an embedding's numbers": {"emb_params": torch.ones(4, 8)},
    "a bundled embedding": {"bundle_emb.anna.string_to_param.*": torch.ones(2, 8)},
    "half of a pair": {"diffusion_model.out.2.lora_up.weight": torch.ones(4, 2)},
    "another size": lora("diffusion_model.out.2", (4, 5, 3, 3), torch.Generator()),
    "a form for merging only": {"diffusion_model.out.2.oft_blocks": torch.zeros(2, 2, 2)},
    "a whole tensor": {"diffusion_model.out.2.set_weight": torch.zeros(4, 32, 3, 3)},
    "matrices that do not match": {
        "diffusion_model.out.2.lora_up.weight": torch.ones(4, 3),
        "diffusion_model.out.2.lora_down.weight": torch.ones(2, 32, 3, 3),
    },
    "a vector for a matrix": {
        "diffusion_model.out.2.lora_up.weight": torch.ones(4),
        "diffusion_model.out.2.lora_down.weight": torch.ones(2, 32, 3, 3),
    },
    "several alphas": {
        "diffusion_model.out.2.lora_up.weight": torch.ones(4, 2),
        "diffusion_model.out.2.lora_down.weight": torch.ones(2, 32, 3, 3),
        "diffusion_model.out.2.alpha": torch.ones(3),
    },
    "magnitudes of another layer": {
        "diffusion_model.out.2.lora_up.weight": torch.ones(4, 2),
        "diffusion_model.out.2.lora_down.weight": torch.ones(2, 32, 3, 3),
        "diffusion_model.out.2.dora_scale": torch.ones(5, 1),
    },
    "an unknown ending": {"diffusion_model.out.2.wavelet": torch.zeros(2)},
}


@pytest.fixture(scope="module")
def attentions_alone(models: dict[str, Any]) -> torch.Tensor:
    """Return a picture with a file of which everything fits."""
    return on_everybody(models["sd15"], whole_file(models["sd15"], only="attn"), "sd15")


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_fits_is_worn_and_the_rest_is_told(
    models: dict[str, Any], attentions_alone: torch.Tensor, extra: str
) -> None:
    model, more = models["sd15"], EXTRAS[extra]
    file = whole_file(model, only="attn")
    assert torch.equal(on_everybody(model, file | more, "sd15"), attentions_alone)
    fit = worn(model, file | more)[1]
    said = fit.describe(["1: ohwx woman"])
    if fit.embeddings:
        assert f"fits {len(file)} of {len(file)} tensors" in said
        assert "holds an embedding (" in said and "embeddings folder" in said
    else:
        assert f"fits {len(file)} of {len(file) + len(more)} tensors. Left out: " in said
        assert {name for name, _ in fit.left} == set(more)
    assert said.startswith("LoRA 'her.safetensors' at 0.8 on person 1: ohwx woman: ")


def test_a_lora_of_dev_goes_on_fill_but_for_the_layer_of_another_size(
    models: dict[str, Any],
) -> None:
    dev, fill = models["flux"], models["flux_fill"]
    file = whole_file(dev)
    fit = worn(fill, file)[1]
    assert {name.rpartition(".lora_")[0] or name for name, _ in fit.left} >= {
        "diffusion_model.img_in"
    }
    assert (fit.fitted, fit.total) == (len(file) - 3, len(file))
    assert "the layer has 128 outputs and 49152 numbers" in fit.describe()
    assert "seems made for" not in fit.describe()  # a Flux LoRA on Flux


def test_a_file_for_the_text_encoder_alone_has_nothing_to_fit(models: dict[str, Any]) -> None:
    file = {"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(2, 2)}
    fit = worn(models["flux"], file)[1]
    assert (fit.total, fit.left) == (0, ())
    assert "the file holds nothing for the model." in fit.describe()


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.text_model.encoder.layers.0.mlp.fc1",
        "base_model.model.encoder.block.0.layer.0.SelfAttention.q",
        "base_model.model.text_encoder.text_model.encoder.layers.0.mlp.fc1",
        "text_encoder_2.base_model.model.encoder.block.0.layer.0.SelfAttention.q",
    ],
)
def test_pefts_names_of_a_text_encoder_are_no_layers_that_the_model_lacks(
    models: dict[str, Any], name: str
) -> None:
    texts = {f"{name}.lora_A.weight": torch.ones(2, 8), f"{name}.lora_B.weight": torch.ones(8, 2)}
    fit = worn(models["flux"], texts)[1]
    assert "the file holds nothing for the model." in fit.describe()
    file = whole_file(models["flux"], only="img_mlp")
    fit = worn(models["flux"], file | texts)[1]
    assert (fit.fitted, fit.total, fit.left) == (len(file), len(file), ())


def test_the_hint_for_a_file_of_the_models_family_is_no_other_family(
    models: dict[str, Any],
) -> None:
    """Layers under names that nobody knows; sizes of another variant; a form for merging only."""
    names = {
        "lora_unet_double_blocks_0_something_else.lora_up.weight": torch.ones(8, 2),
        "lora_unet_double_blocks_0_something_else.lora_down.weight": torch.ones(2, 8),
    }
    hint = refused(models["flux"], names).hint
    named = "Use a file whose layers are named as Flux.1 dev's are by kohya, musubi-tuner, diff"
    assert hint.startswith(named)
    assert refused(models["flux"], {"of.something.alpha": torch.ones(1)}).hint == hint
    sizes = lora(FLUX_LAYER, (64, 48), torch.Generator())
    assert refused(models["flux"], sizes).hint == "Use a LoRA made for this variant of Flux.1 dev."
    blocks = {f"{FLUX_LAYER}.oft_blocks": torch.zeros(4, 32, 32)}
    assert "LoRA, LoCon, DoRA, LoHa or LoKr" in refused(models["flux"], blocks).hint


def test_a_file_of_which_nothing_fits_is_refused_with_the_family_it_seems_made_for(
    models: dict[str, Any],
) -> None:
    error = refused(models["flux"], whole_file(models["sd15"], only="attn"))
    assert error.code == "lora-keys"
    assert "none of its 384 tensors fits the model, Flux.1 dev: " in error.message
    assert "The file seems made for SD1.5." in error.message
    assert error.hint == "Use a LoRA made for Flux.1 dev."


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ({"lora_unet_a.weight": torch.ones(4), "lora_unet_a.on_input": torch.ones(1)}, "IA3"),
        ({"base_model.model.a.ia3_l": torch.ones(4, 1)}, "IA3"),
        ({"a.vera_lambda_b": torch.ones(4), "a.vera_lambda_d": torch.ones(4)}, "VeRA"),
        (
            {"emb_params": torch.ones(4, 8)},
            "an embedding (textual inversion)",
        ),
        (
            {"model.diffusion_model.a.weight": torch.ones(4, 4)},
            "a whole checkpoint or diffusion model",
        ),
    ],
)
def test_a_form_that_nobody_reads_is_named(models: dict[str, Any], file: File, what: str) -> None:
    error = refused(models["sd15"], file)
    assert f"it is {what}, which is not read as a LoRA" in error.message
    assert "LoRA, LoCon, DoRA, LoHa or LoKr" in error.hint


def test_an_empty_file_is_refused(models: dict[str, Any]) -> None:
    assert (
        "cannot be applied to person 1: it holds no tensors." in refused(models["sd15"], {}).message
    )


def test_a_form_of_the_whole_picture_is_named_where_it_is_all_there_is(
    models: dict[str, Any],
) -> None:
    error = refused(models["flux"], {f"{FLUX_LAYER}.oft_blocks": torch.zeros(4, 32, 32)})
    assert "the form oft cannot be held to one person's region" in error.message


def diffusers_names(model: Any, family: str) -> dict[str, str]:
    """Return the host's name of each layer by diffusers' one."""
    config = model.model.model_config.unet_config
    if family == "flux":
        found = load("comfy.utils").flux_to_diffusers(config, output_prefix="diffusion_model.")
        whole = {name: path for name, path in found.items() if isinstance(path, str)}
    else:
        found = load("comfy.utils").unet_to_diffusers(config)
        whole = {name: f"diffusion_model.{path}" for name, path in found.items()}
    there = model.model.state_dict()
    return {
        path.removesuffix(".weight"): name.removesuffix(".weight")
        for name, path in whole.items()
        if name.endswith(".weight") and path in there
    }


def changes(model: Any, file: File) -> dict[str, list[torch.Tensor]]:
    """Return the numbers of each layer's change by the layer."""
    read = load("comfyui_astria.nodes.regions.host.lora.files").read_lora
    forms, _ = read(model, RegionLora(1, file, 0.8, "a"))
    return {path: list(form.state_dict().values()) for path, form in forms}


# How trainers write the name of a layer, and the ending of its two matrices.
NAMES: dict[str, tuple[str, str, str]] = {
    "peft under unet": ("unet.{}", ".lora_A.weight", ".lora_B.weight"),
    "diffusers under unet": ("unet.{}", ".lora.down.weight", ".lora.up.weight"),
    "peft of a wrapped unet": ("base_model.model.{}", ".lora_A.weight", ".lora_B.weight"),
    "peft with an adapter's name": (
        "unet.base_model.model.{}",
        ".lora_A.anna.weight",
        ".lora_B.anna.weight",
    ),
    "kohya over diffusers": ("lora_unet_{1}", ".lora_down.weight", ".lora_up.weight"),
    "compiled": ("transformer._orig_mod.{0}", ".lora_A.weight", ".lora_B.weight"),
    "bare": ("{}", ".lora_A.weight", ".lora_B.weight"),
    "peft of a wrapped transformer": (
        "transformer.base_model.model.{}",
        ".lora_A.weight",
        ".lora_B.weight",
    ),
}


@pytest.mark.parametrize("naming", NAMES)
@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_names_that_the_host_passes_over_are_worn_as_those_that_it_reads(
    models: dict[str, Any], family: str, naming: str
) -> None:
    model = models[family]
    pattern, down, up = NAMES[naming]
    known: File = {}
    renamed: File = {}
    generator = torch.Generator().manual_seed(0)
    for path, name in diffusers_names(model, family).items():
        shape = model.model.get_submodule(path).weight.shape
        if len(shape) != 2:
            continue
        matrices = list(peft(path, shape, generator).values())
        known |= dict(zip(peft(path, shape, torch.Generator()), matrices, strict=True))
        own = pattern.format(name, name.replace(".", "_"))
        renamed |= {own + down: matrices[0], own + up: matrices[1]}
    assert len(renamed) > 20
    fit = worn(model, renamed)[1]
    assert (fit.fitted, fit.total, fit.left) == (len(renamed), len(renamed), ())
    read = [changes(model, file) for file in (known, renamed)]
    assert read[0].keys() == read[1].keys() and len(read[0]) * 2 == len(renamed)
    for path, tensors in read[0].items():
        assert all(map(torch.equal, tensors, read[1][path])), path


def test_parts_of_a_layer_are_found_under_pefts_names_and_their_biases_told(
    models: dict[str, Any],
) -> None:
    """diffusers keeps Flux's queries, keys and values apart, which are one layer here."""
    model, layer = models["flux"], "transformer_blocks.0.attn.to_k"
    pairs = peft(layer, (128, 128), torch.Generator().manual_seed(0))
    bias = {f"transformer.base_model.model.{layer}.lora_B.bias": torch.ones(128)}
    file = {f"transformer.base_model.model.{name}": one for name, one in pairs.items()} | bias
    fit = worn(model, file)[1]
    assert (fit.fitted, [name for name, _ in fit.left]) == (2, list(bias))
    known = {f"transformer.{name}": one for name, one in pairs.items()}
    expected = sample(merged(model, (known, 0.8)), "flux", SIZE)
    assert difference(on_everybody(model, file, "flux"), expected) < 1e-5
    assert difference(sample(model, "flux", SIZE), expected) > 1e-3


@pytest.mark.parametrize(
    "magnitude", [lambda rows: rows, lambda rows: rows[None], lambda rows: rows[:, None]]
)
def test_dora_under_pefts_name_is_the_same_one(
    models: dict[str, Any], magnitude: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    model = models["flux"]
    shape = model.model.get_submodule(FLUX_LAYER).weight.shape
    file = peft(FLUX_LAYER, shape, torch.Generator().manual_seed(0))
    rows = torch.rand(shape[0], generator=torch.Generator().manual_seed(1)) + 0.5
    kohya = file | {f"{FLUX_LAYER}.dora_scale": rows[:, None]}
    of_peft = file | {f"{FLUX_LAYER}.lora_magnitude_vector": magnitude(rows)}
    assert torch.equal(on_everybody(model, of_peft, "flux"), on_everybody(model, kohya, "flux"))
    assert not torch.equal(on_everybody(model, file, "flux"), on_everybody(model, kohya, "flux"))
