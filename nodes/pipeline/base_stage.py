"""Stage 1, the picture itself: from text, from an input image, or a part of one; with people in their regions."""

from __future__ import annotations

from dataclasses import dataclass

from .encode import Encoded, Models, Wording, add_encoding
from .family import Family
from .graph import Graph, Link, Value, slot
from .people import Ground, add_people, add_regions
from .sampling import Painting, add_masked_latent, add_sampling
from .settings import Settings

LEAST_SIDE = 16  # of the host's empty latent


@dataclass(frozen=True)
class BaseInputs:
    """What the stage starts from: models and pictures, and what is said of the scene and of each person."""

    models: Models
    family: Family
    settings: Settings
    scene: Wording
    people: tuple[Wording, ...]
    image: Value | None
    mask: Value | None
    person_masks: Value | None
    pose_controlnet: Value | None


def add_base(graph: Graph, kind: str, given: BaseInputs) -> Link:
    """Add the stage as `kind` (txt2img, img2img or inpaint) and return its picture."""
    encoded = add_encoding(graph, "base", given.models, given.scene, given.family, given.settings.cfg)
    if kind == "txt2img":
        return _from_text(graph, given, encoded)
    return _from_image(graph, kind, given, encoded)


def repeated(graph: Graph, name: str, image: Value, times: int) -> Value:
    """Return the picture `times` over, as a batch."""
    return image if times == 1 else graph.add(name, "RepeatImageBatch", image=image, amount=times)


def _repeated_mask(graph: Graph, mask: Link, times: int) -> Link:
    """Return the masks repeated as their images are, so that each image of a batch keeps its own."""
    if times == 1:
        return mask
    picture = graph.add("base.mask_picture", "MaskToImage", mask=mask)
    return graph.add("base.repeat_mask", "ImageToMask", image=repeated(graph, "base.repeat_mask_picture", picture, times), channel="red")


def _from_text(graph: Graph, given: BaseInputs, encoded: Encoded) -> Link:
    settings, multiple = given.settings, given.family.multiple
    assert settings.width is not None, "without an input image the settings hold a size"
    assert settings.height is not None, "as the width"
    width, height = (max(LEAST_SIDE, -(-side // multiple) * multiple) for side in (settings.width, settings.height))
    if given.people:
        regions = add_regions(graph, "base", len(given.people), Ground(width, height, masks=given.person_masks))
        encoded = _posed(graph, given, add_people(graph, "base", encoded, regions, given.people), slot(regions, 3))
    kind = "EmptySD3LatentImage" if given.family.is_flux else "EmptyLatentImage"
    latent = graph.add("base.latent", kind, width=width, height=height, batch_size=settings.num_images)
    image = add_sampling(graph, "base", Painting(encoded, latent, 1.0), given.family, settings)
    if (width, height) == (settings.width, settings.height):
        return image
    return graph.add("base.crop", "ImageCrop", image=image, width=settings.width, height=settings.height, x=0, y=0)


def _posed(graph: Graph, given: BaseInputs, encoded: Encoded, pose: Link) -> Encoded:
    """Return the conditionings steered by the constant pose, where a pose ControlNet is at hand."""
    if given.pose_controlnet is None:
        return encoded
    steered = graph.add(
        "base.pose",
        "ControlNetApplyAdvanced",
        positive=encoded.positive,
        negative=encoded.negative,
        control_net=given.pose_controlnet,
        image=pose,
        strength=1.0,
        start_percent=0.0,
        end_percent=1.0,
        vae=given.models.vae,
    )
    return Encoded(encoded.models, steered, slot(steered, 1))


def _from_image(graph: Graph, kind: str, given: BaseInputs, encoded: Encoded) -> Link:
    settings = given.settings
    sizes = {"width": settings.width or 0, "height": settings.height or 0, "multiple": given.family.multiple}
    mask = {} if given.mask is None else {"mask": given.mask}
    fit = graph.add("base.fit", "AstriaFitImage", image=given.image, **sizes, **mask)
    pixels, size = repeated(graph, "base.repeat", fit, settings.num_images), slot(fit, 2)
    repaint = slot(fit, 1) if given.mask is None else _repeated_mask(graph, slot(fit, 1), settings.num_images)
    if given.people:
        masks = given.person_masks
        if masks is not None:
            # They belong to the input image, and move with it.
            masks = graph.add("base.fit_people", "AstriaFitMasks", image=given.image, masks=masks, **sizes)
        regions = add_regions(graph, "base", len(given.people), Ground(0, 0, fit, masks))
        encoded = add_people(graph, "base", encoded, regions, given.people)
        # Without a mask of its own, a request that keeps its background repaints where the people are.
        repaint = slot(regions, 2) if given.mask is None else repaint
    if kind == "inpaint":
        encoded, latent = add_masked_latent(graph, "base", encoded, pixels, repaint, given.family)
    else:
        latent = graph.add("base.encode", "VAEEncode", pixels=pixels, vae=encoded.models.vae)
    decoded = add_sampling(graph, "base", Painting(encoded, latent, settings.denoise), given.family, settings)
    if kind == "inpaint":
        decoded = graph.add("base.keep_unmasked", "AstriaMaskedComposite", painted=decoded, original=pixels, mask=repaint)
    return graph.add("base.restore_size", "AstriaRestoreSize", image=decoded, fit=size)
