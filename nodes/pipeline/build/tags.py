"""Segments -> the texts that a stage encodes, with the files behind their LoRA tags and
embeddings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ...errors import PlanError
from ...prompt import EmbeddingTag, FaceIdTag, LoraTag, PromptRequest, Segment
from ...prompt.lexer import is_embedding_name
from ...tunes.file_search import Missing
from ...tunes.names import alike, without_ending
from ...tunes.resolve import Resolver
from .stage_list import Problem
from .text import FaceID, Lora, PromptText, lora_weights

# As the host's tokenizer finds them: a name goes on to a blank, and commas behind it do not count.
# A weight is none of the name where a bracket closes behind it.
_SPELLED_OUT = re.compile(r"embedding:((?:[^\s,()\[\]:]|:(?!\s*[\d.]+\s*\)))+)")
_WORD = re.compile(r"[\w.+/-]+")


@dataclass(frozen=True)
class ResolvedText:
    """A wording as far as its files are there, and what is wrong with the rest.

    `faceless` are the FaceID tags whose photos are not there, each as it is written.
    """

    prompt_text: PromptText
    missing: tuple[Missing, ...]
    problems: tuple[Problem, ...]
    faceless: tuple[tuple[str, Missing], ...]


def resolve_text(
    positive: Sequence[Segment],
    negative: Sequence[Segment],
    resolver: Resolver,
    *,
    use_lpw: bool,
    weighs: bool = True,
    style: str | None = None,
    of_person: bool = False,
) -> ResolvedText:
    """Return the wording of the segments; tags without a file are left out of it and listed.

    A person may be given as a checkpoint.
    """
    tags = _Tags(resolver, of_person)
    loras = tags.loras(positive)
    faceids = tags.faceids(positive)
    embeddings = _Embeddings(resolver)
    said = embeddings.named(positive), embeddings.named(negative)
    prompt_text = PromptText(
        *said,
        loras,
        use_lpw,
        weighs,
        style,
        faceids,
        tags.checkpoint,
        tuple(dict.fromkeys(tags.photos)),
    )
    missing = _unique((*tags.missing, *embeddings.missing))
    problems = _unique((*tags.problems, *embeddings.problems))
    return ResolvedText(prompt_text, missing, problems, _unique(tags.faceless))


def check_regions(request: PromptRequest, connected: bool) -> None:
    """Return when regions are connected just where the request has persons.

    Raise PlanError otherwise.
    """
    if request.persons and not connected:
        text = (
            f"The request describes {len(request.persons)} person(s), and no regions are connected."
        )
        raise PlanError(
            text, code="no-regions", hint="Connect Astria Regions, or use Astria Generate."
        )
    if connected and not request.persons:
        text = "Regions are connected, and the request describes no person."
        raise PlanError(
            text,
            code="regions-without-persons",
            hint="Add persons to the prompt, each after a BREAK, or disconnect the regions.",
        )


class _Tags:
    """Finds what LoRA and FaceID tags stand for, and notes what is not there, and whose photos
    there are.
    """

    def __init__(self, resolver: Resolver, of_person: bool) -> None:
        self._resolver = resolver
        self._of_person = of_person
        self.missing: list[Missing] = []
        self.problems: list[Problem] = []
        self.faceless: list[tuple[str, Missing]] = []
        self.photos: list[str] = []
        self.checkpoint: str | None = None

    def loras(self, segments: Sequence[Segment]) -> tuple[Lora, ...]:
        written = [tag for segment in segments for tag in segment.loras]
        by_file: dict[str, list[LoraTag]] = {}
        loras = []
        for name, (weight, text_weight) in lora_weights(segments).items():
            found = self._resolver.lora(name)
            if isinstance(found, Missing):
                self.missing.append(found)
                continue
            if found.tune is not None and found.tune.is_photo_set:
                self.photos.append(str(found.tune.id))
            if found.kind == "lora":
                apart = None if text_weight == weight else text_weight
                loras.append(Lora(found.file, weight, apart))
                by_file.setdefault(found.file, []).extend(t for t in written if t.name == name)
            else:
                self._take_checkpoint(name, found.file)
        for same in by_file.values():
            total = sum(tag.weight for tag in same)
            self._tell_of_a_sum(same, " name one LoRA, whose weights add up to ", total)
        return tuple(loras)

    def _tell_of_a_sum(self, tags: Sequence[LoraTag | FaceIdTag], said: str, total: float) -> None:
        """Tell of tags that stand for the same, which acts with their sum."""
        if len(tags) > 1:
            text = f"{' and '.join(map(str, tags))}{said}{total:g}."
            hint = "Leave one of the tags, unless as much is meant."
            self.problems.append(Problem("weights-add-up", "info", text, hint))

    def _take_checkpoint(self, name: str, file: str) -> None:
        if not self._of_person:
            text = (
                f"<lora:{name}> stands for the checkpoint '{file}', which cannot be added to the"
                " whole picture's model."
            )
            self.problems.append(
                Problem(
                    "not-a-lora",
                    "error",
                    text,
                    "Bind the id to a LoRA file, or load the checkpoint as the MODEL.",
                )
            )
        elif self.checkpoint not in (None, file):
            text = f"A person is given as two checkpoints, '{self.checkpoint}' and '{file}'."
            self.problems.append(
                Problem(
                    "two-checkpoints",
                    "error",
                    text,
                    "Leave one of the tags; LoRAs may stand beside it.",
                )
            )
        else:
            self.checkpoint = file

    def faceids(self, segments: Sequence[Segment]) -> tuple[FaceID, ...]:
        faceids = []
        by_tune: dict[str, list[FaceIdTag]] = {}
        for tag in (tag for segment in segments for tag in segment.faceids):
            found = self._resolver.faceid(tag.id)
            if isinstance(found, Missing):
                self.faceless.append((f"<faceid:{tag.id}:{tag.strength:g}>", found))
                continue
            tune = str(found.tune.id)
            self.photos.append(tune)
            faceids.append(FaceID(tune, tag.strength))
            by_tune.setdefault(tune, []).append(tag)
        for same in by_tune.values():
            total = sum(tag.strength for tag in same)
            self._tell_of_a_sum(same, " name one face, whose strengths add up to ", total)
        return tuple(faceids)


class _Embeddings:
    """Gives embeddings the names the host lists: the host passes over one that it does not find."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._listed = resolver.listed("embeddings")
        self.missing: list[Missing] = []
        self.problems: list[Problem] = []

    def named(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(
            replace(segment, pieces=tuple(map(self._piece, segment.pieces))) for segment in segments
        )

    def _piece(self, piece: str | EmbeddingTag) -> str | EmbeddingTag:
        if isinstance(piece, str):
            self.problems += _embedding_words(piece, self._listed)
            return piece
        found = self._resolver.locate("embedding", piece.name, ("embeddings",))
        if isinstance(found, Missing):
            self.missing.append(found)
            return piece
        # Windows lists subfolders with a backslash; the host reads both.
        return EmbeddingTag(found.file.replace("\\", "/"))


def _embedding_words(text: str, listed: Sequence[str]) -> Iterator[Problem]:
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


def _unique(values: Iterable) -> tuple:
    return tuple(dict.fromkeys(values))
