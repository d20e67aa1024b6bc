from __future__ import annotations

from comfyui_astria.devtools.testmodels import with_test_models


def test_a_checkpoint_keeps_its_id_and_its_three_outputs() -> None:
    graph = {
        "base": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "a.safetensors"},
            "_meta": {"title": "Base"},
        },
        "use": {
            "class_type": "Use",
            "inputs": {
                "model": ["base", 0],
                "clip": ["base", 1],
                "vae": ["base", 2],
                "text": "base",
            },
        },
    }
    result = with_test_models(graph, "sd15")
    assert result["base"] == {
        "class_type": "AstriaTestModel",
        "inputs": {"family": "sd15", "seed": 0},
        "_meta": {"title": "Base"},
    }
    assert result["use"] == graph["use"]
    assert graph["base"]["class_type"] == "CheckpointLoaderSimple"


def test_split_files_lead_to_the_slots_that_mean_the_same() -> None:
    result = with_test_models(
        {
            "unet": {
                "class_type": "UNETLoader",
                "inputs": {"unet_name": "flux1-dev.safetensors", "weight_dtype": "default"},
            },
            "clip": {
                "class_type": "DualCLIPLoader",
                "inputs": {
                    "clip_name1": "t5xxl.safetensors",
                    "clip_name2": "clip_l.safetensors",
                    "type": "flux",
                },
            },
            "vae": {"class_type": "VAELoader", "inputs": {"vae_name": "ae.safetensors"}},
            "fill": {
                "class_type": "UNETLoader",
                "inputs": {"unet_name": "flux1-fill-dev.safetensors", "weight_dtype": "default"},
            },
            "use": {
                "class_type": "Use",
                "inputs": {
                    "model": ["unet", 0],
                    "clip": ["clip", 0],
                    "vae": ["vae", 0],
                    "other": ["fill", 0],
                    "size": [3, 0],
                },
            },
        },
        "flux",
        by_file={"flux1-fill-dev.safetensors": "flux_fill"},
    )
    assert result["use"]["inputs"] == {
        "model": ["unet", 0],
        "clip": ["clip", 1],
        "vae": ["vae", 2],
        "other": ["fill", 0],
        "size": [3, 0],
    }
    assert {name: result[name]["inputs"]["family"] for name in ("unet", "clip", "vae", "fill")} == {
        "unet": "flux",
        "clip": "flux",
        "vae": "flux",
        "fill": "flux_fill",
    }


def test_upscalers_are_replaced_and_loras_left() -> None:
    lora = {
        "class_type": "LoraLoader",
        "inputs": {"model": ["unet", 0], "lora_name": "x.safetensors"},
    }
    result = with_test_models(
        {
            "up": {"class_type": "UpscaleModelLoader", "inputs": {"model_name": "4x.pth"}},
            "lora": lora,
        },
        "sdxl",
    )
    assert result == {"up": {"class_type": "AstriaTestUpscaler", "inputs": {}}, "lora": lora}
