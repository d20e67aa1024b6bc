"""Help on a place of a text, in words for a person who has not read the grammar."""

from __future__ import annotations

from dataclasses import dataclass

from ..prompt.analysis import parse
from ..prompt.catalog import FLAGS, PARAMETERS
from ..prompt.source import Span
from ..prompt.tree import Document, Node
from .painting import flag_name, part_title

_NO_EFFECT = "It is accepted, and has no effect here."


@dataclass(frozen=True, slots=True)
class Description:
    """The help on the text at `span`. For a tag `kind` is lora, faceid or embedding, and `name` its
    name.
    """

    span: Span
    text: str
    kind: str = ""
    name: str = ""


def describe(text: str, offset: int) -> Description | None:
    """Return the help at `offset`; None for plain text, and where diagnostics already speak."""
    document = parse(text)
    node = _at(document.children, offset)
    if node is not None and node.kind in ("block", "foreign"):
        node = _at(node.children, offset)
    if node is None:
        return None
    if node.kind == "flag":
        inner = next(
            (
                tag
                for child in node.children
                for tag in child.children
                if tag.kind == "tag" and _holds(tag, offset)
            ),
            None,
        )
        return _tag(inner, text) if inner else _flag(node, text)
    if node.kind == "parameter":
        inner = _at(node.children, offset)
        return _tag(inner, text) if inner and inner.kind == "tag" else _parameter(node, text)
    if node.kind == "tag":
        return _tag(node, text)
    return _break(node, document) if node.kind == "break" else None


def _holds(node: Node, offset: int) -> bool:
    return node.span.start <= offset < node.span.end


def _at(nodes: tuple[Node, ...], offset: int) -> Node | None:
    return next((node for node in nodes if _holds(node, offset)), None)


def _flag(node: Node, text: str) -> Description:
    head = node.children[0].span
    flag = FLAGS[flag_name(head.of(text))]
    lines = [f"--{flag_name(head.of(text))}: {flag.help}."]
    lines += (
        [] if flag.takes == "nothing" else [f"Takes {_several(flag.takes)}{flag.kind.expected}."]
    )
    return Description(node.span, "\n".join(lines + ([] if flag.has_effect else [_NO_EFFECT])))


def _several(takes: str) -> str:
    return "words, each " if takes == "words" else ""


def _parameter(node: Node, text: str) -> Description | None:
    key = node.children[0].span.of(text)
    parameter = PARAMETERS.get(key)
    if parameter is None:
        return None
    lines = [f"{key}= {parameter.help}.", f"Takes {parameter.kind.expected}. Empty means not set."]
    return Description(node.span, "\n".join(lines + ([] if parameter.has_effect else [_NO_EFFECT])))


def _tag(node: Node, text: str) -> Description:
    name = node.child("name").span.of(text)
    kind = node.child("tag-kind")
    if kind is None:
        return Description(node.span, f"Embedding {name}.", "embedding", name)
    numbers = [child.span.of(text) for child in node.children if child.kind == "value"]
    number = numbers[-1] if numbers else "1"
    if kind.span.of(text) == "faceid":
        return Description(
            node.span, f"FaceID: the photos of {name}, strength {number}.", "faceid", name
        )
    apart = f", on the text encoder {numbers[0]}" if len(numbers) > 1 else ""
    return Description(node.span, f"LoRA {name}, weight {number}{apart}.", "lora", name)


def _break(node: Node, document: Document) -> Description:
    number = sum(
        one.kind == "break" and one.span.start <= node.span.start for one in document.children
    )
    return Description(
        node.span,
        "BREAK: what follows is"
        f" {'the ' if number < 2 else ''}{part_title(number)}.\n{_PART_HELP[min(number, 2)]}",
    )


_PART_HELP = (
    "",
    "It is added to the base prompt and to every person.",
    "One person, drawn in a region of their own with their own words and tags.",
)
