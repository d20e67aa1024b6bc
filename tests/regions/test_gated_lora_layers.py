"""Each layer by itself.

Its LoRA's change is there in its region's rows and exactly nothing elsewhere; every form is the
merged one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from comfyui_astria.nodes.regions.lora import LoraError, RegionLora
from comfyui_astria.nodes.regions.run import Forward, RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, sample, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import (
    ANYWHERE,
    CONVOLUTIONS,
    File,
    dora_per_output,
    lokr_with_core,
    lora,
    whole_file,
)
from comfyui_astria.tests.regions.regional_support import on_blocks

# Of Flux; the others are convolutions of SD1.5.
LINEAR = "diffusion_model.double_blocks.0.img_mlp.0"
KERNEL = "diffusion_model.input_blocks.2.0.out_layers.3"
STRIDED = "diffusion_model.input_blocks.3.0.op"
WHOLE_PICTURE = {
    "sd15": {"time_embed.0", "time_embed.2"},
    "sdxl": {"time_embed.0", "time_embed.2", "label_emb.0.0", "label_emb.0.2"},
    "flux": {
        f"{name}.{layer}"
        for name in ("time_in", "vector_in", "guidance_in")
        for layer in ("in_layer", "out_layer")
    },
}


def apply(model: Any, loras: list[RegionLora], run: RegionRun) -> Any:
    return load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(model, loras, run)


def one(file: File) -> list[RegionLora]:
    return [RegionLora(1, file, 0.8, "a.safetensors")]


def rows_of(
    name: str, output: torch.Tensor, size: tuple[int, int], person: torch.Tensor
) -> torch.Tensor | None:
    """Return which rows of a layer's output are the person's, from the layer's name and shape.

    None for one vector of the whole picture.
    """
    if output.ndim == 4:
        return on_blocks(person, *output.shape[2:])[0].flatten() > 0
    if name.startswith(("double_blocks", "single_blocks", "img_in", "txt_in", "final_layer")):
        pixels = on_blocks(person, *(-(-side // 2) for side in size))[0].flatten() > 0
        words = torch.arange(8) >= 4  # the person's text is the second half
        if "single_blocks" in name:
            return torch.cat([words, pixels])
        return words if "txt_" in name else pixels
    if ".attn2.to_k" in name or ".attn2.to_v" in name:
        return torch.ones(output.shape[1], dtype=torch.bool)
    if ".transformer_blocks." in name or ".proj_" in name:
        grid = size
        while grid[0] * grid[1] != output.shape[1]:
            grid = (-(-grid[0] // 2), -(-grid[1] // 2))
        return on_blocks(person, *grid)[0].flatten() > 0
    return None


SIZES = [
    ("sd15", (9, 7)),
    ("sd15", (13, 30)),
    ("sdxl", (9, 7)),
    ("sdxl", (21, 10)),
    ("flux", (9, 7)),
    ("flux", (8, 6)),
]


@pytest.mark.parametrize(("family", "size"), SIZES)
def test_every_layer_changes_in_its_region_only(family: str, size: tuple[int, int]) -> None:
    model, run = tiny_model(family), RegionRun()
    person = torch.zeros(1, *size)
    person[:, : size[0] // 3, size[1] // 3 :] = (
        torch.rand(size[0] // 3, size[1] - size[1] // 3, generator=torch.Generator().manual_seed(0))
        + 0.1
    )
    masks = torch.cat([1 - person.clamp(max=1), person.clamp(max=1)])
    patched = apply(model, one(whole_file(model)), run)
    seen: dict[str, tuple[torch.Tensor | None, torch.Tensor]] = {}

    def look(name: str, module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        plain = type(module).forward(module, *inputs)
        plain = plain[..., None, None] if output.ndim == 4 and plain.ndim == 2 else plain
        difference = output - plain.expand_as(output)
        changed = difference.flatten(2).transpose(1, 2) if output.ndim == 4 else difference
        seen[name] = rows_of(name, output, size, person), (changed != 0).any(-1).any(0)

    network = model.model.diffusion_model
    handles = [
        module.register_forward_hook(
            lambda module, inputs, output, name=name: look(name, module, inputs, output)
        )
        for name, module in network.named_modules()
        if getattr(module, "weight", None) is not None and module.weight.ndim > 1
    ]
    patched.add_wrapper_with_key(
        "diffusion_model", "regions", regions(run, masks, (4, 4) if family == "flux" else ())
    )
    sample(patched, family, size)
    for handle in handles:
        handle.remove()
    assert len(seen) == len(handles) > 30
    assert {name for name, (expected, _) in seen.items() if expected is None} == WHOLE_PICTURE[
        family
    ]
    wrong = [
        name
        for name, (expected, changed) in seen.items()
        if expected is not None and not torch.equal(changed, expected)
    ]
    assert wrong == []


def regions(
    run: RegionRun, masks: torch.Tensor, text_lengths: tuple[int, ...]
) -> Callable[..., torch.Tensor]:
    def wrapper(executor: Any, x: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        run.forward = Forward(
            masks, text_lengths, None if text_lengths else 1, patch=2 if text_lengths else 1
        )
        try:
            return executor(x, *rest, **named)
        finally:
            run.forward = None

    return wrapper


def everywhere(height: int, width: int) -> torch.Tensor:
    """Masks of a scene without a pixel and one person."""
    return torch.cat([torch.zeros(1, height, width), torch.ones(1, height, width)])


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {
        LINEAR: (flux := tiny_model("flux")),
        KERNEL: (sd15 := tiny_model("sd15")),
        STRIDED: sd15,
        "flux": flux,
    }


def ran(model: Any, name: str, x: torch.Tensor) -> torch.Tensor:
    """Return what the layer makes of `x` inside the patched model."""
    model.patch_model()
    try:
        return model.model.get_submodule(name)(x)
    finally:
        model.unpatch_model()


def cases() -> list[Any]:
    pairs = [(form, name) for form in ANYWHERE for name in (LINEAR, KERNEL, STRIDED)]
    pairs += [(form, name) for form in CONVOLUTIONS for name in (KERNEL, STRIDED)]
    return [
        pytest.param(form, name, id=f"{form.__name__}-{name.removeprefix('diffusion_model.')}")
        for form, name in pairs
    ]


@pytest.mark.parametrize(("form", "name"), cases())
def test_every_form_is_the_merged_one(
    models: dict[str, Any], form: Callable[..., File], name: str
) -> None:
    model = models[name]
    layer = model.model.get_submodule(name)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        layer.bias.normal_(generator=generator)
    file = form(name, layer.weight.shape, generator)
    x = (
        torch.randn(2, 6, 128, generator=generator)
        if name == LINEAR
        else torch.randn(2, layer.weight.shape[1], 5, 3, generator=generator)
    )
    expected = ran(load("comfy.sd").load_lora_for_models(model, None, file, 0.8, 0)[0], name, x)
    gated = ran(
        apply(
            model,
            one(file),
            RegionRun(
                Forward(everywhere(5, 3)) if name != LINEAR else Forward(everywhere(4, 6), patch=2)
            ),
        ),
        name,
        x,
    )
    assert (gated - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (layer(x) - expected).abs().max() > 0.05 * expected.abs().max()


@pytest.mark.parametrize("name", [KERNEL, STRIDED])
def test_lokr_with_a_core(models: dict[str, Any], name: str) -> None:
    """The host of this version cannot merge this form, so the product is written out here."""
    layer = models[name].model.get_submodule(name)
    file = lokr_with_core(name, layer.weight.shape, torch.Generator().manual_seed(0))
    small, left, right, core = (
        file[f"{name}.lokr_{part}"] for part in ("w1", "w2_a", "w2_b", "t2")
    )
    large = torch.stack(
        [left.t() @ core[:, :, y, x] @ right for y in range(3) for x in range(3)], -1
    ).unflatten(-1, (3, 3))
    change = torch.cat(
        [torch.cat([small[row, column] * large for column in range(2)], 1) for row in range(4)]
    ) * (1.5 / 2)
    x = torch.randn(2, layer.weight.shape[1], 5, 3)
    expected = layer._conv_forward(x, layer.weight + 0.8 * change, layer.bias)
    gated = ran(apply(models[name], one(file), RegionRun(Forward(everywhere(5, 3)))), name, x)
    assert (gated - expected).abs().max() < 1e-4 * expected.abs().max()
    assert (layer(x) - expected).abs().max() > 0.05 * expected.abs().max()


@pytest.mark.parametrize("form", ANYWHERE)
def test_every_form_is_there_in_its_region_only(
    models: dict[str, Any], form: Callable[..., File]
) -> None:
    model = models["flux"]
    layer = model.model.get_submodule(LINEAR)
    file = form(LINEAR, layer.weight.shape, torch.Generator().manual_seed(0))
    x = torch.randn(1, 6, 128)
    left = torch.zeros(1, 4, 6)
    left[..., :2] = 1
    gated = ran(
        apply(model, one(file), RegionRun(Forward(torch.cat([1 - left, left]), patch=2))), LINEAR, x
    )
    assert ((gated - layer(x))[0] != 0).any(-1).tolist() == [True, False, False] * 2


def test_a_form_sees_the_patches_that_the_model_carries_already(models: dict[str, Any]) -> None:
    """DoRA scales the weight as it is, other LoRAs included, loaded or not."""
    model = models["flux"]
    shape = model.model.get_submodule(LINEAR).weight.shape
    patched = load("comfy.sd").load_lora_for_models(
        model, None, lora(LINEAR, shape, torch.Generator().manual_seed(5)), 1, 0
    )[0]
    file = dora_per_output(LINEAR, shape, torch.Generator().manual_seed(0))
    x = torch.randn(1, 6, 128)
    expected = ran(load("comfy.sd").load_lora_for_models(patched, None, file, 0.8, 0)[0], LINEAR, x)
    offloaded = apply(patched, one(file), RegionRun(Forward(everywhere(4, 6), patch=2)))
    patched.patch_model()
    while_loaded = apply(patched, one(file), RegionRun(Forward(everywhere(4, 6), patch=2)))
    patched.unpatch_model()
    for gated in (offloaded, while_loaded):
        assert (ran(gated, LINEAR, x) - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_a_base_of_few_bits_keeps_the_change_in_that_of_the_activations(
    stored: torch.dtype,
) -> None:
    model, same = tiny_model("flux", dtype=stored, compute=torch.float32), tiny_model("flux")
    same.model.diffusion_model.load_state_dict(
        {key: value.float() for key, value in model.model.diffusion_model.state_dict().items()}
    )
    file, run = whole_file(model), RegionRun()
    patched = apply(model, one(file), run)
    assert {
        parameter.dtype
        for own in patched.get_additional_models()
        for parameter in own.model.parameters()
    } == {torch.float32}
    patched.add_wrapper_with_key(
        "diffusion_model", "regions", regions(run, everywhere(8, 6), (0, 8))
    )
    expected = sample(
        load("comfy.sd").load_lora_for_models(same, None, file, 0.8, 0)[0], "flux", (8, 6)
    )
    assert (sample(patched, "flux", (8, 6)) - expected).abs().max() < 1e-4 * expected.abs().max()


def test_activations_of_half_precision_stay_so() -> None:
    model = tiny_model("flux", dtype=torch.float16)
    layer = model.model.get_submodule(LINEAR)
    file = lora(LINEAR, layer.weight.shape, torch.Generator().manual_seed(0))
    x = torch.randn(1, 6, 128).half()
    gated = ran(apply(model, one(file), RegionRun(Forward(everywhere(4, 6), patch=2))), LINEAR, x)
    assert gated.dtype == torch.float16
    weight = (
        layer.weight.float()
        + 0.8 * file[f"{LINEAR}.lora_up.weight"] @ file[f"{LINEAR}.lora_down.weight"] / 2
    )
    expected = F.linear(x.float(), weight, layer.bias.float())
    assert (gated.float() - expected).abs().max() < 5e-3 * expected.abs().max()


def test_a_text_of_no_region_of_its_own_counts_by_share(models: dict[str, Any]) -> None:
    """Without texts of their own, a person's LoRA acts on the shared text by the share of the
    picture that the person has.
    """
    name = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k"
    model = models[KERNEL]
    layer = model.model.get_submodule(name)
    file = lora(name, layer.weight.shape, torch.Generator().manual_seed(0))
    x = torch.randn(1, 8, 64)
    quarter = torch.zeros(1, 4, 4)
    quarter[:, :2, :2] = 1
    whole = ran(apply(model, one(file), RegionRun(Forward(everywhere(4, 4)))), name, x) - layer(x)
    shared = ran(
        apply(model, one(file), RegionRun(Forward(torch.cat([1 - quarter, quarter])))), name, x
    ) - layer(x)
    assert torch.allclose(shared, whole / 4, atol=1e-5)
    assert torch.equal(
        ran(apply(model, one(file), RegionRun(Forward(everywhere(4, 4), text_region=0))), name, x),
        layer(x),
    )


def refused(model: Any, file: File, name: str = "her.safetensors", region: int = 1) -> LoraError:
    with pytest.raises(LoraError) as caught:
        apply(model, [RegionLora(region, file, 1, name)], RegionRun())
    assert name in caught.value.message
    return caught.value


def test_regions_are_counted_from_the_scene(models: dict[str, Any]) -> None:
    assert refused(models["flux"], whole_file(models["flux"]), region=-1).code == "lora-region"


def test_a_person_without_a_region_is_refused_when_the_model_runs(models: dict[str, Any]) -> None:
    file = lora(LINEAR, (512, 128), torch.Generator())
    patched = apply(
        models["flux"], [RegionLora(3, file, 1, "a")], RegionRun(Forward(everywhere(4, 6), patch=2))
    )
    with pytest.raises(LoraError, match="person 3, but the picture has regions for 1"):
        ran(patched, LINEAR, torch.zeros(1, 6, 128))


def test_a_patch_that_drops_tokens_is_named(models: dict[str, Any]) -> None:
    model, run = models[KERNEL], RegionRun()
    patched = apply(model, one(whole_file(model, only="attn1.to_k")), run)
    patched.add_wrapper_with_key("diffusion_model", "regions", regions(run, everywhere(8, 8), ()))
    patched.set_model_attn1_patch(lambda q, k, v, extra: (q, k[:, 1:], v[:, 1:]))
    with pytest.raises(
        LoraError, match=r"attn1.to_k works on 63 tokens; its LoRA expected 64, a grid of 8 x 8"
    ):
        sample(patched, "sd15", (8, 8))
