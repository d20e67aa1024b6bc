"""Photos of the small world's people, as tunes of a host that prompts name: <faceid:ID:1>."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..nodes.tunes.store import TuneStore
from ..smallworld.learning.people import draw_photos
from .paths import STATE_FOLDER


def keep_photos(base: Path, people: Mapping[int, int]) -> None:
    """Let the host of a base directory have a tune for each id, with drawn photos of the identity
    of that number.
    """
    store = TuneStore(base / "user" / STATE_FOLDER)
    for id, number in people.items():
        if store.get(id) is None:
            folder = draw_photos(number, base / "photos" / str(number))
            photos = [file.read_bytes() for file in sorted(folder.iterdir())]
            store.create(id=id, title=f"face {number}", model_type="faceid", photos=photos)
