"""Image i of a request is the request run alone with seed + i, for every sampler and however the
batch is cut.
"""

from __future__ import annotations

import numpy
import pytest
from comfyui_astria.nodes.families.family import SCHEDULERS
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, pictures

# A batch and a single image run through other matrix kernels: equal up to rounding, so to a step of
# the saved 8 bits.
ONE_LEVEL = 1
PROMPT = "a cat\nsteps=3\nw=64\nh=64\n"


# Each sampler draws its noise in its own way, whatever the model: Flux, whose noise has another
# shape, with one that draws none in a step and two that do.
ON_FLUX = ("euler", "euler_a", "dpm++sde_karras")


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [
        *(("sd15", scheduler) for scheduler in SCHEDULERS),
        *(
            pytest.param("flux", scheduler, marks=() if scheduler in ON_FLUX else pytest.mark.long)
            for scheduler in SCHEDULERS
        ),
        ("flux2", "euler_a"),
        ("zimage_turbo", "res_multistep"),
    ],
)
def test_image_i_equals_the_request_alone_with_seed_plus_i(
    host: LiveHost, scheduler: str, family: str
) -> None:
    batch = pictures(
        host, generate_graph(f"{PROMPT}scheduler={scheduler}\nnum_images=3\nseed=100", family)
    )
    assert len(batch) == 3
    for index in range(3):
        alone = pictures(
            host, generate_graph(f"{PROMPT}scheduler={scheduler}\nseed={100 + index}", family)
        )
        assert numpy.abs(batch[index].astype(int) - alone[0]).max() <= ONE_LEVEL
    assert numpy.abs(batch[0].astype(int) - batch[1]).mean() > 10, (
        "different seeds give different pictures"
    )


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_sde"])
def test_a_part_of_a_batch_gives_the_same_images(host: LiveHost, sampler: str) -> None:
    def graph(cut: bool) -> dict:
        latent = ["latent", 0]
        parts = (
            {"cut": node("LatentFromBatch", samples=["latent", 0], batch_index=1, length=2)}
            if cut
            else {}
        )
        return {
            "model": node("AstriaTestModel", family="sd15", seed=0),
            "latent": node("EmptyLatentImage", width=64, height=64, batch_size=3),
            **parts,
            "text": node("CLIPTextEncode", clip=["model", 1], text="a cat"),
            "guider": node(
                "CFGGuider", model=["model", 0], positive=["text", 0], negative=["text", 0], cfg=3.0
            ),
            "noise": node("AstriaNoise", seed=7),
            "method": node("AstriaSampler", sampler_name=sampler),
            "sigmas": node(
                "BasicScheduler", model=["model", 0], scheduler="karras", steps=3, denoise=1.0
            ),
            "sample": node(
                "SamplerCustomAdvanced",
                noise=["noise", 0],
                guider=["guider", 0],
                sampler=["method", 0],
                sigmas=["sigmas", 0],
                latent_image=["cut", 0] if cut else latent,
            ),
            "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
            "save": node("SaveImage", images=["decode", 0], filename_prefix="cut"),
        }

    whole, part = pictures(host, graph(False)), pictures(host, graph(True))
    assert numpy.abs(whole[1:].astype(int) - part).max() <= ONE_LEVEL


def test_a_single_image_equals_the_hosts_own_ksampler(host: LiveHost) -> None:
    """Noise, sigmas, guidance and text as core's KSampler does them.

    Our nodes add nothing of their own to one image.
    """
    for family, cfg in (("sd15", 7.0), ("sdxl", 7.0)):
        ours = pictures(
            host, generate_graph(f"{PROMPT}scheduler=dpm++2m_karras\nnegative_prompt=a dog", family)
        )
        core = {
            "model": node("AstriaTestModel", family=family, seed=0),
            "latent": node("EmptyLatentImage", width=64, height=64, batch_size=1),
            "positive": node("CLIPTextEncode", clip=["model", 1], text="a cat"),
            "negative": node("CLIPTextEncode", clip=["model", 1], text="a dog"),
            "sample": node(
                "KSampler",
                model=["model", 0],
                positive=["positive", 0],
                negative=["negative", 0],
                latent_image=["latent", 0],
                seed=43,
                steps=3,
                cfg=cfg,
                sampler_name="dpmpp_2m",
                scheduler="karras",
                denoise=1.0,
            ),
            "decode": node("VAEDecode", samples=["sample", 0], vae=["model", 2]),
            "save": node("SaveImage", images=["decode", 0], filename_prefix="core"),
        }
        assert numpy.array_equal(ours, pictures(host, core))
