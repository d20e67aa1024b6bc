"""Many people in one picture on the live host.

The seeds' example, kept backgrounds, and the artist's own wiring.
"""

from __future__ import annotations

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import (
    STEPS,
    generate_graph,
    node,
    pictures,
    text_of,
    upload_picture,
)
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.pipeline.support import seed_prompt

SCENE = (
    "a street BREAK BREAK <lora:71:1> ohwx woman BREAK <lora:72:1> ohwx"
    f" man\n{STEPS}\nw=96\nh=64\nscheduler=euler"
)


def with_loras(host: LiveHost, graph: dict, branch: str) -> dict:
    """Add AstriaModels with a LoRA file for each person."""
    for number in (71, 72):
        write_tiny_lora(host.loras, branch, f"person_{branch}_{number}.safetensors", seed=number)
    bindings = "\n".join(
        ["[tunes]", *(f"{number} = person_{branch}_{number}.safetensors" for number in (71, 72))]
    )
    graph["generate"]["inputs"]["models"] = ["bundle", 0]
    return {**graph, "bundle": node("AstriaModels", bindings=bindings)}


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "flux2_klein_4b", "zimage"])
def test_the_seeds_multi_person_prompt_runs(host: LiveHost, family: str) -> None:
    text = seed_prompt("multi_person").replace("1533312", "71").replace("1558021", "72")
    text = (
        text.replace("steps=\n", f"{STEPS}\n")
        .replace("w=1024", "w=128")
        .replace("h=576", "h=72")
        .replace("num_images=4", "num_images=2")
    )
    result = pictures(host, with_loras(host, generate_graph(text, family), family))
    assert result.shape == (2, 72, 128, 3)


@pytest.mark.parametrize("family", ["sd15", "flux", "flux2", "zimage"])
def test_each_persons_words_and_lora_change_the_picture(host: LiveHost, family: str) -> None:
    whole = pictures(host, with_loras(host, generate_graph(SCENE, family), family))
    for change in (("ohwx woman", "a dog"), ("<lora:71:1>", ""), ("<lora:72:1>", "<lora:72:0.2>")):
        other = pictures(
            host, with_loras(host, generate_graph(SCENE.replace(*change), family), family)
        )
        assert not numpy.array_equal(whole, other), change


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_a_lora_of_the_common_prompt_counts_once_for_everybody(host: LiveHost, family: str) -> None:
    """One text everywhere, so that the LoRA is all there is.

    The picture is the one of a single prompt with it.
    """
    settings = f"{STEPS}\nw=96\nh=64\nscheduler=euler"
    one = pictures(
        host,
        with_loras(host, generate_graph(f"<lora:71:0.8> a street\n{settings}", family), family),
    ).astype(int)
    all_of_it = "BREAK <lora:71:0.8> a street BREAK BREAK"
    everybody = pictures(
        host, with_loras(host, generate_graph(f"{all_of_it}\n{settings}", family), family)
    ).astype(int)
    assert numpy.abs(one - everybody).max() <= 1
    base = pictures(
        host,
        with_loras(
            host,
            generate_graph(
                f"<lora:71:0.8> a street BREAK BREAK a street BREAK a street\n{settings}", family
            ),
            family,
        ),
    )
    assert numpy.abs(one - base).max() > 1, "one of the base prompt leaves the persons alone"


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "flux2"])
def test_equal_prompts_equal_one_prompt(host: LiveHost, family: str) -> None:
    one = pictures(host, generate_graph(f"a street\n{STEPS}\nw=96\nh=64\nscheduler=euler", family))
    three = pictures(
        host,
        generate_graph(
            f"a street BREAK BREAK a street BREAK a street\n{STEPS}\nw=96\nh=64\nscheduler=euler",
            family,
        ),
    )
    assert numpy.abs(one.astype(int) - three).max() <= 1


def test_flux_draws_people_from_texts_without_padding(host: LiveHost) -> None:
    """By the host's own node before the text encoder.

    The regions' texts then have different lengths.
    """

    def picture(text: str, *, trimmed: bool) -> numpy.ndarray:
        graph = generate_graph(f"{text}\n{STEPS}\nw=96\nh=64\nscheduler=euler", "flux")
        if trimmed:
            graph["trim"] = node(
                "T5TokenizerOptions",
                clip=graph["generate"]["inputs"]["clip"],
                min_padding=0,
                min_length=0,
            )
            graph["generate"]["inputs"]["clip"] = ["trim", 0]
        return pictures(host, graph).astype(int)

    one, padded = picture("a street", trimmed=True), picture("a street", trimmed=False)
    assert (
        numpy.abs(one - picture("a street BREAK BREAK a street BREAK a street", trimmed=True)).max()
        <= 1
    )
    assert numpy.abs(one - padded).max() > 1
    people = [
        picture(f"a street BREAK BREAK a woman in a long red coat BREAK {other}", trimmed=True)
        for other in ("a man", "a dog")
    ]
    assert numpy.abs(people[0] - people[1]).max() > 1


def sampled(model: str, /, **extra) -> dict:
    """Return core's own sampler on the regional model `model`, decoded and saved as `save`."""
    inputs = {
        "seed": 43,
        "steps": 2,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    texts = {"positive": [model, 1], "negative": [model, 2]}
    return {
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=1),
        "sample": node("KSampler", model=[model, 0], **texts, latent_image=["latent", 0], **inputs),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="wired"),
        **extra,
    }


