"""Pictures that a prompt brings as a web address or as base64 text, in Generate, Compile and
Explain.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Iterator

import numpy
import pytest
from comfyui_astria.devtools.client import RunError, cached_nodes
from comfyui_astria.tests.host.api_support import Receiver, png, set_up, settings_of
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, node, pictures, text_of
from PIL import Image

KEEP = "denoising_strength=0\n"
ALLOWED = "fetch_urls = yes\nprivate_hosts = 127.0.0.1\n"
NAME = f"astria/fetched/{hashlib.sha256(png()).hexdigest()}.png"
PIXELS = numpy.asarray(Image.open(io.BytesIO(png())).convert("RGB"))


@pytest.fixture(scope="module", autouse=True)
def settings(host: LiveHost) -> None:
    set_up(host.base)


@pytest.fixture
def web() -> Iterator[Receiver]:
    """A server whose every address gives a picture."""
    with Receiver() as found:
        yield found


def address(web: Receiver, path: str) -> str:
    return f"http://127.0.0.1:{web.port}/{path}"


def test_generate_fetches_a_picture_once_and_only_where_it_is_allowed(
    host: LiveHost, web: Receiver
) -> None:
    graph = generate_graph(f"{KEEP}input_image_url={address(web, 'generate.png')}")
    graph["model"]["inputs"]["seed"] = 2000  # not loaded yet
    with pytest.raises(
        RunError,
        match=r"web address.*Connect the image \(input 'image'\).*fetch_urls = yes in api\.ini",
    ) as caught:
        host.client.run(graph)
    assert "model" not in caught.value.execution["executed"]
    with (
        settings_of(host, "fetch_urls = yes\n"),
        pytest.raises(RunError, match="no public address"),
    ):
        host.client.run(graph)
    assert web.gets == []
    with settings_of(host, ALLOWED):
        assert (pictures(host, graph)[0] == PIXELS).all()
        assert web.gets == ["/generate.png"], "a run that looks twice fetches once"
        assert (host.base / "input" / NAME).read_bytes() == png()
        assert "generate" in cached_nodes(host.client.run(graph)), (
            "whether it changed is not asked of the address"
        )
        assert web.gets == ["/generate.png"]
        assert (
            pictures(
                host,
                {
                    **graph,
                    "generate": {
                        **graph["generate"],
                        "inputs": {**graph["generate"]["inputs"], "seed": 5},
                    },
                },
            )[0]
            == PIXELS
        ).all()
        assert web.gets == ["/generate.png"] * 2, "another run asks again"


def test_a_connected_picture_is_taken_in_place_of_the_address(
    host: LiveHost, web: Receiver
) -> None:
    graph = {
        **generate_graph(f"{KEEP}input_image_url={address(web, 'a.png')}", image=["flat", 0]),
        "flat": node("EmptyImage", width=16, height=8, batch_size=1, color=255),
    }
    with settings_of(host, ALLOWED):
        assert (pictures(host, graph)[0] == (0, 0, 255)).all()
    assert web.gets == []


def test_generate_reads_base64_and_says_what_an_address_does_not_give(
    host: LiveHost, web: Receiver
) -> None:
    text = base64.b64encode(png()).decode()
    assert (pictures(host, generate_graph(f"{KEEP}input_image_base64={text}"))[0] == PIXELS).all()
    web.server.shutdown()
    web.server.server_close()
    web.server.shutdown = web.server.server_close = lambda: None
    with (
        settings_of(host, ALLOWED),
        pytest.raises(
            RunError, match=r"The prompt's input image: .*cannot be used.*Or connect the image"
        ),
    ):
        host.client.run(generate_graph(f"{KEEP}input_image_url={address(web, 'gone.png')}"))


def compile_graph(text: str, **files: str) -> dict:
    given = {
        "image": "",
        "mask": "",
        "base": "690204",
        "form": "api",
        "filename_prefix": "workflows/web",
        "seed": 1,
        **files,
    }
    return {
        "compile": node("AstriaCompile", text=text, **given),
        "show": node("PreviewAny", source=["compile", 0]),
    }


def test_compile_writes_the_fetched_file_into_the_workflow(host: LiveHost, web: Receiver) -> None:
    text = f"{KEEP}input_image_url={address(web, 'compile.png')}"
    with pytest.raises(RunError, match="fetch_urls = yes"):
        host.client.run(compile_graph(text))
    with settings_of(host, ALLOWED):
        written = json.loads(text_of(host.client.run(compile_graph(text)), "show"))
    assert written["input.image"]["inputs"]["image"] == NAME
    assert web.gets == ["/compile.png"]


def test_explain_tells_the_plan_and_fetches_nothing(host: LiveHost, web: Receiver) -> None:
    graph = {
        "explain": node(
            "AstriaExplain",
            text=f"a cat\ninput_image_url={address(web, 'explain.png')}",
            family="sd15",
            base="",
        )
    }
    assert "fetch_urls = yes" in text_of(host.client.run(graph), "explain")
    with settings_of(host, ALLOWED):
        graph["explain"]["inputs"]["base"] = ""
        graph["explain"]["inputs"]["text"] += "\nsteps=3"
        report = text_of(host.client.run(graph), "explain")
    assert "1. base: img2img" in report
    assert f"The input image is fetched from {address(web, '...')} when the prompt runs." in report
    assert "error" not in report
    assert web.gets == []
