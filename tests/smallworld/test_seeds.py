"""Each seed prompt through POST /astria/generate on the small world, and its picture read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.devtools.world_photos import keep_photos
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.smallworld.comparing import READABLE, person_words, scene_words
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.reader import Reading, read
from comfyui_astria.smallworld.scene import Scene
from comfyui_astria.tests.host.api_support import Api
from comfyui_astria.tests.smallworld.seeds import (
    HAIRED,
    WIDE,
    WIDE_WORDS,
    WORDS,
    seed_request,
    small_seed,
)
from PIL import Image

FAMILY = "sd15"
RUN_S = 120
PHOTO_SETS = {1: 64}  # of the seeds' FaceIDs -> whose photos they are: a woman's
UPSCALED = 4


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    options = HostOptions(tmp_path_factory.mktemp("smallworld"), small_world=True)
    with Host(current(), options) as running:
        small_world.furnish(running, FAMILY)
        keep_photos(running.base, PHOTO_SETS)
        yield running


@pytest.mark.parametrize("name", WORDS)
def test_a_seed_prompt_paints_its_words(host: Host, name: str) -> None:
    reading = painted(host, small_seed(name, FAMILY))
    seen = words_of(reading)
    assert seen >= WORDS[name], seen
    if name in HAIRED:
        assert sum(bool(person.hair) for person in reading.people) == HAIRED[name]


@pytest.mark.parametrize("name", WIDE_WORDS)
def test_a_seed_prompt_paints_all_its_people_on_a_larger_picture(host: Host, name: str) -> None:
    width, height = WIDE
    seen = words_of(painted(host, replace(small_seed(name, FAMILY), w=width, h=height)))
    assert seen >= WIDE_WORDS[name], seen


def painted(host: Host, request: PromptRequest) -> Reading:
    """Paint a request through the API and return what is read in its picture."""
    api = Api(host.url)
    answer = api.post("/generate", json={"prompt": request.to_text()})
    assert answer.status_code == 201, answer.text
    done = api.finished(answer.json(), RUN_S)
    assert done["user_error"] is None
    picture = api.picture(done["images"][0]).convert("RGB")
    asked = (request.outpaint_width, request.outpaint_height)
    size = asked if request.outpaint else (request.w or 128, request.h or 128)
    factor = UPSCALED if request.super_resolution else 1
    assert picture.size == tuple(side * factor for side in size)
    return read(picture.resize(size, Image.Resampling.BOX))


def words_of(reading: Reading) -> frozenset[str]:
    return scene_words(reading).union(*map(person_words, reading.people))


@pytest.mark.parametrize("name", WORDS)
def test_words_of_seeds_are_words_that_a_reader_can_find(name: str) -> None:
    assert WORDS[name]
    assert WORDS[name] <= READABLE
    assert small_world.small(seed_request(name).to_text()) is not None


def test_a_picture_of_something_else_shows_no_seed() -> None:
    reading = read(drawn(Scene(128, 128, "desert", "night", 72)))
    seen = words_of(reading)
    assert seen == {"desert", "night", "nobody"}
    assert not any(seen >= words for words in WORDS.values())