def test_a_lora_of_everyone_equals_the_same_lora_of_the_whole_picture(host: LiveHost) -> None:
    write_tiny_lora(host.loras, "sd15", "everyone.safetensors", seed=3)
    text = f"{STEPS}\nw=96\nh=64\nscheduler=euler"
    merged = pictures(host, generate_graph(f"<lora:everyone:0.7> a street\n{text}"))
    # One person over the whole picture: the drawn mask leaves nothing to the scene.
    texts = {"positive": ["text", 0], "negative": ["empty", 0]}
    regional = {"model": ["model", 0], "regions": ["regions", 0], "persons": ["person", 0], **texts}
    text_lora = {"lora_name": "everyone.safetensors", "strength_model": 0.0, "strength_clip": 0.7}
    graph = sampled(
        "regional",
        model=node("AstriaTestModel", family="sd15", seed=0),
        full=node("SolidMask", value=1.0, width=96, height=64),
        regions=node(
            "AstriaRegions", persons=1, width=96, height=64, softness_px=0, masks=["full", 0]
        ),
        lora=node("AstriaPersonLora", lora_name="everyone.safetensors", strength=0.7),
        clip=node("LoraLoader", model=["model", 0], clip=["model", 1], **text_lora),
        text=node("CLIPTextEncode", clip=["clip", 1], text="a street"),
        empty=node("CLIPTextEncode", clip=["clip", 1], text=""),
        person=node("AstriaPerson", **texts, loras=["lora", 0]),
        regional=node("AstriaRegionalPrompt", **regional, scene_strength=0.0, isolation=False),
    )
    assert numpy.abs(merged.astype(int) - pictures(host, graph)).max() <= 1


@pytest.mark.parametrize("family", ["sd15", "sd15_inpaint", "flux"])
def test_break_break_changes_only_the_people_of_the_input_image(
    host: LiveHost, family: str
) -> None:
    source = upload_picture(host, 96, 64, "background.png")
    branch = family.removesuffix("_inpaint")
    text = (
        "BREAK BREAK <lora:71:1> ohwx woman BREAK <lora:72:1> ohwx"
        f" man\n{STEPS}\ndenoising_strength=1"
    )
    graph = with_loras(
        host, generate_graph(text, family, image=["photo", 0], person_masks=["masks", 0]), branch
    )
    graph |= {
        "photo": node("LoadImage", image="background.png"),
        "none": node("SolidMask", value=0.0, width=96, height=64),
        "body": node("SolidMask", value=1.0, width=24, height=40),
    }
    for name, x in (("left", 8), ("right", 60)):
        graph[f"{name}_mask"] = node(
            "MaskComposite", destination=["none", 0], source=["body", 0], x=x, y=16, operation="add"
        )
        graph[name] = node("MaskToImage", mask=[f"{name}_mask", 0])
    graph["both"] = node("ImageBatch", image1=["left", 0], image2=["right", 0])
    graph["masks"] = node("ImageToMask", image=["both", 0], channel="red")
    [result] = pictures(host, graph)
    people = numpy.zeros((64, 96), bool)
    people[16:56, 8:32] = people[16:56, 60:84] = True
    assert numpy.array_equal(result[~people], source[~people])
    assert (result[people] != source[people]).any(axis=-1).mean() > 0.9


def encoded(persons: int) -> dict:
    """Return the artist's wiring of SCENE without LoRAs.

    Prompt, regions for `persons`, encode, core's sampler.
    """
    text = SCENE.replace("<lora:71:1> ", "").replace("<lora:72:1> ", "")
    return sampled(
        "encode",
        model=node("AstriaTestModel", family="sd15", seed=0),
        prompt=node("AstriaPrompt", text=text),
        regions=node("AstriaRegions", persons=persons, width=96, height=64, softness_px=32),
        encode=node(
            "AstriaEncodeRequest",
            model=["model", 0],
            clip=["model", 1],
            request=["prompt", 0],
            regions=["regions", 0],
        ),
    )


def test_the_artists_wiring_of_a_request_with_people(host: LiveHost) -> None:
    wired = encoded(2)
    assert numpy.array_equal(
        pictures(host, wired), pictures(host, generate_graph(wired["prompt"]["inputs"]["text"]))
    )
    wired["encode"]["inputs"].pop("regions")
    with pytest.raises(RunError, match=r"describes 2 person\(s\), and no regions are connected"):
        host.client.run(wired)


def test_more_persons_than_regions_is_said_with_both_numbers(host: LiveHost) -> None:
    with pytest.raises(RunError, match=r"2 person\(s\) are described and 3 region\(s\) laid out"):
        host.client.run(encoded(3))


def test_generate_says_that_no_pose_controlnet_is_at_hand(host: LiveHost) -> None:
    graph = with_loras(host, generate_graph(SCENE), "sd15")
    assert "No pose ControlNet is connected or bound" in text_of(host.client.run(graph), "generate")


def test_the_report_lists_the_persons(host: LiveHost) -> None:
    text = f"a street BREAK BREAK ohwx woman BREAK best quality, 8k\n{STEPS}\nw=96\nh=64"
    report = text_of(host.client.run(generate_graph(text)), "generate")
    assert "person 1: ohwx woman; no LoRA or FaceID of their own; stands in column 1 of 2" in report
    assert "BREAK begins person 2 here, and nothing in `best quality, 8k` names somebody" in report
