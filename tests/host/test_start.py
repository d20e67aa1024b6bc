"""The host starts with the pack, and the tiny models behave as models of their kind."""

from __future__ import annotations

import io

import numpy
import pytest
from comfyui_astria.devtools.client import RunError, cached_nodes, images_of
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node
from comfyui_astria.tests.host.tiny_lora import LAYERS, write_tiny_lora
from PIL import Image

FAMILIES = ["sd15", "sd15_inpaint", "sdxl", "sdxl_inpaint", "flux", "flux_fill"]


def test_the_host_runs_this_pack_and_answers_about_itself(host: LiveHost) -> None:
    assert host.client.system_stats()["system"]["comfyui_version"] >= "0.30"
    assert "AstriaTestModel" in host.object_info()
    assert "IMPORT FAILED" not in host.log_text()
    assert str(host.base / "custom_nodes" / "comfyui_astria") in host.log_text()


def text_to_image(
    family: str, *, width: int = 96, height: int = 64, lora: str | None = None, weight: float = 1.0
) -> dict:
    model, clip = ["model", 0], ["model", 1]
    graph = {
        "model": node("AstriaTestModel", family=family, seed=0),
        "latent": node("EmptyLatentImage", width=width, height=height, batch_size=1),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="start"),
    }
    if lora is not None:
        strengths = {"strength_model": weight, "strength_clip": weight}
        graph["lora"] = node("LoraLoader", model=model, clip=clip, lora_name=lora, **strengths)
        model, clip = ["lora", 0], ["lora", 1]
    graph["positive"] = node("CLIPTextEncode", clip=clip, text="ohwx woman")
    graph["negative"] = node("CLIPTextEncode", clip=clip, text="")
    conditionings = {"positive": ["positive", 0], "negative": ["negative", 0]}
    how = {
        "sampler_name": "euler",
        "scheduler": "simple",
        "seed": 7,
        "steps": 2,
        "cfg": 2.0,
        "denoise": 1.0,
    }
    graph["sample"] = node(
        "KSampler", model=model, latent_image=["latent", 0], **conditionings, **how
    )
    return graph


def picture(host: LiveHost, graph: dict) -> numpy.ndarray:
    [image] = images_of(host.client.run(graph), "save")
    return numpy.asarray(Image.open(io.BytesIO(host.client.view(image))))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [(96, 64), (104, 72)], ids=["even latent", "odd latent"])
def test_each_family_makes_a_picture_of_the_asked_size(
    host: LiveHost, family: str, size: tuple[int, int]
) -> None:
    width, height = size
    result = picture(host, text_to_image(family, width=width, height=height))
    assert result.shape == (height, width, 3)
    assert result.std() > 10


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_a_lora_file_changes_the_picture_and_weight_zero_does_not(
    host: LiveHost, family: str
) -> None:
    write_tiny_lora(host.loras, family, f"start_{family}.safetensors")
    plain = picture(host, text_to_image(family))
    unweighted = picture(
        host, text_to_image(family, lora=f"start_{family}.safetensors", weight=0.0)
    )
    weighted = picture(host, text_to_image(family, lora=f"start_{family}.safetensors"))
    assert numpy.array_equal(plain, unweighted)
    assert not numpy.array_equal(plain, weighted)
    # Every key of the published format found its layer.
    assert "lora key not loaded" not in host.log_text()


def test_lora_keys_cover_model_and_text_encoder() -> None:
    for family in ("sd15", "sdxl", "flux"):
        keys = LAYERS[family]
        assert any(key.startswith("lora_unet_") for key in keys)
        assert any(key.startswith("lora_te") for key in keys)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_vae_gives_back_the_picture_averaged_over_8_pixels(host: LiveHost, family: str) -> None:
    source = numpy.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=numpy.uint8)
    result = picture(
        host,
        {
            "model": {"class_type": "AstriaTestModel", "inputs": {"family": family, "seed": 0}},
            "load": {
                "class_type": "LoadImage",
                "inputs": {"image": upload(host, source, "vae.png")},
            },
            "encode": {
                "class_type": "VAEEncode",
                "inputs": {"pixels": ["load", 0], "vae": ["model", 2]},
            },
            "decode": {
                "class_type": "VAEDecode",
                "inputs": {"samples": ["encode", 0], "vae": ["model", 2]},
            },
            "save": {
                "class_type": "SaveImage",
                "inputs": {"images": ["decode", 0], "filename_prefix": "vae"},
            },
        },
    )
    means = source.reshape(8, 8, 12, 8, 3).mean(axis=(1, 3))
    expected = means.repeat(8, axis=0).repeat(8, axis=1)
    assert numpy.abs(result - expected).max() <= 1


def test_the_upscaler_repeats_each_pixel(host: LiveHost) -> None:
    source = numpy.random.default_rng(4).integers(0, 256, (9, 14, 3), dtype=numpy.uint8)
    result = picture(
        host,
        with_test_models(
            {
                "load": {
                    "class_type": "LoadImage",
                    "inputs": {"image": upload(host, source, "upscale.png")},
                },
                "upscaler": {
                    "class_type": "UpscaleModelLoader",
                    "inputs": {"model_name": "4x-UltraSharp.pth"},
                },
                "upscale": {
                    "class_type": "ImageUpscaleWithModel",
                    "inputs": {"upscale_model": ["upscaler", 0], "image": ["load", 0]},
                },
                "save": {
                    "class_type": "SaveImage",
                    "inputs": {"images": ["upscale", 0], "filename_prefix": "upscale"},
                },
            },
            "sd15",
        ),
    )
    assert numpy.array_equal(result, source.repeat(4, axis=0).repeat(4, axis=1))


def test_a_failing_node_is_reported_with_its_message(host: LiveHost) -> None:
    with pytest.raises(
        RunError,
        match=r"node fail \(AstriaTestFail\) failed with ValueError: line 2, column 5: boom",
    ) as caught:
        host.client.run(
            {
                "fail": {
                    "class_type": "AstriaTestFail",
                    "inputs": {"message": "line 2, column 5: boom"},
                }
            }
        )
    assert caught.value.execution["node_id"] == "fail"


def test_a_refused_node_is_an_error_even_beside_a_good_one(host: LiveHost) -> None:
    graph = text_to_image("sd15")
    graph["bad"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["model", 0], "filename_prefix": "bad"},
    }
    with pytest.raises(RunError, match=r"node bad \(SaveImage\): Return type mismatch") as caught:
        host.client.run(graph)
    assert list(caught.value.node_errors) == ["bad"]


def test_a_repeated_run_is_cached_and_counted_once(each_host: LiveHost) -> None:
    def counting(color: int) -> dict:
        return {
            "image": {
                "class_type": "EmptyImage",
                "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color},
            },
            "count": {
                "class_type": "AstriaTestCount",
                "inputs": {"image": ["image", 0], "name": "cached"},
            },
        }

    first = each_host.client.run(counting(1))
    second = each_host.client.run(counting(1))
    third = each_host.client.run(counting(2))
    assert first["outputs"]["count"]["text"] == ["1"]
    assert {"image", "count"} <= cached_nodes(second)
    assert third["outputs"]["count"]["text"] == ["2"]


def upload(host: LiveHost, pixels: numpy.ndarray, name: str) -> str:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return host.client.upload_image(data.getvalue(), name)
