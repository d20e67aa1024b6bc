"""Request -> plan: the stages in their order, each written into one graph of host and pack
nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..families.family import Family
from ..graph.graph import Graph, Socket, Value
from ..prompt import PromptRequest
from ..tunes.file_search import Missing
from ..tunes.resolve import Resolver
from .build.few_steps import few_step_files
from .build.lcm import lcm_of_outpaint, lcm_of_picture
from .build.model_loaders import ModelLoaders
from .build.plan_builder import PlanBuilder, StagePicture
from .build.settings import Inputs, Settings, settle
from .build.sources import Options, Sources
from .build.stage_list import Problem, Stage, raise_for, stages
from .build.text import Encoded, WornLora
from .build.triggers import trigger_problems
from .pictures import add_picture
from .problems import problems
from .stage_settings import stage_settings
from .stages.base import add_base, repeated
from .stages.control import connected_control
from .stages.enlarge import add_hires, add_super_resolution
from .stages.faces import add_face_correct, add_face_swap, add_inpaint_faces
from .stages.finishing import add_color_grading, add_film_grain, add_remove_background
from .stages.outpaint import add_outpaint
from .stages.people import add_regional, people_problems
from .stages.scene import encode_prompt

# Writes a stage into the builder's graph: takes the picture so far, returns the picture after it.
Writer = Callable[[PlanBuilder, Stage, StagePicture], StagePicture]
WRITERS: Mapping[str, Writer] = {
    "outpaint": add_outpaint,
    "hires_fix": add_hires,
    "super_resolution": add_super_resolution,
    "inpaint_faces": add_inpaint_faces,
    "face_swap": add_face_swap,
    "face_correct": add_face_correct,
    "color_grading": add_color_grading,
    "film_grain": add_film_grain,
    "remove_background": add_remove_background,
}


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
    loras: tuple[WornLora, ...] = ()

    @property
    def sampler_calls(self) -> int:
        """Calls of a sampler, that of the faces counted once.

        How many chunks their number needs is known when they are found.
        """
        return sum(
            call.class_type in ("SamplerCustomAdvanced", "AstriaInpaintFaces")
            for call in self.graph.nodes.values()
        )

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")


def plan(request: PromptRequest, sources: Sources, resolver: Resolver, options: Options) -> Plan:
    """Return the plan of `request`, ready to run.

    Raises PlanError when the request cannot be done or an input is missing, MissingModelError when
    only model files are missing; either lists every reason at once.
    """
    drafted = draft(request, sources, resolver, options)
    raise_for(drafted.problems, drafted.missing)
    return drafted


def draft(request: PromptRequest, sources: Sources, resolver: Resolver, options: Options) -> Plan:
    """Return the plan of `request` as far as it goes, with what keeps it from running listed
    in it.
    """
    image, image_problems = add_picture(sources.graph, "image", sources.image, request.input_image)
    mask, mask_problems = add_picture(sources.graph, "mask", sources.mask, request.mask_image)
    sources = replace(sources, image=image, mask=mask)
    inputs = _inputs(request, sources, resolver, options.seed)
    settings = settle(request, sources.family, inputs)
    found = [
        *image_problems,
        *mask_problems,
        *problems(
            request, sources.family, settings, inputs, are_skipped=options.missing_models == "skip"
        ),
        *trigger_problems(request, resolver),
    ]
    loaders = ModelLoaders(
        sources.graph,
        resolver,
        sources.connected,
        sources.family,
        connected_control(settings.controls),
        are_sockets=isinstance(sources.models.model, Socket),
    )
    builder = PlanBuilder(request, settings, sources, resolver, options, loaders, found)
    planned = stages(request, settings, inputs)
    image, outputs = (
        (image, {})
        if any(problem.severity == "error" for problem in found)
        else _write(builder, planned)
    )
    kept = stages(request, settings, inputs, builder.skipped)
    more = stage_settings(request, sources, kept, settings)
    settings = replace(settings, explained=(*settings.explained, *more))
    return Plan(
        sources.family,
        sources.graph,
        image,
        kept,
        outputs,
        settings,
        tuple(builder.problems),
        tuple(builder.missing),
        tuple(builder.loras),
    )


def _inputs(request: PromptRequest, sources: Sources, resolver: Resolver, seed: int) -> Inputs:
    """Return what beside the request decides its settings.

    A picture that the prompt names counts even where it cannot be had: the plan is then explained
    as it was meant.
    """
    return Inputs(
        sources.image is not None or request.input_image is not None,
        sources.mask is not None or request.mask_image is not None,
        seed,
        sources.control_image is not None,
        lcm_of_picture(request, resolver, sources.lcm_sign),
        lcm_of_outpaint(request, resolver, sources),
        sources.family_why,
        few_step_files(request, resolver, sources.model_file),
    )


def encode_request(
    request: PromptRequest, sources: Sources, resolver: Resolver, regions: Value
) -> tuple[Encoded, tuple[Problem, ...]]:
    """Write the request's LoRAs, FaceIDs, text and people into the sources' graph, for an artist's
    own sampler; return its inputs, and what its author should know.

    Raises PlanError or MissingModelError listing everything that is wrong with the wording.
    """
    settings = settle(request, sources.family, Inputs())
    loaders = ModelLoaders(sources.graph, resolver, sources.connected, sources.family)
    known = [*people_problems(request), *trigger_problems(request, resolver)]
    builder = PlanBuilder(request, settings, sources, resolver, Options(), loaders, known)
    said = encode_prompt(builder, "encode")
    encoded = (
        said.scene
        if said.persons is None
        else add_regional(builder.graph, "encode", said.scene, regions, said)
    )
    if said.persons is not None and sources.family.text.in_sequence:
        builder.tell(_own_composition(sources.family))
    if sources.family.is_shifted_by_size:
        builder.tell(_own_shift(sources.family))
    raise_for(builder.problems, builder.missing)
    return encoded, tuple(builder.problems)


def _own_composition(family: Family) -> Problem:
    text = (
        f"{family.title} paints people in regions where a ControlNet places them or the base prompt"
        " speaks of them, and may paint nobody otherwise."
    )
    hint = "Steer your sampler by a pose, or say in the base prompt how many there are, and who."
    return Problem("own-composition", "info", text, hint)


def _own_shift(family: Family) -> Problem:
    text = (
        f"The noise levels of {family.title} go by the picture's size and the steps, which your own"
        " sampler knows."
    )
    hint = "Put Astria Flux.2 Shift between this node's MODEL and your scheduler and guider."
    return Problem("shift-by-size", "info", text, hint)


def _write(builder: PlanBuilder, planned: tuple[Stage, ...]) -> tuple[Value, dict[str, Value]]:
    """Write the stages into the graph; return the last picture, and each stage's own."""
    outputs: dict[str, Value] = {}
    if planned and planned[0].name == "base":
        picture = add_base(builder, planned[0])
        outputs["base"] = picture.image
    else:
        picture = StagePicture(_input_only(builder))
        outputs["input"] = picture.image
    for stage in planned:
        if stage.name == "base":
            continue
        picture = WRITERS[stage.name](builder, stage, picture)
        if stage.name not in builder.skipped:
            outputs[stage.name] = picture.image
    return picture.image, outputs


def _input_only(builder: PlanBuilder) -> Value:
    """The input image stands as it is.

    Brought to w x h where the prompt sets them, and repeated for num_images.
    """
    image = builder.sources.image
    assert image is not None, "a request without a base stage has an input image"
    width, height = builder.settings.width or 0, builder.settings.height or 0
    fitted = builder.graph.add(
        "input.fit",
        "AstriaFitImage",
        image=image,
        width=width,
        height=height,
        multiple=1,
        most_px=0,
    )
    return repeated(builder.graph, "input.repeat", fitted, builder.settings.num_images)
