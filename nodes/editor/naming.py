"""The names in a prompt that lead to no file here, as diagnostics at their places.

Tags by what they name, roles by what in the text asks for them. Whether the prompt runs may depend
on more than the text, so these are warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..families.family import Family
from ..families.lora_files import is_for
from ..prompt.analysis import parse
from ..prompt.catalog import LORA_KINDS
from ..prompt.source import Diagnostic, Report, Rewrite, Span
from ..prompt.tree import Document, Node
from ..tunes.file_search import Missing
from ..tunes.resolve import Resolved, Resolver
from ..tunes.tables import ROLES
from .painting import flag_name

# Part of a role's name -> the flags and parameters that ask for it, or for what needs it.
_ASKED_BY: Mapping[str, tuple[str, ...]] = {
    "upscaler": ("super_resolution", "hires_fix", "inpaint_faces", "upscale_v4", "only_upscale"),
    "controlnet_tile": ("tiled_upscale_v2", "tiled_upscale", "controlnet", "controlnets"),
    "controlnet": ("controlnet", "controlnets"),
    "estimator": ("controlnet", "controlnets"),
    "segmenter": ("mask_prompt", "mask_negative"),
    "background_removal": ("remove_background",),
    "face_swap": ("face_swap",),
    "face_restorer": ("face_correct",),
    "face": ("inpaint_faces", "face_swap", "face_correct"),
    "tiled": ("tiled_upscale_v2", "tiled_upscale"),
}
_MASK_ROLES = ("sam3", "grounding_dino", "sam", "clipseg")


@dataclass(frozen=True)
class NamedProblem:
    """A diagnostic about a name, and the key of the bindings that would give it a file."""

    diagnostic: Diagnostic
    bind_key: str = ""


@dataclass(frozen=True, slots=True)
class _Tag:
    kind: str  # lora, faceid or embedding
    span: Span
    name: Span


def tag_problems(text: str, resolver: Resolver, family: Family | None) -> list[NamedProblem]:
    """Return a warning at each tag that names nothing here, or a LoRA of another family."""
    document = parse(text)
    report = Report(text)
    found: dict[tuple[str, str], Resolved | Missing | object] = {}
    problems = []
    for tag in _tags(document.children, text):
        name = tag.name.of(text)
        if (tag.kind, name) not in found:
            found[tag.kind, name] = _looked_up(tag.kind, name, resolver)
        meant = found[tag.kind, name]
        if isinstance(meant, Missing):
            problems.append(_absent(tag, meant, report))
        elif isinstance(meant, Resolved) and meant.kind == "lora" and meant.file:
            problems += _misfit(tag, meant.file, resolver, family, report)
    return problems


def role_problems(text: str, missing: Iterable[Missing]) -> list[NamedProblem]:
    """Return a warning for each role without a file, at what in the text asks for it."""
    document = parse(text)
    report = Report(text)
    return [
        NamedProblem(
            _warning(report, "missing-model", _asking(document, one.key), one.message, one.hint),
            one.bind_key,
        )
        for one in missing
        if one.key.rpartition(".")[2] in ROLES or one.key == "segmenter"
    ]


def _tags(nodes: Iterable[Node], text: str) -> Iterator[_Tag]:
    for node in nodes:
        name, kind = node.child("name"), node.child("tag-kind")
        if node.kind == "tag" and name is not None:
            word = kind.span.of(text) if kind else "embedding"
            yield _Tag("lora" if word in LORA_KINDS else word, node.span, name.span)
        yield from _tags(node.children, text)


def _looked_up(kind: str, name: str, resolver: Resolver) -> object:
    if kind == "embedding":
        return resolver.locate("embedding", name, ("embeddings",))
    return resolver.faceid(name) if kind == "faceid" else resolver.lora(name)


def _absent(tag: _Tag, missing: Missing, report: Report) -> NamedProblem:
    rewrite = None
    if missing.close:
        rewrite = Rewrite(tag.name, missing.close, f"Write {missing.close}")
    warning = _warning(report, "missing-name", tag.span, missing.message, missing.hint, rewrite)
    return NamedProblem(warning, missing.bind_key)


def _misfit(
    tag: _Tag, file: str, resolver: Resolver, family: Family | None, report: Report
) -> list[NamedProblem]:
    signs = resolver.lora_signs(file)
    if signs.form:
        text = f"The LoRA '{file}' seems {signs.describe()}, which is not read as a LoRA"
        return [NamedProblem(_warning(report, "lora-form", tag.span, text, "Use a LoRA."))]
    if family is None or is_for(signs.made_for, family.branch):
        return []
    text = f"The LoRA '{file}' seems {signs.describe()}; the model is {family.title}"
    hint = f"Use a LoRA made for {family.title}, or a model of the LoRA's family."
    return [NamedProblem(_warning(report, "lora-family", tag.span, text, hint))]


def _warning(
    report: Report, code: str, span: Span, message: str, hint: str, rewrite: Rewrite | None = None
) -> Diagnostic:
    line, column = report.position(span.start)
    text = message[:1].upper() + message[1:]
    return Diagnostic(code, "warning", span, text, hint, line, column, rewrite=rewrite)


def _asking(document: Document, role: str) -> Span:
    """Return what in the text asks for a role: a flag, a parameter, a face's tag, a BREAK, else the
    first word.
    """
    text = document.source
    name = role.rpartition(".")[2]
    name = "segmenter" if name in _MASK_ROLES else name
    wanted = next((keys for part, keys in _ASKED_BY.items() if part in name), ())
    heads = _heads(document)
    for key in wanted:
        if key in heads:
            return heads[key]
    tags = [tag.span for tag in _tags(document.children, text) if tag.kind == "faceid"]
    breaks = [node.span for node in document.children if node.kind == "break"]
    rest = tags or breaks[1:] or [Span(0, len(text.partition(" ")[0]) or 1)]
    return rest[0]


def _heads(document: Document) -> dict[str, Span]:
    text = document.source
    nodes = [*document.children]
    nodes += [child for node in nodes if node.kind == "block" for child in node.children]
    flags = {
        flag_name(node.children[0].span.of(text)): node.children[0].span
        for node in nodes
        if node.kind == "flag"
    }
    keys = {node.children[0].span.of(text): node.span for node in nodes if node.kind == "parameter"}
    return {**keys, **flags}
