"""ControlNet parameters -> the map that each kind reads from the input image, and the nodes that
steer by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...control.modes import Advice, flux_advice
from ...families.family import Family
from ...graph.graph import Graph, Link, Value
from ...graph.outputs import CheckpointNode, ControlNetNode, PromptMaskNode, add_node, outputs_of
from ...prompt import PromptRequest
from ...tunes.file_search import Missing
from ..build.controls import Control
from ..build.model_loaders import UNION
from ..build.plan_builder import PlanBuilder
from ..build.settings import Inputs
from ..build.stage_list import Problem, Stage
from ..build.text import Encoded
from .inpaint_patch import ShownPicture, add_shown_picture, tell_other_variant

PEOPLE_WORD = "person"


# Where the map of each kind of ControlNet comes from: `made` by a node, the `picture` itself, or
# `given`: the host has no preprocessor, so the artist connects it.
KINDS: Mapping[str, Literal["made", "picture", "given"]] = {
    "pose": "made",
    "canny": "made",
    "tile": "picture",
    "qr": "picture",
    "depth": "made",
    "lineart": "given",
    "hed": "given",
    "mlsd": "given",
    "segroom": "given",
}
_NOT_CONTROLNETS = {
    "reference": "an image that attention reads beside the picture",
    "ipadapter": "an image prompt",
    "composition": "an image prompt for the composition",
}


def connected_control(controls: Sequence[Control]) -> str | None:
    """Return the kind that the one connected ControlNet is for.

    The first that has no socket of its own, as pose has.
    """
    return next(
        (control.kind for control in controls if control.kind in KINDS and control.kind != "pose"),
        None,
    )


def advice_for(graph: Graph, family: Family, kind: str) -> Advice | None:
    """Return how strongly the authors of the kind's ControlNet use it.

    Known of the bound union of Flux; None for any other, which steers by 1 to the end.
    """
    is_advised = is_by_union(graph, kind) and family.controls == "flux"
    return flux_advice(kind) if is_advised else None


def is_by_union(graph: Graph, kind: str) -> bool:
    """Say whether the bound ControlNet that knows every kind steers by this one's map."""
    mode = graph.nodes.get(f"models.{kind}_mode")
    return mode is not None and mode.inputs["control_net"] == Link(f"models.{UNION}")


def steering(
    request: PromptRequest, controls: Sequence[Control], kind: str, advice: Advice | None
) -> tuple[float, float]:
    """Return how strongly a kind steers, and until which part of the sampling.

    What the request sets wins over the advice. The constant pose of people steers without being
    asked for.
    """
    weight = next(
        (control.weight for control in controls if control.kind == kind),
        request.controlnet_conditioning_scale,
    )
    end = request.control_guidance_end
    if weight is None:
        weight = 1.0 if advice is None else advice.strength
    if end is None:
        end = 1.0 if advice is None else advice.end
    return weight, end


def control_problems(
    request: PromptRequest,
    family: Family,
    controls: Sequence[Control],
    inputs: Inputs,
    are_skipped: bool,
) -> list[Problem]:
    """Return what is wrong with the ControlNets of a request.

    No picture, no map, or no ControlNet at all; that none steers the family its models tell.

    `are_skipped`: a kind that is no ControlNet is left out instead, with a warning.
    """
    found = [
        _no_control(control, is_skipped=are_skipped)
        for control in controls
        if control.kind in _NOT_CONTROLNETS
    ]
    known = [control for control in controls if control.kind in KINDS]
    prepared = _kinds_of_prepared(known) if inputs.has_control_image else ()
    for control in known:
        if not family.takes_control(control.kind):
            continue
        if KINDS[control.kind] == "given" and not inputs.has_control_image:
            text = f"{control.said}: ComfyUI has no node that draws this map from a picture."
            drawn = [one for one in ("canny", "depth", "pose", "tile") if family.takes_control(one)]
            others = f"{', '.join(drawn[:-1])} or {drawn[-1]}"
            hint = f"Connect the prepared map to control_image, or use {others}."
            found.append(Problem("map-not-given", "error", text, hint))
        elif (
            not inputs.has_image
            and control.kind not in prepared
            and not (control.kind == "pose" and request.persons)
        ):
            # People without an input image have a constant pose.
            text = f"{control.said} needs an input image, and there is none."
            also = "" if prepared else " Or connect a prepared map to control_image."
            found.append(
                Problem(
                    "no-input-image", "error", text, f"Connect an image, or set input_image.{also}"
                )
            )
    found += _maps_wanted(known)
    if inputs.has_control_image and not known:
        text = "control_image has no effect: the prompt asks for no ControlNet."
        found.append(Problem("no-effect", "info", text, "Set controlnet=pose, or another kind."))
    return found


