"""Request -> plan: the stages in their order, each written into one graph of host and pack nodes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..prompt import PromptRequest, Segment
from ..tunes.resolve import Missing, Resolver
from .base_stage import BaseInputs, add_base, repeated
from .encode import Models, Wording, add_encoding, negative_segments, prompt_segments
from .family import Family
from .graph import Graph, Link, Value, slot
from .people import person_segments
from .pictures import picture
from .sampling import Painting, add_masked_latent, add_sampling
from .settings import Inputs, Settings, settle
from .stages import UPSCALE_FACTOR, Problem, Stage, problems, stages
from .wording import find_wording, raise_for

# Ordinary models do not see the source through extra channels. Starting them a little below pure noise lets the colours of
# the edge-extended fill through, so that the new area continues the picture instead of starting another one.
ORDINARY_OUTPAINT_DENOISE = 0.95
# How far repainting reaches softly into the source, so that texture meets without a cut; the composite restores every source
# pixel. Inpaint models are shown grey where the mask rounds to 1, so they get less.
OVERLAP_PX = {True: 8, False: 16}  # by Family.inpaint


@dataclass(frozen=True)
class Sources:
    """The values the plan starts from: links to loader nodes, or sockets of the node that expands it."""

    models: Models
    family: Family
    image: Value | None = None
    mask: Value | None = None
    person_masks: Value | None = None
    upscale_model: Value | None = None
    pose_controlnet: Value | None = None
    outpaint_models: Models | None = None
    outpaint_family: Family | None = None
    graph: Graph = field(default_factory=Graph)  # holds what the links above come from; the plan is written into it


@dataclass(frozen=True)
class Options:
    """What the artist decides beside the prompt."""

    seed: int = 0
    missing_models: str = "error"
    smaller_canvas: str = "crop"


@dataclass(frozen=True)
class Plan:
    """A request as a graph of nodes, with its stages and everything worth telling about it.

    `missing` and problems of severity `error` keep it from running; its graph is then incomplete.
    """

    family: Family
    graph: Graph
    output: Value | None
    stages: tuple[Stage, ...]
    stage_outputs: dict[str, Value]
    settings: Settings
    problems: tuple[Problem, ...]
    missing: tuple[Missing, ...]

    @property
    def sampler_calls(self) -> int:
        return sum(call.class_type == "SamplerCustomAdvanced" for call in self.graph.nodes.values())

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")


def plan(request: PromptRequest, sources: Sources, resolver: Resolver, options: Options) -> Plan:
    """Return the plan of `request`, ready to run.

    Raises PlanError when the request asks for something this version cannot do or an input is missing, MissingModelError
    when only model files are missing; either lists every reason at once.
    """
    drafted = draft(request, sources, resolver, options)
    raise_for(drafted.problems, drafted.missing)
    return drafted


def draft(request: PromptRequest, sources: Sources, resolver: Resolver, options: Options) -> Plan:
    """Return the plan of `request` as far as it goes, with what keeps it from running listed in it."""
    return _Planner(request, sources, resolver, options).run()


class _Planner:
    """Writes one stage after the other; `image` is the picture so far."""

    def __init__(self, request: PromptRequest, sources: Sources, resolver: Resolver, options: Options) -> None:
        self.request = request
        self.resolver = resolver
        self.options = options
        self.graph = sources.graph
        image, image_problems = picture(self.graph, "image", sources.image, request.input_image)
        mask, mask_problems = picture(self.graph, "mask", sources.mask, request.mask_image)
        self.sources = replace(sources, image=image, mask=mask)
        # A picture that the prompt names counts even where it cannot be had: the plan is then explained as it was meant.
        has_image = image is not None or request.input_image is not None
        inputs = Inputs(has_image, mask is not None or request.mask_image is not None, options.seed)
        self.settings = settle(request, sources.family, inputs)
        self.stages = stages(request, self.settings, inputs)
        self.problems = [*image_problems, *mask_problems, *problems(request, sources.family, self.settings, inputs)]
        self.missing: list[Missing] = []
        self.image: Value | None = image
        self.stage_outputs: dict[str, Value] = {}
        self.skipped: set[str] = set()

    def run(self) -> Plan:
        if not any(problem.severity == "error" for problem in self.problems):
            self._write_stages()
        stages = tuple(stage for stage in self.stages if stage.name not in self.skipped)
        told = tuple(self.problems), tuple(self.missing)
        return Plan(self.sources.family, self.graph, self.image, stages, self.stage_outputs, self.settings, *told)

    def _write_stages(self) -> None:
        writers = {"base": self._base, "outpaint": self._outpaint, "super_resolution": self._super_resolution}
        if not self.stages or self.stages[0].name != "base":
            self._input_only()
        for stage in self.stages:
            self.image = writers[stage.name](stage)
            if stage.name not in self.skipped:
                self.stage_outputs[stage.name] = self.image

    # -- stage 1 ------------------------------------------------------------------------------------------------------

    def _input_only(self) -> None:
        """The input image stands as it is: brought to w x h where the prompt sets them, and repeated for num_images."""
        image = self.sources.image
        assert image is not None, "a request without a base stage has an input image"
        width, height = self.settings.width or 0, self.settings.height or 0
        fitted = self.graph.add("input.fit", "AstriaFitImage", image=image, width=width, height=height, multiple=1)
        self.image = repeated(self.graph, "input.repeat", fitted, self.settings.num_images)
        self.stage_outputs["input"] = self.image

    def _base(self, stage: Stage) -> Link:
        given = BaseInputs(
            models=self.sources.models,
            family=self.sources.family,
            settings=self.settings,
            scene=self._wording(prompt_segments(self.request), negative_segments(self.request)),
            people=tuple(self._wording(person.positive, person.negative) for person in person_segments(self.request)),
            image=self.sources.image,
            mask=self.sources.mask,
            person_masks=self.sources.person_masks,
            pose_controlnet=self._pose_controlnet(stage),
        )
        return add_base(self.graph, stage.kind, given)

    def _pose_controlnet(self, stage: Stage) -> Value | None:
        """Return the ControlNet for the constant pose of people without an input image; without one the regions place them, and that is said."""
        if not self.request.persons or stage.kind != "txt2img":
            return None
        if self.sources.pose_controlnet is not None:
            return self.sources.pose_controlnet
        bound = self.resolver.role("controlnet_pose")
        if not isinstance(bound, Missing):
            return self.graph.add("models.pose_controlnet", "ControlNetLoader", control_net_name=bound)
        text = "No pose ControlNet is connected or bound, so the regions alone place the persons."
        self.problems.append(Problem("no-pose-controlnet", "info", text, bound.hint))
        return None

    # -- stage 2 ------------------------------------------------------------------------------------------------------

    def _outpaint(self, stage: Stage) -> Link:
        request, settings = self.request, self.settings
        family = self.sources.outpaint_family or self.sources.family
        if request.cfg_scale is None:
            settings = replace(settings, cfg=family.cfg)  # Flux Fill wants another guidance than Flux dev
        models = self.sources.outpaint_models or self.sources.models
        segments = (request.outpaint_prompt,) if request.outpaint_prompt is not None else prompt_segments(request)
        wording = self._wording(segments, negative_segments(request))
        encoded = add_encoding(self.graph, "outpaint", models, wording, family, settings.cfg)
        canvas = self.graph.add(
            "outpaint.canvas",
            "AstriaOutpaintCanvas",
            image=self.image,
            anchor=request.outpaint,
            width=request.outpaint_width,
            height=request.outpaint_height,
            smaller=self.options.smaller_canvas,
            fill="neutral" if family.inpaint else "edge",
            overlap_px=OVERLAP_PX[family.inpaint],
            multiple=family.multiple,
        )
        encoded, latent = add_masked_latent(self.graph, "outpaint", encoded, canvas, slot(canvas, 1), family)
        denoise = 1.0 if family.inpaint else ORDINARY_OUTPAINT_DENOISE
        decoded = add_sampling(self.graph, "outpaint", Painting(encoded, latent, denoise), family, settings)
        return self.graph.add("outpaint.composite", "AstriaOutpaintComposite", canvas=slot(canvas, 2), painted=decoded, heal_seam=True)

    # -- stage 4 ------------------------------------------------------------------------------------------------------

    def _super_resolution(self, stage: Stage) -> Value:
        model = self.sources.upscale_model
        if model is None:
            model = self._role_model("upscaler", stage)
        if model is None:
            return self.image
        inputs = {"image": self.image, "upscale_model": model, "factor": float(UPSCALE_FACTOR)}
        return self.graph.add("super_resolution.upscale", "AstriaSuperResolution", **inputs)

    def _role_model(self, role: str, stage: Stage) -> Link | None:
        """Load the model bound to `role`. Missing: the stage is left out with a word about it, or it is an error, as the artist chose."""
        bound = self.resolver.role(role)
        if not isinstance(bound, Missing):
            return self.graph.add("super_resolution.model", "UpscaleModelLoader", model_name=bound)
        if self.options.missing_models == "error":
            self.missing.append(bound)
        else:
            self.skipped.add(stage.name)
            self.problems.append(Problem("stage-skipped", "warning", f"Stage {stage.name} is skipped: {bound.message}", bound.hint))
        return None

    # -- wording ------------------------------------------------------------------------------------------------------

    def _wording(self, positive: tuple[Segment, ...], negative: tuple[Segment, ...]) -> Wording:
        found = find_wording(positive, negative, self.resolver, use_lpw=self.settings.use_lpw)
        self.missing += [one for one in found.missing if one not in self.missing]
        self.problems += [one for one in found.problems if one not in self.problems]
        return found.wording
