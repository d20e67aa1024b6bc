"""What a request may hold, held against texts that are made to cost much."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

import pytest
from comfyui_astria.nodes.api.fields import nested
from comfyui_astria.nodes.api.form_text import form_pairs, last_name
from comfyui_astria.nodes.api.held_pixels import check_pixels
from comfyui_astria.nodes.api.host.picture_threads import names_address
from comfyui_astria.nodes.api.json_text import from_json
from comfyui_astria.nodes.api.limits import (
    MAX_DEPTH,
    MAX_FIELDS,
    MAX_KEY,
    MAX_TEXT_BYTES,
    base64_bytes,
)
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.pipeline.build.stage_list import Stage
from comfyui_astria.nodes.tunes.prompts import Prompt
from hypothesis import given, settings
from hypothesis import strategies as st

IMAGE = 2_000_000
PICTURE = base64.b64encode(bytes(range(256)) * 5000).decode()  # longer than texts may be
KEYS = st.sampled_from(["images", "input_image", "x_base64", "title", 'a"b', "\\", ""])
JSON = st.recursive(
    st.none()
    | st.integers(-(10**9), 10**9)
    | st.text('"\\/a\n\u00e4[]{},: ', max_size=9)
    | st.sampled_from(["A" * 2000, "data:image/png;base64," + "A+/=" * 500]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.dictionaries(KEYS, JSON, max_size=3), st.booleans())
def test_ordinary_json_is_read_as_it_is(value: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
    with contextlib.suppress(ApiError):  # a few are nested too deep
        assert from_json(text.encode()) == value


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"a": "' + b"x" * MAX_TEXT_BYTES + b'"}', 413, f"more than {MAX_TEXT_BYTES} bytes"),
        (b'{"a"' + b" " * MAX_TEXT_BYTES + b": 1}", 413, f"more than {MAX_TEXT_BYTES} bytes"),
        (b'{"images": "' + b'\\"' * MAX_TEXT_BYTES + b'"}', 413, "bytes of text"),
        (b'{"images": [],"title"  :"' + PICTURE.encode() + b'"}', 413, "bytes of text"),
        (b'{"images": "' + b"A" * (base64_bytes(IMAGE) + 1) + b'"}', 413, "images has"),
        (b'{"a": [' + b"0," * MAX_FIELDS + b"0]}", 413, f"expected at most {MAX_FIELDS}"),
        (b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", 422, f"{MAX_DEPTH + 1} deep"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', 400, "'c' is given twice"),
        (b'{"' + b"k" * (MAX_KEY + 1) + b'": 1}', 400, f"it has {MAX_KEY + 1} characters"),
        (b'{"a": ' + b"1" * 21 + b"}", 400, "21 digits; expected at most 20"),
        (b'{"a": -1e400}', 400, "larger than any number"),
        (b'{"a": NaN}', 400, "NaN is no number"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_json_beyond_the_limits_is_refused(body: bytes, status: int, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        from_json(body, IMAGE)
    assert message in refused.value.message
    assert refused.value.status == status


def test_pictures_in_base64_are_no_text() -> None:
    """Also as other languages write them: with the slash escaped, or as a data address."""
    sent = {"tune": {"images": [PICTURE, f"data:image/png;base64,{PICTURE}"], "title": 'a "b"'}}
    text = json.dumps(sent)
    assert from_json(text.encode(), IMAGE) == sent
    assert from_json(text.replace("/", "\\/").encode(), IMAGE) == sent
    assert from_json(json.dumps({"file": PICTURE}).encode(), IMAGE) == {"file": PICTURE}
    pairs = [("tune[images][]", PICTURE), ("tune[images][]", PICTURE), ("tune[title]", "ä & =")]
    form = urllib.parse.urlencode(pairs).encode()
    assert form_pairs(form, IMAGE) == pairs


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (b"prompt[text]=" + b"%41" * MAX_TEXT_BYTES, ApiError),
        (b"a=1&" * MAX_FIELDS + b"a=1", ApiError),
        (b"input_image=" + b"A" * (base64_bytes(IMAGE) + 1), ApiError),
        (b"input_image=" + b"%41" * 100_000, ValueError),
        (b"a", ValueError),
        (b"a=%ff", ValueError),
    ],
    ids=lambda value: str(value)[:20],
)
def test_forms_beyond_the_limits_are_refused(form: bytes, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        form_pairs(form, IMAGE)
    assert isinstance(refused.value, ApiError) == (error is ApiError)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=5))
def test_any_form_is_read_as_it_is(pairs: list[tuple[str, str]]) -> None:
    assert form_pairs(urllib.parse.urlencode(pairs).encode(), IMAGE) == pairs


def test_a_name_without_an_end_takes_no_time_of_others() -> None:
    """Looked at whole, this one would take hours."""
    for form in (b"a" * 500_000 + b"[=1", b"]" * 500_000 + b"=1"):
        with pytest.raises(ApiError):
            nested(form_pairs(form, 1_000_000))


def test_the_attribute_of_a_name_in_brackets() -> None:
    names = ("images", "tune[images][]", "prompt[input_image]", "p[0][text]", "a[2]", "[")
    assert [last_name(name) for name in names] == [
        "images",
        "images",
        "input_image",
        "text",
        "a",
        "[",
    ]


@pytest.mark.parametrize(
    ("size", "num_images", "input_pixels", "megapixels"),
    [
        ("4096x4096", 8, 0, 134),
        ("the input image's size", 1, 50_000_000, 50),
        ("4x the input image's size", 2, 1_000_000, 32),
    ],
)
def test_pixels_of_all_pictures_count(
    size: str, num_images: int, input_pixels: int, megapixels: int
) -> None:
    stages = [Stage("base", "txt2img", "", "64x64"), Stage("last", "", "", size)]
    check_pixels(stages, num_images, input_pixels, megapixels + 1)
    with pytest.raises(ApiError, match=f"are {megapixels} megapixels; expected at most") as refused:
        check_pixels(stages, num_images, input_pixels, megapixels - 1)
    assert f"{num_images} picture(s) of {size} (last)" in refused.value.message


def test_addresses_anywhere_but_the_callback_are_fetched() -> None:
    assert names_address({"image_urls": ["http://a.b/c"]})
    assert names_address({"text": "a cat\ninput_image=https://a.b/c"})
    assert names_address({"prompts_attributes": [{"input_image": "http://a.b/c"}]})
    assert not names_address({"text": "a cat", "callback": "http://a.b/c", "w": 64})


@pytest.mark.parametrize(
    ("fields", "is_fetched"),
    [
        ({"text": "a cat", "input_image_url": "https://a.b/c"}, True),
        ({"text": "a cat\ninput_image_url=https://a.b/c"}, True),
        ({"text": "a cat", "input_image": "astria/a.png"}, False),
    ],
)
def test_addresses_of_a_stored_prompt_are_fetched_too(
    fields: Mapping[str, Any], is_fetched: bool
) -> None:
    stored = Prompt("7", fields, "d", "http://host", {}, callback="http://a.b/c")
    assert names_address(stored) is is_fetched
