"""Finishing nodes on the live host.

What comes out is what the pack's functions give, in either precision.
"""

from __future__ import annotations

import io
import os
import time
from itertools import product
from typing import Any

import numpy
import pytest
import torch
from comfyui_astria.devtools.client import RunError, images_of
from comfyui_astria.nodes.finish.grading import regraded
from comfyui_astria.nodes.finish.grain import Grain, film_grain
from comfyui_astria.nodes.finish.looks import LOOKS, graded
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import node, pictures, upload_picture
from PIL import Image

NEGATIVE = "LUT_3D_SIZE 2\n" + "".join(
    f"{1 - r} {1 - g} {1 - b}\n" for b, g, r in product(range(2), repeat=3)
)


def graph_of(last: dict[str, Any], **nodes: dict[str, Any]) -> dict[str, Any]:
    save = node("SaveImage", images=["last", 0], filename_prefix="finish")
    return {"photo": node("LoadImage", image="finish.png"), **nodes, "last": last, "save": save}


def photo(host: LiveHost) -> torch.Tensor:
    return torch.from_numpy(upload_picture(host, 90, 60, "finish.png")).float()[None] / 255


def levels(image: torch.Tensor) -> numpy.ndarray:
    return (image.clamp(0, 1) * 255).numpy().astype(numpy.uint8)  # as SaveImage rounds


def saved_with_alpha(host: LiveHost, graph: dict[str, Any]) -> numpy.ndarray:
    found = [
        Image.open(io.BytesIO(host.client.view(image)))
        for image in images_of(host.client.run(graph), "save")
    ]
    assert {one.mode for one in found} == {"RGBA"}
    return numpy.stack([numpy.asarray(one) for one in found])


def test_grading_and_grain_are_those_of_the_functions(each_host: LiveHost, host: LiveHost) -> None:
    image = photo(each_host)
    grade = node("AstriaColorGrading", image=["photo", 0], look="Film Velvia", strength=0.8)
    grain = node("AstriaFilmGrain", image=["grade", 0], strength=0.7, size=1.5, color=0.4, seed=11)
    found = pictures(each_host, graph_of(grain, grade=grade)).astype(int)
    expected = film_grain(
        regraded(image, lambda colours: graded(colours, LOOKS["Film Velvia"]), 0.8),
        Grain(0.7, 1.5, 0.4),
        11,
    )
    assert numpy.abs(found - levels(expected)).max() <= (1 if each_host is host else 2)
    assert numpy.abs(found - levels(image)).max() > 20


def test_cube_files_are_looks_by_their_names_and_read_again_when_they_change(
    host: LiveHost,
) -> None:
    folder, image = host.base / "models" / "luts" / "mine", photo(host)
    folder.mkdir(parents=True)
    (folder / "negative.cube").write_text(NEGATIVE, encoding="utf-8")
    name = os.path.join("mine", "negative.cube")
    graph = graph_of(node("AstriaColorGrading", image=["photo", 0], look=name, strength=1.0))
    assert numpy.abs(pictures(host, graph).astype(int) - levels(1 - image)).max() <= 1
    (folder / "negative.cube").write_text("LUT_1D_SIZE 2\n0 0 0\n0.5 0.5 0.5\n", encoding="utf-8")
    later = time.time() + 5
    os.utime(folder / "negative.cube", (later, later))
    assert numpy.abs(pictures(host, graph).astype(int) - levels(image / 2)).max() <= 1
    (folder / "negative.cube").write_text("LUT_1D_SIZE 2\n0 0 0\nnine\n", encoding="utf-8")
    os.utime(folder / "negative.cube", (later + 5, later + 5))
    with pytest.raises(
        RunError,
        match=(
            r"The colour table negative\.cube, line 3: 'nine'; expected 3 numbers for an entry of"
            r" the table"
        ),
    ):
        host.client.run(graph)


def test_an_unknown_look_is_refused_before_anything_runs(host: LiveHost) -> None:
    photo(host)
    with pytest.raises(RunError, match="look"):
        host.client.run(
            graph_of(
                node("AstriaColorGrading", image=["photo", 0], look="Kodachrome", strength=1.0)
            )
        )


def test_the_background_is_removed_and_the_mask_says_what_stays(each_host: LiveHost) -> None:
    image = photo(each_host)
    cut = node("AstriaRemoveBackground", image=["photo", 0], background_model=["model", 0])
    graph = graph_of(cut, model=node("AstriaTestBackground"))
    [found] = saved_with_alpha(each_host, graph)
    cover = image.mean(-1)[0].numpy() * 255  # the test model's: what is bright is foreground
    assert numpy.abs(found[..., 3] - cover).max() <= 2
    shown = node("MaskToImage", mask=["cut", 1])
    assert cover.max() > 128
    assert (
        numpy.abs(
            pictures(each_host, graph_of(shown, cut=cut, model=node("AstriaTestBackground")))[
                0, ..., 0
            ]
            - cover
        ).max()
        <= 2
    )


def test_super_resolution_keeps_alpha_and_every_picture_of_a_batch(each_host: LiveHost) -> None:
    image = levels(photo(each_host))[0]
    nodes = {
        "two": node("RepeatImageBatch", image=["photo", 0], amount=2),
        "half": node("SolidMask", value=0.5, width=90, height=60),
        "clear": node("JoinImageWithAlpha", image=["two", 0], alpha=["half", 0]),
        "up": node("AstriaTestUpscaler"),
    }
    found = saved_with_alpha(
        each_host,
        graph_of(
            node("AstriaSuperResolution", image=["clear", 0], upscale_model=["up", 0], factor=4.0),
            **nodes,
        ),
    )
    assert found.shape == (2, 240, 360, 4)
    assert numpy.abs(found[..., :3].astype(int) - image.repeat(4, 0).repeat(4, 1)).max() <= 1
    assert numpy.abs(found[..., 3].astype(int) - 127).max() <= 1


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_tiles_draw_a_picture_and_one_tile_is_the_model_itself(host: LiveHost, family: str) -> None:
    def drawn(**tiles: int) -> numpy.ndarray:
        model = ["tiles", 0] if tiles else ["model", 0]
        sampling = node(
            "KSampler",
            model=model,
            positive=["text", 0],
            negative=["text", 0],
            latent_image=["latent", 0],
            seed=5,
            steps=2,
            cfg=1.0,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )
        nodes = {
            "model": node("AstriaTestModel", family=family, seed=0),
            "text": node("CLIPTextEncode", clip=["model", 1], text="a cat"),
            "latent": node(
                "EmptySD3LatentImage" if family == "flux" else "EmptyLatentImage",
                width=384,
                height=320,
                batch_size=1,
            ),
            "sample": sampling,
        }
        if tiles:
            nodes["tiles"] = node("AstriaTiledDiffusion", model=["model", 0], **tiles)
        return pictures(
            host, graph_of(node("VAEDecode", samples=["sample", 0], vae=["model", 2]), **nodes)
        )

    plain = drawn()
    assert numpy.array_equal(drawn(tile_size=384, overlap=64), plain)
    small = drawn(tile_size=256, overlap=64)
    assert small.shape == plain.shape
    assert not numpy.array_equal(small, plain)
