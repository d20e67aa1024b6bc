"""A picture that helps to choose an example workflow.

What the small drawn world paints for it, where `dev.py paint` kept that; else a diagram: people in
their regions, the source on its canvas, the stages one after the other. Below it stands what the
template gives.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from ..nodes.graph.layout import STAGE_TITLES
from ..nodes.outpaint.geometry import Rect, place
from ..nodes.pipeline.build.stage_list import Stage
from ..nodes.prompt import PromptRequest
from ..nodes.regions.layout import columns
from ..nodes.regions.pose import arms_crossed
from ..nodes.regions.preview import preview
from .demo import photo
from .examples import BASE_TITLES, base_of, takes_drawn_map
from .starters import STARTERS
from .titles import TITLES
from .workflows import WORKFLOWS, compiled, request_of

PAINTED = WORKFLOWS / "painted"
BEFORE = ".before"  # of the picture that an example begins with
SIZE = 512
ARROW = 40  # between the two
MARGIN = 20
BAND = 70  # below the drawing, for its two lines of words
QUALITY = 82
BACKGROUND, INK, FAINT = (24, 24, 27), (235, 235, 235), (160, 160, 168)
PAPER, HATCH, FRAME = (44, 62, 80), (74, 108, 140), (110, 190, 255)
HATCH_STEP = 20
STEP_PITCH, STEP_GAP = 84, 16


def thumbnail(name: str) -> bytes:
    """Return the JPEG of an example workflow."""
    painted = painting(name)
    if painted is not None:
        drawing, told = painted, f"{_models(name)} \N{MIDDLE DOT} painted by the small drawn world"
    else:
        drawing, told = _diagram(name), _models(name)
    sheet = Image.new("RGB", (SIZE, SIZE), BACKGROUND)
    left, free = (SIZE - drawing.width) // 2, SIZE - BAND - drawing.height
    sheet.paste(drawing, (left, max(0 if painted else MARGIN, free // 2)))
    draw = ImageDraw.Draw(sheet)
    for words, height, colour, down in (
        (TITLES[name].sentence, 18, INK, 10),
        (told, 15, FAINT, 40),
    ):
        draw.text(
            (MARGIN, SIZE - BAND + down), words, fill=colour, font=ImageFont.load_default(height)
        )
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=QUALITY, optimize=True)
    return written.getvalue()


def painting(name: str) -> Image.Image | None:
    """Return what was painted for an example: its result, behind what it began with if that was a
    picture. None where nothing is kept.
    """
    after, before = (PAINTED / f"{name}{kind}.jpg" for kind in ("", BEFORE))
    if not after.is_file():
        return None
    room = (SIZE, SIZE - BAND)
    with Image.open(after) as picture:
        result = picture.convert("RGB")
    if not before.is_file():
        return _fitted(result, room)
    with Image.open(before) as picture:
        source = picture.convert("RGB")
    half = ((SIZE - ARROW) // 2, room[1])
    left, right = _fitted(source, half), _fitted(result, half)
    both = Image.new(
        "RGB", (left.width + ARROW + right.width, max(left.height, right.height)), BACKGROUND
    )
    both.paste(left, (0, (both.height - left.height) // 2))
    both.paste(right, (left.width + ARROW, (both.height - right.height) // 2))
    x, y = left.width + ARROW // 2, both.height // 2
    ImageDraw.Draw(both).polygon([(x - 7, y - 11), (x - 7, y + 11), (x + 9, y)], fill=FRAME)
    return both


def _fitted(picture: Image.Image, room: tuple[int, int]) -> Image.Image:
    scale = min(room[0] / picture.width, room[1] / picture.height)
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _models(name: str) -> str:
    """Return for which models an example is made."""
    starter = STARTERS.get(name)
    return starter().models if starter else BASE_TITLES[base_of(name)]


def _diagram(name: str) -> Image.Image:
    """Return people in their regions or the photo on its new canvas, true to scale, else what is
    done in which order.
    """
    if name in STARTERS:
        return _steps(STARTERS[name]().steps)
    request = request_of(name)
    if request.persons and request.w:
        return _people(request)
    if request.outpaint:
        return _canvas(request)
    return _stages(request, compiled(name).plan.stages)


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
