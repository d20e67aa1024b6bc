"""AstriaGenerate on the live host.

Every stage's own promise, the errors, and what artists expect of a node while it runs.
"""

from __future__ import annotations

import time

import numpy
import pytest
from comfyui_astria.devtools.client import RunError, cached_nodes
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import (
    STEPS,
    generate_graph,
    node,
    pictures,
    runs,
    saved,
    text_of,
    upload_picture,
)
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora

FAMILIES = [
    *("sd15", "sd15_inpaint", "sdxl", "sdxl_inpaint", "flux", "flux_fill", "flux2", "zimage")
]
OUTPAINT = f"fields --outpaint top-center --outpaint_width 109 --outpaint_height 90\n{STEPS}\n"


@pytest.mark.parametrize("family", FAMILIES)
def test_outpainting_a_picture_keeps_it_and_paints_the_rest(host: LiveHost, family: str) -> None:
    source = upload_picture(host, 61, 50, "outpaint.png")
    graph = generate_graph(f"{OUTPAINT}denoising_strength=0", family, image=["photo", 0])
    [result] = pictures(host, {**graph, "photo": node("LoadImage", image="outpaint.png")})
    assert result.shape == (90, 109, 3)
    assert numpy.array_equal(result[:50, 24:85], source)
    new = numpy.ones((90, 109), bool)
    new[:50, 24:85] = False
    assert result[new].std() > 5, "random weights paint noise, not a flat fill"


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_text_to_image_then_outpaint_keeps_the_first_stages_picture(
    host: LiveHost, family: str
) -> None:
    first = pictures(host, generate_graph(f"a cat\n{STEPS}\nw=64\nh=48", family))
    both = pictures(
        host,
        generate_graph(
            "a cat --outpaint center --outpaint_width 96 --outpaint_height"
            f" 96\n{STEPS}\nw=64\nh=48",
            family,
        ),
    )
    assert both.shape == (1, 96, 96, 3)
    assert numpy.array_equal(both[0, 24:72, 16:80], first[0])


def test_a_batch_is_outpainted_image_by_image(host: LiveHost) -> None:
    text = (
        "a cat --outpaint right-center --outpaint_width 96 --outpaint_height 48 --outpaint_prompt"
        f" 'fields'\n{STEPS}\nw=64\nh=48\nseed="
    )
    batch = pictures(host, generate_graph(f"{text}100\nnum_images=2"))
    for index in range(2):
        alone = pictures(host, generate_graph(f"{text}{100 + index}"))
        assert numpy.abs(batch[index].astype(int) - alone[0]).max() <= 1


def test_a_canvas_of_the_sources_size_paints_nothing(host: LiveHost) -> None:
    """The composite asks for its painted picture only where something is new."""
    source = upload_picture(host, 64, 48, "same.png")
    graph = {
        "photo": node("LoadImage", image="same.png"),
        "canvas": node(
            "AstriaOutpaintCanvas",
            image=["photo", 0],
            anchor="center",
            width=64,
            height=48,
            smaller="crop",
            fill="edge",
            overlap_px=16,
            multiple=8,
        ),
        "painted": node("AstriaTestPass", image=["canvas", 0], name="noop"),
        "composite": node(
            "AstriaOutpaintComposite", canvas=["canvas", 2], painted=["painted", 0], heal_seam=True
        ),
        "save": node("SaveImage", images=["composite", 0], filename_prefix="same"),
    }
    first = host.client.run(graph)
    assert numpy.array_equal(saved(host, first)[0], source)
    assert runs(host, "noop") == 1, "asked here for the first time: the composite did not ask"
    graph["canvas"]["inputs"]["width"] = 80
    host.client.run(graph)
    assert runs(host, "noop") == 3, "a larger canvas does ask"


