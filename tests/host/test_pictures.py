"""Pictures as other nodes and hosts give them.

With alpha, in half precision, several at once with a mask each.
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
    saved,
    upload_picture,
)

OUTPAINT = (
    "fields --outpaint top-left --outpaint_width 96 --outpaint_height"
    f" 72\n{STEPS}\ndenoising_strength=0"
)


def _photo(host: LiveHost, name: str, *, alpha: bool = False) -> tuple[dict, numpy.ndarray]:
    levels = upload_picture(host, 61, 50, name)
    nodes = {"photo": node("LoadImage", image=name)}
    if alpha:
        nodes |= {
            "file": nodes["photo"],
            "alpha": node("SolidMask", value=0.3, width=61, height=50),
        }
        nodes["photo"] = node("JoinImageWithAlpha", image=["file", 0], alpha=["alpha", 0])
    return nodes, levels


def _patch(height: int) -> dict:
    """Return nodes whose `mask` is 1 in the upper `height` rows."""
    return {
        "solid": node("SolidMask", value=0.0, width=61, height=50),
        "patch": node("SolidMask", value=1.0, width=61, height=height),
        "mask": node(
            "MaskComposite",
            destination=["solid", 0],
            source=["patch", 0],
            x=0,
            y=0,
            operation="add",
        ),
    }


@pytest.mark.parametrize(("name", "alpha"), [("host", True), ("classic_host", False)])
@pytest.mark.parametrize("family", ["sd15", "sd15_inpaint"])
def test_alpha_and_half_precision_keep_what_is_to_be_kept(
    request: pytest.FixtureRequest, name: str, alpha: bool, family: str
) -> None:
    host = request.getfixturevalue(name)
    photo, levels = _photo(host, "photo.png", alpha=alpha)
    [outpainted] = pictures(host, {**generate_graph(OUTPAINT, family, image=["photo", 0]), **photo})
    assert numpy.array_equal(outpainted[:50, :61], levels)
    masked = generate_graph(f"a cat\n{STEPS}", family, image=["photo", 0], mask=["mask", 0])
    [edited] = pictures(host, {**masked, **photo, **_patch(20)})
    assert numpy.array_equal(edited[20:], levels[20:])
    assert not numpy.array_equal(edited[:20], levels[:20])


def test_super_resolution_takes_alpha_and_half_precision(
    host: LiveHost, classic_host: LiveHost
) -> None:
    text = "denoising_strength=0\nsuper_resolution=true"
    for live, alpha in ((host, True), (classic_host, False)):
        photo, _ = _photo(live, "photo.png", alpha=alpha)
        graph = {
            **generate_graph(text, image=["photo", 0], upscale_model=["up", 0]),
            **photo,
            "up": node("AstriaTestUpscaler"),
        }
        assert pictures(live, graph).shape == (1, 200, 244, 3)
    thrice = node("AstriaSuperResolution", image=["photo", 0], upscale_model=["up", 0], factor=3.0)
    graph = {
        **photo,
        "up": node("AstriaTestUpscaler"),
        "large": thrice,
        "save": node("SaveImage", images=["large", 0], filename_prefix="large"),
    }
    assert pictures(classic_host, graph).shape == (1, 150, 183, 3)


@pytest.mark.parametrize("family", ["sd15", "sd15_inpaint"])
def test_each_image_of_a_repeated_batch_keeps_its_own_mask(host: LiveHost, family: str) -> None:
    photo, levels = _photo(host, "photo.png")
    graph = {
        **generate_graph(
            f"a cat\n{STEPS}\ndenoising_strength=1\nnum_images=2",
            family,
            image=["two", 0],
            mask=["masks", 0],
        ),
        **photo,
        **_patch(20),
        "two": node("RepeatImageBatch", image=["photo", 0], amount=2),
        "mask_picture": node("MaskToImage", mask=["mask", 0]),
        "none": node("EmptyImage", width=61, height=50, batch_size=1, color=0),
        "pair": node("ImageBatch", image1=["mask_picture", 0], image2=["none", 0]),
        "masks": node("ImageToMask", image=["pair", 0], channel="red"),
    }
    edited = pictures(host, graph)
    assert len(edited) == 4
    changed = [not numpy.array_equal(one[:20], levels[:20]) for one in edited]
    assert changed == [True, False, True, False]
    assert all(numpy.array_equal(one[20:], levels[20:]) for one in edited)


def test_a_list_of_pictures_is_worked_on_as_their_batch(host: LiveHost) -> None:
    for number, width in enumerate((64, 64, 72)):
        upload_picture(host, width, 48 + number, f"listed_{number}.png")
    loaded = {
        f"photo_{number}": node("LoadImage", image=f"listed_{number}.png") for number in range(3)
    }
    loaded["photo_1"] = node(
        "ImageScale",
        image=["file_1", 0],
        upscale_method="nearest-exact",
        width=64,
        height=48,
        crop="disabled",
    )
    loaded["file_1"] = node("LoadImage", image="listed_1.png")
    batch = {**loaded, "both": node("ImageBatch", image1=["photo_0", 0], image2=["photo_1", 0])}
    listed = {**batch, "list": node("RebatchImages", images=["both", 0], batch_size=1)}
    text = f"a cat\n{STEPS}\ndenoising_strength=0.5"
    expected = pictures(host, {**generate_graph(text, image=["both", 0]), **batch})
    entry = host.client.run({**generate_graph(text, image=["list", 0]), **listed})
    assert len(expected) == 2
    assert numpy.array_equal(saved(host, entry), expected)
    sizes = {
        **loaded,
        "list": node(
            "CreateList", **{"inputs.input0": ["photo_0", 0], "inputs.input1": ["photo_2", 0]}
        ),
    }
    with pytest.raises(RunError, match="A list of 2 pictures holds different sizes"):
        host.client.run({**generate_graph(text, image=["list", 0]), **sizes})
