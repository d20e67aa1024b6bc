"""One part of a prompt between BREAKs: its text, and the tags that stand in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import PromptError
from .catalog import FACEID_STRENGTH, LORA_WEIGHT, TAG_WORDS
from .kinds import Decimal, accepts, tidy
from .lexer import BLANKS, BREAK, Lexer, Scanner, is_embedding_name
from .source import Span, quoted

_CLOSERS = ",.;:!?)]"
_OPENERS = "(["
# Brackets, and the marks between the parts of a sentence or list, those of Chinese as well.
_PAIRS = {")": "(", "]": "[", "}": "{", "\uff09": "\uff08", '"': '"'}
_COMMAS = ",\u3001\uff0c"
_BEFORE_NO_MARK = frozenset(f"{_COMMAS}.;:!?\u3002\uff1b" + "([{\uff08")
# What closes a bracket, its weight included, and a mark that parts what comes from what was.
_CLOSING = re.compile(r"\s?(?::\s?[+-]?[\d.]{1,12}\s?)?([)\]}\uff09]|\"(?=[\s,.;:!?)\]]|$))")
_PARTING = re.compile(
    rf"(?:[{_COMMAS}\u3002\uff1b]\s?)+|[.;!?](?=\s|$)\s?|:(?=\s(?!\s?[+-]?[\d.])|$)\s?"
)


@dataclass(frozen=True, slots=True)
class LoraTag:
    """`<lora:NAME:WEIGHT>`: a tune id or a file's name without its ending.

    `text_weight` is that of the text encoder where it is another one: `<lora:NAME:TEXT:WEIGHT>`.
    """

    name: str
    weight: float = 1.0
    text_weight: float | None = None

    def __post_init__(self) -> None:
        _check_tag(self.name, self.weight, LORA_WEIGHT)
        if self.text_weight is not None:
            _check_tag(self.name, self.text_weight, LORA_WEIGHT)
        if self.text_weight == self.weight:
            object.__setattr__(self, "text_weight", None)

    def __str__(self) -> str:
        text = "" if self.text_weight is None else f":{float(self.text_weight)!r}"
        return f"<lora:{self.name}{text}:{float(self.weight)!r}>"


@dataclass(frozen=True, slots=True)
class FaceIdTag:
    """`<faceid:ID:STRENGTH>`: a stored set of photos of one person."""

    id: str
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_tag(self.id, self.strength, FACEID_STRENGTH)

    def __str__(self) -> str:
        return f"<faceid:{self.id}:{float(self.strength)!r}>"


@dataclass(frozen=True, slots=True)
class EmbeddingTag:
    """`<name>`: a textual-inversion embedding."""

    name: str

    def __post_init__(self) -> None:
        if not is_embedding_name(self.name) or self.name in TAG_WORDS:
            hint = "Use letters, digits, _ - + . / and \\, without blanks."
            raise PromptError(
                f"{quoted(self.name)} cannot be the name of an embedding",
                code="bad-name",
                hint=hint,
            )

    def __str__(self) -> str:
        return f"<{self.name}>"


def _check_tag(name: str, weight: float, kind: Decimal) -> None:
    if not name or name != name.strip(BLANKS) or any(char in "<>:\r\n" for char in name):
        hint = "A name has no < > : or line end in it, and no blank at its ends."
        raise PromptError(f"{quoted(name)} cannot be the name in a tag", code="bad-name", hint=hint)
    if not accepts(kind, weight):
        raise PromptError(
            f"{weight!r} cannot be the number of the tag {quoted(name)}",
            code="out-of-range",
            hint=f"Expected {kind.expected}.",
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a prompt.

    `pieces` is its tidied text with the embeddings in place; a text that would read as anything
    else is refused.
    """

    pieces: tuple[str | EmbeddingTag, ...] = ()
    loras: tuple[LoraTag, ...] = ()
    faceids: tuple[FaceIdTag, ...] = ()

    def __post_init__(self) -> None:
        if not _reads_back(self.pieces):
            hint = "Text is tidy, without tags, flags or BREAK; neighbouring texts are one piece."
            raise PromptError(
                f"{quoted(self.text)} is not the text of one segment",
                code="not-a-segment",
                hint=hint,
            )

    @property
    def text(self) -> str:
        """The plain text, embeddings printed as `<name>`."""
        return "".join(map(str, self.pieces))

    @property
    def is_empty(self) -> bool:
        return not (self.pieces or self.loras or self.faceids)

    def __str__(self) -> str:
        """Return the segment as it is written in a prompt: tags first, but behind a text that
        begins with a mark, which would go with them.
        """
        tags = (*self.loras, *self.faceids)
        first = str(self.pieces[0]) if self.pieces else ""
        parts = (self.text, *tags) if _PARTING.match(first) else (*tags, self.text)
        return " ".join(str(part) for part in parts if str(part))