@pytest.mark.parametrize(("policy", "keeps"), [("crop", True), ("shrink", False)])
def test_a_canvas_smaller_than_the_source_follows_the_policy(
    host: LiveHost, policy: str, keeps: bool
) -> None:
    source = upload_picture(host, 80, 60, "small.png")
    text = (
        "x --outpaint top-left --outpaint_width 64 --outpaint_height"
        f" 72\n{STEPS}\ndenoising_strength=0"
    )
    graph = {
        **generate_graph(text, image=["photo", 0], smaller_canvas=policy),
        "photo": node("LoadImage", image="small.png"),
    }
    graph["report"] = node("PreviewAny", source=["generate", 1])
    run = host.client.run(graph)
    [result] = saved(host, run)
    assert result.shape == (72, 64, 3)
    assert numpy.array_equal(result[:60], source[:, :64]) == keeps
    what = "16 px of its width are cut off." if keeps else "it is scaled down to 64x48."
    assert text_of(run, "report").count(f"The picture is 80x60 and its canvas 64x72: {what}") == 1
    refused = {
        **graph,
        "generate": {
            **graph["generate"],
            "inputs": {**graph["generate"]["inputs"], "smaller_canvas": "error"},
        },
    }
    with pytest.raises(RunError, match="80x60"):
        host.client.run(refused)


def test_a_canvas_smaller_than_what_is_painted_is_told_once(host: LiveHost) -> None:
    text = f"x --outpaint center --outpaint_width 48 --outpaint_height 64\n{STEPS}\nw=64\nh=48"
    graph = {**generate_graph(text), "report": node("PreviewAny", source=["generate", 1])}
    run = host.client.run(graph)
    told = "The picture is 64x48 and its canvas 48x64: 16 px of its width are cut off."
    assert text_of(run, "report").count(told) == 1
    assert told not in text_of(run, "generate"), "the canvas says so once it has run"


@pytest.mark.parametrize("family", ["sd15", "flux", "flux2_klein_4b", "zimage"])
def test_image_to_image_has_exactly_the_inputs_size(host: LiveHost, family: str) -> None:
    upload_picture(host, 75, 51, "odd.png")
    graph = {
        **generate_graph(f"a cat\n{STEPS}\nnum_images=2", family, image=["photo", 0]),
        "photo": node("LoadImage", image="odd.png"),
    }
    assert pictures(host, graph).shape == (2, 51, 75, 3)


@pytest.mark.parametrize("family", ["sd15", "sd15_inpaint", "flux_fill", "flux2", "zimage"])
def test_a_masked_edit_keeps_every_unmasked_pixel(host: LiveHost, family: str) -> None:
    source = upload_picture(host, 72, 56, "masked.png")
    graph = {
        **generate_graph(
            f"a cat\n{STEPS}\ndenoising_strength=1", family, image=["photo", 0], mask=["mask", 0]
        ),
        "photo": node("LoadImage", image="masked.png"),
        "solid": node("SolidMask", value=0.0, width=72, height=56),
        "patch": node("SolidMask", value=1.0, width=32, height=24),
        "mask": node(
            "MaskComposite",
            destination=["solid", 0],
            source=["patch", 0],
            x=16,
            y=16,
            operation="add",
        ),
    }
    [result] = pictures(host, graph)
    inside = numpy.zeros((56, 72), bool)
    inside[16:40, 16:48] = True
    assert numpy.array_equal(result[~inside], source[~inside])
    assert (result[inside] != source[inside]).any(axis=-1).mean() > 0.9


def test_super_resolution_is_exactly_four_times(host: LiveHost) -> None:
    plain = pictures(host, generate_graph(f"a cat\n{STEPS}\nw=64\nh=48"))
    graph = {
        **generate_graph(
            f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true", upscale_model=["up", 0]
        ),
        "up": node("AstriaTestUpscaler"),
    }
    large = pictures(host, graph)
    assert large.shape == (1, 192, 256, 3)
    assert numpy.abs(large[:, ::4, ::4].astype(int) - plain).max() <= 1, (
        "the test upscaler repeats pixels"
    )


def test_models_gathered_by_astria_models_reach_generate(host: LiveHost) -> None:
    graph = generate_graph(
        f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true", models=["bundle", 0]
    )
    graph |= {
        "up": node("AstriaTestUpscaler"),
        "bundle": node("AstriaModels", bindings="", upscale_model=["up", 0]),
    }
    assert pictures(host, graph).shape == (1, 192, 256, 3)


