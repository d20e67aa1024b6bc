"""Bodies and ids of API requests as hypothesis makes them: likely names, unlikely values."""

from __future__ import annotations

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=5,
)
NAMES = st.sampled_from(
    [
        "text",
        "prompt",
        "tune",
        "title",
        "model_type",
        "images",
        "image_urls",
        "callback",
        "w",
        "h",
        "steps",
        "seed",
        "style",
        "num_images",
        "input_image",
        "input_image_url",
        "input_image_base64",
        "mask_image",
        "base_tune_id",
        "branch",
        "file",
        "controlnet",
        "denoising_strength",
        "prompts_attributes",
        "super_resolution",
        "hires_fix",
        "face_swap",
        "scheduler",
        "token",
        "cfg_scale",
        "characteristics",
        "tune_ids",
        "prompt_ids",
        "prompt_attributes",
        "slug",
        "file_url",
    ]
)
LIKELY = st.sampled_from(
    [
        "faceid",
        "lora",
        "true",
        "-1",
        "1e400",
        "../../x",
        "http://127.0.0.1/",
        "data:image/png;base64,AAAA",
        "\x00",
        "\ud800",
        "a cat",
        "<lora:1:1>",
        "<faceid:1:1>",
        "BREAK",
        "--outpaint center",
        0,
        -1,
        2**70,
        1e308,
        [],
        {},
        None,
        True,
    ]
)
BODIES = st.dictionaries(NAMES, JSON | LIKELY, max_size=6)
IDS = st.sampled_from(
    [
        "690204",
        "1504944",
        "1",
        "0",
        "-1",
        "99999999999999999999",
        "x",
        "%00",
        "..%2f..",
        "a.json",
        "é",
    ]
)
