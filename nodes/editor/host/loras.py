"""LoRAs by picture: what lies beside each file of ComfyUI's folder loras, for lists and hovers.

Only listed files are looked for, and only pictures beside them are served, made small.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Collection
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from ...errors import ImageError
from ...faces.photos import read_photo
from ...net.tensor_header import texts_of
from ...tunes.host.state import HostFiles
from ...tunes.names import alike, without_ending
from ..lora_card import LoraCard, card_of

FOLDER = "loras"
PAGE = 60
_THUMBNAIL_PX = 256
_QUALITY = 85
_NOT_IN_TAGS = set("<>:\r\n")
_TITLES = ("modelspec.title", "title", "display_name", "name")

Beside = Callable[[Path], frozenset[str]]


def beside() -> Beside:
    """Return what lists the names in a folder, each folder once."""

    @cache
    def names(folder: Path) -> frozenset[str]:
        try:
            return frozenset(os.listdir(folder))
        except OSError:
            return frozenset()

    return names


def path_of(file: str) -> Path | None:
    """Return where a listed LoRA lies, None for a name that ComfyUI does not list."""
    if file not in HostFiles().list(FOLDER):
        return None
    paths = (Path(root, file) for root in HostFiles().roots(FOLDER))
    return next((path for path in paths if path.is_file()), None)


def card(file: str, names: Beside) -> LoraCard:
    """Return what lies beside a listed LoRA, nothing for another name."""
    path = path_of(file)
    return LoraCard() if path is None else card_of(path, names)


def picture_address(file: str, found: LoraCard) -> str:
    """Return the route of a LoRA's picture, empty where it has none."""
    return f"/astria/editor/loras/picture?file={quote(file, safe='')}" if found.picture else ""


def tag_of(file: str, found: LoraCard) -> str:
    """Return the tag of a LoRA with its trigger words behind it, empty where it cannot be named."""
    name = without_ending(alike(file))
    if _NOT_IN_TAGS & set(name):
        return ""
    return f"<lora:{name}:1.0> {found.triggers}".rstrip()


def page(search: str, offset: int) -> dict[str, Any]:
    """Return the LoRAs whose name or words hold all words of `search`, `PAGE` from `offset`."""
    names, words = beside(), search.casefold().split()
    rows = [_row(file, names) for file in HostFiles().list(FOLDER)]
    found = [
        row
        for row in rows
        if row["tag"] and all(word in f"{row['file']} {row['words']}".casefold() for word in words)
    ]
    return {"loras": found[offset : offset + PAGE], "total": len(found)}


def _row(file: str, names: Beside) -> dict[str, str]:
    found = card(file, names)
    return {
        "file": file,
        "name": without_ending(alike(file)),
        "tag": tag_of(file, found),
        "words": found.triggers,
        "picture": picture_address(file, found),
    }


def named(name: str) -> dict[str, Any]:
    """Return the LoRA of a name as a file manager or a list drags it, without folder or ending, or
    by the title that it gives itself, as ComfyUI's model library shows it; no tag where ComfyUI
    lists none such.
    """
    wanted = without_ending(alike(name))
    listed = {file: without_ending(alike(file)) for file in HostFiles().list(FOLDER)}
    last = os.path.basename(wanted)
    ways: tuple[Callable[[str], bool], ...] = (
        lambda file: listed[file] == wanted,
        lambda file: os.path.basename(listed[file]) == last,
        lambda file: last in _titles(file),
    )
    found = (next(filter(way, listed), None) for way in ways) if last else ()
    file = next((one for one in found if one is not None), None)
    return {"tag": ""} if file is None else _row(file, beside())


def _titles(file: str) -> Collection[str]:
    path = path_of(file)
    return () if path is None else texts_of(path, _TITLES).values()


def picture(file: str) -> bytes:
    """Return the picture beside a listed LoRA as a small JPEG.

    Raises: ImageError where there is none, or it cannot be read.
    """
    found = card(file, beside()).picture
    if found is None:
        raise ImageError(f"The LoRA '{file[:200]}' has no picture.", code="lora-picture")
    return _small(found, found.stat().st_mtime_ns)


@lru_cache(maxsize=256)
def _small(path: Path, _written: int) -> bytes:
    shown = Image.fromarray(read_photo(path))
    shown.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    shown.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
