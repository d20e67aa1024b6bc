"""Photos of the small world's people, as tunes of a host that prompts name: <faceid:ID:1>."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..nodes.tunes.store import TuneStore
from ..smallworld.photos import draw_photos
from .paths import STATE_FOLDER

# The tune of photos that prompts name, and whose they are: a face that no model has learned.
FACE_ID, FACE = 788416, 65
_OURS = re.compile(r"face \d+")


def keep_photos(base: Path, people: Mapping[int, int]) -> None:
    """Let the host of a base directory have a tune for each id, with drawn photos of the identity
    of that number, in place of another identity's; what somebody else made stays.
    """
    store = TuneStore(base / "user" / STATE_FOLDER)
    for id, number in people.items():
        title = f"face {number}"
        there = store.get(id)
        if there is not None and (there.title == title or not _OURS.fullmatch(there.title)):
            continue
        store.delete(id)
        folder = draw_photos(number, base / "photos" / str(number))
        photos = [file.read_bytes() for file in sorted(folder.iterdir())]
        store.create(id=id, title=title, model_type="faceid", photos=photos)
