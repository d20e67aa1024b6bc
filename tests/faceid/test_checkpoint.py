"""Adapter files: every published layout with its full names and shapes, and what is said of files
that are none.
"""

from __future__ import annotations

import pytest
import torch
from comfyui_astria.nodes.faceid.checkpoint import kind_of, read_adapter
from comfyui_astria.nodes.faceid.errors import FaceIDError
from comfyui_astria.tests.faceid.adapters import (
    PUBLISHED,
    SDXL,
    Layout,
    Sizes,
    State,
    adapter_file,
    tiny_file,
)

META = {"device": "meta", "dtype": torch.float16}


def file_of(layout: Layout) -> State:
    return adapter_file(layout.kind, layout.widths, Sizes(layout.context, layout.tokens))


@pytest.mark.parametrize("layout", PUBLISHED, ids=lambda layout: layout.file)
def test_every_published_layout_is_known_and_complete(layout: Layout) -> None:
    state = file_of(layout)
    assert kind_of(state, layout.file) == layout.kind
    adapter = read_adapter(state, layout.file, layout.kind)
    assert [tuple(to_k.shape) for to_k, _ in adapter.keys_values] == [
        (width, layout.context) for width in layout.widths
    ]
    assert len(adapter.keys_values) == (70 if layout.widths is SDXL else 16)
    assert len(adapter.lora) == (
        0 if layout.kind.startswith("portrait") else 2 * 4 * 2 * len(layout.widths)
    )
    assert adapter.width == layout.context


@pytest.mark.parametrize(
    "layout", [layout for layout in PUBLISHED if layout.size], ids=lambda layout: layout.file
)
def test_the_layouts_have_the_published_sizes(layout: Layout) -> None:
    size = sum(value.numel() * 2 for part in file_of(layout).values() for value in part.values())
    assert 0 < layout.size - size < 0.001 * layout.size


@pytest.mark.parametrize("layout", PUBLISHED, ids=lambda layout: layout.file)
@pytest.mark.parametrize("part", ["ip_adapter", "adapter_modules"])
def test_prefixed_names_are_the_same_file(layout: Layout, part: str) -> None:
    state = file_of(layout)
    flat = {
        f"{prefix}.{name}": value
        for prefix, section in (("image_proj", state["image_proj"]), (part, state["ip_adapter"]))
        for name, value in section.items()
    }
    assert kind_of(flat, layout.file) == layout.kind
    assert (
        read_adapter(flat, layout.file, layout.kind).lora.keys()
        == read_adapter(state, layout.file, layout.kind).lora.keys()
    )
    nested = {"image_proj": state["image_proj"], part: state["ip_adapter"]}
    assert len(read_adapter(nested, layout.file, layout.kind).keys_values) == len(layout.widths)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ip-adapter-faceid-plusv2_sd15.bin", "plusv2"),
        ("sub/IP-Adapter-FaceID-PlusV2_SDXL.safetensors", "plusv2"),
        ("faceid-plus-v2.bin", "plusv2"),
        ("sub\\ip-adapter-faceid-plus_sd15.bin", "plus"),
        ("plusv2/my_plus.bin", "plus"),
    ],
)
def test_plus_and_plusv2_differ_by_name_only(name: str, kind: str) -> None:
    assert kind_of(tiny_file("plus", "sd15"), name) == kind


def test_asked_for_a_portrait_both_of_them_are_one() -> None:
    """As --faceid_portrait asks: which of the two a file is, its weights say."""
    for kind in ("portrait", "portrait_unnorm"):
        assert kind_of(tiny_file(kind, "sdxl"), "face.bin", "portrait") == kind


def test_a_name_that_does_not_say_which_plus_is_an_error() -> None:
    with pytest.raises(FaceIDError, match="a FaceID Plus or a FaceID PlusV2") as raised:
        kind_of(tiny_file("plus", "sd15"), "face.bin")
    assert raised.value.code == "faceid-ambiguous" and "plus or plusv2" in raised.value.hint
    for asked in ("plus", "plusv2"):
        assert kind_of(tiny_file("plus", "sd15"), "face.bin", asked) == asked


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ("faceid", "portrait"),
        ("portrait", "faceid"),
        ("plusv2", "faceid"),
        ("pulid", "plus"),
        ("portrait_unnorm", "portrait"),
    ],
)
def test_a_file_is_not_what_it_is_not(asked: str, made: str) -> None:
    with pytest.raises(
        FaceIDError, match=f"is set to be {asked}; its weights are those of .*{made}"
    ):
        kind_of(tiny_file(made, "sd15"), "a_plus.bin", asked)


