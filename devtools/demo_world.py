"""The demo on the small drawn world: each thing that the pack does once, on pictures that mean
something, so that a reader which knows no model can say whether it is so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy
from PIL import Image

from ..nodes.graph.graph import api_workflow
from ..nodes.outpaint.geometry import Canvas, place
from ..nodes.pipeline.build.sources import Options
from ..nodes.pipeline.compiling import CompileOptions, compile_request
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.state import tunes_in
from ..smallworld import identities, model_files
from ..smallworld.comparing import asked, person_words, scene_words
from ..smallworld.drawing import drawn
from ..smallworld.reader import PersonRead, Reading, read
from ..smallworld.scene import Figure as Person
from ..smallworld.scene import Scene
from . import small_world
from .client import images_of
from .demo_models import picture_of
from .host import Host
from .paths import STATE_FOLDER
from .report import Figure
from .world_photos import FACE, FACE_ID, keep_photos

SEED = 43
STEPS = "\nsteps=20"
GUIDANCE = {"sd15": "\ncfg_scale=4"}  # what its pictures are truest at
MASKED, MASK, WIDER = "portrait.png", "portrait_mask.png", "wider.png"
WOMAN = "ohwx woman, with blonde hair, pale skin, red dress, no hat, standing"
MAN = "ohwx man, with black hair, tan skin, blue suit, no hat, standing"
_SOURCE = Scene(
    128,
    128,
    "beach",
    "day",
    72,
    figures=(Person("woman", "ginger", "pale", "green", 64, 58, 15, identity=identities.ALL[0]),),
)
_PORTRAIT = replace(
    _SOURCE,
    place="field",
    horizon=80,
    figures=(Person("man", "grey", "tan", "black", 64, 56, 33, identity=identities.ALL[1]),),
)


@dataclass(frozen=True)
class Case:
    """One thing that is shown: a prompt, its input pictures, and the stages whose pictures are
    shown, the last of which is read.

    `scene` and `persons`, from left to right, say what the picture must show; `faces` are the
    numbers of whose, where photos say it. `lacks` says of a family what is not there for it, ""
    for nothing.
    """

    title: str
    text: str
    shown: tuple[str, ...]
    scene: str
    persons: tuple[str, ...] = ()
    image: str | None = None
    mask: str | None = None
    faces: tuple[int, ...] = ()
    lacks: Callable[[str], str] = lambda family: ""


def _lacks_people(family: str) -> str:
    return "" if len(model_files.loras(family)) > 1 else "LoRAs of two people"


def _lacks_faces(family: str) -> str:
    bound = small_world.bindings(family).roles
    needs = {"face_analysis": "a face detector", "upscaler": "an upscaler"}
    lacking = [words for role, words in needs.items() if role not in bound]
    return _lacks_people(family) or " and ".join(lacking)


def _lacks_faceid(family: str) -> str:
    bound = small_world.bindings(family).roles
    return "" if f"{family}.faceid" in bound else "a FaceID adapter"


_FIELD = "field at day, two people"
_TWO = f"{_FIELD} BREAK BREAK <lora:1533312:1> {WOMAN} BREAK <lora:1558021:1> {MAN}\nw=192\nh=128"
_CITY, _GREY = "city at night, one person", "man, with grey hair, tan skin, yellow suit"
_BLONDE = "woman, with blonde hair, pale skin, red dress, no hat, no glasses"
_BEACH = "beach at day, one person"
_WIDER = "--outpaint_width 192 --outpaint_height 128"
CASES = (
    Case("two people", _TWO, ("base",), _FIELD, (WOMAN, MAN), lacks=_lacks_people),
    Case(
        "faces",
        f"{_TWO}\ninpaint_faces=true",
        ("base", "inpaint_faces"),
        _FIELD,
        (WOMAN, MAN),
        lacks=_lacks_faces,
    ),
    Case(
        "FaceID",  # a face and a strength by which it comes out whole, as few do
        f"close-up, {_CITY}, <faceid:{FACE_ID}:1.2> {_BLONDE}\nw=128\nh=128",
        ("base",),
        _CITY,
        (_BLONDE,),
        faces=(FACE,),
        lacks=_lacks_faceid,
    ),
    Case(
        "masked portrait",
        f"close-up, {_CITY}, {_GREY}\ndenoising_strength=1",
        ("input", "base"),
        _CITY,
        (_GREY,),
        image=MASKED,
        mask=MASK,
    ),
    Case(
        "outpainted picture",
        f'{_BEACH} --outpaint center {_WIDER} --outpaint_prompt "beach at day"'
        "\nw=128\nh=128\ndenoising_strength=0",
        ("input", "outpaint"),
        _BEACH,
        image=WIDER,
    ),
    Case(
        "outpainted text",
        f"field at day, one person, {WOMAN} --outpaint left-center {_WIDER}"
        f' --outpaint_prompt "field at day, two people, {WOMAN}, {MAN}"\nw=96\nh=128',
        ("base", "outpaint"),
        _FIELD,
        (WOMAN, MAN),
    ),
)


@dataclass(frozen=True)
class Shown:
    """A case as it was painted: the pictures of its stages, the last of them read."""

    case: Case
    family: str
    request: PromptRequest
    pictures: Mapping[str, Image.Image]
    canvas: Canvas | None
    seconds: float
    figures: list[Figure] = field(default_factory=list)

    @property
    def last(self) -> Image.Image:
        """What it ends with."""
        return list(self.pictures.values())[-1]

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Stage -> the size of its picture in the world, where an upscaler made it larger."""
        first, *_ = self.pictures.values()
        is_same = self.canvas is None
        return {name: first.size if is_same else one.size for name, one in self.pictures.items()}

    @property
    def read(self) -> Reading:
        """What a reader finds in the last picture, at its size in the world."""
        return read(self.last.resize(list(self.sizes.values())[-1], Image.Resampling.BOX))


