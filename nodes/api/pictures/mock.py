"""The mock, a tune of branch fast: what it may be, and its placeholders for pictures."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ...families.family import ASPECT_RATIOS, Family, size_for_ratio
from ...graph.graph import Graph
from ...net.problems import ApiError, Problems
from ...prompt import PromptRequest
from ...tunes.tune import MODEL_TYPES

PTI = "pti"  # the service's word for a LoRA with an embedding: by its tag it is a LoRA
MAX_PIXELS = 8 * 2048 * 2048  # of one prompt: they are drawn, and held while they are saved
FILE_PREFIX = "mock-"  # of a placeholder's name: it is no picture that came with a prompt
MAX_WORDS = 120  # characters of the prompt that are shown
_SMALLEST_LETTER = 9
_GOLDEN = 0.618034  # neighbouring seeds get colours that are far apart


def check_mock(about: dict[str, Any], problems: Problems) -> None:
    """Note what a mock cannot be; a pti is kept as a lora."""
    kind = about.get("model_type")
    if kind == PTI:
        about["model_type"] = "lora"
    elif kind is not None and kind not in MODEL_TYPES:
        expected = ", ".join((*MODEL_TYPES, PTI))
        text = f"model_type is {kind!r}; expected {expected} or none"[:300]
        problems.note(ApiError(text, code="tune-model-type"), "model_type")


def mock_notices(sent: Mapping[str, Any]) -> list[str]:
    """Return the notices for the maker of a mock."""
    notices = ["It is a mock (branch=fast): nothing is trained, and its prompts give placeholders."]
    if sent.get("model_type") == PTI:
        notices.append("model_type pti is kept as lora.")
    if sent.get("file") not in (None, ""):
        notices.append("file has no effect here: a mock holds no model.")
    return notices


@dataclass(frozen=True)
class Placeholder:
    """The content of a placeholder: its tune, the text, the seed, its number, and of how many."""

    tune: int
    text: str
    seed: int
    number: int
    of: int

    def label(self) -> str:
        """Return its words, a line each."""
        words = " ".join(self.text.split())
        shown = words if len(words) <= MAX_WORDS else f"{words[: MAX_WORDS - 3]}..."
        return f"MOCK\ntune {self.tune}\n{self.number} of {self.of}, seed {self.seed}\n{shown}"


def asked_size(
    request: PromptRequest, family: Family, picture: tuple[int, int] | None
) -> tuple[int, int]:
    """Return width and height of what a request asks for, as the planner settles them.

    `picture` is the size of its input picture. Enlargements are not asked for: a mock has nothing
    to enlarge.
    """
    if request.outpaint_width is not None and request.outpaint_height is not None:
        return request.outpaint_width, request.outpaint_height
    if request.w is not None and request.h is not None:
        return request.w, request.h
    ratio = request.aspect_ratio or request.ar
    if picture is not None:
        return picture
    if ratio is not None:
        return size_for_ratio(ASPECT_RATIOS[ratio], family)
    return family.native_size, family.native_size


def check_area(width: int, height: int, count: int) -> None:
    """Return where so many placeholders of that size can be drawn. Raises: ApiError."""
    if width * height * count > MAX_PIXELS:
        text = (
            f"{count} placeholders of {width}x{height} pixels are asked for; expected at most"
            f" {MAX_PIXELS} pixels together"
        )
        raise ApiError(text, code="mock-size", hint="Set a smaller w and h, or num_images.")


def drawn(placeholder: Placeholder, width: int, height: int) -> bytes:
    """Return the placeholder as a PNG file. Its colour comes from seed and number alone."""
    hue = (placeholder.seed + placeholder.number - 1) * _GOLDEN % 1
    ground = tuple(round(part * 255) for part in colorsys.hsv_to_rgb(hue, 0.35, 0.85))
    picture = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, width - 1, height - 1), outline=(40, 40, 40))
    letter = max(_SMALLEST_LETTER, min(width, height) // 16)
    font = _font(letter)
    room = max(1, width - letter)
    lines = [line for part in placeholder.label().split("\n") for line in _lines(part, font, room)]
    for number, line in enumerate(lines):
        draw.text((letter // 2, letter // 2 + number * (letter + 3)), line, (20, 20, 20), font)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _font(letter: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    try:
        return ImageFont.load_default(letter)
    except (TypeError, ImportError):  # Pillow before 10.1, or without FreeType
        return ImageFont.load_default()


def _lines(text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, room: int) -> list[str]:
    """Return the text in lines of at most `room` pixels, as far as its words allow.

    Pillow's own font has Latin letters only.
    """
    lines = [""]
    for word in text.encode("latin-1", "replace").decode("latin-1").split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def saved(names: list[str]) -> Graph:
    """Return the workflow that saves pictures of ComfyUI's input folder."""
    graph = Graph()
    for number, name in enumerate(names, start=1):
        picture = graph.add(f"mock.picture_{number}", "LoadImage", image=name)
        graph.add(
            f"output.save_{number}", "SaveImage", images=picture, filename_prefix="astria_mock"
        )
    return graph
