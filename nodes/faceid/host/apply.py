"""FaceID adapters on a MODEL: who is to be recognised, how strongly, when and where."""

from __future__ import annotations

from collections.abc import Sequence

from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...families.family import FACES_WITHOUT_ADAPTER, FAMILIES
from ...host.models import family_of
from ...regions.run import RegionRun
from ..errors import FaceIDError
from ..use import FaceIDUse
from .flux import apply_pulid
from .ip_adapter import IPAdapterFaceID
from .unet import FacePlace, UnetUse, apply_ip_adapters

# On models with a face under a mask, which lies on the picture as a whole.
MASKED = "astria_faceid_masked"

Gate = int | Tensor | None


def apply_person_faceids(
    model: ModelPatcher, faceids: Sequence[Sequence[FaceIDUse]], run: RegionRun
) -> ModelPatcher:
    """Return a clone of the model on which the uses in faceids[i] act in region i + 1 while
    `run.forward` is set, and nowhere otherwise.
    """
    return apply_faceids(
        model, [(use, region) for region, uses in enumerate(faceids, 1) for use in uses], run
    )


def apply_faceids(
    model: ModelPatcher, uses: Sequence[tuple[FaceIDUse, Gate]], run: RegionRun | None = None
) -> ModelPatcher:
    """Return a clone of the model that gives each use's face where its gate says.

    In a region of `run`, under a mask, or everywhere for None.

    Applied twice, both act. Uses of strength 0 do nothing at all.
    Shapes: a mask [B,H,W] or [H,W] float 0..1 of any size; mask i is that of image i.
    Raises: FaceIDError for an adapter of another family than the model, and for steps that end
    before they start.
    """
    for use, gate in uses:
        _check(use, gate, run)
    acting = [(use, gate) for use, gate in uses if use.strength != 0]
    kind = _checked_kind(model, [use for use, _ in acting])
    if not acting:
        return model.clone()
    if kind == "pulid":
        patched = apply_pulid(model, acting, run)
    else:
        patched = apply_ip_adapters(model, [_of_unet(use, gate) for use, gate in acting], run)
    if any(isinstance(gate, Tensor) for _, gate in acting):
        patched.set_attachments(MASKED, True)
    return patched


def _checked_kind(model: ModelPatcher, uses: Sequence[FaceIDUse]) -> str:
    """Return the kind of adapter that the model's family draws faces with.

    Raises FaceIDError for a family without one, and for adapters of another kind.
    """
    family = family_of(model)
    if not family.identity and uses:
        raise FaceIDError(
            f"The connected MODEL is {family.title}, and no FaceID adapter draws faces on it:"
            f" expected {', '.join(_titles_with_adapters())}.",
            code="faceid-family",
            hint=FACES_WITHOUT_ADAPTER,
        )
    for adapter in (use.faceid for use in uses):
        is_for_unets = isinstance(adapter, IPAdapterFaceID)
        if is_for_unets and family.identity != "ip-adapter":
            raise FaceIDError(
                f"The connected MODEL is {family.title}; the adapter '{adapter.adapter.name}' is"
                " made for SD1.5 or SDXL.",
                code="faceid-family",
                hint="Load a PuLID-FLUX file.",
            )
        if not is_for_unets and family.identity != "pulid":
            raise FaceIDError(
                f"The connected MODEL is {family.title}; the adapter '{adapter.name}' is PuLID,"
                " made for Flux.",
                code="faceid-family",
                hint="Load an IP-Adapter FaceID of the model's family.",
            )
    return family.identity


def _titles_with_adapters() -> list[str]:
    return [one.title for one in FAMILIES.values() if one.identity and not one.variant_of]


def _of_unet(use: FaceIDUse, gate: Gate) -> UnetUse:
    if isinstance(gate, Tensor):
        gate = gate.detach().float().cpu().reshape(-1, *gate.shape[-2:])
    return UnetUse(
        use.faceid.adapter,
        use.faceid.keys_values(use.identity),
        use.strength,
        FacePlace((use.start, use.end), gate),
    )


def _check(use: FaceIDUse, gate: Gate, run: RegionRun | None) -> None:
    assert run is not None or not isinstance(gate, int), "a region is one of a run"
    if not 0 <= use.start < use.end <= 1:
        raise FaceIDError(
            f"The FaceID of '{use.identity.title}' starts at {use.start} and ends at {use.end};"
            " expected 0 <= start < end <= 1.",
            code="faceid-steps",
            hint="0 is the first step, 1 the last.",
        )