def missing(family: str) -> list[str]:
    """Return a line for each thing that cannot be shown yet, and what it lacks."""
    return [
        f"{family}: {case.title} is left out, it needs {lack}"
        for case in CASES
        if (lack := case.lacks(family))
    ]


def draw_inputs(base: Path) -> None:
    """Draw what the cases take from a host's base directory: a person to extend, a face to keep
    and the mask around it, the photos of a tune.
    """
    keep_photos(base, {FACE_ID: FACE})
    folder = base / "input"
    drawn(_SOURCE).save(folder / WIDER)
    drawn(_PORTRAIT).save(folder / MASKED)
    small_world.mask_around_heads(_PORTRAIT).save(folder / MASK)


def is_same_by_the_node(host: Host, one: Shown) -> bool:
    """Say whether Astria Generate paints a prompt without pictures as its compiled workflow did."""
    graph = small_world.generate_graph(one.request.to_text(), one.family)
    entry = host.client.run(api_workflow(graph), timeout_s=3600)
    return _equal(picture_of(host.client, images_of(entry, "output.save")[0]), one.last)


def show(host: Host, case: Case, family: str, clock: Callable[[], float]) -> Shown:
    """Paint a case on a family, and read what came of it."""
    request = PromptRequest.require(case.text + STEPS + GUIDANCE.get(family, ""))
    options = CompileOptions(
        small_world.BASES[family],
        case.image,
        case.mask,
        options=Options(SEED, keep_unmasked=True),
        save_stages=True,
    )
    resolver = small_world.resolver(family, tunes_in(host.base / "user" / STATE_FOLDER))
    compiled = compile_request(request, resolver, options)
    graph = small_world.with_wide_crops(compiled.graph)
    started = clock()
    entry = host.client.run(api_workflow(graph), timeout_s=3600)
    seconds = clock() - started
    names = [name for name in case.shown if name in compiled.plan.stage_outputs]
    pictures = {
        name: picture_of(host.client, images_of(entry, f"output.save_{name}")[0]) for name in names
    }
    if "input" in case.shown and "input" not in pictures:
        with Image.open(host.base / "input" / str(case.image)) as own:
            pictures = {"input": own.convert("RGB"), **pictures}
    found = Shown(case, family, request, pictures, _canvas(request, pictures), seconds)
    found.figures.extend(_figures(found))
    if case is CASES[-1]:
        same = is_same_by_the_node(host, found)
        name = "Astria Generate equals the workflow"
        found.figures.append({"name": name, "value": same, "unit": "", "ok": same})
    return found


def _canvas(request: PromptRequest, pictures: Mapping[str, Image.Image]) -> Canvas | None:
    if request.outpaint is None:
        return None
    source = next(iter(pictures.values()))
    return place(*source.size, request.outpaint_width, request.outpaint_height, request.outpaint)


def _figures(one: Shown) -> Iterator[Figure]:
    reading = one.read
    yield _share("words right", *words_right(reading, one.case.scene, one.case.persons))
    if len(one.case.persons) > 1:
        yield _percent("leak", leak(reading, one.case.persons))
    if one.request.persons:
        wanted = [identities.ALL[number] for number in list(model_files.loras(one.family))[:2]]
        if len(one.pictures) > 1:
            before = read(next(iter(one.pictures.values())))
            yield _share("faces right before", *faces_right(before, wanted))
        yield _share("faces right", *faces_right(reading, wanted))
    if one.case.faces:
        yield from _by_photos(reading, one.case.faces)
    if one.case.mask:
        kept = _kept_by_mask(one)
        yield {"name": "pixels kept", "value": kept, "unit": "", "ok": kept}
        face = read(one.pictures["input"]).people[0].identity
        yield _share("faces right", *faces_right(reading, [face]))
    if one.canvas is not None:
        kept = is_kept(one.last, next(iter(one.pictures.values())), one.canvas)
        yield {"name": "source kept bit for bit", "value": kept, "unit": "", "ok": kept}
        yield from seams(one.last, one.canvas)
    yield {"name": "time", "value": one.seconds, "unit": "s", "ok": None}


