"""Names of embeddings in plain text: those without a file, and words that are one's name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from ...prompt.lexer import is_embedding_name
from ...tunes.names import alike, without_ending
from .stage_list import Problem

# As the host's tokenizer finds them: a name goes on to a blank, and commas behind it do not count.
# A weight is none of the name where a bracket closes behind it.
_SPELLED_OUT = re.compile(r"embedding:((?:[^\s,()\[\]:]|:(?!\s*[\d.]+\s*\)))+)")
_WORD = re.compile(r"[\w.+/-]+")


def embedding_words(text: str, listed: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem for each such name, given the `listed` files of the embeddings folder.

    `embedding:NAME` that names none, which the host leaves out in silence; and a word that is the
    name of one, which is all that other programs ask for, and here is a word.
    """
    files = [file.replace("\\", "/") for file in listed]
    known = {name for file in files for name in (file, without_ending(file))}
    known |= {name.rpartition("/")[2] for name in known}  # the host looks into every subfolder
    for name in sorted({found.group(1) for found in _SPELLED_OUT.finditer(text)}):
        if name.replace(os.sep, "/") not in known:
            yield Problem(
                "no-embedding",
                "warning",
                f"embedding:{name} names no file of the embeddings folder: ComfyUI takes it out of"
                " the text without a word.",
                f"Put the file there, or write other words for embedding:{name}.",
            )
    names = [without_ending(alike(file)) for file in listed]
    by_word = {name.rpartition("/")[2].casefold(): name for name in names}
    by_word |= {name.casefold(): name for name in names}
    words = {word.strip(".+/-") for word in _WORD.findall(_SPELLED_OUT.sub(" ", text))}
    for word in sorted(words):
        name = by_word.get(alike(word).casefold())
        if name is not None and is_embedding_name(name):
            yield Problem(
                "embedding-as-word",
                "info",
                f"'{word}' is read as a word, and an embedding of that name is there.",
                f"Write <{name}> to use it.",
            )
