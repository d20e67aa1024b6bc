"""Stage 1, the picture itself.

From text, from an input image, or a part of one; with people in their regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...graph.graph import Graph, Link, Value
from ...graph.outputs import FitImageNode, ImageSizeNode, add_node
from ...rounding import round_up
from ...tunes.file_search import Missing
from ..build.plan_builder import PictureContext, PlanBuilder, StagePicture
from ..build.stage_list import Problem, Stage
from ..build.text import Encoded
from . import people
from .control import ControlGround, add_controls, control_maps, steered, steering_of
from .inpaint_patch import ShownPicture, inpaint_patch
from .masks import base_mask
from .sampling import Painting, add_masked_latent, add_sampling, add_whole_latent
from .scene import encode_prompt

LEAST_SIDE = 16  # of the host's empty latent
GREY = 0x808080


def add_base(builder: PlanBuilder, stage: Stage) -> StagePicture:
    """Add the stage as its kind (txt2img, img2img or inpaint) and return its picture."""
    context = encode_prompt(builder, "base", is_composed=_is_composed_by_text(builder))
    if stage.kind == "txt2img":
        return _from_text(builder, stage, context)
    return _from_image(builder, stage, context)


def _is_composed_by_text(builder: PlanBuilder) -> bool:
    """Say whether only text tells the model that the people are there, on a family that needs to be
    told: no ControlNet does, neither one that was asked for nor the constant pose's, which a
    picture without an input image gets.
    """
    sources = builder.sources
    if not (builder.family.text.in_sequence and builder.request.persons):
        return False
    if sources.image is None:
        is_steered = sources.control_image is not None and bool(builder.settings.controls)
        return not is_steered and isinstance(builder.loaders.controlnet("pose"), Missing)
    return not builder.settings.controls


def repeated(graph: Graph, name: str, image: Value, times: int) -> Value:
    """Return the picture `times` over, as a batch."""
    return image if times == 1 else graph.add(name, "RepeatImageBatch", image=image, amount=times)


def _repeated_mask(graph: Graph, mask: Link, times: int) -> Link:
    """Return the masks repeated as their images are, so that each image of a batch keeps its
    own.
    """
    if times == 1:
        return mask
    picture = graph.add("base.mask_picture", "MaskToImage", mask=mask)
    return graph.add(
        "base.repeat_mask",
        "ImageToMask",
        image=repeated(graph, "base.repeat_mask_picture", picture, times),
        channel="red",
    )


@dataclass(frozen=True)
class _Size:
    """The size that is sampled, in numbers or as links, and what cuts the result back."""

    width: int | Link
    height: int | Link
    fit: Link | None = None


def _fit(builder: PlanBuilder, name: str, image: Value, mask: Value | None = None) -> FitImageNode:
    given: dict[str, Value] = {} if mask is None else {"mask": mask}
    # Of a size that is known now the plan tells.
    is_known = bool(builder.settings.width) or image is not builder.sources.image
    sizes = {
        "width": builder.settings.width or 0,
        "height": builder.settings.height or 0,
        "multiple": builder.family.multiple,
        "most_px": 0 if is_known else builder.family.most_px,
    }
    return add_node(builder.graph, FitImageNode, f"base.{name}", image=image, **sizes, **given)


def _from_text(builder: PlanBuilder, stage: Stage, context: PictureContext) -> StagePicture:
    """A picture from noise.

    An input image, where there is one, gives the size and steers through ControlNets.
    """
    graph, settings = builder.graph, builder.settings
    image = builder.sources.image
    fit = None if image is None else _fit(builder, "fit", image)
    given = None if fit is None else fit.image
    prepared = _prepared_map(builder, given)
    size = _size_of_text(builder, fit)
    maps = control_maps(builder, stage, ControlGround(given, prepared))
    masks = _people_masks(builder, given, maps)
    ground = people.PeopleGround(size.width, size.height, masks=masks, pose=maps.get("pose"))
    context = _with_people(builder, context, ground)
    encoded = add_controls(builder, stage, context.composition or context.drawn, maps)
    if image is None and "pose" not in maps:
        encoded = _constant_pose(builder, encoded, context)
    sides = {"width": size.width, "height": size.height}
    latent = graph.add(
        "base.latent", builder.family.latent.empty, **sides, batch_size=settings.num_images
    )
    if builder.family.inpaint:
        grey = graph.add("base.grey", "EmptyImage", **sides, batch_size=1, color=GREY)
        encoded, _ = add_whole_latent(graph, "base", encoded, grey, builder.family)
    painting = Painting(encoded, latent, 1.0, (size.width, size.height))
    drawn = add_sampling(graph, "base", painting, builder.family, settings)
    return _cut_to_size(builder, drawn, size, context)


def _cut_to_size(
    builder: PlanBuilder, drawn: Link, size: _Size, context: PictureContext
) -> StagePicture:
    """Return the picture, and where its people stand, without what the model needed beside it."""
    graph, settings = builder.graph, builder.settings
    if size.fit is not None:
        ground = people.PeopleGround(size.width, size.height, fit=size.fit)
        context = _without_padding(builder, context, ground)
        cut = graph.add("base.restore_size", "AstriaRestoreSize", image=drawn, fit=size.fit)
        return StagePicture(cut, context)
    if (size.width, size.height) == (settings.width, settings.height):
        return StagePicture(drawn, context)
    ground = people.PeopleGround(settings.width or 0, settings.height or 0)
    context = _without_padding(builder, context, ground)
    sides = {"width": settings.width, "height": settings.height}
    cut = graph.add("base.crop", "ImageCrop", image=drawn, **sides, x=0, y=0)
    return StagePicture(cut, context)


def _size_of_text(builder: PlanBuilder, fit: FitImageNode | None) -> _Size:
    settings, multiple = builder.settings, builder.family.multiple
    if fit is not None:
        sides = add_node(builder.graph, ImageSizeNode, "base.size", image=fit.image)
        return _Size(sides.width, sides.height, fit.fit)
    assert settings.width is not None and settings.height is not None, (
        "without an input image the settings hold a size"
    )
    width = round_up(settings.width, multiple)
    height = round_up(settings.height, multiple)
    return _Size(max(LEAST_SIDE, width), max(LEAST_SIDE, height))


def _prepared_map(builder: PlanBuilder, image: Link | None) -> Link | None:
    """Bring the prepared map, where there is one, to the size of the input image, or of the
    request.
    """
    prepared = builder.sources.control_image
    if prepared is None:
        return None
    if image is None or builder.settings.width is not None:
        return _fit(builder, "fit_control", prepared).image
    sides = add_node(builder.graph, ImageSizeNode, "base.control_size", image=image)
    fit = add_node(
        builder.graph,
        FitImageNode,
        "base.fit_control",
        image=prepared,
        width=sides.width,
        height=sides.height,
        multiple=builder.family.multiple,
        most_px=0,
    )
    return fit.image


def _people_masks(
    builder: PlanBuilder, picture: Link | None, maps: Mapping[str, Value]
) -> Value | None:
    """Return a mask for each person.

    The artist's, else of the people found in the input image; None where a pose picture or columns
    are to do.

    A skeleton drawn after the input image tells people apart less well than a segmenter does: arms
    that touch make one figure of two.
    """
    if not builder.request.persons:
        return None
    if builder.sources.person_masks is not None:
        return people.fitted_masks(builder, "base", builder.family.multiple)
    if picture is None or (
        "pose" in maps
        and (
            builder.sources.control_image is not None
            or isinstance(builder.loaders.segmenter(), Missing)
        )
    ):
        return None
    return people.found_people(builder, "base", picture)


def _with_people(
    builder: PlanBuilder, context: PictureContext, ground: people.PeopleGround
) -> PictureContext:
    """Return the context with the persons, where there are some, in their regions."""
    if context.persons is None:
        return context
    return people.in_regions(builder, "base", context, ground)


def _without_padding(
    builder: PlanBuilder, context: PictureContext, ground: people.PeopleGround
) -> PictureContext:
    """Return the context with the regions of the picture as the stages behind this one get it,
    which is not padded.
    """
    sides = (builder.settings.width, builder.settings.height)
    is_padded = any(side is None or side % builder.family.multiple for side in sides)
    if context.regions is None or not is_padded or not people.are_drawn_again(builder.request):
        return context
    masks: Value = context.regions.masks
    if ground.fit is None:
        masks = builder.graph.add(
            "base.crop_people",
            "CropMask",
            mask=masks,
            x=0,
            y=0,
            width=ground.width,
            height=ground.height,
        )
    kept = people.add_regions(builder, "base.kept", replace(ground, masks=masks))
    return replace(context, regions=kept)


def _constant_pose(builder: PlanBuilder, encoded: Encoded, context: PictureContext) -> Encoded:
    """Return the conditionings steered by the constant pose of people without an input image.

    Without a ControlNet for it they stay as they are, with a note.
    """
    if context.regions is None:
        return encoded
    model = builder.loaders.controlnet("pose")
    if not isinstance(model, Missing):
        strength = steering_of(builder, "pose")
        return steered(builder, "base.pose", encoded, model, context.regions.pose, *strength)
    has_any = bool(builder.family.controls or builder.family.patched_controls)
    why = "is connected or bound" if has_any else f"is used on {builder.family.title} yet"
    text = (
        f"No pose ControlNet {why}, so the regions alone place the persons, and somebody may be"
        " left out."
    )
    hint = model.hint if has_any else "To place them, give a mask for each."
    builder.tell(Problem("no-pose-controlnet", "info", text, hint))
    return encoded


def _from_image(builder: PlanBuilder, stage: Stage, context: PictureContext) -> StagePicture:
    graph, settings, image = builder.graph, builder.settings, builder.sources.image
    assert image is not None, "a picture from an image has one"
    fit = _fit(builder, "fit", image, builder.sources.mask)
    prepared = _prepared_map(builder, fit.image)
    maps = control_maps(builder, stage, ControlGround(fit.image, prepared))
    pixels = repeated(graph, "base.repeat", fit.image, settings.num_images)
    masks = _people_masks(builder, fit.image, maps)
    ground = people.PeopleGround(0, 0, fit.image, masks, maps.get("pose"))
    context = _with_people(builder, context, ground)
    drawn = context.composition or context.drawn
    if stage.kind != "inpaint":
        encoded = add_controls(builder, stage, drawn, maps)
        encoded, latent = add_whole_latent(graph, "base", encoded, pixels, builder.family)
        painting = Painting(encoded, latent, settings.denoise, fit.image)
        result = add_sampling(graph, "base", painting, builder.family, settings)
    else:
        repaint = _repeated_mask(graph, _repaint(builder, fit, context), settings.num_images)
        context = replace(context, mask=repaint, fit=fit.fit)
        patch = inpaint_patch(builder, builder.family)
        shown = None if patch is None else ShownPicture(patch, pixels, repaint)
        encoded = add_controls(builder, stage, drawn, maps, shown)
        encoded, latent = add_masked_latent(graph, "base", encoded, pixels, repaint, builder.family)
        painting = Painting(encoded, latent, settings.denoise, fit.image)
        painted = add_sampling(graph, "base", painting, builder.family, settings)
        result = graph.add(
            "base.keep_unmasked",
            "AstriaMaskedComposite",
            painted=painted,
            original=pixels,
            mask=repaint,
        )
    ground = people.PeopleGround(0, 0, fit.image, fit=fit.fit)
    context = _without_padding(builder, context, ground)
    restored = graph.add("base.restore_size", "AstriaRestoreSize", image=result, fit=fit.fit)
    return StagePicture(restored, context)


def _repaint(builder: PlanBuilder, fit: FitImageNode, context: PictureContext) -> Link:
    """Return what is repainted: the given or worded mask; without one, where the people are."""
    mask = base_mask(builder, fit)
    if mask is not None:
        return mask
    assert context.regions is not None, (
        "a request without a mask that keeps its background has persons"
    )
    return context.regions.people