def _by_photos(reading: Reading, faces: Sequence[int]) -> Iterator[Figure]:
    """Yield how many of the place and the colour of marks and of faces' proportions are those of
    the photos.
    """
    there = [person.identity or () for person in reading.people]
    wanted = [identities.ALL[number] for number in faces]
    pairs = [
        pair
        for face, own in zip(there, wanted, strict=False)
        for pair in zip(face, own, strict=False)
    ]
    right, of = sum(one == other for one, other in pairs), sum(map(len, wanted))
    found = _share("parts of the face right", right, of)
    yield {**found, "ok": right * 3 >= of * 2}


def _share(name: str, right: int, of: int) -> Figure:
    return {"name": name, "value": f"{right} of {of}", "unit": "", "ok": None}


def _percent(name: str, share: float) -> Figure:
    return {"name": name, "value": round(100 * share), "unit": "%", "ok": None}


def largest_people(reading: Reading, count: int) -> list[PersonRead]:
    """Return the largest people of a picture, from left to right: a patch may be read as a head."""
    found = sorted(reading.people, key=lambda person: person.unit, reverse=True)
    return sorted(found[:count], key=lambda person: person.x)


def words_right(reading: Reading, scene: str, persons: Sequence[str]) -> tuple[int, int]:
    """Return how many words of a scene and of its persons, from left to right, a picture shows, and
    how many they are.
    """
    there = [person_words(person) for person in largest_people(reading, len(persons))]
    shown = [scene_words(reading), *there]
    told = [asked(scene), *map(asked, persons)]
    right = sum(len(wanted & seen) for wanted, seen in zip(told, shown, strict=False))
    return right, sum(map(len, told))


def leak(reading: Reading, persons: Sequence[str]) -> float:
    """Return the share of what only one of two persons was told that the other shows."""
    told = [asked(text) for text in persons]
    wrong = total = 0
    there = largest_people(reading, len(persons))
    for own, other, person in zip(told, reversed(told), there, strict=False):
        wrong += len((other - own) & person_words(person))
        total += len(other - own)
    return wrong / total if total else 0.0


def faces_right(reading: Reading, wanted: Sequence[object]) -> tuple[int, int]:
    """Return how many people from left to right have the faces wanted, and how many are wanted."""
    there = [person.identity for person in largest_people(reading, len(wanted))]
    return sum(one == own for one, own in zip(there, wanted, strict=False)), len(wanted)


def is_kept(picture: Image.Image, source: Image.Image, canvas: Canvas) -> bool:
    """Say whether a source stands in a larger picture to the bit."""
    window = canvas.window
    box = (window.x, window.y, window.x + window.width, window.y + window.height)
    return picture.size == (canvas.width, canvas.height) and _equal(picture.crop(box), source)


def seams(picture: Image.Image, canvas: Canvas) -> Iterator[Figure]:
    """Yield how far the horizon jumps from the source to each new side, and how large the step of
    colour there is beside that of columns within the source.
    """
    window = canvas.window
    pixels = numpy.asarray(picture, float)
    steps = numpy.abs(numpy.diff(pixels, axis=1)).mean((0, 2))
    inner = float(numpy.median(steps[window.x : window.x + window.width - 1]))
    right = window.x + window.width
    sides = {"left": (window.x, 0, window.x), "right": (right, right, canvas.width)}
    own = read(picture.crop((window.x, 0, right, canvas.height))).horizon
    for name, (seam, first, last) in sides.items():
        if last - first < 8:
            continue
        jump = abs(read(picture.crop((first, 0, last, canvas.height))).horizon - own)
        yield {"name": f"horizon across the {name} seam", "value": jump, "unit": "px", "ok": None}
        step = round(float(steps[seam - 1]) - inner, 1)
        yield {
            "name": f"colour step at the {name} seam",
            "value": step,
            "unit": "of 255",
            "ok": None,
        }


def _kept_by_mask(one: Shown) -> bool:
    """Say whether the pixels well inside what the mask leaves out are those of the input."""
    [person] = _PORTRAIT.figures
    side = person.head_px * 0.6
    box = tuple(
        round(value)
        for value in (person.x - side, person.y - side, person.x + side, person.y + side)
    )
    return _equal(one.last.crop(box), one.pictures["input"].crop(box))


def _equal(one: Image.Image, other: Image.Image) -> bool:
    return numpy.array_equal(numpy.asarray(one), numpy.asarray(other))
