"""What the stages of one plan share.

The request, its numbers, the graph they write into, and the problems they report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...families.family import Family
from ...families.lora_files import is_for
from ...graph.graph import Graph, Link, Value
from ...graph.outputs import RegionsNode
from ...prompt import EmbeddingTag, PromptRequest, Segment
from ...tunes.file_search import Missing
from ...tunes.resolve import Resolver
from .model_loaders import ModelLoaders
from .settings import Settings
from .sources import Options, Sources
from .stage_list import Problem, Stage
from .tags import resolve_text
from .text import Encoded, Lora, PromptText, WornLora


@dataclass(frozen=True)
class PictureContext:
    """What a picture was drawn from, for the stages that draw in it again.

    The conditionings of scene and people, where the people are, what was repainted.

    `scene` is without people, `drawn` with them; both without ControlNets. `composition`, where the
    first sampling draws by another text than later ones, is what it draws by. `scene_loras` act
    where no person stands. `mask` is what an inpainting repainted, at the size of its padded
    picture, and `fit` cuts that padding off.
    """

    scene: Encoded
    drawn: Encoded
    composition: Encoded | None = None
    persons: Link | None = None
    regions: RegionsNode | None = None
    mask: Link | None = None
    fit: Link | None = None
    scene_loras: Link | None = None


@dataclass(frozen=True)
class StagePicture:
    """The picture as one stage hands it to the next.

    `context` is None until a stage has drawn from the prompt.
    """

    image: Value
    context: PictureContext | None = None

    def with_image(self, image: Value) -> StagePicture:
        """Return the same picture after a stage that changed its pixels only."""
        return replace(self, image=image)


@dataclass
class PlanBuilder:
    """What every stage reads and writes: the request with its numbers, the graph, the reports.

    `identities` remembers the loaded photo sets by tune and analysis; `loras` tells which LoRA acts
    on whom.
    """

    request: PromptRequest
    settings: Settings
    sources: Sources
    resolver: Resolver
    options: Options
    loaders: ModelLoaders
    problems: list[Problem]
    missing: list[Missing] = field(default_factory=list)
    skipped: set[str] = field(default_factory=set)
    identities: dict[tuple[str, str], Link] = field(default_factory=dict)
    loras: list[WornLora] = field(default_factory=list)

    @property
    def graph(self) -> Graph:
        return self.sources.graph

    @property
    def family(self) -> Family:
        return self.sources.family

    def require_for_stage(self, found: Value | Missing, stage: Stage) -> Value | None:
        """Return the model that a stage needs.

        A missing one leaves the stage out with a warning, or is an error, by `missing_models`.
        """
        if not isinstance(found, Missing):
            return found
        if self.options.missing_models == "error":
            self._miss(found)
        elif stage.name not in self.skipped:
            self.skipped.add(stage.name)
            self.problems.append(
                Problem(
                    "stage-skipped",
                    "warning",
                    f"Stage {stage.name} is skipped: {found.message}",
                    found.hint,
                )
            )
        return None

    @property
    def are_models_required(self) -> bool:
        """Whether a missing model is an error, and not left out."""
        return self.options.missing_models == "error"

    def require_for_part(self, found: Value | Missing, part: str) -> Value | None:
        """Return the model that a part of a stage needs, as `require_for_stage` does.

        Skipping leaves that part out, and the stage runs.
        """
        if not isinstance(found, Missing):
            return found
        if self.options.missing_models == "error":
            self._miss(found)
        else:
            self.tell(
                Problem(
                    "part-skipped", "warning", f"{part} is left out: {found.message}", found.hint
                )
            )
        return None

    def tell(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def wear(self, wearer: str, loras: Sequence[Lora]) -> None:
        """Record on whom these LoRAs act, and warn of a file that seems made for another family, or
        to be no LoRA.
        """
        for lora in loras:
            signs = self.resolver.lora_signs(lora.file)
            worn = WornLora(lora, wearer, signs)
            if worn not in self.loras:
                self.loras.append(worn)
            seems = (
                f"The LoRA '{lora.file}' seems {signs.describe()}, by the names and sizes of its"
            )
            title = self.family.title
            if signs.form:
                text = (
                    f"{seems} tensors; that is not read as a LoRA, and where nothing else is in the"
                    " file the run stops."
                )
                self.tell(Problem("lora-form", "warning", text, f"Use a LoRA made for {title}."))
            elif not is_for(signs.made_for, self.family.branch):
                text = (
                    f"{seems} tensors; the model is {title}. What does not fit is left out, and"
                    " where nothing fits the run stops."
                )
                hint = f"Use a LoRA made for {title}, or a model of the LoRA's family."
                self.tell(Problem("lora-family", "warning", text, hint))

    def _miss(self, found: Missing) -> None:
        same = [at for at, one in enumerate(self.missing) if one.message == found.message]
        if not same:
            self.missing.append(found)
        # A stage may know a way around what another one has missed before.
        elif len(found.hint) > len(self.missing[same[0]].hint):
            self.missing[same[0]] = found

    def resolve_text(
        self, positive: Sequence[Segment], negative: Sequence[Segment], *, of_person: bool = False
    ) -> PromptText:
        """Return the texts with the files behind their tags; tags without a file are reported."""
        found = resolve_text(
            positive,
            negative,
            self.resolver,
            use_lpw=self.settings.use_lpw,
            weighs=self.family.text.weights,
            style=self.request.style,
            of_person=of_person,
        )
        for one in found.missing:
            self._miss(one)
        for tag, absent in found.faceless:
            self.require_for_part(absent, tag)
        for problem in found.problems:
            self.tell(problem)
        self._check_embeddings(found.prompt_text)
        return found.prompt_text

    def _check_embeddings(self, said: PromptText) -> None:
        """Warn of embeddings that the text encoder leaves out."""
        width, title = self.family.text.width, self.family.title
        read = (*said.positive, *(said.negative if self.family.takes_negative else ()))
        pieces = [piece for segment in read for piece in segment.pieces] if width else []
        for piece in pieces:
            if not isinstance(piece, EmbeddingTag):
                continue
            widths = self.resolver.embedding_widths(piece.name)
            if width in widths:
                continue
            found = " or ".join(map(str, sorted(widths)))
            why = f"; its vectors have {found} numbers" if widths else "; its file does not tell"
            if piece.name not in self.resolver.listed("embeddings"):
                why = ""
            text = (
                f"<{piece.name}> is left out by ComfyUI unless it was made for the text encoder of"
                f" {title}, whose vectors have {width} numbers{why}."
            )
            hint = "Take it out, and say in words what it stands for."
            self.tell(Problem("embedding-family", "warning", text, hint))
