"""Segments -> what a stage says to the model, with the files behind their LoRA tags and embeddings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import MissingModelError, PlanError
from ..prompt import EmbeddingTag, PromptRequest, Segment
from ..tunes.resolve import Missing, Resolver
from .encode import Lora, Wording, lora_weights, negative_segments, prompt_segments
from .people import person_segments
from .stages import Problem, wording_problems


@dataclass(frozen=True)
class FoundWording:
    """A wording as far as its files are there, and what is wrong with the rest."""

    wording: Wording
    missing: tuple[Missing, ...]
    problems: tuple[Problem, ...]


def find_wording(positive: Sequence[Segment], negative: Sequence[Segment], resolver: Resolver, *, use_lpw: bool) -> FoundWording:
    """Return the wording of the segments; tags without a file are left out of it and listed."""
    loras, missing, problems = _find_loras(lora_weights(positive), resolver)
    embeddings = _Embeddings(resolver)
    wording = Wording(embeddings.named(positive), embeddings.named(negative), loras, use_lpw)
    return FoundWording(wording, _unique((*missing, *embeddings.missing)), _unique(problems))


def resolve_wording(request: PromptRequest, resolver: Resolver, *, use_lpw: bool) -> tuple[Wording, tuple[Wording, ...]]:
    """Return what is said of the scene and of each person.

    Raises PlanError or MissingModelError listing everything that is wrong with it.
    """
    groups = [(prompt_segments(request), negative_segments(request))]
    groups += [(person.positive, person.negative) for person in person_segments(request)]
    found = [find_wording(positive, negative, resolver, use_lpw=use_lpw) for positive, negative in groups]
    problems = [problem for one in found for problem in one.problems]
    raise_for((*wording_problems(request), *problems), _unique(missing for one in found for missing in one.missing))
    return found[0].wording, tuple(one.wording for one in found[1:])


def check_regions(request: PromptRequest, connected: bool) -> None:
    """Return when regions are connected just where the request has persons; raise PlanError otherwise."""
    if request.persons and not connected:
        text = f"The request describes {len(request.persons)} person(s), and no regions are connected."
        raise PlanError(text, code="no-regions", hint="Connect Astria Regions, or use Astria Generate.")
    if connected and not request.persons:
        text = "Regions are connected, and the request describes no person."
        raise PlanError(text, code="regions-without-persons", hint="Add persons to the prompt, each after a BREAK, or disconnect the regions.")


def raise_for(problems: Iterable[Problem], missing: Iterable[Missing]) -> None:
    """Raise PlanError for problems that are errors, MissingModelError when only files are missing; return when neither."""
    errors = [problem.render() for problem in problems if problem.severity == "error"]
    absent = [f"{one.message}\n  {one.hint}" if one.hint else one.message for one in missing]
    if errors:
        raise PlanError("\n".join(errors + absent), code="cannot-plan")
    if absent:
        raise MissingModelError("\n".join(absent), code="missing-model")


def _find_loras(weights: Mapping[str, float], resolver: Resolver) -> tuple[tuple[Lora, ...], list[Missing], list[Problem]]:
    loras, missing, problems = [], [], []
    for name, weight in weights.items():
        found = resolver.lora(name)
        if isinstance(found, Missing):
            missing.append(found)
        elif found.kind == "lora":
            loras.append(Lora(found.file, weight))
        else:
            text = f"<lora:{name}> stands for the {found.kind} '{found.file}', which cannot be added to the whole picture's model."
            problems.append(Problem("not-a-lora", "error", text, "Bind the id to a LoRA file, or load the checkpoint as the MODEL."))
    return tuple(loras), missing, problems


class _Embeddings:
    """Gives embeddings the names the host lists: the host passes over one that it does not find."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.missing: list[Missing] = []

    def named(self, segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(replace(segment, pieces=tuple(map(self._piece, segment.pieces))) for segment in segments)

    def _piece(self, piece: str | EmbeddingTag) -> str | EmbeddingTag:
        if isinstance(piece, str):
            return piece
        found = self._resolver.locate("embedding", piece.name, ("embeddings",))
        if isinstance(found, Missing):
            self.missing.append(found)
            return piece
        return EmbeddingTag(found.file.replace("\\", "/"))  # Windows lists subfolders with a backslash; the host reads both


def _unique(values: Iterable) -> tuple:
    return tuple(dict.fromkeys(values))