def test_a_missing_upscaler_stops_or_is_skipped_and_said(host: LiveHost) -> None:
    text = f"a cat\n{STEPS}\nw=64\nh=48\nsuper_resolution=true"
    with pytest.raises(RunError, match="no upscaler is bound"):
        host.client.run(generate_graph(text))
    entry = host.client.run(generate_graph(text, missing_models="skip"))
    assert saved(host, entry).shape == (1, 48, 64, 3)
    assert "Stage super_resolution is skipped" in text_of(entry, "generate")


@pytest.mark.parametrize(
    ("family", "branch"), [("sd15", "sd15"), ("sdxl", "sdxl"), ("flux", "flux")]
)
def test_a_bound_tune_id_is_the_lora_file_as_core_loads_it(
    host: LiveHost, family: str, branch: str
) -> None:
    name = f"generate_{branch}.safetensors"
    write_tiny_lora(host.loras, branch, name)
    text = f"ohwx woman\n{STEPS}\nw=64\nh=48\nscheduler=euler"
    with_tag = generate_graph(f"<lora:777:0.6> {text}", family, models=["bundle", 0])
    with_tag["bundle"] = node(
        "AstriaModels",
        bindings=f"[tunes]\n777 = {name}",
    )
    by_hand = generate_graph(text, family)
    loader = node(
        "LoraLoader",
        model=["model", 0],
        clip=["model", 1],
        lora_name=name,
        strength_model=0.6,
        strength_clip=0.6,
    )
    by_hand["generate"]["inputs"] |= {"model": ["lora", 0], "clip": ["lora", 1]}
    tagged = pictures(host, with_tag)
    assert numpy.array_equal(tagged, pictures(host, {**by_hand, "lora": loader}))
    assert not numpy.array_equal(tagged, pictures(host, generate_graph(text, family)))


def test_artists_wiring_equals_generate(host: LiveHost) -> None:
    """AstriaPrompt, RequestSettings and EncodeRequest around core's KSampler give Generate's
    picture.
    """
    text = (
        "a (red:1.3)"
        f" cat\nnegative_prompt=dog\n{STEPS}\nw=72\nh=48\nscheduler=euler\ncfg_scale=4\nseed=5"
    )
    wired = {
        "model": node("AstriaTestModel", family="sd15", seed=0),
        "prompt": node("AstriaPrompt", text=text),
        "settings": node(
            "AstriaRequestSettings", request=["prompt", 0], model=["model", 0], seed=1
        ),
        "encode": node(
            "AstriaEncodeRequest", model=["model", 0], clip=["model", 1], request=["prompt", 0]
        ),
        "latent": node(
            "EmptyLatentImage",
            width=["settings", 5],
            height=["settings", 6],
            batch_size=["settings", 7],
        ),
        "sample": node(
            "KSampler",
            model=["encode", 0],
            positive=["encode", 1],
            negative=["encode", 2],
            latent_image=["latent", 0],
            seed=["settings", 0],
            steps=["settings", 1],
            cfg=["settings", 2],
            sampler_name=["settings", 3],
            scheduler=["settings", 4],
            denoise=["settings", 8],
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="wired"),
    }
    assert numpy.array_equal(pictures(host, wired), pictures(host, generate_graph(text)))


def test_a_request_can_take_the_place_of_the_text(host: LiveHost) -> None:
    text = f"a cat\n{STEPS}\nw=64\nh=48"
    graph = {**generate_graph("", request=["prompt", 0]), "prompt": node("AstriaPrompt", text=text)}
    assert numpy.array_equal(pictures(host, graph), pictures(host, generate_graph(text)))
    graph["generate"]["inputs"]["text"] = "another"
    with pytest.raises(RunError, match="only one of them can be meant"):
        host.client.run(graph)


def test_errors_in_the_text_box_refuse_the_run_with_every_place(host: LiveHost) -> None:
    with pytest.raises(RunError) as caught:
        host.client.run(generate_graph("a cat --outpaint topleft <lora:x:abc>\nsteps=900"))
    [record] = caught.value.node_errors["generate"]["errors"]
    for place in ("line 1, column", "line 2, column", "^"):
        assert place in record["details"]
    assert "topleft" in record["details"]
    assert "abc" in record["details"]
    assert "900" in record["details"]


