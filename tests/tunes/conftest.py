"""What the tests of tunes share: photos, and model folders without a host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.tunes.resolve_support import FOLDERS

JPEG, PNG, WEBP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x04\x00\x00\x00WEBP"


class FakeFiles:
    """Model folders given as lists of names."""

    def __init__(self, **folders: Sequence[str]) -> None:
        self.folders = folders

    def list(self, folder: str) -> Sequence[str]:
        return self.folders.get(folder, ())

    def roots(self, folder: str) -> Sequence[str]:
        return (f"/models/{folder}",) if folder in self.folders else ()


@pytest.fixture(scope="session")
def files() -> type[FakeFiles]:
    return FakeFiles


@pytest.fixture
def store(tmp_path: Path) -> TuneStore:
    return TuneStore(tmp_path / "private")


@pytest.fixture
def photo() -> Callable[..., bytes]:
    """Make the bytes of a photo: right first bytes, then anything."""

    def make(content: str = "a", magic: bytes = JPEG) -> bytes:
        return magic + content.encode()

    return make


@pytest.fixture
def resolver(files: type[FakeFiles], store: TuneStore) -> Callable[[Bindings], Resolver]:
    return lambda bindings: Resolver(bindings, store, files(**FOLDERS))