def _maps_wanted(controls: Sequence[Control]) -> list[Problem]:
    """Return the problem of several ControlNets that each need a prepared map."""
    given = [control.said for control in controls if KINDS[control.kind] == "given"]
    if len(given) < 2:
        return []
    text = f"{' and '.join(given)} each need a map of their own, and control_image is one picture."
    hint = "Leave one of them, or wire the others with ComfyUI's own nodes."
    return [Problem("one-map-only", "error", text, hint)]


def _no_control(control: Control, *, is_skipped: bool) -> Problem:
    what = (
        f"this is no ControlNet but {_NOT_CONTROLNETS[control.kind]}, for which ComfyUI has no node"
        " of its own."
    )
    hint = "Take it out of the prompt, or patch the connected MODEL with a pack that has it."
    if is_skipped:
        return Problem("part-skipped", "warning", f"{control.said} is left out: {what}", hint)
    return Problem("no-such-control", "error", f"{control.said}: {what}", hint)


def _kinds_of_prepared(controls: Sequence[Control]) -> tuple[str, ...]:
    """Return which kinds a prepared map is for: the one that has no other, else the first."""
    return tuple(control.kind for control in controls if KINDS[control.kind] == "given") or tuple(
        control.kind for control in controls[:1]
    )


@dataclass(frozen=True)
class ControlGround:
    """The pictures that maps are made from.

    The fitted input image, and the fitted map that the artist prepared.
    """

    picture: Value | None
    prepared: Value | None


def control_maps(builder: PlanBuilder, stage: Stage, ground: ControlGround) -> dict[str, Value]:
    """Add what draws the map of each ControlNet; return the maps by kind.

    What cannot be drawn is told and left out.
    """
    controls = [control for control in builder.settings.controls if control.kind in KINDS]
    given = _kinds_of_prepared(controls)
    maps: dict[str, Value] = {}
    for control in controls:
        # Where models are left out, a pose still says where people stand.
        is_wanted = control.kind == "pose" and not builder.are_models_required
        if not builder.family.takes_control(control.kind) and not is_wanted:
            absent = builder.loaders.no_controlnet(control.kind)
            builder.require_for_part(absent, control.said)
            continue
        prepared = ground.prepared if control.kind in given else None
        found = (
            prepared if prepared is not None else _drawn(builder, stage, control, ground.picture)
        )
        if found is not None:
            maps[control.kind] = found
    return maps


def add_controls(
    builder: PlanBuilder,
    stage: Stage,
    encoded: Encoded,
    maps: Mapping[str, Value],
    shown: ShownPicture | None = None,
) -> Encoded:
    """Add the ControlNets to the scene's conditionings; they steer the whole picture.

    A masked picture that a ControlNet is shown goes with the first map, as it was trained, or alone
    where there is none.
    """
    for control in builder.settings.controls:
        if control.kind not in maps:
            continue
        model = builder.require_for_part(builder.loaders.controlnet(control.kind), control.said)
        if model is None:
            continue
        name, hint = f"{stage.name}.control_{control.kind}", maps[control.kind]
        weight, end = steering_of(builder, control.kind)
        if shown is None:
            encoded = steered(builder, name, encoded, model, hint, weight, end)
        else:
            _tell_no_end(builder, end)
            encoded = add_shown_picture(builder, name, encoded, shown, weight, hint)
            shown = None
    if shown is None:
        return encoded
    return add_shown_picture(builder, f"{stage.name}.inpaint", encoded, shown)


def steering_of(builder: PlanBuilder, kind: str) -> tuple[float, float]:
    """Return the `steering` of a kind whose ControlNet stands in the builder's graph."""
    advice = advice_for(builder.graph, builder.family, kind)
    return steering(builder.request, builder.settings.controls, kind, advice)


def steered(
    builder: PlanBuilder,
    name: str,
    encoded: Encoded,
    model: Value,
    hint: Value,
    weight: float,
    end: float,
) -> Encoded:
    """Add one ControlNet: to both conditionings, or to the model where it is a patch of it."""
    if builder.family.patched_controls:
        return _patched(builder, name, encoded, model, hint, weight, end)
    pair = {"positive": encoded.positive, "negative": encoded.negative}
    amount = {"strength": weight, "start_percent": 0.0, "end_percent": end}
    node = add_node(
        builder.graph,
        ControlNetNode,
        name,
        **pair,
        control_net=model,
        image=hint,
        **amount,
        vae=encoded.models.vae,
    )
    return replace(encoded, positive=node.positive, negative=node.negative)


