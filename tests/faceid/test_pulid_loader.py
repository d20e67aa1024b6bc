"""PuLID's files through the host's reader, and photos through the three models, on tiny networks of
the published layout.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.faceid.bisenet import parser_of
from comfyui_astria.nodes.faceid.eva_clip import vision_of
from comfyui_astria.nodes.faceid.pulid_prepare import features_only, for_vision
from comfyui_astria.tests.faceid.pulid_oracle import Oracle
from comfyui_astria.tests.faceid.pulid_support import (
    TINY,
    TINY_EVA,
    bisenet_shapes,
    eva_shapes,
    make_identity,
    pulid_shapes,
    random_weights,
    weights,
    worst,
)
from comfyui_astria.tests.regions.comfy_inprocess import load
from safetensors.torch import save_file
from torch import Tensor

PULID = random_weights(pulid_shapes(TINY))
EVA = random_weights(eva_shapes(TINY_EVA))
PARSING = random_weights(bisenet_shapes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save_file(PULID, folder / "pulid_flux.safetensors")
    text = {"text.positional_embedding": torch.zeros(4, 4), "logit_scale": torch.tensor(1.0)}
    torch.save({f"visual.{key}": tensor for key, tensor in EVA.items()} | text, folder / "eva.pt")
    torch.save(PARSING, folder / "parsing.pth")
    return folder


def load_pulid(folder: Path, **names: str) -> Any:
    files = {"pulid": "pulid_flux.safetensors", "eva": "eva.pt", "parsing": "parsing.pth"} | names
    return load("comfyui_astria.nodes.faceid.host.pulid_loader").load_pulid(
        *(str(folder / name) for name in files.values())
    )


@pytest.fixture(scope="module")
def pulid(folder: Path) -> Iterator[Any]:
    yield load_pulid(folder)
    load("comfy.model_management").unload_all_models()


def reference_face(number: int, photos: int) -> tuple[Tensor, list[Tensor]]:
    """What the encoder is given for one photo, by the networks that have oracles of their own."""
    identity = make_identity(photos)
    tower = vision_of(weights(EVA))
    vector, states = tower(
        for_vision(
            features_only(identity.ffhq(512)[number : number + 1], parser_of(weights(PARSING))),
            tower,
        )
    )
    return torch.cat([identity.embeddings[number : number + 1], vector], 1), states


def test_a_photo_becomes_the_references_tokens(pulid: Any) -> None:
    tokens = pulid.tokens(make_identity())
    face, states = reference_face(0, 1)
    oracle = Oracle(PULID)
    assert tokens.shape == (2, TINY.queries, TINY.out)
    assert worst(tokens[:1], oracle.encoder(face, states)) < 1e-5
    assert worst(tokens[1:], oracle.encoder(face * 0, [state * 0 for state in states])) < 1e-5


def test_several_photos_are_the_mean_of_their_tokens(pulid: Any) -> None:
    expected = torch.stack(
        [Oracle(PULID).encoder(*reference_face(number, 3))[0] for number in range(3)]
    )
    tokens = pulid.tokens(make_identity(3))
    assert worst(tokens[0], expected.mean(0)) < 1e-5
    assert worst(tokens[0], expected[0]) > 1e-2


def test_a_person_is_encoded_once(pulid: Any) -> None:
    identity = make_identity(seed=5)
    first = pulid.tokens(identity)
    assert pulid.tokens(identity) is first
    assert not torch.equal(pulid.tokens(make_identity(seed=6))[0], first[0])
    assert torch.equal(pulid.tokens(make_identity(seed=6))[1], first[1]), (
        "nobody is the same nobody"
    )


def test_photos_are_read_by_models_that_the_host_unloads(pulid: Any) -> None:
    management = load("comfy.model_management")
    management.unload_all_models()
    pulid.tokens(make_identity(seed=7))
    assert {id(pulid.parser), id(pulid.vision), id(pulid.encoder)} == {
        id(one.model) for one in management.current_loaded_models
    }
    management.unload_all_models()
    gc.collect()
    assert management.current_loaded_models == []


def test_a_dropped_person_and_a_dropped_adapter_leave_nothing_behind(folder: Path) -> None:
    adapter, identity = load_pulid(folder), make_identity(seed=8)
    tokens = weakref.ref(adapter.tokens(identity))
    models = adapter.blocks, adapter.encoder, adapter.vision, adapter.parser
    weights = [weakref.ref(weight) for model in models for weight in model.model.parameters()]
    del identity
    gc.collect()
    assert tokens() is None
    assert len(weights) > 400 and all(weight() is not None for weight in weights)
    del adapter, models
    gc.collect()
    assert [weight for weight in weights if weight() is not None] == []


def test_faces_of_another_recogniser_are_refused(pulid: Any) -> None:
    with pytest.raises(
        AstriaError, match="recognised with buffalo_l; PuLID reads faces of antelopev2 only"
    ) as raised:
        pulid.tokens(make_identity(recogniser="buffalo_l"))
    assert raised.value.code == "pulid-recogniser"


def test_weights_keep_the_dtype_of_their_file(folder: Path) -> None:
    save_file(
        {key: tensor.to(torch.bfloat16) for key, tensor in PULID.items()},
        folder / "half.safetensors",
    )
    half = load_pulid(folder, pulid="half.safetensors")
    assert {tensor.dtype for tensor in half.blocks.model.parameters()} == {torch.bfloat16}
    rounded = Oracle({key: tensor.to(torch.bfloat16) for key, tensor in PULID.items()})
    assert worst(half.tokens(make_identity())[:1], rounded.encoder(*reference_face(0, 1))) < 1e-5


@pytest.mark.parametrize(
    ("missing", "file", "models"),
    [
        (1, "EVA02_CLIP_L_336_psz14_s6B.pt", "models/clip_vision"),
        (2, "parsing_bisenet.pth", "models/facedetection"),
    ],
)
def test_a_file_that_is_not_chosen_is_named_with_its_folder(
    folder: Path, missing: int, file: str, models: str
) -> None:
    paths: list[str | None] = [
        str(folder / name) for name in ("pulid_flux.safetensors", "eva.pt", "parsing.pth")
    ]
    paths[missing] = None
    with pytest.raises(AstriaError, match="none is chosen") as raised:
        load("comfyui_astria.nodes.faceid.host.pulid_loader").load_pulid(*paths)
    assert file in raised.value.hint
    assert models in raised.value.hint


def damaged_files(folder: Path) -> dict[str, tuple[str, str]]:
    """File -> what takes it, and the words of its error."""
    sdxl = ("id_adapter.mapping_0.0.weight", "id_adapter_attn_layers.1.id_to_k.weight")
    save_file({key: torch.zeros(2) for key in sdxl}, folder / "sdxl.safetensors")
    save_file({"some.weight": torch.zeros(2)}, folder / "other.safetensors")
    whole = (folder / "pulid_flux.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.pt").write_bytes((folder / "eva.pt").read_bytes()[:5000])
    (folder / "web_page.pth").write_bytes(b"<!DOCTYPE html><html></html>")
    torch.save({"code": print}, folder / "code.pth")
    torch.save([1, 2, 3], folder / "list.pth")
    save_file(random_weights(eva_shapes(TINY_EVA._replace(out=16))), folder / "narrow.safetensors")
    torch.save(
        PARSING | {"conv_out.conv_out.weight": torch.zeros(5, 256, 1, 1)}, folder / "five.pth"
    )
    return {
        "sdxl.safetensors": ("pulid", "is a PuLID of SDXL, not a PuLID-FLUX adapter"),
        "other.safetensors": ("pulid", "is something else, not"),
        "cut.safetensors": ("pulid", "cannot be read: .*incomplete|cannot be read"),
        "cut.pt": ("eva", "cannot be read"),
        "web_page.pth": ("parsing", "cannot be read"),
        "code.pth": ("parsing", "cannot be read: Weights only load failed"),
        "list.pth": ("parsing", "holds a list"),
        "narrow.safetensors": (
            "eva",
            "vectors of 16 channels and states of 128, expected 24 and 128",
        ),
        "five.pth": ("parsing", "5 parts of a face, expected 19"),
        "eva.pt": ("parsing", "missing: conv_out.conv_out.weight"),
        "absent.pt": ("eva", "cannot be read: .*No such file"),
    }


def test_damaged_and_foreign_files_say_what_they_are(folder: Path) -> None:
    for name, (kind, words) in damaged_files(folder).items():
        with pytest.raises(AstriaError, match=words) as raised:
            load_pulid(folder, **{kind: name})
        assert str(folder / name) in raised.value.message
