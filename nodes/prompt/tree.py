"""The lossless tree of a document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .source import Diagnostic, Span


@dataclass(frozen=True, slots=True)
class Node:
    """A part of the text.

    Kinds that are leaves: text, break, name, value, key, flag-name, tag-kind, junk.

    Kinds that hold others: tag (tag-kind, name, value), flag (flag-name, value, quoted), quoted
    (text, tag), block (parameter), parameter (key, value). What lies between nodes is only
    punctuation and blanks.
    """

    kind: str
    span: Span
    children: tuple[Node, ...] = ()

    def child(self, kind: str) -> Node | None:
        return next((node for node in self.children if node.kind == kind), None)

    def leaves(self) -> Iterator[Node]:
        """Yield the nodes without children, in the order of the text."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed text: its tree and its diagnostics.

    `str()` gives back the exact text.
    """

    source: str
    children: tuple[Node, ...]
    diagnostics: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return self.source

    def leaves(self) -> Iterator[Node]:
        for child in self.children:
            yield from child.leaves()

    @property
    def has_errors(self) -> bool:
        return any(found.severity == "error" for found in self.diagnostics)