@pytest.mark.parametrize(
    "state",
    [
        {"pulid_ca.0.norm1.weight": torch.ones(1)},
        {"pulid_encoder": {"latents": torch.ones(1)}, "pulid_ca": {}},
    ],
)
def test_pulid_is_known_by_its_names(state: dict) -> None:
    assert kind_of(state, "pulid_flux_v0.9.1.safetensors") == "pulid"


@pytest.mark.parametrize(
    ("state", "what"),
    [
        ({}, "it has neither image_proj nor ip_adapter"),
        ({"model.diffusion_model.x": torch.ones(1)}, "it has neither image_proj nor ip_adapter"),
        (
            {"image_proj": {"proj.weight": torch.empty(3072, 1024, **META)}, "ip_adapter": {}},
            "an IP-Adapter for pictures",
        ),
        (
            {
                "image_proj": {
                    "latents": torch.empty(1, 16, 768, **META),
                    "proj_in.weight": torch.empty(768, 1280, **META),
                },
                "ip_adapter": {},
            },
            "an IP-Adapter for pictures",
        ),
        ({"image_proj": {"odd": torch.ones(1)}, "ip_adapter": {}}, "its image_proj holds odd"),
    ],
)
def test_other_files_are_named_for_what_they_are(state: dict, what: str) -> None:
    with pytest.raises(FaceIDError, match=what) as raised:
        kind_of(state, "some.bin")
    assert raised.value.code == "faceid-file" and "some.bin" in str(raised.value)


DAMAGES = [
    ("faceid", "image_proj", "proj.2.bias", None, "image_proj lacks proj.2.bias"),
    ("faceid", "image_proj", "proj.2.weight", None, "proj.2.weight is missing"),
    (
        "faceid",
        "image_proj",
        "norm.weight",
        (64, 1),
        "norm.weight has the shape (64, 1), expected 1 dimensions",
    ),
    (
        "faceid",
        "image_proj",
        "proj.0.bias",
        (1023,),
        "image_proj.proj.0.bias has the shape (1023,), expected (1024,)",
    ),
    (
        "faceid",
        "image_proj",
        "proj.9.bias",
        (3,),
        "image_proj holds proj.9.bias, which belong to no layer",
    ),
    ("faceid", "ip_adapter", "7.to_k_ip.weight", None, "ip_adapter lacks 7.to_k_ip.weight"),
    (
        "faceid",
        "ip_adapter",
        "7.to_v_ip.weight",
        (64, 63),
        "ip_adapter.7.to_v_ip.weight has the shape (64, 63), expected (64, 64)",
    ),
    (
        "faceid",
        "ip_adapter",
        "6.to_out_lora.up.weight",
        None,
        "ip_adapter lacks 6.to_out_lora.up.weight",
    ),
    ("faceid", "ip_adapter", "7.to_q_lora.down.weight", None, "7.to_q_lora.down.weight is missing"),
    ("faceid", "ip_adapter", "31.to_v_ip.weight", None, "ip_adapter lacks 31.to_v_ip.weight"),
    (
        "plusv2",
        "image_proj",
        "perceiver_resampler.layers.3.1.3.weight",
        None,
        "image_proj lacks perceiver_resampler.layers.3.1.3.weight",
    ),
    (
        "plusv2",
        "image_proj",
        "perceiver_resampler.layers.0.0.to_kv.weight",
        (64, 64),
        "perceiver_resampler.layers.0.0.to_kv.weight has the shape (64, 64), expected (128, 64)",
    ),
    ("portrait", "ip_adapter", "0.odd", (1,), "ip_adapter holds 0.odd, which belong to no layer"),
    ("portrait_unnorm", "image_proj", "norm_out.weight", None, "norm_out.weight is missing"),
]


@pytest.mark.parametrize(("kind", "part", "key", "shape", "what"), DAMAGES)
def test_damaged_files_name_the_weight(
    kind: str, part: str, key: str, shape: tuple[int, ...] | None, what: str
) -> None:
    state = tiny_file(kind, "sd15")
    if shape is None:
        del state[part][key]
    else:
        state[part][key] = torch.empty(shape)
    with pytest.raises(FaceIDError) as raised:
        read_adapter(state, "mine.bin", kind)
    assert (
        raised.value.code == "faceid-damaged"
        and what in str(raised.value)
        and "mine.bin" in str(raised.value)
    )
    assert "huggingface.co/h94/IP-Adapter-FaceID" in raised.value.hint


def test_a_file_without_layers_is_damaged() -> None:
    state = tiny_file("portrait", "sd15")
    state["ip_adapter"].clear()
    with pytest.raises(FaceIDError, match="it has no ip_adapter"):
        read_adapter(state, "mine.bin", "portrait")
