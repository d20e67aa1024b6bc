"""A LoRA file's tensors by name and size, from the file's header alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_astria.nodes.net.tensor_header import tensor_shapes
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.local_files import LocalFiles
from comfyui_astria.nodes.tunes.resolve import Resolver
from safetensors.torch import save_file

FILE = {
    "lora_unet_double_blocks_18_img_attn_qkv.lora_up.weight": torch.zeros(12, 2),
    "lora_unet_double_blocks_18_img_attn_qkv.alpha": torch.tensor(1.0),
}


def test_names_and_sizes_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(FILE, path, metadata={"ss_network_dim": "2"})
    assert tensor_shapes(path) == {name: tuple(one.shape) for name, one in FILE.items()}
    save_file({"other": torch.zeros(3)}, path)  # a file written anew is read anew
    assert tensor_shapes(path) == {"other": (3,)}


def test_weights_are_not_read(tmp_path: Path) -> None:
    """A file whose numbers are cut off still says what it holds."""
    path = tmp_path / "a.safetensors"
    save_file(FILE, path)
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    path.write_bytes(whole[: 8 + length])
    assert tensor_shapes(path) == {name: tuple(one.shape) for name, one in FILE.items()}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a pickled file of another kind",
        (2**60).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"nope",
        (2).to_bytes(8, "little") + b"[]",
        (10).to_bytes(8, "little") + b'{"a": [1]}',
        (10).to_bytes(8, "little") + b'{"a": {}} ',
        len(deep := b"[" * 100_000).to_bytes(8, "little") + deep,
    ],
)
def test_a_file_that_is_no_safetensors_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert tensor_shapes(path) is None
    assert tensor_shapes(tmp_path / "missing.safetensors") is None


def test_the_family_of_a_listed_file_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "loras" / "people"
    folder.mkdir(parents=True)
    save_file(FILE, folder / "her.safetensors")
    (tmp_path / "loras" / "empty.safetensors").touch()
    resolver = Resolver(Bindings(), None, LocalFiles(tmp_path))
    assert resolver.lora_signs("people/her.safetensors").describe() == "made for Flux.1"
    assert resolver.lora_signs("empty.safetensors").describe() == ""
    assert resolver.lora_signs("nowhere.safetensors").describe() == ""
