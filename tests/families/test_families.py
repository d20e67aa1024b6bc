"""Laws that hold for the facts of every family."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.families.family import (
    FAMILIES,
    SCHEDULERS,
    Family,
    host_sampler,
    inpaint_model_of,
    variant_of,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model


@pytest.mark.parametrize("name", FAMILIES)
def test_the_host_s_model_is_told_apart(name: str) -> None:
    model, one = tiny_model(name), FAMILIES[name]
    named = [file.name for file in one.files if file.folder == "diffusion_models"]
    if named:
        model.cached_patcher_init = (None, (f"/models/{named[0]}",))
    assert load("comfyui_astria.nodes.host.models").family_of(model) is one
    latent = model.model.latent_format
    shown = one.latent.channels, one.latent.cell_px
    assert shown == (latent.latent_channels, latent.spacial_downscale_ratio)
    network = model.model.diffusion_model
    assert one.latent.patch == getattr(network, "patch_size", getattr(network, "patch", 1))
    assert one.latent.is_video == (latent.latent_dimensions == 3)


def test_a_family_that_only_derives_from_a_known_one_is_refused() -> None:
    """Flux.2 is a Flux to Python, and would be drawn wrong without a word."""
    supported = load("comfy.supported_models")
    model = tiny_model("flux")
    model.model.model_config = supported.Flux2(
        {**model.model.model_config.unet_config, "in_channels": 1}
    )
    with pytest.raises(PlanError, match="The connected MODEL is a Flux2 with 1 input channels"):
        load("comfyui_astria.nodes.host.models").family_of(model)


@pytest.mark.parametrize("of", FAMILIES.values(), ids=list(FAMILIES))
def test_facts_agree_with_one_another(of: Family) -> None:
    assert of.native_size % of.multiple == 0
    assert of.multiple % of.latent.cell_px == 0 or of.latent.patch == 1
    assert of.scheduler in SCHEDULERS
    assert FAMILIES[of.branch].branch == of.branch
    assert of.true_cfg(7.0) == (7.0 if of.takes_negative else 1.0)
    chosen = {host_sampler(name, of).schedule for name in SCHEDULERS}
    assert chosen == {of.schedule} if of.schedule else len(chosen) > 1


@pytest.mark.parametrize(
    ("file", "name", "why"),
    [
        ("z_image_bf16.safetensors", "zimage", "by the name of its file, z_image_bf16"),
        ("models\\z-image-base-fp8.safetensors", "zimage", "by the name of its file, z-image-base"),
        ("z_image_turbo_bf16.safetensors", "zimage_turbo", "by the name of its file"),
        ("my merge.safetensors", "zimage_turbo", "assumed: neither the model nor its file"),
        ("my merge.safetensors", "zimage_turbo", "the family of a base that names this file"),
        ("", "zimage_turbo", "its file, which is not known, tells it from Z-Image;"),
        ("", "zimage_turbo", "the family of the default base does"),
    ],
)
def test_variants_that_a_model_does_not_tell_are_told_by_its_file(
    file: str, name: str, why: str
) -> None:
    model = tiny_model("zimage")
    model.cached_patcher_init = (None, (file,)) if file else None
    found, reason = load("comfyui_astria.nodes.host.models").variant_of_model(model)
    assert found.name == name
    assert why in reason
    alone = load("comfyui_astria.nodes.host.models").variant_of_model(tiny_model("flux"))
    assert alone == (FAMILIES["flux"], "")


# Names of published files, of quantised ones, and as communities name what they train and merge.
_NAMES = {
    "zimage": (
        "z_image_nvfp4.safetensors",
        "z_image_int8_convrot.safetensors",
        "z-image-Q4_K_M.gguf",
        "zImage_base.safetensors",
        "zImageBase_v1.safetensors",
        "myMix_zibV2.safetensors",
        "z_image_de_turbo_v1_bf16.safetensors",
    ),
    "zimage_turbo": (
        "z-image-turbo_fp8_scaled_e4m3fn_KJ.safetensors",
        "zImageTurbo_turbo.safetensors",
        "z_image_turbo_based_realism.safetensors",
        "z_image_turbo_base_merge.safetensors",
        "z_image_fp8_turbo.safetensors",
        "myMix_zitV3.safetensors",
    ),
    "flux2_klein_9b": (
        "flux-2-klein-9b-fp8.safetensors",
        "flux-2-klein-9b-kv-fp8.safetensors",
        "flux2Klein_9b.safetensors",
        "FLUX.2-klein-9b-Q4_K_M.gguf",
        "klein9b_distilled.safetensors",
    ),
    "flux2_klein_9b_base": (
        "flux2Klein_9bBase.safetensors",
        "flux2Klein9BBase.safetensors",
        "klein_9b_undistilled.safetensors",
        "flux2-klein-9b-de-distilled.safetensors",
    ),
    "krea2": ("krea2_raw_fp8_scaled.safetensors", "krea2Raw_v1.safetensors"),
    "krea2_turbo": (
        "krea2_turbo_int8_convrot.safetensors",
        "krea2_turbo_drawings.safetensors",
        "krea2_turbo_raw_photo.safetensors",
    ),
}


@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, files in _NAMES.items() for file in files]
)
def test_names_of_the_wild_tell_the_variant(name: str, file: str) -> None:
    several = [one for one in FAMILIES.values() if one.host == FAMILIES[name].host]
    found, why = variant_of(several, f"base models/{file}")
    assert found.name == name
    assert why == f"by the name of its file, {file}"


@pytest.mark.parametrize("file", ["database_merge.safetensors", "juggernautZ_v1.safetensors"])
def test_a_name_that_holds_a_word_by_chance_tells_nothing(file: str) -> None:
    several = [FAMILIES["zimage_turbo"], FAMILIES["zimage"]]
    found, why = variant_of(several, file)
    assert found.name == "zimage_turbo"
    assert why.startswith("assumed")


@pytest.mark.parametrize(
    ("tiny", "file", "name"),
    [
        ("flux2_klein_4b", "flux-2-klein-base-4b-fp8.safetensors", "flux2_klein_4b_base"),
        ("flux2_klein_4b", "base models/flux-2-klein-4b.safetensors", "flux2_klein_4b"),
        ("flux2_klein_9b", "FLUX2-Klein-9B-Base-Q8_0.gguf", "flux2_klein_9b_base"),
        ("flux2_klein_9b", "flux-2-klein-9b-kv-fp8.safetensors", "flux2_klein_9b"),
        ("flux2", "flux2_dev_fp8mixed.safetensors", "flux2"),
    ],
)
def test_klein_is_told_from_its_base_by_its_file_and_by_its_size_by_the_model(
    tiny: str, file: str, name: str
) -> None:
    model = tiny_model(tiny)
    model.cached_patcher_init = (None, (file,))
    found, reason = load("comfyui_astria.nodes.host.models").variant_of_model(model)
    assert found.name == name
    assert bool(reason) == ("klein" in name), "dev is told by the model alone"


def test_a_flux2_of_unknown_size_is_refused_and_no_flux1() -> None:
    model = tiny_model("flux2_klein_4b")
    model.model.model_config.unet_config["context_in_dim"] = 9999
    with pytest.raises(PlanError, match="The connected MODEL is a _Klein with 128 input channels"):
        load("comfyui_astria.nodes.host.models").family_of(model)


def test_an_inpainting_model_is_found_by_its_branch() -> None:
    assert inpaint_model_of("flux").name == "flux_fill"
    assert inpaint_model_of("sdxl").name == "sdxl_inpaint"


def test_every_branch_has_hooks() -> None:
    hooks = load("comfyui_astria.nodes.regions.host.table").HOOKS
    assert set(hooks) == {one.branch for one in FAMILIES.values()}
