"""The API on a real host.

Requests a second for making and getting, and its overhead against posting the same workflow to
ComfyUI directly.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from comfyui_astria.bench._figures import figure
from comfyui_astria.devtools.client import Client
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions

COUNT = 100
SIDES = range(48, 48 + 8 * COUNT, 8)
PICTURE = "bench.png"
BINDINGS = "[base 690204]\nfamily = sd15\ncheckpoint = tiny_sd15.safetensors\n"


def run() -> list[dict]:
    """Return the figures.

    The prompts paint nothing, so that what is measured is the way to the queue and back.
    """
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _furnish(base)
        with Host(current(), HostOptions(base)) as host:
            return _figures(host.client)


def _furnish(base: Path) -> None:
    from PIL import Image

    for path, text in (
        (base / "user" / "__astria" / "bindings.ini", BINDINGS),
        (base / "models" / "checkpoints" / "tiny_sd15.safetensors", ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (base / "input").mkdir()
    Image.new("RGB", (64, 64), (90, 120, 150)).save(base / "input" / PICTURE)


def _figures(client: Client) -> list[dict]:
    made: list[dict] = []
    create_s = _each(lambda number: made.append(_made(client, number)))
    get_s = _each(
        lambda number: client.get_json(f"/astria/tunes/690204/prompts/{made[number]['id']}")
    )
    whole_s = _wait(client, made)
    graph = _workflow_of(client, made[0])
    ids: list[str] = []
    direct_s = _each(lambda number: ids.append(client.queue(_sized(graph, number))))
    for id in ids:
        client.wait(id)
    return [
        figure("prompts made a second, one program", round(1 / create_s, 1), "1/s"),
        figure("prompts got a second, one program", round(1 / get_s, 1), "1/s"),
        figure("making a prompt", round(create_s * 1000, 2), "ms"),
        figure("posting the same workflow to ComfyUI directly", round(direct_s * 1000, 2), "ms"),
        figure("overhead of the API a prompt", round((create_s - direct_s) * 1000, 2), "ms"),
        figure(
            f"until the last of {COUNT} is done, after the last was made", round(whole_s, 2), "s"
        ),
    ]


def _each(act: Callable[[int], object]) -> float:
    """Return the median seconds of `act`, called with 0, 1, 2 ..."""
    times = []
    for number in range(COUNT):
        start = time.perf_counter()
        act(number)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _made(client: Client, number: int) -> dict:
    sent = {
        "text": "",
        "input_image": PICTURE,
        "denoising_strength": 0,
        "w": 64,
        "h": SIDES[number],
    }
    status, answer = client.post_json("/astria/tunes/690204/prompts", {"prompt": sent})
    if status != 201:
        raise RuntimeError(f"HTTP {status}: {json.dumps(answer)[:500]}")
    return answer


def _wait(client: Client, made: list[dict]) -> float:
    start = time.perf_counter()
    while not client.get_json(f"/astria/tunes/690204/prompts/{made[-1]['id']}")["trained_at"]:
        time.sleep(0.05)
    return time.perf_counter() - start


def _workflow_of(client: Client, prompt: dict) -> dict:
    """Return the workflow that a prompt became, from ComfyUI's history."""
    wanted = prompt["h"]
    for entry in client.get_json("/history").values():
        graph = entry["prompt"][2]
        if graph["input.fit"]["inputs"]["height"] == wanted:
            return graph
    raise RuntimeError(f"the history holds no workflow of height {wanted}")


def _sized(graph: dict, number: int) -> dict:
    fit = {
        **graph["input.fit"],
        "inputs": {**graph["input.fit"]["inputs"], "width": 72, "height": SIDES[number]},
    }
    return {**graph, "input.fit": fit}