def _patched(
    builder: PlanBuilder,
    name: str,
    encoded: Encoded,
    model: Value,
    hint: Value,
    weight: float,
    end: float,
) -> Encoded:
    _tell_no_end(builder, end)
    tell_other_variant(builder)
    patched = builder.graph.add(
        name,
        "ZImageFunControlnet",
        model=encoded.models.model,
        model_patch=model,
        vae=encoded.models.vae,
        strength=weight,
        image=hint,
    )
    return replace(encoded, models=replace(encoded.models, model=patched))


def _tell_no_end(builder: PlanBuilder, end: float) -> None:
    if end < 1.0:
        text = "control_guidance_end has no effect: on this model a ControlNet steers to the end."
        builder.tell(Problem("no-effect", "info", text, "Lower its weight to loosen it."))


def _drawn(
    builder: PlanBuilder, stage: Stage, control: Control, picture: Value | None
) -> Value | None:
    if picture is None:
        return None  # reported as a problem already, or added as the constant pose
    if KINDS[control.kind] == "picture":
        return picture
    if control.kind == "canny":
        return builder.graph.add(
            f"{stage.name}.canny", "Canny", image=picture, low_threshold=0.4, high_threshold=0.8
        )
    return (
        _depth(builder, stage, control, picture)
        if control.kind == "depth"
        else _pose(builder, stage, control, picture)
    )


def _depth(builder: PlanBuilder, stage: Stage, control: Control, picture: Value) -> Link | None:
    """Add the host's depth estimator; near is white, as depth ControlNets were trained."""
    model = builder.require_for_part(
        _or_prepared(builder.loaders.model("depth_estimator"), "depth map"), control.said
    )
    if model is None:
        return None
    how = {"resolution": 504, "resize_method": "upper_bound_resize", "mode": "mono"}
    geometry = builder.graph.add(
        f"{stage.name}.depth_geometry", "DA3Inference", da3_model=model, image=picture, **how
    )
    # The host's own picture of it is linear in the distance: one far thing makes all else white.
    return builder.graph.add(f"{stage.name}.depth_map", "AstriaDepthMap", da3_geometry=geometry)


def _or_prepared(estimator: Value | Missing, what: str) -> Value | Missing:
    """Return the estimator; missing, the way around it is told as well."""
    if isinstance(estimator, Missing):
        return replace(
            # A line of its own: a command may end the one before.
            estimator,
            hint=f"{estimator.hint}\nOr connect a prepared {what} to control_image.",
        )
    return estimator


def _pose(builder: PlanBuilder, stage: Stage, control: Control, picture: Value) -> Link | None:
    """Add the host's pose estimator, told where the people are where words can be masked."""
    model = builder.require_for_part(
        _or_prepared(builder.loaders.model("pose_estimator"), "OpenPose picture"), control.said
    )
    if model is None:
        return None
    assert isinstance(model, Link), "it has no socket"
    boxes: dict[str, Value] = {}
    segmenter = builder.loaders.segmenter()
    if not isinstance(segmenter, Missing):
        found = add_node(
            builder.graph,
            PromptMaskNode,
            f"{stage.name}.pose_people",
            **people_words(picture, segmenter),
        )
        boxes["bboxes"] = found.boxes
    points = builder.graph.add(
        f"{stage.name}.pose_points",
        "SDPoseKeypointExtractor",
        model=model,
        vae=outputs_of(CheckpointNode, model).vae,
        image=picture,
        batch_size=16,
        **boxes,
    )
    shown = {
        "draw_body": True,
        "draw_hands": True,
        "draw_face": True,
        "draw_feet": False,
        "draw_head": True,
    }
    sizes = {"stick_width": 4, "face_point_size": 3, "score_threshold": 0.3}
    return builder.graph.add(
        f"{stage.name}.pose_map", "SDPoseDrawKeypoints", keypoints=points, **shown, **sizes
    )


def people_words(picture: Value, segmenter: Value) -> dict[str, Value]:
    """Return the inputs of AstriaPromptMask that find every person."""
    words = {
        "mask_prompt": PEOPLE_WORD,
        "mask_negative": "",
        "mask_invert": False,
        "mask_dilate": "0",
    }
    return {
        "image": picture,
        "segmenter": segmenter,
        **words,
        "shape": "round",
        "feather_px": 0,
        "threshold": 0.5,
        "on_empty": "error",
        "drawn_mask": "",
    }
