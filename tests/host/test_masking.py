"""Words -> masks on the live host.

The nodes in workflows, with the scripted segmenter and with a model from the user's folder.
"""

from __future__ import annotations

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import (
    node,
    notes_of,
    pictures,
    saved,
    text_of,
    upload_picture,
)
from comfyui_astria.tests.masking.tiny_models import write_clipseg
from comfyui_astria.tests.regions import comfy_inprocess
from scipy import ndimage

WIDTH, HEIGHT = 96, 64
NO_FILES = {
    "background_removal": "none",
    "sam3": "none",
    "grounding_dino": "none",
    "sam": "none",
    "clipseg": "none",
}
PLAIN = {
    "mask_negative": "",
    "mask_invert": False,
    "mask_dilate": "0",
    "shape": "round",
    "feather_px": 0,
    "threshold": 0.5,
    "on_empty": "error",
}


def figure(word: str) -> numpy.ndarray:
    """What the test pack's segmenter draws for a word, of all its figures together."""
    return numpy.any(
        [
            mask.numpy()
            for mask in comfy_inprocess.load("comfyui_astria.tests.testpack.segmenter").figures(
                word, WIDTH, HEIGHT
            )
        ],
        axis=0,
    )


def mask_graph(host: LiveHost, segmenter: dict, **inputs) -> dict:
    upload_picture(host, WIDTH, HEIGHT, "masked.png")
    return {
        "photo": node("LoadImage", image="masked.png"),
        "segmenter": segmenter,
        "mask": node(
            "AstriaPromptMask",
            image=["photo", 0],
            segmenter=["segmenter", 0],
            **{**PLAIN, **inputs},
        ),
        "shown": node("MaskToImage", mask=["mask", 0]),
        "save": node("SaveImage", images=["shown", 0], filename_prefix="mask"),
        "info": node("PreviewAny", source=["mask", 2]),
    }


def test_the_seeds_flags_keep_a_margin_around_what_is_kept(each_host: LiveHost) -> None:
    flags = {
        "mask_prompt": "foreground",
        "mask_negative": "clothes",
        "mask_invert": True,
        "mask_dilate": "-4",
    }
    entry = each_host.client.run(mask_graph(each_host, node("AstriaTestSegmenter"), **flags))
    kept = figure("foreground") & ~figure("clothes")
    expected = ndimage.distance_transform_edt(~kept) > 4
    [mask] = saved(each_host, entry)
    assert numpy.array_equal(mask[..., 0] == 255, expected) and set(numpy.unique(mask)) == {0, 255}
    assert "'clothes' 0.90 by the test segmenter; the mask covers" in text_of(entry, "info")


def test_a_picture_without_the_word_stops_the_run_with_the_words_score(host: LiveHost) -> None:
    with pytest.raises(
        RunError,
        match=(
            r"Nothing to mask was found in picture 1: 'cat' not found by the test segmenter"
            r" \(highest score 0\.10"
        ),
    ):
        host.client.run(mask_graph(host, node("AstriaTestSegmenter"), mask_prompt="cat"))
    assert (
        pictures(
            host, mask_graph(host, node("AstriaTestSegmenter"), mask_prompt="cat", on_empty="ones")
        )
        == 255
    ).all()


def test_a_model_from_the_users_folder(host: LiveHost) -> None:
    write_clipseg(host.base / "models" / "clipseg" / "tiny")
    loader = node("AstriaLoadSegmenter", **{**NO_FILES, "clipseg": "tiny"})
    entry = host.client.run(mask_graph(host, loader, mask_prompt="hat", threshold=0.0))
    assert (saved(host, entry) == 255).all()
    assert " by CLIPSeg; the mask covers 100.0%" in text_of(entry, "info")
    with pytest.raises(
        RunError, match="No model of this segmenter can look for 'foreground'; it has CLIPSeg"
    ):
        host.client.run(mask_graph(host, loader, mask_prompt="foreground"))


def test_a_loader_without_a_model_says_what_to_get_and_where(host: LiveHost) -> None:
    with pytest.raises(RunError) as caught:
        host.client.run(
            mask_graph(host, node("AstriaLoadSegmenter", **NO_FILES), mask_prompt="hat")
        )
    text = str(caught.value)
    assert "No segmentation model is chosen or connected." in text
    assert (
        f"birefnet.safetensors into {host.base / 'models' / 'background_removal'}, from"
        " https://huggingface.co/Comfy-Org/BiRefNet" in text
    )
    assert (
        f"into {host.base / 'models' / 'clipseg'}, from"
        " https://huggingface.co/CIDAS/clipseg-rd64-refined" in text
    )


def people_graph() -> dict:
    """Return nodes that find people, lay out regions for them, and do so for two pictures."""
    find = {"segmenter": ["segmenter", 0], "persons": 2, "word": "person"}
    size = {"width": WIDTH, "height": HEIGHT, "softness_px": 0}
    return {
        "people": node("AstriaFindPeople", image=["photo", 0], **find),
        "regions": node("AstriaRegions", persons=2, **size, masks=["people", 0]),
        "people_shown": node("MaskToImage", mask=["regions", 1]),
        "people_saved": node("SaveImage", images=["people_shown", 0], filename_prefix="people"),
        "two": node("RepeatImageBatch", image=["photo", 0], amount=2),
        "people_of_two": node("AstriaFindPeople", image=["two", 0], **find),
        "two_shown": node("MaskToImage", mask=["people_of_two", 0]),
        "two_saved": node("SaveImage", images=["two_shown", 0], filename_prefix="two"),
    }


def grown_graph() -> dict:
    """Return nodes that grow the mask by this pack and by the host, and save both."""
    nodes = {
        "ours": node(
            "AstriaAdjustMask",
            mask=["mask", 0],
            invert=False,
            dilate="7",
            shape="diamond",
            feather_px=0,
        ),
        "hosts": node("GrowMask", mask=["mask", 0], expand=7, tapered_corners=True),
    }
    for name in tuple(nodes):
        nodes[f"{name}_shown"] = node("MaskToImage", mask=[name, 0])
        nodes[f"{name}_saved"] = node(
            "SaveImage", images=[f"{name}_shown", 0], filename_prefix=name
        )
    return nodes


def test_found_people_become_regions_and_a_drawn_mask_grows_as_the_hosts(host: LiveHost) -> None:
    graph = mask_graph(host, node("AstriaTestSegmenter"), mask_prompt="door")
    entry = host.client.run(graph | people_graph() | grown_graph())
    left, right = saved(host, entry, "people_saved")[..., 0] > 0
    assert numpy.array_equal(left | right, figure("person"))
    assert not left[:, WIDTH // 2 :].any() and not right[:, : WIDTH // 2].any()
    assert "in the first of 2 pictures" in notes_of(entry, "people_of_two")
    assert "astria_notes" not in entry["outputs"].get("people", {}), "of one picture"
    ours, hosts = saved(host, entry, "ours_saved"), saved(host, entry, "hosts_saved")
    assert numpy.array_equal(ours, hosts) and (ours > 0).sum() > figure("door").sum() * 3
