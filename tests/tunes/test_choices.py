"""What each key of the bindings can be bound to."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import BindingsError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.tunes.bindings import BaseModel, Bindings
from comfyui_astria.nodes.tunes.choices import choices, folders_of

FILES = {
    "loras": ["people\\anna.safetensors", "offset.safetensors"],
    "checkpoints": ["sd15.safetensors", "offset.safetensors"],
    "insightface": [
        "inswapper_128.onnx",
        "models/buffalo_l/det.onnx",
        "models/antelopev2/det.onnx",
        "models/loose.onnx",
    ],
    "clipseg": ["rd64/config.json", "rd64/model.safetensors", "loose.safetensors"],
    "text_encoders": ["t5.safetensors"],
}


class Files:
    def list(self, folder: str) -> list[str]:
        return FILES.get(folder, [])

    def roots(self, folder: str) -> list[str]:
        return [f"models/{folder}"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("1533312", ["people/anna.safetensors", "offset.safetensors", "sd15.safetensors"]),
        ("tunes.wife", ["people/anna.safetensors", "offset.safetensors", "sd15.safetensors"]),
        ("sam3", ["offset.safetensors", "sd15.safetensors"]),
        ("face_analysis", ["antelopev2", "buffalo_l"]),
        ("clipseg", ["rd64"]),
        ("sdxl.controlnet_pose", []),
        ("base.690204.family", [name for name, one in FAMILIES.items() if not one.inpaint]),
        ("base.690204.checkpoint", ["sd15.safetensors", "offset.safetensors"]),
        ("base.1504944.t5xxl", ["t5.safetensors"]),
        ("base.1504944.trim_padding", ["yes", "no"]),
        ("defaults.base", ["1", "2"]),
    ],
)
def test_choices_of_a_key(key: str, expected: list[str]) -> None:
    bindings = Bindings(bases={"2": BaseModel("sd15"), "1": BaseModel("sdxl")})
    assert choices(key, Files(), bindings) == expected


def test_a_tune_key_can_stand_for_a_photo_set_whose_title_a_line_can_hold() -> None:
    titles = ["Anna", "5", "a: b", "one # two", "offset.safetensors"]
    assert choices("749152", Files(), Bindings(), titles) == [
        "people/anna.safetensors",
        "offset.safetensors",
        "sd15.safetensors",
        "Anna",
    ]
    assert "Anna" not in choices("sam3", Files(), Bindings(), titles)


def test_an_unknown_key_is_refused() -> None:
    for ask in (folders_of, lambda key: choices(key, Files(), Bindings())):
        with pytest.raises(
            BindingsError,
            match=r"'upscalr' is not a key of the bindings. Did you mean 'upscaler'\?",
        ):
            ask("upscalr")


def test_the_folders_of_a_key() -> None:
    assert [
        folders_of(key)
        for key in ("77", "flux.faceid", "base.1.vae", "base.1.family", "defaults.base")
    ] == [("loras", "checkpoints"), ("ipadapter", "pulid"), ("vae",), (), ()]
