"""What an artist sees while AstriaGenerate runs.

Steps and previews on that node, and errors that name it.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph

# The host's binary event that carries a preview and the node it belongs to.
PREVIEW_WITH_METADATA = 4


async def messages_of(host: LiveHost, graph: dict[str, Any]) -> tuple[list[dict], list[dict]]:
    """Run the graph as a browser would.

    Return the websocket's messages and the metadata of its preview pictures.
    """
    told, previews = [], []
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{host.url}/ws?clientId=watch") as socket,
    ):
        # The browser says what it understands; without it the host sends previews without metadata.
        await socket.send_json(
            {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
        )
        async with session.post(
            f"{host.url}/prompt", json={"prompt": graph, "client_id": "watch"}
        ) as answer:
            prompt = (await answer.json())["prompt_id"]
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                if int.from_bytes(message.data[:4], "big") == PREVIEW_WITH_METADATA:
                    length = int.from_bytes(message.data[4:8], "big")
                    previews.append(json.loads(message.data[8 : 8 + length]))
                continue
            event = json.loads(message.data)
            told.append(event)
            finished = event["type"] in ("execution_success", "execution_error")
            if finished and event["data"]["prompt_id"] == prompt:
                return told, previews
    raise AssertionError("the socket closed before the run ended")


def watched(host: LiveHost, graph: dict[str, Any]) -> tuple[list[dict], list[dict]]:
    """Do the same in a thread of its own.

    The browser of other tests has an event loop running in this one.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(
            lambda: asyncio.run(asyncio.wait_for(messages_of(host, graph), 120))
        ).result()


@pytest.mark.parametrize("family", ["sd15", "flux"])
def test_steps_and_previews_belong_to_the_generate_node(host: LiveHost, family: str) -> None:
    graph = generate_graph(
        "a cat\nsteps=4\nw=128\nh=128\nscheduler=dpm++sde_karras", family, seed=4711
    )
    told, previews = watched(host, graph)
    states = [
        state
        for event in told
        if event["type"] == "progress_state"
        for state in event["data"]["nodes"].values()
    ]
    sampling = [state for state in states if state["max"] == 4]
    assert {state["display_node_id"] for state in sampling} == {"generate"}
    assert max(state["value"] for state in sampling) == 4
    assert previews, "the test hosts run with previews on"
    assert {one["display_node_id"] for one in previews} == {"generate"}


def test_an_error_inside_names_the_generate_node(host: LiveHost) -> None:
    told, _ = watched(host, generate_graph("a cat\ncontrolnet=hed"))
    [error] = [event["data"] for event in told if event["type"] == "execution_error"]
    assert (error["node_id"], error["node_type"]) == ("generate", "AstriaGenerate")
    assert (
        "controlnet=hed: ComfyUI has no node that draws this map from a picture"
        in error["exception_message"]
    )
