"""A person drawn by a checkpoint of their own, on the live host."""

from __future__ import annotations

import re

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, pictures
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora


def graph(family: str, model: str, texts: str, **extra: dict) -> dict:
    """Return core's sampler on node `model` with the conditionings `texts`_positive and
    `texts`_negative; each model has texts from its own CLIP.
    """
    nodes = {}
    for name, seed in (("scene", 0), ("own", 7)):
        nodes[name] = node("AstriaTestModel", family=family, seed=seed)
        for kind, words in (("positive", f"ohwx woman {name}"), ("negative", "blurry")):
            nodes[f"{name}_{kind}"] = node("CLIPTextEncode", clip=[name, 1], text=words)
    inputs = {
        "seed": 43,
        "steps": 2,
        "cfg": 4.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }
    conditionings = {kind: [f"{texts}_{kind}", 0] for kind in ("positive", "negative")}
    return {
        **nodes,
        "latent": node("EmptyLatentImage", width=96, height=64, batch_size=1),
        "sample": node(
            "KSampler", model=[model, 0], latent_image=["latent", 0], **conditionings, **inputs
        ),
        "decode": node("VAEDecode", samples=["sample", 0], vae=["scene", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="person"),
        **extra,
    }


def regional(persons: int, last: str, **inputs: object) -> dict:
    return {
        "regions": node(
            "AstriaRegions", persons=persons, width=96, height=64, softness_px=0, **inputs
        ),
        "regional": node(
            "AstriaRegionalPrompt",
            model=["scene", 0],
            regions=["regions", 0],
            persons=[last, 0],
            positive=["scene_positive", 0],
            negative=["scene_negative", 0],
            scene_strength=0.0,
            isolation=False,
        ),
    }


OWN = {"positive": ["own_positive", 0], "negative": ["own_negative", 0], "model": ["own", 0]}


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_a_person_over_the_whole_picture_is_that_checkpoints_own_picture(
    host: LiveHost, family: str
) -> None:
    """By the words of the person, and what else the scene's text holds, as pooled text."""
    full = {"full": node("SolidMask", value=1.0, width=96, height=64)}
    there = regional(1, "person", masks=["full", 0])
    mixed = graph(family, "regional", "scene", **full, person=node("AstriaPerson", **OWN), **there)
    there = regional(1, "person", masks=["full", 0])
    there["regional"]["inputs"]["model"] = ["own", 0]
    words = node("AstriaPerson", positive=OWN["positive"], negative=OWN["negative"])
    alone = pictures(host, graph(family, "regional", "scene", **full, person=words, **there))
    assert numpy.abs(pictures(host, mixed).astype(int) - alone).max() <= 1
    assert numpy.abs(pictures(host, graph(family, "scene", "scene")).astype(int) - alone).max() > 16
    if family == "sd15":  # which takes no pooled text
        own = pictures(host, graph(family, "own", "own"))
        assert numpy.abs(own.astype(int) - alone).max() <= 1


def test_a_checkpoint_stands_beside_a_lora_and_both_can_change_between_runs(host: LiveHost) -> None:
    write_tiny_lora(host.loras, "sd15", "beside.safetensors", seed=3)
    people = {
        "lora": node("AstriaPersonLora", lora_name="beside.safetensors", strength=1.0),
        "left": node("AstriaPerson", positive=["scene_positive", 0], loras=["lora", 0]),
        "right": node("AstriaPerson", **OWN, loras=["lora", 0], persons=["left", 0]),
    }
    mixed = graph("sd15", "regional", "scene", **people, **regional(2, "right"))
    first = pictures(host, mixed)
    seen = [first]
    changes = (
        ("lora", "strength", 0.3),
        ("own", "seed", 8),
        ("left", "loras", None),
        ("right", "loras", None),
        ("right", "model", None),
    )
    for name, key, value in changes:
        if value is None:
            mixed[name]["inputs"].pop(key)
        else:
            mixed[name]["inputs"][key] = value
        seen.append(pictures(host, mixed))
        assert not numpy.array_equal(seen[-2], seen[-1]), (name, key)
    again = graph("sd15", "regional", "scene", **people, **regional(2, "right"))
    again["lora"] = node("AstriaPersonLora", lora_name="beside.safetensors", strength=1.0)
    again["left"]["inputs"]["loras"] = again["right"]["inputs"]["loras"] = ["lora", 0]
    again["right"]["inputs"]["model"] = ["own", 0]
    assert numpy.array_equal(pictures(host, again), first)


def test_the_pictures_own_model_given_to_a_person_is_refused(host: LiveHost) -> None:
    person = node("AstriaPerson", **{**OWN, "model": ["scene", 0]})
    with pytest.raises(
        RunError,
        match=re.escape("The model of person 1 shares its weights with the picture's model"),
    ):
        host.client.run(graph("sd15", "regional", "scene", person=person, **regional(1, "person")))
