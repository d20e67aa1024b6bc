"""A first guess at the files of the gallery's base tunes, and of roles."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.api.guess import ATTEMPTS, ROLE_NAMES, guessed, guessed_roles
from comfyui_astria.nodes.tunes.bindings import ROLES, value_problem

FLUX = {
    "diffusion_models": [
        "flux1-fill-dev.safetensors",
        "flux1-kontext-dev.safetensors",
        "sub/flux1-dev-fp8.safetensors",
        "flux1-dev.safetensors",
    ],
    "text_encoders": [
        "t5xxl_fp8_e4m3fn.safetensors",
        "clip_g.safetensors",
        "clip_l.safetensors",
        "t5xxl_fp16.safetensors",
    ],
    "vae": ["vae-ft-mse.safetensors", "ae.safetensors"],
}


@pytest.mark.parametrize(
    ("base", "folders", "expected"),
    [
        (
            "690204",
            {"checkpoints": ["sdxl.safetensors", "realisticVisionV51_VAE.safetensors"]},
            {"checkpoint": "realisticVisionV51_VAE.safetensors"},
        ),
        (
            "690204",
            {"checkpoints": ["a\\Realistic_Vision_V5.1.safetensors"]},
            {"checkpoint": "a/Realistic_Vision_V5.1.safetensors"},
        ),
        (
            "690204",
            {
                "checkpoints": [
                    "realisticVisionV51-inpainting.safetensors",
                    "realisticVisionV60.safetensors",
                ]
            },
            {},
        ),
        ("690204", {}, {}),
        (
            "1504944",
            FLUX,
            {
                "diffusion_model": "flux1-dev.safetensors",
                "clip_l": "clip_l.safetensors",
                "t5xxl": "t5xxl_fp16.safetensors",
                "vae": "ae.safetensors",
                "outpaint_model": "flux1-fill-dev.safetensors",
            },
        ),
        (
            "1504944",
            {**FLUX, "vae": [], "checkpoints": ["flux1-dev-fp8.safetensors"]},
            {"checkpoint": "flux1-dev-fp8.safetensors"},
        ),
        ("1504944", {"diffusion_models": ["flux1-schnell.safetensors"]}, {}),
        ("7", FLUX, {}),
        ("1504944", {**FLUX, "vae": ["flux2-vae.safetensors"]}, {}),
    ],
)
def test_files_are_known_by_their_published_names(
    base: str, folders: dict[str, list[str]], expected: dict[str, str]
) -> None:
    assert guessed(base, lambda folder: folders.get(folder, [])) == expected


BESIDE = {
    "text_encoders": ["qwen_3_4b.safetensors", "qwen_3_8b_fp8mixed.safetensors"],
    "vae": ["ae.safetensors", "flux2-vae.safetensors"],
}


@pytest.mark.parametrize(
    ("base", "file", "is_it"),
    [
        ("zimage_turbo", "z-image-turbo_fp8_scaled_e4m3fn_KJ.safetensors", True),
        ("zimage", "z-image-turbo_fp8_scaled_e4m3fn_KJ.safetensors", False),
        ("zimage", "zImageTurbo_turbo.safetensors", False),
        ("zimage", "zImage_base.safetensors", True),
        ("zimage_turbo", "zImage_base.safetensors", False),
        ("flux2_klein_9b", "flux-2-klein-9b-kv-fp8.safetensors", True),
        ("flux2_klein_9b", "flux-2-klein-9b-base-fp8.safetensors", False),
        ("flux2_klein_9b", "flux2Klein_9bBase.safetensors", False),
        ("flux2_klein_9b_base", "flux-2-klein-base-9b-fp8.safetensors", True),
    ],
)
def test_a_variant_is_not_taken_for_another(base: str, file: str, is_it: bool) -> None:
    folders = {**BESIDE, "diffusion_models": [file]}
    found = guessed(base, lambda folder: folders.get(folder, []))
    assert found.get("diffusion_model") == (file if is_it else None)


def test_the_vae_of_the_host_s_templates_serves_too() -> None:
    folders = {**BESIDE, "diffusion_models": ["flux-2-klein-9b-fp8.safetensors"]}
    folders["vae"] = ["full_encoder_small_decoder.safetensors"]
    found = guessed("flux2_klein_9b", lambda folder: folders[folder])
    assert found["vae"] == "full_encoder_small_decoder.safetensors"
    folders["vae"] = [*folders["vae"], "FLUX2/flux2-vae.safetensors"]
    assert guessed("flux2_klein_9b", lambda folder: folders[folder])["vae"].endswith(
        "flux2-vae.safetensors"
    )


def test_a_vae_whose_name_only_begins_alike_is_none() -> None:
    folders = {
        "diffusion_models": ["z_image_turbo_bf16.safetensors"],
        "text_encoders": ["qwen_3_4b.safetensors"],
        "vae": ["aesthetic.safetensors"],
    }
    assert guessed("zimage_turbo", lambda folder: folders[folder]) == {}


PRESENT = {
    "upscaler": ["1x_denoise.pth", "4x-UltraSharp.pth", "GFPGANv1.4.pth"],
    "face_restorer": ["4x-UltraSharp.pth", "codeformer-v0.1.0.pth", "GFPGANv1.4.pth"],
    "controlnet_pose": [
        "control_v11p_sd15_canny.pth",
        "control_v11p_sd15_openpose.pth",
        "OpenPoseXL2.safetensors",
    ],
    "controlnet_hed": ["control_v11p_sd15_softedge_fp16.safetensors"],
    "controlnet_union": [
        "FLUX.2-Union.safetensors",
        "controlnet-union-sdxl.safetensors",
        "flux_controlnet_union_pro.safetensors",
    ],
    "control_patch": [
        "Z-Image-Turbo-Fun-Controlnet-Union.safetensors",
        "Z-Image-Turbo-Fun-Controlnet-Tile-2.1-8steps.safetensors",
        "Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors",
    ],
    "faceid": [
        "ip-adapter-faceid-plusv2_sdxl.bin",
        "ip-adapter-faceid-plusv2_sd15.bin",
        "ip-adapter-faceid_sd15_lora.bin",
        "pulid_flux2.safetensors",
        "pulid_flux_v0.9.1.safetensors",
        "ip-adapter-faceid-portrait_sd15.bin",
    ],
    "clip_vision": ["CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "clip_vision_g.safetensors"],
    "grounding_dino": ["GroundingDINO_SwinB"],
    "sam": ["sam_vit_b_01ec64.pth", "mobile_sam.pt"],
    "clipseg": ["clipseg-rd64-refined"],
    "face_analysis": ["antelopev2", "buffalo_l"],
    "face_detector": ["mediapipe_face_fp32.safetensors", "other.safetensors"],
}


@pytest.mark.parametrize(
    ("missing", "family", "expected"),
    [
        ("upscaler", "flux", {"upscaler": "4x-UltraSharp.pth"}),
        ("face_restorer", "sd15", {"face_restorer": "GFPGANv1.4.pth"}),
        ("controlnet_pose", "sd15", {"sd15.controlnet_pose": "control_v11p_sd15_openpose.pth"}),
        (
            "controlnet_pose",
            "flux",
            {"flux.controlnet_union": "flux_controlnet_union_pro.safetensors"},
        ),
        (
            "controlnet_depth",
            "sdxl",
            {"sdxl.controlnet_union": "controlnet-union-sdxl.safetensors"},
        ),
        (
            "controlnet_hed",
            "sd15",
            {"sd15.controlnet_hed": "control_v11p_sd15_softedge_fp16.safetensors"},
        ),
        ("controlnet_depth", "sd15", {}),
        (
            "control_patch",
            "zimage",
            {"zimage.control_patch": "Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"},
        ),
        (
            "faceid",
            "sd15",
            {
                "sd15.faceid": "ip-adapter-faceid-plusv2_sd15.bin",
                "sd15.clip_vision": "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
            },
        ),
        ("faceid", "flux", {"flux.faceid": "pulid_flux_v0.9.1.safetensors"}),
        ("faceid_portrait", "sd15", {}),
        (
            "segmenter",
            "sd15",
            {"grounding_dino": "GroundingDINO_SwinB", "sam": "sam_vit_b_01ec64.pth"},
        ),
        ("face_analysis", "sd15", {"face_analysis": "buffalo_l"}),
        ("face_detector", "flux", {"face_detector": "mediapipe_face_fp32.safetensors"}),
        ("face_swapper", "sd15", {}),
        ("1533312", "sd15", {}),
    ],
)
def test_roles_are_known_by_the_names_of_their_models(
    missing: str, family: str, expected: dict[str, str]
) -> None:
    found = guessed_roles(missing, family, lambda role: PRESENT.get(role, []))
    assert found == expected
    assert [value_problem("roles", key, file) for key, file in found.items()] == [None] * len(found)


def test_every_role_is_known() -> None:
    assert set(ROLE_NAMES) == set(ROLES)


def test_schnell_is_guessed_at_when_all_else_is_not_there() -> None:
    assert ATTEMPTS[:2] == ("1504944", "690204")
    assert ATTEMPTS[-1] == "flux_schnell"
    assert "flux" not in ATTEMPTS, "which is the gallery's"
    models = ["flux1-schnell-fp8.safetensors", "flux1-kontext-dev.safetensors"]
    folders = {**FLUX, "diffusion_models": models}
    found = guessed("flux_schnell", lambda folder: folders.get(folder, []))
    assert found == {
        "diffusion_model": "flux1-schnell-fp8.safetensors",
        "clip_l": "clip_l.safetensors",
        "t5xxl": "t5xxl_fp16.safetensors",
        "vae": "ae.safetensors",
    }
    assert guessed("1504944", lambda folder: folders.get(folder, [])) == {}
    assert guessed("flux", lambda folder: folders.get(folder, [])) == {}
