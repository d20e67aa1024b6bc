"""What lies beside a LoRA file about it: a picture, and the words that it was trained with.

The files are those that other programs write: Civitai's helpers (`.civitai.info`), LoRA Manager
(`.metadata.json`), rgthree (`.rgthree-info.json`), the web UIs (`.json`) and people (`.txt`). What
the trainer wrote into the file itself counts where none of them says anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..net.lora_words import cleaned, trained_words

# Of a card: the picture that a person chose before one that a program fetched.
PICTURES = tuple(
    f"{before}.{kind}" for before in ("", ".preview") for kind in ("png", "jpg", "jpeg", "webp")
)
MOST_BYTES = 4_000_000
_KEPT = 1024


@dataclass(frozen=True)
class LoraCard:
    """A picture, trigger words, and which files beside the LoRA cannot be read."""

    picture: Path | None = None
    words: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def triggers(self) -> str:
        """The words as they are written into a prompt."""
        return ", ".join(self.words)


def card_of(path: Path, beside: Callable[[Path], frozenset[str]]) -> LoraCard:
    """Return the card of a LoRA file; `beside` lists the names in a folder."""
    names = beside(path.parent)
    picture = next((f"{path.stem}{end}" for end in PICTURES if f"{path.stem}{end}" in names), None)
    unreadable = []
    words: tuple[str, ...] = ()
    for ending, read in _READERS.items():
        name = f"{path.stem}{ending}"
        if words or name not in names:
            continue
        try:
            file = path.with_name(name)
            words = _words_in(file, file.stat().st_mtime_ns, read)
        except (OSError, ValueError, AttributeError, TypeError):
            unreadable.append(name)
    return LoraCard(
        None if picture is None else path.with_name(picture),
        words or trained_words(path).words,
        tuple(unreadable),
    )


@lru_cache(maxsize=_KEPT)
def _words_in(file: Path, _written: int, read: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("too large to be about one LoRA")
    return cleaned(read(file.read_text(encoding="utf-8-sig")))


def _civitai(text: str) -> Iterable[str]:
    return _all_texts(json.loads(text).get("trainedWords"))


def _lora_manager(text: str) -> Iterable[str]:
    return _all_texts((json.loads(text).get("civitai") or {}).get("trainedWords"))


def _rgthree(text: str) -> Iterable[str]:
    found: Iterable[Mapping[str, Any]] = json.loads(text).get("trainedWords") or ()
    return _all_texts([one["word"] for one in found if "civitai" in one or "user" in one])


def _web_ui(text: str) -> Iterable[str]:
    return _all_texts([json.loads(text).get("activation text") or ""])


def _all_texts(found: object) -> list[str]:
    words = found or []
    if not isinstance(words, list) or any(not isinstance(one, str) for one in words):
        raise ValueError("trained words are no list of texts")
    return words


_READERS: Mapping[str, Callable[[str], Iterable[str]]] = {
    ".txt": lambda text: text.split("\n\n")[0].splitlines(),
    ".json": _web_ui,
    ".civitai.info": _civitai,
    ".metadata.json": _lora_manager,
    ".rgthree-info.json": _rgthree,
}
