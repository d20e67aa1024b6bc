"""A fleet of two real ComfyUIs, one of them ended amid 40 prompts: core's nodes, and no model."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.paths import FLEET_VENV
from comfyui_astria.nodes.tunes.prompts import Prompt
from comfyui_astria.tests.fleet.cluster import cluster_in, until
from PIL import Image

PROMPTS = 40
SIDE = 16
MACHINES = ("m1", "m2")
WAIT_S = 900


def prompt_of(number: int) -> Prompt:
    """Return a prompt that paints one colour, of its number, and enlarges it."""
    workflow: dict[str, Any] = {
        "base.image": {
            "class_type": "EmptyImage",
            "inputs": {"width": SIDE, "height": SIDE, "batch_size": 1, "color": number},
        },
        "base.scale": {
            "class_type": "ImageScaleBy",
            "inputs": {
                "image": ["base.image", 0],
                "upscale_method": "nearest-exact",
                "scale_by": 2.0,
            },
        },
        "output.save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["base.scale", 0], "filename_prefix": "astria"},
        },
    }
    return Prompt("690204", {"text": str(number)}, str(number), "http://127.0.0.1:8188", workflow)


@pytest.mark.long
@pytest.mark.skipif(
    sys.platform != "linux" or not (FLEET_VENV / ".packages").is_file(),
    reason="a fleet runs on Linux, after `python dev.py fleet setup`",
)
def test_two_real_comfyuis_answer_40_prompts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with cluster_in(tmp_path, MACHINES, current().comfyui) as cluster:
        store = cluster.furnish()
        cluster.start_dispatcher()
        until(lambda: len(cluster.status()["workers"]) == len(MACHINES), cluster, WAIT_S)
        ids = [store.add(prompt_of(number)).id for number in range(PROMPTS)]
        until(lambda: store.count_open() < PROMPTS - 5, cluster, WAIT_S)
        cluster.fake_of("m1").kill()
        until(lambda: not store.count_open(), cluster, WAIT_S)
        output = cluster.folder / "api" / "output"
        for number, id in enumerate(ids):
            done = store.get(id)
            assert done.user_error is None
            [image] = done.images
            content = (output / image["filename"]).read_bytes()
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            assert (picture.size, picture.getpixel((0, 0))) == ((2 * SIDE,) * 2, (0, 0, number))
        assert len(list(output.iterdir())) == PROMPTS
        with capsys.disabled():
            told = cluster.status()
            sys.stdout.write(f"\n40 answered once, {told['rerun']} run again\n")
