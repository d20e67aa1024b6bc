"""Image i of a request is the request run alone with seed + i, through every stage that paints over
a picture.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy
import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.devtools.examples import FLUX, SD15
from comfyui_astria.devtools.testmodels import with_test_models
from comfyui_astria.nodes.graph.graph import api_workflow
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, pictures
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from PIL import Image

# A batch and a single image run through other matrix kernels: equal up to rounding, so to a step of
# the saved 8 bits.
ONE_LEVEL = 1
SIDE = 64
PACK = "buffalo_l"
BASES = {"sd15": SD15, "flux": FLUX, "flux2": "flux2", "zimage_turbo": "zimage_turbo"}
# What a request adds to the text, and the inputs that it needs beside the photo.
REQUESTS = {
    "img2img": ("denoising_strength=0.6", {"image": ["photo", 0]}),
    "masked": ("denoising_strength=0.8", {"image": ["photo", 0], "mask": ["mask", 0]}),
    "hires fix": (f"w={SIDE}\nh={SIDE}\nhires_fix=true\nhires_denoising_strength=0.5", {}),
    "hires fix of a picture": ("denoising_strength=0.6\nhires_fix=true", {"image": ["photo", 0]}),
}
FACES = (
    "an astronaut\nsteps=2\nscheduler=euler_a\ndenoising_strength=0\nsuper_resolution=true\n"
    "inpaint_faces=true"
)


@pytest.fixture(scope="module")
def furnished(host: LiveHost) -> LiveHost:
    """The host with a face detector, and a photo of 64 pixels and one of 128, which
    super-resolution enlarges to 512.
    """
    write_face_pack(host.base / "models" / "insightface" / "models" / PACK)
    for side in (SIDE, 2 * SIDE):
        buffer = io.BytesIO()
        Image.fromarray(astronaut()).resize((side, side), Image.Resampling.BOX).save(buffer, "PNG")
        host.client.upload_image(buffer.getvalue(), f"law_{side}.png")
    return host


def graph_of(text: str, family: str, inputs: dict) -> dict:
    return {
        **generate_graph(
            f"an astronaut\nsteps=2\nscheduler=euler_a\n{text}",
            family,
            models=["models", 0],
            **inputs,
        ),
        "photo": node("LoadImage", image=f"law_{SIDE}.png"),
        "ground": node("SolidMask", value=0.0, width=SIDE, height=SIDE),
        "patch": node("SolidMask", value=1.0, width=SIDE // 2, height=SIDE // 2),
        "mask": node(
            "MaskComposite",
            destination=["ground", 0],
            source=["patch", 0],
            x=16,
            y=16,
            operation="add",
        ),
        "upscaler": node("AstriaTestUpscaler"),
        "models": node("AstriaModels", bindings="", upscale_model=["upscaler", 0]),
    }


@pytest.mark.parametrize(
    ("family", "request_name"),
    [
        *((one, name) for one in ("sd15", "flux") for name in REQUESTS),
        *((one, "hires fix") for one in ("flux2", "zimage_turbo")),
    ],
)
def test_image_i_equals_the_request_alone_with_seed_plus_i(
    furnished: LiveHost, request_name: str, family: str
) -> None:
    text, inputs = REQUESTS[request_name]
    check_law(lambda more: pictures(furnished, graph_of(f"{text}\n{more}", family, inputs)))


@pytest.mark.parametrize("family", BASES)
def test_each_images_faces_are_those_of_the_request_alone(furnished: LiveHost, family: str) -> None:
    def drawn(more: str) -> numpy.ndarray:
        options = CompileOptions(BASES[family], f"law_{2 * SIDE}.png")
        compiled = compile_request(
            PromptRequest.require(f"{FACES}\n{more}"), workflows.resolver(), options
        )
        graph = with_test_models(api_workflow(compiled.graph), family)
        # Not the hundredfold work of the family's own size.
        graph["inpaint_faces.faces"]["inputs"]["face_size"] = SIDE
        return pictures(furnished, graph, "output.save")

    check_law(drawn)


def check_law(drawn: Callable[[str], numpy.ndarray]) -> None:
    """Compare a request for two images with each alone; `drawn` takes the lines that say which."""
    batch = drawn("num_images=2\nseed=100")
    assert len(batch) == 2
    for index in range(2):
        [alone] = drawn(f"seed={100 + index}")
        assert numpy.abs(batch[index].astype(int) - alone).max() <= ONE_LEVEL
    differs = numpy.abs(batch[0].astype(int) - batch[1]).max(-1) > ONE_LEVEL
    assert differs.mean() > 0.01, "each image has noise of its own"
