"""A picture that helps to choose an example workflow.

People in their regions, the source on its canvas, else the stages one after the other.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..nodes.graph.layout import STAGE_TITLES
from ..nodes.outpaint.geometry import Rect, place
from ..nodes.pipeline.build.stage_list import Stage
from ..nodes.prompt import FLAGS, PromptRequest
from ..nodes.regions.layout import columns
from ..nodes.regions.pose import arms_crossed
from ..nodes.regions.preview import preview
from .demo import photo
from .examples import takes_drawn_map
from .one_node import Starter

SIZE = 512
MARGIN = 20
BAND = 70  # below the drawing, for its two lines of words
QUALITY = 82
BACKGROUND, INK, FAINT = (24, 24, 27), (235, 235, 235), (160, 160, 168)
PAPER, HATCH, FRAME = (44, 62, 80), (74, 108, 140), (110, 190, 255)
HATCH_STEP = 20
STEP_PITCH, STEP_GAP = 84, 16


def thumbnail(request: PromptRequest, stages: Sequence[Stage]) -> bytes:
    """Return the JPEG of a request.

    People in their regions or the photo on its new canvas, true to scale, else what is done in
    which order.
    """
    if request.persons and request.w:
        drawing, words = _people(request), _told_of_people(request)
    elif request.outpaint:
        drawing, words = _canvas(request), _told_of_canvas(request)
    else:
        drawing, words = _stages(request, stages), _told_of_text(request)
    return _sheet(drawing, words)


def starter_thumbnail(starter: Starter) -> bytes:
    """Return the JPEG of a workflow that is no prompt's plan: its nodes one after the other."""
    return _sheet(_steps(starter.steps), starter.told)


def _sheet(drawing: Image.Image, words: tuple[str, str]) -> bytes:
    sheet = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    sheet.paste(
        drawing, ((SIZE - drawing.width) // 2, max(MARGIN, (SIZE - BAND - drawing.height) // 2))
    )
    _words(ImageDraw.Draw(sheet), words)
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=QUALITY, optimize=True)
    return written.getvalue()


def _stages(request: PromptRequest, stages: Sequence[Stage]) -> Image.Image:
    titles = [
        (STAGE_TITLES.get(stage.name, stage.name), f"{stage.kind}, {stage.size}")
        for stage in stages
    ]
    if request.input_image is not None:
        titles.insert(0, ("Your picture", "the input image"))
    if takes_drawn_map(request):
        titles.insert(0, ("Your drawing", "the map"))
    return _steps(titles)