def test_errors_in_linked_text_stop_before_any_model_loads(host: LiveHost) -> None:
    graph = generate_graph("")
    graph["generate"]["inputs"]["text"] = ["string", 0]
    graph["string"] = node("PrimitiveStringMultiline", value="a cat --outpaint topleft")
    with pytest.raises(RunError, match="topleft") as caught:
        host.client.run(graph)
    assert caught.value.execution["exception_type"].endswith("PromptError")
    assert "model" not in caught.value.execution["executed"]


def test_what_a_request_lacks_is_an_error_before_sampling(host: LiveHost) -> None:
    with pytest.raises(
        RunError, match="controlnet=hed: ComfyUI has no node that draws this map from a picture"
    ):
        host.client.run(generate_graph("a cat\ncontrolnet=hed"))
    with pytest.raises(RunError, match="no face_restorer is bound"):
        host.client.run(generate_graph("a cat\nface_correct=true"))


def test_a_missing_input_file_is_named_with_its_folder(host: LiveHost) -> None:
    with pytest.raises(RunError, match=r"nowhere\.png.*input"):
        host.client.run(generate_graph(f"a cat\n{STEPS}\ninput_image=nowhere.png"))


def test_a_changed_seed_leaves_everything_before_the_noise_alone(each_host: LiveHost) -> None:
    host = each_host
    upload_picture(host, 64, 48, "cached.png")
    graph = generate_graph(f"a cat\n{STEPS}\ndenoising_strength=0.5", image=["count", 0])
    graph |= {
        "photo": node("LoadImage", image="cached.png"),
        "count": node("AstriaTestCount", image=["photo", 0], name="seed change"),
    }
    counts = []
    for seed in (1, 2, 3):
        graph["generate"]["inputs"]["seed"] = seed
        entry = host.client.run(graph)
        counts.append(text_of(entry, "count"))
    assert len(set(counts)) == 1, "the picture before Generate ran once"
    assert {"model", "photo", "count"} <= cached_nodes(entry)


def test_the_same_run_again_is_answered_from_the_cache(each_host: LiveHost) -> None:
    graph = generate_graph(f"a cat\n{STEPS}\nw=64\nh=48\nseed=77")
    first = each_host.client.run(graph)
    again = each_host.client.run(graph)
    assert {"generate", "save"} <= cached_nodes(again)
    assert numpy.array_equal(saved(each_host, first), saved(each_host, again))


def test_an_interrupted_run_stops_and_the_next_one_works(host: LiveHost) -> None:
    prompt = host.client.queue(generate_graph("a cat\nsteps=50\nw=256\nh=256"))
    deadline = time.monotonic() + 60
    while "0/50" not in host.log_of_module() and time.monotonic() < deadline:
        time.sleep(0.1)
    host.client.interrupt()
    with pytest.raises(RunError, match="interrupted"):
        host.client.wait(prompt)
    assert "50/50" not in host.log_of_module()
    assert pictures(host, generate_graph(f"a cat\n{STEPS}\nw=64\nh=48")).shape == (1, 48, 64, 3)


def test_a_pasted_infotext_makes_the_picture_of_its_settings_and_says_so(host: LiveHost) -> None:
    settings = "Steps: 2, Sampler: Euler a, CFG scale: 5, Seed: 7, Size: 64x48"
    pasted = f"a cat\nNegative prompt: dog\n{settings}, Clip skip: 2, Version: v1.10"
    own = "a cat\nnegative_prompt=dog\nsteps=2\nscheduler=euler_a\ncfg_scale=5\nseed=7\nw=64\nh=48"
    run = host.client.run(generate_graph(pasted))
    assert numpy.array_equal(saved(host, run), pictures(host, generate_graph(own)))
    report = text_of(run, "generate")
    assert "settings of another program are read: Negative prompt as negative_prompt=" in report
    assert "`Clip skip: 2` is left out" in report
