"""What the small drawn world shows of several people, and of pictures that are extended: is each
person right, in the right place, does anything of one stand on another; does a new side go on.

Pictures of random scenes are painted on a ComfyUI, by the pack's way and by others, and read by a
program that knows no model. The way of a single person on a picture of their own is the ceiling.
Every answer is kept in .dev/smallworld, so that `--long` goes on where it was stopped.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from comfyui_astria.bench import (
    _world_faceid,
    _world_outpaint,
    _world_second,
    _world_sweeps,
)
from comfyui_astria.bench._figures import figure
from comfyui_astria.bench._world import (
    BASE,
    POSE,
    Way,
    alone,
    close_up,
    hosts,
    merged,
    ours,
    posed,
    saving,
    scene_of,
    without_gates,
)
from comfyui_astria.bench._world_far import far_of
from comfyui_astria.bench._world_kept import Answer, Kept
from comfyui_astria.bench._world_narrow import narrow_of
from comfyui_astria.bench._world_outpaint import OutpaintWay, source_of
from comfyui_astria.bench._world_portraits import portrait_of
from comfyui_astria.bench._world_replaced import replaced_of
from comfyui_astria.bench._world_second import SecondWay, second_of
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.console import DevError, say
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.nodes.graph.graph import api_workflow
from comfyui_astria.smallworld import model_files
from comfyui_astria.smallworld.learning.faces import Gallery

QUICK, LONG, MOST = 6, 100, 500  # scenes; the most of two people by the pack
QUICK_SIDES, LONG_SIDES = 9, 99  # pictures that are extended, each anchor as often
FIRST_SEED = 6_000_000
PEOPLE = (2, 3, 4)
TWO = PEOPLE[0]
CEILING = "one person alone"
CLOSE_UP = "one person close up"
WAYS: dict[str, Way] = {
    "the pack": ours(),
    "the pack without a pose": ours(is_posed=False),
    "the pack, one person a checkpoint": ours(checkpoints=1),
    "the pack, then faces anew": ours("\ninpaint_faces=true"),
    "the host's masks and LoRA hooks, posed": posed(hosts),
    "the host's masks and LoRA hooks": hosts,
    "regions, all LoRAs everywhere": without_gates,
    "one prompt, all LoRAs everywhere, posed": posed(merged),
    "one prompt, all LoRAs everywhere": merged,
}
OURS = ("the pack", "the pack by FaceID")
OF_TWO = ("the pack, then faces anew",)  # painted of two people alone; so is what can be set
COMPARED = tuple(name for name in WAYS if name not in OF_TWO)
# What only a ControlNet makes another way.
POSED = (
    "the pack without a pose",
    "the host's masks and LoRA hooks, posed",
    "one prompt, all LoRAs everywhere, posed",
)
# How many people -> ways to paint them by their photos.
BY_FACE: dict[int, dict[str, Way]] = {
    1: {
        "one person alone by FaceID": _world_faceid.alone,
        "one person close up by FaceID": _world_faceid.close_up,
    },
    2: {
        "the pack by FaceID": _world_faceid.ours,
        "regions, all FaceIDs on everybody": _world_faceid.without_gates,
    },
}
# Whose words and LoRA a face far away gets -> whether it is its person's.
FAR = {"drawn as its person's": True, "drawn as nobody's": False}
BY_BASE = "the pack, by the base itself"  # another way only beside an inpainting model
HOSTS = "the host's padding and noise mask"
OUTPAINTING: dict[str, OutpaintWay] = {
    "the pack": _world_outpaint.ours(),
    "the pack, told the place alone": _world_outpaint.ours(says_who=False),
    "the pack, its seam not healed": _world_outpaint.ours(heal_seam=False),
    BY_BASE: _world_outpaint.ours(has_painter=False),
    HOSTS: _world_outpaint.hosts,
}
# How the new area is told whom a picture is extended for.
SECOND: dict[str, SecondWay] = {
    "the pack, told both": _world_second.ours(),
    "the pack, told the new one alone": _world_second.ours(says_both=False),
    f"{BY_BASE}, told both": _world_second.ours(has_painter=False),
    f"{BY_BASE}, told the new one alone": _world_second.ours(says_both=False, has_painter=False),
    HOSTS: _world_second.hosts,
}


@dataclass(frozen=True)
class Extent:
    """How much is painted: scenes of each way, of the pack's with two people the `most`, for
    pictures of so many people, and by FaceID; pictures that are extended, each way.
    """

    scenes: int
    most: int
    people: Sequence[int]
    ways: Mapping[str, Way]
    sides: int
    by_face: Mapping[int, Mapping[str, Way]] = field(default_factory=lambda: BY_FACE)
    outpainting: Mapping[str, OutpaintWay] = field(default_factory=lambda: OUTPAINTING)
    second: Mapping[str, SecondWay] = field(default_factory=lambda: SECOND)


def _ways(family: str, ways: Mapping[str, Way], people: int) -> Mapping[str, Way]:
    """Return the ways that a family can go for so many people: without a ControlNet for poses,
    those without one; for more than two, those that are compared.
    """
    left_out = () if _is_posed(family) else POSED
    return {
        name: way
        for name, way in ways.items()
        if name not in left_out and (people == TWO or name in COMPARED)
    }


def _is_posed(family: str) -> bool:
    """Say whether a family has a ControlNet for poses."""
    return f"{family}.{POSE}" in small_world.bindings(family).roles


def run() -> list[dict]:
    """Return the figures of two people, of one, of portraits and of faces far away on half a dozen
    scenes, and of each anchor once.
    """
    return _run(Extent(QUICK, QUICK, PEOPLE[:1], WAYS, QUICK_SIDES))


def run_long() -> list[dict]:
    """Return the figures of two to four people, on all scenes, and of what can be set."""
    ways = {**WAYS, **_world_sweeps.PEOPLE}
    by_face = {1: {**BY_FACE[1], **_world_sweeps.CLOSE_UP}, 2: BY_FACE[2]}
    sides = {**OUTPAINTING, **_world_sweeps.OUTPAINTING}
    return _run(Extent(LONG, MOST, PEOPLE, ways, LONG_SIDES, by_face, sides))


def _run(extent: Extent) -> list[dict]:
    counts = {family: _counts(family, extent) for family in model_files.families()}
    measured = {family: some for family, some in counts.items() if some}
    if not measured:
        raise DevError(
            "The small world has no people to measure.", "Train them: smallworld/README.md."
        )
    shutil.rmtree(BASE / "output" / "checkpoints", ignore_errors=True)
    figures = []
    with Host(current(), HostOptions(BASE, small_world=True, cpu=True)) as host:
        for family, some in measured.items():
            figures += _of_family(Kept(family, host.client), extent, some)
    return figures


def _counts(family: str, extent: Extent) -> list[int]:
    """Return the numbers of people that a family has LoRAs for, and tell those left out."""
    trained = len(model_files.loras(family))
    counts = [count for count in extent.people if count <= trained]
    if left_out := sorted(set(extent.people) - set(counts)):
        more = " and ".join(map(str, left_out))
        say(f"- {family}: no pictures of {more} people, it has LoRAs of {trained}")
    return counts


def _of_family(kept: Kept, extent: Extent, counts: Sequence[int]) -> Iterator[dict]:
    """Yield the figures of everything that one family paints."""
    family = kept.family
    small_world.write_bindings(BASE, family)
    numbers = list(model_files.loras(family))
    for number in numbers:
        kept.client.run(api_workflow(saving(family, number)))
    ways = {count: _ways(family, extent.ways, count) for count in counts}
    yield from _of_people(kept, extent, numbers, {1: {CEILING: alone, CLOSE_UP: close_up}, **ways})
    if _is_posed(family):
        yield from _of_places(kept, extent, numbers, counts)
    if f"{family}.faceid" in small_world.bindings(family).roles:
        yield from _of_people(kept, extent, _world_faceid.NUMBERS, extent.by_face)
    for title, answers in _of_pictures(kept, extent, numbers):
        yield from _figures(f"{family}, {title}", answers)
        say(f"  {family}, {title}")


def _of_people(
    kept: Kept, extent: Extent, numbers: Sequence[int], ways: Mapping[int, Mapping[str, Way]]
) -> Iterator[dict]:
    """Yield the figures of pictures of so many people by each way, beside those of the first, which
    is of one person alone.
    """
    ceiling: dict[str, str] = {}
    for count, some in ways.items():
        every = [scene_of(FIRST_SEED + at, count, numbers) for at in range(extent.most)]
        if numbers is _world_faceid.NUMBERS:
            _world_faceid.keep_photos_of(every)
        for name, way in some.items():
            is_most = count == TWO and name in OURS
            asked = every if is_most else every[: extent.scenes]
            answers = [kept.of_people(name, way, scene) for scene in asked]
            title = f"{kept.family}, {count}: {name}"
            yield from _figures(title, answers, ceiling)
            say(f"  {title}")
            ceiling = ceiling or _means(answers)


def _of_places(
    kept: Kept, extent: Extent, numbers: Sequence[int], counts: Sequence[int]
) -> Iterator[dict]:
    """Yield the figures of one person alone where one of so many would stand."""
    for count in counts:
        seeds = range(FIRST_SEED, FIRST_SEED + extent.scenes)
        answers = [kept.of_place(narrow_of(seed, count, numbers)) for seed in seeds]
        title = f"{kept.family}, {count}: one of them alone"
        yield from _figures(title, answers)
        say(f"  {title}")


def _of_pictures(
    kept: Kept, extent: Extent, numbers: list[int]
) -> Iterator[tuple[str, list[Answer]]]:
    """Yield what is done with drawn pictures, and what was read of each."""
    seeds = range(FIRST_SEED, FIRST_SEED + extent.scenes)
    yield "masked portrait", [kept.of_portrait(portrait_of(seed)) for seed in seeds]
    replaced = [kept.of_replaced(replaced_of(seed, numbers)) for seed in seeds]
    yield "people replaced in a picture", replaced
    gallery = Gallery()
    for name, is_matched in FAR.items():
        far = [kept.of_far(far_of(seed, numbers), gallery, is_matched=is_matched) for seed in seeds]
        yield f"a face far away, {name}", far
    sources = [source_of(FIRST_SEED + at) for at in range(extent.sides)]
    has_painter = model_files.inpaint(kept.family).exists()
    for name, way in extent.outpainting.items():
        if name.startswith(BY_BASE) and not has_painter:
            continue
        yield f"outpainting: {name}", [kept.of_sides(name, way, source) for source in sources]
    seconds = [second_of(seed) for seed in seeds]
    for name, way in extent.second.items():
        if name.startswith(BY_BASE) and not has_painter:
            continue
        yield f"a second person: {name}", [kept.of_second(name, way, one) for one in seconds]


def _figures(
    title: str, answers: Sequence[Answer], ceiling: Mapping[str, str] | None = None
) -> Iterator[dict]:
    """Yield the mean of each thing that was read, and half the width of its 95 % interval; with a
    `ceiling`, what one person alone has of it.
    """
    for name, value in _means(answers).items():
        what, _, unit = name.partition(", ")
        at_best = f" (alone {ceiling[name]})" if ceiling and name in ceiling else ""
        yield {**figure(f"{title}, {what}", 0.0, unit), "value": value + at_best}


def _means(answers: Sequence[Answer]) -> dict[str, str]:
    """Return the mean of each thing that was read, and half the width of its 95 % interval."""
    found = {}
    for name in dict.fromkeys(name for answer in answers for name in answer):
        values = [answer[name] for answer in answers if name in answer]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        half = 1.96 * spread / len(values) ** 0.5
        found[name] = f"{statistics.mean(values):.1f} ± {half:.1f}"
    return found