def _steps(titles: Sequence[tuple[str, str]]) -> Image.Image:
    """Draw a box for each step, with what it makes and at which size, from top to bottom."""
    room = SIZE - MARGIN - BAND
    pitch = min(STEP_PITCH, room // len(titles))
    drawing = Image.new("RGB", (SIZE - 2 * MARGIN, pitch * len(titles)), BACKGROUND)
    draw = ImageDraw.Draw(drawing)
    for number, (title, told) in enumerate(titles):
        top, bottom = number * pitch, (number + 1) * pitch - STEP_GAP
        draw.rounded_rectangle(
            [0, top, drawing.width - 1, bottom], radius=8, fill=PAPER, outline=FRAME, width=2
        )
        draw.text(
            (MARGIN, (top + bottom) / 2),
            title,
            fill=INK,
            font=ImageFont.load_default(20),
            anchor="lm",
        )
        draw.text(
            (drawing.width - MARGIN, (top + bottom) / 2),
            told,
            fill=FAINT,
            font=ImageFont.load_default(15),
            anchor="rm",
        )
        if number:
            middle = drawing.width // 2
            draw.line([(middle, top - STEP_GAP), (middle, top)], fill=FRAME, width=3)
    return drawing


def _told_of_text(request: PromptRequest) -> tuple[str, str]:
    said = (
        ", ".join(segment.text for segment in (*request.prompt,) if segment.text)
        or "No text: the picture itself is worked on"
    )
    faces = [f"<faceid:{tag.id}>" for segment in request.prompt for tag in segment.faceids]
    flags = [f"--mask_prompt {' '.join(request.mask_prompt)}"] if request.mask_prompt else []
    flags += [
        f"--{name}"
        for name, flag in FLAGS.items()
        if flag.takes == "nothing" and getattr(request, name)
    ]
    flags += [f"controlnet={request.controlnet}"] if request.controlnet else []
    flags += [f"--controlnets {' '.join(request.controlnets)}"] if request.controlnets else []
    flags += ["with a mask of your own"] if request.mask_image is not None else []
    flags += (
        [f"denoising_strength={request.denoising_strength:g}"]
        if request.denoising_strength and not flags
        else []
    )
    flags += [f"style={request.style}"] if request.style else []
    return said, "  ".join([*faces, *flags])


def _room(width: int, height: int) -> tuple[float, tuple[int, int]]:
    """Return the scale at which a picture fits above the words, and its size there."""
    scale = min((SIZE - 2 * MARGIN) / width, (SIZE - MARGIN - BAND) / height)
    return scale, (round(width * scale), round(height * scale))


def _people(request: PromptRequest) -> Image.Image:
    _, (width, height) = _room(request.w, request.h)
    layout = columns(len(request.persons), width, height, softness_px=0).named(
        [person.text for person in request.persons]
    )
    shown = preview(arms_crossed(len(request.persons), width, height), layout)
    return Image.fromarray((shown[0].numpy() * 255).round().astype("uint8"))


def _canvas(request: PromptRequest) -> Image.Image:
    canvas = place(
        request.w, request.h, request.outpaint_width, request.outpaint_height, request.outpaint
    )
    scale, size = _room(canvas.width, canvas.height)
    drawing = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(drawing)
    for x in range(-size[1], size[0], HATCH_STEP):
        draw.line([(x, size[1]), (x + size[1], 0)], fill=HATCH, width=2)
    window = canvas.window
    box = Rect(*(round(side * scale) for side in (window.x, window.y, window.width, window.height)))
    source = ImageOps.fit(photo(), (box.width, box.height), Image.Resampling.LANCZOS)
    if request.input_image is None:
        # A stand-in: the source is painted, too.
        source = ImageOps.colorize(ImageOps.grayscale(source), BACKGROUND, INK)
    drawing.paste(source, (box.x, box.y))
    draw.rectangle(
        [box.x, box.y, box.x + box.width - 1, box.y + box.height - 1], outline=FRAME, width=2
    )
    draw.rectangle([0, 0, size[0] - 1, size[1] - 1], outline=FRAME, width=2)
    return drawing


def _told_of_people(request: PromptRequest) -> tuple[str, str]:
    first = f"{len(request.persons)} people in one picture {request.w}x{request.h}"
    own = "face" if any(person.faceids for person in request.persons) else "model"
    if len(request.negative) > 2:
        return first, f"each with their own text, negative text and {own}"
    return first, f"each with their own text and {own}, drawn in one pass"


def _told_of_canvas(request: PromptRequest) -> tuple[str, str]:
    source = "Your picture" if request.input_image is not None else "A picture from text"
    first = (
        f"{source} {request.w}x{request.h}, outpainted to"
        f" {request.outpaint_width}x{request.outpaint_height}"
    )
    wording = request.outpaint_prompt.text if request.outpaint_prompt is not None else ""
    second = (
        f'Around it: "{textwrap.shorten(wording, 46, placeholder=" ...")}"'
        if wording
        else "Hatched: the new area"
    )
    if request.super_resolution:
        second += ", then 4x super-resolution"
    return first, second


def _words(draw: ImageDraw.ImageDraw, lines: tuple[str, str]) -> None:
    first, second = lines
    draw.text(
        (MARGIN, SIZE - BAND + 10),
        textwrap.shorten(first, 54, placeholder=" ..."),
        fill=INK,
        font=ImageFont.load_default(18),
    )
    draw.text(
        (MARGIN, SIZE - BAND + 38),
        textwrap.shorten(second, 62, placeholder=" ..."),
        fill=FAINT,
        font=ImageFont.load_default(16),
    )
