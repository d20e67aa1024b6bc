"""What a prompt asks for, as one typed value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ..errors import PromptError
from .analysis import read_document, read_fields
from .images import ImageRef
from .kinds import Dilation
from .printer import printed
from .reader import PromptReading
from .segment import Segment
from .source import Diagnostic
from .validation import check

_EMPTY = Segment()


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRequest:
    """A validated request; None (for `negative`, no segment) means not set, and
    `from_text(x.to_text()) == x`.

    `prompt` holds the BREAK segments: base, common, then one per person. A value that the language
    could not say raises PromptError.
    """

    prompt: tuple[Segment, ...] = (_EMPTY,)
    negative: tuple[Segment, ...] = ()

    num_images: int | None = None
    seed: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    controlnet: str | None = None
    controlnet_conditioning_scale: float | None = None
    controlnet_txt2img: bool | None = None
    input_image: ImageRef | None = None
    mask_image: ImageRef | None = None
    denoising_strength: float | None = None
    super_resolution: bool | None = None
    hires_fix: bool | None = None
    inpaint_faces: bool | None = None
    face_correct: bool | None = None
    face_swap: bool | None = None
    film_grain: bool | None = None
    color_grading: str | None = None
    scheduler: str | None = None
    use_lpw: bool | None = None
    ar: str | None = None
    aspect_ratio: str | None = None
    w: int | None = None
    h: int | None = None
    style: str | None = None
    backend_version: str | None = None
    prompt_expansion: str | None = None

    mask_prompt: tuple[str, ...] | None = None
    mask_negative: tuple[str, ...] | None = None
    mask_invert: bool | None = None
    mask_dilate: Dilation | None = None
    hires_denoising_strength: float | None = None
    hires_cfg_scale: float | None = None
    resemblance: float | None = None
    outpaint: str | None = None
    outpaint_width: int | None = None
    outpaint_height: int | None = None
    outpaint_prompt: Segment | None = None
    controlnets: tuple[str, ...] | None = None
    controlnet_weights: tuple[float, ...] | None = None
    control_guidance_end: float | None = None
    tiled_upscale: bool | None = None
    tiled_upscale_v2: bool | None = None
    only_upscale: bool | None = None
    upscale_v4: bool | None = None
    remove_background: bool | None = None
    fix_bindi: bool | None = None
    faceid_portrait: bool | None = None
    multi: bool | None = None
    improve_similarity: float | None = None
    video: bool | None = None
    video_model: str | None = None
    video_prompt: str | None = None
    duration: float | None = None

    unknown: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check({field.name: getattr(self, field.name) for field in fields(self)})

    @property
    def base(self) -> Segment:
        """The scene and background."""
        return self.prompt[0]

    @property
    def common(self) -> Segment:
        """What is added to the base prompt and to every person's."""
        return self.prompt[1] if len(self.prompt) > 1 else _EMPTY

    @property
    def persons(self) -> tuple[Segment, ...]:
        return self.prompt[2:]

    @classmethod
    def from_text(cls, text: str) -> tuple[PromptRequest | None, tuple[Diagnostic, ...]]:
        """Return the request of a pasted text, None when there is an error among the
        diagnostics.
        """
        return _request_of(*read_document(text))

    @classmethod
    def from_fields(
        cls, fields: Mapping[str, object]
    ) -> tuple[PromptRequest | None, tuple[Diagnostic, ...]]:
        """Return the request of separate HTTP fields (`prompt[w]`, `w`, or the JSON of either),
        equal to that of the same text.
        """
        return _request_of(*read_fields(fields))

    @classmethod
    def require(cls, text: str) -> PromptRequest:
        """Return the request of a pasted text.

        Raises PromptError with every error, each with its place and a caret.
        """
        request, diagnostics = cls.from_text(text)
        if request is None:
            errors = [found for found in diagnostics if found.severity == "error"]
            raise PromptError(
                "\n\n".join(found.render(text) for found in errors), code=errors[0].code
            )
        return request

    def to_text(self) -> str:
        """Return the request as a document: text, flags, then the parameter block."""
        return printed({field.name: getattr(self, field.name) for field in fields(self)})


def _request_of(
    reading: PromptReading, diagnostics: tuple[Diagnostic, ...]
) -> tuple[PromptRequest | None, tuple[Diagnostic, ...]]:
    if any(found.severity == "error" for found in diagnostics):
        return None, diagnostics
    prompt = tuple(segment.build() for segment in reading.prompt)
    return (
        PromptRequest(prompt=prompt, unknown=tuple(reading.unknown), **reading.values),
        diagnostics,
    )
