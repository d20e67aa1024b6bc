"""Weighted text: `(word:1.2)`, `((word))`, `[word]`, and the text the host's encoder needs to weigh
it so.

The host always reads `(...)` and the escapes `\\(` and `\\)`, never `[...]`, and takes an inner
weight for the whole weight where the language multiplies. So every weight is worked out here and
written flat, and every other bracket is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .kinds import ANY_NUMBER, ValueProblem
from .segment import EmbeddingTag, Segment

ROUND_WEIGHT = 1.1
SQUARE_WEIGHT = 1 / 1.1
MOST_WEIGHT = 100.0

_TOKEN = re.compile(r"\\[\\()\[\]]|[()\[\]]")
_CLOSES = {")": "(", "]": "["}
# Longer than any weight anybody writes; keeps the look behind a closing bracket short.
_LONGEST_WEIGHT = 16


@dataclass(slots=True)
class WeightedRun:
    """Neighbouring text and embeddings of one weight; escapes are resolved."""

    weight: float
    pieces: list[str | EmbeddingTag]


@dataclass(slots=True)
class _WeightedPart:
    """A stretch of literal text or an embedding, or a bracket until it is matched."""

    piece: str | EmbeddingTag
    place: tuple[int, int]  # piece index, offset in that piece
    bracket: str = ""
    factor: float | None = None  # of an opening bracket that is matched
    is_closing: bool = False  # a closing bracket that is matched


@dataclass
class Weighing:
    """The runs of a text, and places in it (piece index, offset).

    Brackets without a partner, and text of a weight beyond all measure.
    """

    runs: list[WeightedRun] = field(default_factory=list)
    unmatched: list[tuple[int, int]] = field(default_factory=list)
    extreme: list[tuple[int, int]] = field(default_factory=list)


def weigh(pieces: Sequence[str | EmbeddingTag]) -> Weighing:
    """Return the text cut into runs of one weight each.

    Nested weights multiply; an unmatched bracket is a character like any other.
    """
    result = Weighing()
    weights = [1.0]
    for part in _match(_split(pieces)):
        if part.factor is not None:
            weights.append(weights[-1] * part.factor)
        elif part.is_closing:
            weights.pop()
        elif part.piece:
            weight = round(weights[-1], 4)
            if part.bracket:
                result.unmatched.append(part.place)
            # So written, since it may be no number at all after very many brackets.
            if not abs(weight) <= MOST_WEIGHT:
                result.extreme.append(part.place)
            if result.runs and result.runs[-1].weight == weight:
                result.runs[-1].pieces.append(part.piece)
            else:
                result.runs.append(WeightedRun(weight, [part.piece]))
    return result


def _split(pieces: Sequence[str | EmbeddingTag]) -> list[_WeightedPart]:
    parts: list[_WeightedPart] = []
    for index, piece in enumerate(pieces):
        if isinstance(piece, EmbeddingTag):
            parts.append(_WeightedPart(piece, (index, 0)))
            continue
        at = 0
        for found in _TOKEN.finditer(piece):
            parts.append(_WeightedPart(piece[at : found.start()], (index, at)))
            token = found.group()
            place = (index, found.start())
            parts.append(
                _WeightedPart(token[1:], place)
                if len(token) == 2
                else _WeightedPart(token, place, token)
            )
            at = found.end()
        parts.append(_WeightedPart(piece[at:], (index, at)))
    return parts


def _match(parts: list[_WeightedPart]) -> list[_WeightedPart]:
    """Pair the brackets.

    A closing one takes the nearest open one of its kind; what was opened in between stays text.
    """
    stack: list[int] = []
    still_open = {"(": 0, "[": 0}
    for at, part in enumerate(parts):
        if part.bracket in still_open:
            stack.append(at)
            still_open[part.bracket] += 1
        elif part.bracket and still_open[_CLOSES[part.bracket]]:
            while parts[stack[-1]].bracket != _CLOSES[part.bracket]:
                still_open[parts[stack.pop()].bracket] -= 1
            opening = stack.pop()
            still_open[parts[opening].bracket] -= 1
            parts[opening].factor = (
                SQUARE_WEIGHT if part.bracket == "]" else _take_weight(parts, opening, at)
            )
            part.is_closing = True
    return parts


def _take_weight(parts: list[_WeightedPart], opening: int, closing: int) -> float:
    """Return the weight written before the closing bracket, taking it out of the text, else the
    default.
    """
    before = parts[closing - 1]
    if isinstance(before.piece, str) and not before.bracket and closing - 1 > opening:
        _, colon, number = before.piece[-_LONGEST_WEIGHT:].rpartition(":")
        weight = ANY_NUMBER.read(number.strip())
        if colon and not isinstance(weight, ValueProblem):
            before.piece = before.piece[: len(before.piece) - len(number) - 1]
            return weight
    return ROUND_WEIGHT


def encoder_text(segment: Segment, *, use_lpw: bool, weighs: bool = True) -> str:
    """Return the text for ComfyUI's CLIPTextEncode.

    Weights flat and explicit, or with `use_lpw` false every bracket as plain text. Where the
    encoder does not weigh, it reads no escapes either, and weights are left out.
    """
    if not weighs:
        runs = weigh(segment.pieces).runs if use_lpw else [WeightedRun(1.0, list(segment.pieces))]
        return "".join(_written(run.pieces, escapes=False) for run in runs)
    if not use_lpw:
        return _written(segment.pieces)
    written: list[str] = []
    runs = weigh(segment.pieces).runs
    for at, run in enumerate(runs):
        text = _written(run.pieces)
        is_last = at + 1 == len(runs)
        # A backslash before the next run's bracket would escape it, so such a run is wrapped
        # although it weighs 1.
        if run.weight == 1 and (is_last or not text.endswith("\\")):
            written.append(text)
        elif text:
            written.append(f"({text}:{run.weight:g})")
    return "".join(written)


def has_weights(segment: Segment) -> bool:
    """Say whether a part of the text weighs more or less than the rest."""
    return any(run.weight != 1 for run in weigh(segment.pieces).runs)


def _written(pieces: Sequence[str | EmbeddingTag], *, escapes: bool = True) -> str:
    """Return literal text with its round brackets escaped and the embeddings in the host's words,
    set off by blanks.
    """
    text: list[str] = []
    is_after_embedding = False
    for piece in pieces:
        if isinstance(piece, EmbeddingTag):
            text += [" "] if text and not text[-1][-1].isspace() else []
            text.append(f"embedding:{piece.name}")
        # The host marks escaped brackets with NUL, which says nothing to a model.
        elif plain := piece.replace("\0", ""):
            text += [" "] if is_after_embedding and not plain[0].isspace() else []
            text.append(re.sub(r"([()])", r"\\\1", plain) if escapes else plain)
        is_after_embedding = isinstance(piece, EmbeddingTag)
    return "".join(text)