def _reads_back(pieces: tuple[str | EmbeddingTag, ...]) -> bool:
    text = "".join(map(str, pieces))
    if text != tidy(text):
        return False
    lexer = Lexer(Scanner(text))
    whole = Span(0, len(text))
    found: list[str | EmbeddingTag] = []
    at = 0
    while mark := lexer.next_mark(at, whole):
        if mark.kind != "embedding":
            return False
        found += [text[at : mark.start]] if at < mark.start else []
        found.append(EmbeddingTag(text[mark.start + 1 : mark.end - 1]))
        at = mark.end
    found += [text[at:]] if at < len(text) else []
    return tuple(found) == pieces


class SegmentBuilder:
    """Joins the text of a segment as its tags and flags are taken out, without doubled blanks where
    they were.
    """

    def __init__(self) -> None:
        self.loras: list[LoraTag] = []
        self.faceids: list[FaceIdTag] = []
        self._pieces: list[list[str] | EmbeddingTag] = []
        self._is_blank_due = False
        self._is_joint = False

    @property
    def is_empty(self) -> bool:
        return not (self._pieces or self.loras or self.faceids)

    def add_text(self, text: str) -> None:
        body = tidy(text)
        starts_with_blank = text[0] in BLANKS
        if self._is_joint:
            whole = body
            body = self._without_debris(body)
            starts_with_blank |= body != whole
        if not body:
            self._is_blank_due = True
            return
        lead = self._lead(starts_with_blank, body[0] in _CLOSERS)
        if self._pieces and isinstance(self._pieces[-1], list):
            self._pieces[-1] += [lead, body]
        else:
            self._pieces.append([lead, body])
        self._is_blank_due = text[-1] in BLANKS
        self._is_joint = False

    def _without_debris(self, body: str) -> str:
        """Return what follows a thing taken out, without the brackets and marks that were its own.

        What opened a bracket around nothing else, or a comma before what closes one, is taken out
        of the text so far.
        """
        while closing := _CLOSING.match(body):
            rest = body[closing.end() :].lstrip(BLANKS)
            # Without its bracket the word would divide the prompt.
            if rest.startswith(BREAK) or not self._drop_opening(_PAIRS[closing[1]]):
                break
            body = rest
        is_after_mark = not self._pieces or self._last_char() in _BEFORE_NO_MARK
        if is_after_mark and (parting := _PARTING.match(body)):
            body = body[parting.end() :]
        if _CLOSING.match(body):
            while self._last_char() in (*_COMMAS, " "):
                self._shorten(_COMMAS + " ")
        return body

    def _drop_opening(self, bracket: str) -> bool:
        """Take out the bracket that the text so far ends with; say whether it is that one."""
        last = self._pieces[-1] if self._pieces else ""
        if not isinstance(last, list) or not last[-1].endswith(bracket):
            return False
        before = last[-1][:-1]
        if bracket == '"' and before and before[-1] not in f"{BLANKS}{_OPENERS}":
            return False  # it closes something
        is_escaped = (len(before) - len(before.rstrip("\\"))) % 2 == 1
        if is_escaped or before.rstrip(BLANKS).endswith(BREAK):
            return False
        last[-1] = before
        self._shorten(" ")
        return True

    def _shorten(self, chars: str) -> None:
        """Take these characters from the end of the last text, and what is empty then."""
        last = self._pieces[-1]
        assert isinstance(last, list), "only a text ends with characters"
        last[-1] = last[-1].rstrip(chars)
        if not last[-1]:
            del last[-2:]  # with what stands before it
        if not last:
            self._pieces.pop()

    def add_embedding(self, tag: EmbeddingTag) -> None:
        lead = self._lead(False, False)
        if lead and isinstance(self._pieces[-1], list):
            self._pieces[-1].append(lead)
        elif lead:
            self._pieces.append([lead])
        self._pieces.append(tag)
        self._is_blank_due = self._is_joint = False

    def _last_char(self) -> str:
        last = self._pieces[-1] if self._pieces else ""
        return last[-1][-1:] if isinstance(last, list) else ""

    def remove(self) -> None:
        """Note that a tag or flag was taken out here: the next text is joined to the last."""
        self._is_joint = True

    def _lead(self, starts_with_blank: bool, starts_with_closer: bool) -> str:
        """Return what stands between the text so far and what comes next.

        Where something was taken out that is a blank, but for punctuation that belongs to the word
        before or after it. A word with a `<` in it keeps its blank: closing up could make it a tag.
        """
        if not self._pieces:
            return ""
        if not self._is_joint:
            return " " if self._is_blank_due or starts_with_blank else ""
        last = self._pieces[-1]
        if isinstance(last, EmbeddingTag):
            return "" if starts_with_closer else " "
        closes_up = starts_with_closer or last[-1][-1:] in _OPENERS
        return "" if closes_up and "<" not in last[-1].rpartition(" ")[2] else " "

    def pieces(self) -> tuple[str | EmbeddingTag, ...]:
        return tuple("".join(piece) if isinstance(piece, list) else piece for piece in self._pieces)

    def build(self) -> Segment:
        return Segment(self.pieces(), tuple(self.loras), tuple(self.faceids))
