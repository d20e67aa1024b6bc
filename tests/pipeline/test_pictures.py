"""Pictures that a prompt brings as an address or as text become files by the hash of their content,
where their owner allows it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.net.pictures import FOLDER, PictureStore
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.pipeline.pictures import (
    as_files,
    named_files,
    picture_origins,
    pictures_to_load,
    with_files,
    without_pictures,
)
from comfyui_astria.nodes.prompt import ImageRef, PromptRequest
from PIL import Image


def png(side: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


CONTENTS = {
    "/large.png": b"x" * 2_000_000,
    "/text.png": b"no picture",
    "/padded.png": png() + bytes(700_000),
}


class Web:
    """A program's own server at 127.0.0.1, which notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(404 if "lost" in self.path else 200)
                self.end_headers()
                self.wfile.write(CONTENTS.get(self.path, png()))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def web() -> Iterator[Web]:
    found = Web()
    thread = threading.Thread(target=found.server.serve_forever, args=[0.02])
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "input", tmp_path / "api.ini")


def allow(
    store: PictureStore,
    text: str = "fetch_urls = yes\nprivate_hosts = 127.0.0.1\nmax_image_mb = 1\n",
) -> None:
    store.settings_file.write_text(text, encoding="utf-8")


NAME = f"{FOLDER}/{hashlib.sha256(png()).hexdigest()}.png"
TEXT = base64.b64encode(png()).decode()


def test_base64_becomes_a_file_whatever_is_allowed(store: PictureStore) -> None:
    request = PromptRequest.require(
        f"a cat\ninput_image_base64={TEXT}\nmask_image_base64=data:image/png;base64,{TEXT}"
    )
    filed = with_files(request, (), store)
    assert filed.input_image == filed.mask_image == ImageRef("file", NAME)
    assert (store.input_folder / NAME).read_bytes() == png()


def test_an_address_is_fetched_only_where_its_owner_allowed_it(
    store: PictureStore, web: Web
) -> None:
    request = PromptRequest.require(f"a cat\ninput_image_url={web.address}/a.png")
    assert with_files(request, (), store) == request
    allow(store, "private_hosts = 127.0.0.1\n")
    assert with_files(request, (), store) == request
    assert web.asked == []
    allow(store)
    assert with_files(request, (), store).input_image == ImageRef("file", NAME)
    assert (web.asked, [path.name for path in store.input_folder.rglob("*.png")]) == (
        ["/a.png"],
        [NAME.rpartition("/")[2]],
    )


def test_a_picture_whose_socket_is_connected_is_left_alone(store: PictureStore, web: Web) -> None:
    allow(store)
    request = PromptRequest.require(
        f"a cat\ninput_image_url={web.address}/a.png\nmask_image={web.address}/b.png"
    )
    filed = with_files(request, ("image",), store)
    assert (filed.input_image, filed.mask_image, web.asked) == (
        request.input_image,
        ImageRef("file", NAME),
        ["/b.png"],
    )


@pytest.mark.parametrize(("path", "settings", "told"), [
    ("/a.png", "fetch_urls = yes\n", "no public address"),
    ("/lost.png", "", "HTTP 404"),
    ("/large.png", "", "more than 1000000 bytes"),
    ("/text.png", "", "expected a JPEG, PNG or WebP picture"),
])  # fmt: skip
def test_a_picture_that_cannot_be_had_is_told(
    store: PictureStore, web: Web, path: str, settings: str, told: str
) -> None:
    allow(store, *filter(None, [settings]))
    request = PromptRequest.require(f"a cat\ninput_image_url={web.address}{path}")
    with pytest.raises(
        PlanError, match=f"(?s)The prompt's input image: .*{told}.*Or connect the image"
    ):
        with_files(request, (), store)
    assert not store.input_folder.exists()


def test_both_pictures_are_told_at_once(store: PictureStore) -> None:
    allow(store)
    request = PromptRequest.require(
        "a cat\ninput_image_base64=aGVsbG8=\nmask_image_url=http://10.0.0.1/a.png"
    )
    with pytest.raises(PlanError, match=r"(?s)input image: .*input mask: .*10\.0\.0\.1"):
        with_files(request, (), store)


def test_both_pictures_together_keep_to_what_a_request_may_bring(
    store: PictureStore, web: Web
) -> None:
    request = PromptRequest.require(
        f"a cat\ninput_image_url={web.address}/padded.png\nmask_image_url={web.address}/padded.png"
    )
    allow(store)
    assert with_files(request, (), store).mask_image.kind == "file"
    allow(store, "fetch_urls = yes\nprivate_hosts = 127.0.0.1\nmax_request_mb = 1\n")
    with pytest.raises(PlanError, match=r"\AThe prompt's input mask: .*sends more than"):
        with_files(request, (), store)


def test_a_slip_in_the_settings_is_told_only_where_they_are_asked(store: PictureStore) -> None:
    allow(store, "fetch_url = yes")
    with pytest.raises(ApiError, match=r"api\.ini, line 1: 'fetch_url' is no setting"):
        pictures_to_load(
            PromptRequest.require("a cat\ninput_image_url=http://example.com/a.png"),
            (),
            store.settings_file,
        )
    assert (
        pictures_to_load(PromptRequest.require("a cat\ninput_image=a.png"), (), store.settings_file)
        == {}
    )


def test_a_folder_that_cannot_be_written_is_told(store: PictureStore) -> None:
    store.input_folder.write_text("in the way", encoding="utf-8")
    request = PromptRequest.require(f"a cat\ninput_image_base64={TEXT}")
    _, [problem] = as_files(request, pictures_to_load(request, (), store.settings_file), store)
    assert (problem.code, problem.severity) == ("picture-not-written", "error")


def test_pictures_can_be_left_out_and_told_instead() -> None:
    pictures = {
        "image": ImageRef("url", "http://example.com/a.png"),
        "mask": ImageRef("base64", "AAAA"),
    }
    request = PromptRequest.require("a cat\ninput_image=b.png\nmask_image=c.png")
    assert (
        without_pictures(request, pictures).input_image
        is without_pictures(request, pictures).mask_image
        is None
    )
    assert named_files(request, ["mask"]) == ["b.png"]
    assert picture_origins(pictures).splitlines() == [
        "The input image is fetched from http://example.com/... when the prompt runs.",
        "The input mask is the one that the prompt holds as text.",
    ]
