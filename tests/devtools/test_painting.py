"""The pictures of the template browser: painted where something is kept, else a diagram."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from comfyui_astria.devtools import painting, thumbnails
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.painting import STEPS, at_its_best
from comfyui_astria.devtools.titles import TITLES
from comfyui_astria.nodes.prompt import PromptRequest
from PIL import Image

RED, BLUE = (200, 30, 30), (30, 30, 200)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of paintings with nothing in it."""
    monkeypatch.setattr(thumbnails, "PAINTED", tmp_path)
    return tmp_path


def keep(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (192, 128)) -> None:
    Image.new("RGB", size, colour).save(path)


def shown(name: str) -> Image.Image:
    return Image.open(io.BytesIO(thumbnails.thumbnail(name))).convert("RGB")


def is_near(pixel: tuple[int, ...], colour: tuple[int, int, int]) -> bool:
    return all(abs(one - other) < 12 for one, other in zip(pixel, colour, strict=True))


def test_a_painting_is_shown_where_one_is_kept(kept: Path) -> None:
    diagram = shown("style")
    keep(kept / "style.jpg", RED)
    painted = shown("style")
    assert painted.size == diagram.size == (thumbnails.SIZE, thumbnails.SIZE)
    middle = (thumbnails.SIZE // 2, (thumbnails.SIZE - thumbnails.BAND) // 2)
    assert is_near(painted.getpixel(middle), RED)
    assert not is_near(diagram.getpixel(middle), RED)


def test_a_painting_that_began_with_a_picture_shows_both(kept: Path) -> None:
    keep(kept / "image_to_image.jpg", RED, (128, 128))
    keep(kept / f"image_to_image{thumbnails.BEFORE}.jpg", BLUE, (128, 128))
    painted = shown("image_to_image")
    height = (thumbnails.SIZE - thumbnails.BAND) // 2
    assert is_near(painted.getpixel((100, height)), BLUE)
    assert is_near(painted.getpixel((thumbnails.SIZE - 100, height)), RED)


def test_a_name_that_no_example_has_is_told_before_anything_is_painted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begun(*given: object) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(painting, "Host", begun)
    with pytest.raises(DevError, match="no example 'multi_persons'"):
        painting.run(None, ["multi_persons"])


def test_every_painting_is_of_a_template() -> None:
    names = {path.name.partition(".")[0] for path in thumbnails.PAINTED.glob("*.jpg")}
    assert names
    assert names <= set(TITLES)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("a cat\nw=64\nh=96", (128, 192, None, None)),
        ("a cat\nw=128\nh=72", (192, 128, None, None)),
        ("a cat\nw=96\nh=96", (128, 128, None, None)),
        (
            "a cat --outpaint center --outpaint_width 224 --outpaint_height 128\nw=128\nh=128",
            (128, 128, 224, 128),
        ),
        (
            "--outpaint center --outpaint_width 64 --outpaint_height 96\nw=48\nh=64",
            (96, 128, 128, 192),
        ),
        ("a cat\nw=64\nh=96\nhires_fix=true", (88, 128, None, None)),
        ("BREAK BREAK a BREAK b\nw=128\nh=96\nhires_fix=true", (168, 128, None, None)),
        ("a cat", (None, None, None, None)),
    ],
)
def test_a_template_is_painted_in_sizes_that_the_world_knows(
    text: str, sizes: tuple[int | None, ...]
) -> None:
    asked = at_its_best(PromptRequest.require(f"{text}\nnum_images=4\nsteps=30"), "sd15")
    assert (asked.w, asked.h, asked.outpaint_width, asked.outpaint_height) == sizes
    assert (asked.num_images, asked.steps, asked.cfg_scale) == (1, STEPS, 4)
    assert at_its_best(asked, "flux").cfg_scale is None
