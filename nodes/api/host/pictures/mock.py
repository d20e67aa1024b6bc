"""Prompts at a mock, a tune of branch fast: placeholders on ComfyUI's queue, and no model."""

from __future__ import annotations

import io
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import folder_paths
from PIL import Image

from ....families.family import FAMILIES, Family
from ....graph.graph import api_workflow
from ....host.state import state_folder
from ....net.files import INPUT_FOLDER, picture_name
from ....net.problems import ApiError, Problems
from ....prompt import ImageRef
from ....tunes.bindings import KNOWN_BASES
from ....tunes.file_search import Missing
from ....tunes.host.state import make_resolver
from ....tunes.names import name_problem, shown
from ....tunes.state import bindings_in
from ....tunes.tune import Tune
from ...pictures.mock import FILE_PREFIX, Placeholder, asked_size, check_area, drawn, saved
from ...pictures.sizes import upright_size
from ..missing import tags_of
from ..reading import AttributeReading

MAX_SEED = 2**32
MOST_TAGS = 50  # of a mock's text that are looked up


@dataclass(frozen=True)
class Workflow:
    """A prompt's nodes, its pictures by their names in the input folder, and its notices."""

    nodes: Mapping[str, Any]
    pictures: Mapping[str, bytes]
    notices: tuple[str, ...]


def mocked(tune: Tune, reading: AttributeReading, problems: Problems) -> Workflow:
    """Return placeholders for what was read.

    Raises: ApiError for `problems` noted already, or for a named picture that is not there.
    """
    problems.refuse()
    request = reading.request
    assert request is not None, "wrong attributes were refused above"
    size = _size_of(request.input_image, "input_image", reading)
    _size_of(request.mask_image, "mask_image", reading)
    width, height = asked_size(request, _family(tune), size)
    seed = secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
    text = str(reading.attributes.get("text") or reading.attributes.get("prompt") or "")
    count = request.num_images or 1
    check_area(width, height, count)
    pictures: dict[str, bytes] = {}
    for number in range(1, count + 1):
        content = drawn(Placeholder(tune.id, text, seed, number, count), width, height)
        name = picture_name(content, "the placeholder", len(content))
        pictures[f"{INPUT_FOLDER}/{FILE_PREFIX}{name}"] = content
    notice = f"Tune {tune.id} is a mock (branch=fast): no model ran, its pictures are placeholders."
    return Workflow(
        api_workflow(saved(list(pictures))),
        {**reading.contents, **pictures},
        (*reading.notices, notice, *_absent(reading.attributes)),
    )


def _size_of(named: ImageRef | None, key: str, reading: AttributeReading) -> tuple[int, int] | None:
    """Return width and height of an input picture as its camera held it."""
    if named is None:
        return None
    content = reading.contents.get(named.value)
    if content is None:
        problem = name_problem(named.value)
        if problem or not folder_paths.exists_annotated_filepath(named.value):
            reason = problem or "there is no such file in ComfyUI's input folder"
            raise ApiError(f"{key} {shown(named.value)}: {reason}", code="picture-name")
    source = (
        folder_paths.get_annotated_filepath(named.value) if content is None else io.BytesIO(content)
    )
    try:
        return upright_size(source)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        text = f"{key} {shown(named.value)} is no picture that can be read"
        raise ApiError(text, code="bad-picture") from error


def _family(tune: Tune) -> Family:
    """Return the family whose native size counts: that of the tune's base, where it is known."""
    id = str(tune.base_tune_id)
    if base := bindings_in(state_folder()).bases.get(id):
        return base.facts()
    known = KNOWN_BASES.get(id)
    return FAMILIES[known.family if known else "sd15"]


def _absent(attributes: Mapping[str, Any]) -> list[str]:
    """Return notices on the tags of the text that a real base would refuse."""
    resolver = make_resolver()
    notices = []
    tags = list(tags_of(attributes))
    if len(tags) > MOST_TAGS:
        notices.append(f"Of {len(tags)} tags the first {MOST_TAGS} were looked up.")
    for what, name in tags[:MOST_TAGS]:
        if what == "embedding":
            found = resolver.locate("embedding", name, ("embeddings",))
        else:
            found = resolver.lora(name) if what == "LoRA" else resolver.faceid(name)
        tune = None if what == "embedding" else resolver.tune_of(name)
        if isinstance(found, Missing) and not (tune is not None and tune.is_mock):
            notices.append(
                f"{what} {shown(name)} is not here: a mock needs none, a real base does."
            )
    return notices
