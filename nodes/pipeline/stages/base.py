"""Stage 1, the picture itself.

From text, from an input image, or a part of one; with people in their regions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ...graph.graph import Graph, Link, Value, slot
from ...tunes.resolve import Missing
from ..build.plan_builder import Desk
from ..build.stage_list import Problem, Stage
from ..build.text import Encoded
from . import people
from .control import Ground as ControlGround
from .control import add_controls, control_maps, steered, steering_of
from .masks import base_mask
from .sampling import Painting, add_masked_latent, add_sampling, add_whole_latent
from .scene import say

LEAST_SIDE = 16  # of the host's empty latent
GREY = 0x808080


def add_base(desk: Desk, stage: Stage) -> Link:
    """Add the stage as its kind (txt2img, img2img or inpaint) and return its picture."""
    desk.painted = say(desk, "base")
    if stage.kind == "txt2img":
        return _from_text(desk, stage)
    return _from_image(desk, stage)


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


def _fit(desk: Desk, name: str, image: Value, mask: Value | None = None) -> Link:
    given = {} if mask is None else {"mask": mask}
    sizes = {
        "width": desk.settings.width or 0,
        "height": desk.settings.height or 0,
        "multiple": desk.family.multiple,
    }
    return desk.graph.add(f"base.{name}", "AstriaFitImage", image=image, **sizes, **given)


def _from_text(desk: Desk, stage: Stage) -> Link:
    """A picture from noise.

    An input image, where there is one, gives the size and steers through ControlNets.
    """
    graph, settings = desk.graph, desk.settings
    image = desk.sources.image
    picture = None if image is None else _fit(desk, "fit", image)
    prepared = (
        None
        if desk.sources.control_image is None
        else _fit_map(desk, desk.sources.control_image, picture)
    )
    size = _size_of_text(desk, picture)
    maps = control_maps(desk, stage, ControlGround(picture, prepared))
    encoded = _with_people(
        desk,
        people.Ground(
            size.width, size.height, masks=_people_masks(desk, picture, maps), pose=maps.get("pose")
        ),
    )
    encoded = add_controls(desk, stage, encoded, maps)
    if image is None and "pose" not in maps:
        encoded = _constant_pose(desk, encoded)
    kind = "EmptySD3LatentImage" if desk.family.is_flux else "EmptyLatentImage"
    latent = graph.add(
        "base.latent", kind, width=size.width, height=size.height, batch_size=settings.num_images
    )
    if desk.family.inpaint:
        sides = {"width": size.width, "height": size.height}
        grey = graph.add("base.grey", "EmptyImage", **sides, batch_size=1, color=GREY)
        encoded, _ = add_whole_latent(graph, "base", encoded, grey, desk.family)
    drawn = add_sampling(graph, "base", Painting(encoded, latent, 1.0), desk.family, settings)
    if size.fit is not None:
        _without_padding(desk, people.Ground(size.width, size.height, fit=size.fit))
        return graph.add("base.restore_size", "AstriaRestoreSize", image=drawn, fit=size.fit)
    if (size.width, size.height) == (settings.width, settings.height):
        return drawn
    _without_padding(desk, people.Ground(settings.width or 0, settings.height or 0))
    return graph.add(
        "base.crop",
        "ImageCrop",
        image=drawn,
        width=settings.width,
        height=settings.height,
        x=0,
        y=0,
    )


def _size_of_text(desk: Desk, picture: Link | None) -> _Size:
    settings, multiple = desk.settings, desk.family.multiple
    if picture is not None:
        sides = desk.graph.add("base.size", "GetImageSize", image=picture)
        return _Size(sides, slot(sides, 1), slot(picture, 2))
    assert settings.width is not None and settings.height is not None, (
        "without an input image the settings hold a size"
    )
    return _Size(
        *(
            max(LEAST_SIDE, -(-side // multiple) * multiple)
            for side in (settings.width, settings.height)
        )
    )


def _fit_map(desk: Desk, image: Value, picture: Link | None) -> Link:
    """Bring a prepared map to the size of the input image, or of the request."""
    if picture is None or desk.settings.width is not None:
        return _fit(desk, "fit_control", image)
    sides = desk.graph.add("base.control_size", "GetImageSize", image=picture)
    size = {"width": sides, "height": slot(sides, 1)}
    return desk.graph.add(
        "base.fit_control", "AstriaFitImage", image=image, **size, multiple=desk.family.multiple
    )


def _people_masks(desk: Desk, picture: Link | None, maps: Mapping[str, Value]) -> Value | None:
    """Return a mask for each person.

    The artist's, else of the people found in the input image; None where a pose picture or columns
    are to do.

    A skeleton drawn after the input image tells the same people apart less well than who finds
    them: arms that touch make one figure of two.
    """
    if not desk.request.persons:
        return None
    if desk.sources.person_masks is not None:
        return people.fitted_masks(desk, "base", desk.family.multiple)
    if picture is None or (
        "pose" in maps
        and (desk.sources.control_image is not None or isinstance(desk.kit.segmenter(), Missing))
    ):
        return None
    return people.found_people(desk, "base", picture)


def _with_people(desk: Desk, ground: people.Ground) -> Encoded:
    """Return what is drawn: the scene, with the persons in their regions where there are some."""
    assert desk.painted is not None, "the scene is encoded first"
    if desk.painted.persons is not None:
        desk.painted = people.in_regions(desk, "base", desk.painted, ground)
    return desk.painted.drawn


def _without_padding(desk: Desk, ground: people.Ground) -> None:
    """Lay the regions out for the picture as the stages behind this one get it, which is not
    padded.
    """
    painted, sides = desk.painted, (desk.settings.width, desk.settings.height)
    is_padded = any(side is None or side % desk.family.multiple for side in sides)
    if (
        painted is None
        or painted.regions is None
        or not is_padded
        or not people.are_drawn_again(desk.request)
    ):
        return
    masks: Value = slot(painted.regions, 1)
    if ground.fit is None:
        masks = desk.graph.add(
            "base.crop_people",
            "CropMask",
            mask=masks,
            x=0,
            y=0,
            width=ground.width,
            height=ground.height,
        )
    desk.painted = replace(
        painted, regions=people.add_regions(desk, "base.kept", replace(ground, masks=masks))
    )


def _constant_pose(desk: Desk, encoded: Encoded) -> Encoded:
    """Return the conditionings steered by the constant pose of people without an input image.

    Without a ControlNet for it, that is said.
    """
    assert desk.painted is not None, "the scene is encoded first"
    if desk.painted.regions is None:
        return encoded
    model = desk.kit.controlnet("pose")
    if isinstance(model, Missing):
        text = "No pose ControlNet is connected or bound, so the regions alone place the persons."
        desk.tell(Problem("no-pose-controlnet", "info", text, model.hint))
        return encoded
    return steered(
        desk,
        "base.pose",
        encoded,
        model,
        slot(desk.painted.regions, 3),
        *steering_of(desk, "pose"),
    )


def _from_image(desk: Desk, stage: Stage) -> Link:
    graph, settings, image = desk.graph, desk.settings, desk.sources.image
    assert image is not None, "a picture from an image has one"
    fit = _fit(desk, "fit", image, desk.sources.mask)
    prepared = (
        None
        if desk.sources.control_image is None
        else _fit_map(desk, desk.sources.control_image, fit)
    )
    maps = control_maps(desk, stage, ControlGround(fit, prepared))
    pixels = repeated(graph, "base.repeat", fit, settings.num_images)
    encoded = _with_people(
        desk, people.Ground(0, 0, fit, _people_masks(desk, fit, maps), maps.get("pose"))
    )
    encoded = add_controls(desk, stage, encoded, maps)
    if stage.kind != "inpaint":
        encoded, latent = add_whole_latent(graph, "base", encoded, pixels, desk.family)
        decoded = add_sampling(
            graph, "base", Painting(encoded, latent, settings.denoise), desk.family, settings
        )
        _without_padding(desk, people.Ground(0, 0, fit, fit=slot(fit, 2)))
        return graph.add("base.restore_size", "AstriaRestoreSize", image=decoded, fit=slot(fit, 2))
    repaint = _repeated_mask(graph, _repaint(desk, fit), settings.num_images)
    desk.painted = replace(desk.painted, mask=repaint, fit=slot(fit, 2)) if desk.painted else None
    encoded, latent = add_masked_latent(graph, "base", encoded, pixels, repaint, desk.family)
    decoded = add_sampling(
        graph, "base", Painting(encoded, latent, settings.denoise), desk.family, settings
    )
    kept = graph.add(
        "base.keep_unmasked",
        "AstriaMaskedComposite",
        painted=decoded,
        original=pixels,
        mask=repaint,
    )
    _without_padding(desk, people.Ground(0, 0, fit, fit=slot(fit, 2)))
    return graph.add("base.restore_size", "AstriaRestoreSize", image=kept, fit=slot(fit, 2))


def _repaint(desk: Desk, fit: Link) -> Link:
    """Return what is repainted: the given or worded mask; without one, where the people are."""
    mask = base_mask(desk, fit)
    if mask is not None:
        return mask
    assert desk.painted is not None and desk.painted.regions is not None, (
        "a request without a mask that keeps its background has persons"
    )
    return slot(desk.painted.regions, 2)
