"""What an inpainting repaints: the given mask, or the one that words stand for."""

from __future__ import annotations

from ...graph.graph import Link
from ...graph.outputs import FitImageNode
from ...prompt import PromptRequest
from ..build.plan_builder import PlanBuilder


def base_mask(builder: PlanBuilder, fit: FitImageNode) -> Link | None:
    """Return the mask of the fitted input image.

    Given, or found by --mask_prompt; None where the request has neither.

    The flags that change a mask apply to a given one as well, and so does what was drawn over it.
    """
    request = builder.request
    drawn = {"drawn_mask": builder.options.drawn_mask}
    if builder.sources.mask is not None:
        given = fit.mask
        if not (request.mask_invert or request.mask_dilate or builder.options.drawn_mask):
            return given
        shape = {"shape": "round", "feather_px": 0}
        changed = {"invert": bool(request.mask_invert), "dilate": _dilation(request)}
        return builder.graph.add(
            "base.adjust_mask",
            "AstriaAdjustMask",
            mask=given,
            **changed,
            **shape,
            fit=fit.fit,
            **drawn,
        )
    if not request.mask_prompt:
        return None
    segmenter = builder.loaders.segmenter()
    model = builder.require_for_part(segmenter, f"--mask_prompt {words(request.mask_prompt)}")
    if model is None:
        return fit.mask  # nothing is repainted, and that is told
    flags = {
        "mask_prompt": words(request.mask_prompt),
        "mask_negative": words(request.mask_negative or ()),
        "mask_invert": bool(request.mask_invert),
        "mask_dilate": _dilation(request),
    }
    how = {"shape": "round", "feather_px": 0, "threshold": 0.5, "on_empty": "error"}
    return builder.graph.add(
        "base.mask",
        "AstriaPromptMask",
        image=fit.image,
        segmenter=model,
        **flags,
        **how,
        fit=fit.fit,
        **drawn,
    )


def words(phrases: tuple[str, ...]) -> str:
    """Return phrases as the mask node reads them: those with blanks in quotes."""
    return " ".join(f'"{phrase}"' if " " in phrase else phrase for phrase in phrases)


def _dilation(request: PromptRequest) -> str:
    """Return --mask_dilate as the mask nodes read it.

    Pixels, or per cent of the picture's short side.
    """
    if request.mask_dilate is None:
        return "0"
    return f"{request.mask_dilate.value:g}{'%' if request.mask_dilate.unit == '%' else ''}"
