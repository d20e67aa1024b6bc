"""The words that a LoRA file, or a checkpoint, was trained with, as its trainer wrote into it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .tensor_header import texts_of

MOST_WORDS = 12
MOST_LENGTH = 300
# Of the standard for models' metadata: https://github.com/Stability-AI/ModelSpec.
PHRASE = "modelspec.trigger_phrase"
_FREQUENCY, _FOLDERS = "ss_tag_frequency", "ss_dataset_dirs"
_TOKEN, _PRESET = "token", "preset"  # of this pack's training, whose older files have no phrase
_KEPT = 1024
_NOT_IN_TEXT = str.maketrans({"<": " ", ">": " "})


def cleaned(words: Iterable[str]) -> tuple[str, ...]:
    """Return each word once, in one line, without what a prompt would take for a tag."""
    lines = (" ".join(word.translate(_NOT_IN_TEXT).split()).strip(" ,") for word in words)
    kept = list(dict.fromkeys(line for line in lines if line))[:MOST_WORDS]
    while kept and len(", ".join(kept)) > MOST_LENGTH:
        kept.pop()
    return tuple(kept)


@dataclass(frozen=True)
class TrainedWords:
    """What a file says of the words that it was trained with.

    `words` are its trigger phrase, else what the captions of all its pictures have in common;
    `phrase` that without which its training is not called, "" where that is not known for sure.
    """

    words: tuple[str, ...] = ()
    phrase: str = ""


def trained_words(path: Path) -> TrainedWords:
    """Return what a file says; nothing where it cannot be read."""
    try:
        return _words_in(path, path.stat().st_mtime_ns)
    except OSError:
        return TrainedWords()


@lru_cache(maxsize=_KEPT)
def _words_in(path: Path, _written: int) -> TrainedWords:
    texts = texts_of(path, (PHRASE, _FREQUENCY, _FOLDERS, _TOKEN, _PRESET))
    said = texts.get(PHRASE, "") or (texts.get(_TOKEN, "") if _PRESET in texts else "")
    if phrase := cleaned([said]):
        return TrainedWords(phrase, phrase[0])
    counted, pictures = _captions(texts)
    common = _common_tags(counted, pictures)
    captions = {tag for tags in counted.values() for tag in tags}
    words = cleaned(common)
    is_one_caption = len(captions) == len(common) == len(words) == 1
    return TrainedWords(words, words[0] if is_one_caption else "")


def _captions(
    texts: Mapping[str, str],
) -> tuple[Mapping[str, Mapping[str, int]], Mapping[str, int]]:
    """Return how often each tag stands in the captions of each folder, and how many pictures that
    has, as kohya's scripts count them: nothing where another program's notes stand there.

    A file without the number of pictures is taken to have as many as its commonest tag.
    Source: https://github.com/kohya-ss/sd-scripts, train_network.py.
    """
    try:
        counted = {
            folder: {str(tag): int(count) for tag, count in tags.items()}
            for folder, tags in json.loads(texts.get(_FREQUENCY, "") or "{}").items()
        }
        pictures = {
            folder: int(about["img_count"])
            for folder, about in json.loads(texts.get(_FOLDERS, "") or "{}").items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, {}
    if not pictures:
        pictures = {folder: max(tags.values()) for folder, tags in counted.items() if tags}
    return {folder: counted.get(folder, {}) for folder in pictures}, pictures


def _common_tags(
    counted: Mapping[str, Mapping[str, int]], pictures: Mapping[str, int]
) -> list[str]:
    """Return the tags that no caption lacks. Others, as of poses or clothes, are no words that call
    the LoRA.
    """
    total: Counter[str] = Counter()
    for tags in counted.values():
        total.update(tags)
    everywhere = sum(pictures.values())
    return [tag for tag, count in total.items() if count >= everywhere]
