"""What the small drawn world shows of several people: is each right, in the right place, and does
anything of one stand on another.

Pictures of random scenes are painted on a ComfyUI, by the pack's way and by others, and read by a
program that knows no model. The way of a single person on a picture of their own is the ceiling.
Every answer is kept in .dev/smallworld, so that `--long` goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from comfyui_astria.bench._figures import figure
from comfyui_astria.bench._world import (
    Read,
    Scene,
    Way,
    alone,
    hosts,
    merged,
    ours,
    read_of,
    scene_of,
    without_gates,
)
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.client import images_of
from comfyui_astria.devtools.console import DevError, say
from comfyui_astria.devtools.demo_models import picture_of
from comfyui_astria.devtools.environment import current
from comfyui_astria.devtools.host import Host, HostOptions
from comfyui_astria.devtools.paths import DEV
from comfyui_astria.nodes.graph.graph import api_workflow
from comfyui_astria.smallworld import model_files
from comfyui_astria.smallworld.reader import read

QUICK, LONG = 12, 250  # scenes; two people make two answers of each
FIRST_SEED = 6_000_000
PEOPLE = (2, 3, 4)
CEILING = "one person alone"
WAYS: dict[str, Way] = {
    "the pack": ours(),
    "the host's masks and LoRA hooks": hosts,
    "regions, all LoRAs everywhere": without_gates,
    "one prompt, all LoRAs everywhere": merged,
}
SWEEP: dict[str, Way] = {
    f"the pack, scene_strength {strength:g} until {until:g}": ours(
        scene_strength=strength, scene_until=until
    )
    for strength, until in ((1.0, 0.15), (1.0, 0.3), (0.4, 0.3), (0.4, 1.0), (0.2, 1.0))
}


def run() -> list[dict]:
    """Return the figures of two people and of one, on a dozen scenes."""
    return _run(QUICK, PEOPLE[:1], WAYS)


def run_long() -> list[dict]:
    """Return the figures of two to four people, on all scenes, and of the scene's strength."""
    return _run(LONG, PEOPLE, {**WAYS, **SWEEP})


def _run(scenes: int, people: Sequence[int], ways: dict[str, Way]) -> list[dict]:
    figures = []
    for family in model_files.families():
        if len(numbers := list(model_files.loras(family))) < max(people):
            say(f"- {family}: left out, it has LoRAs of {len(numbers)} people")
            continue
        base = DEV / "bench-world"
        small_world.write_bindings(base, family)
        kept = Kept(family)
        with Host(current(), HostOptions(base, small_world=True, cpu=True)) as host:
            for count in (1, *people):
                for name, way in ({CEILING: alone} if count == 1 else ways).items():
                    asked = [scene_of(FIRST_SEED + at, count, numbers) for at in range(scenes)]
                    answers = [kept.answer(host, name, way, scene) for scene in asked]
                    figures += list(_figures(f"{family}, {count}: {name}", answers))
                    say(f"  {family}, {count}: {name}")
    if not figures:
        raise DevError(
            "The small world has no people to measure.", "Train them: smallworld/README.md."
        )
    return figures


class Kept:
    """Answers of pictures that were painted before with the same files."""

    def __init__(self, family: str) -> None:
        self._family = family
        self._models = _hash_of(family)
        self._file = DEV / "smallworld" / "world.jsonl"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        self._known = {tuple(key): answer for key, answer in map(json.loads, lines)}

    def answer(self, host: Host, name: str, way: Way, scene: Scene) -> dict[str, float]:
        """Return what is right in the picture of a scene, and its seconds."""
        key = (self._models, name, len(scene.sitters), scene.seed)
        if key not in self._known:
            started = time.monotonic()
            entry = host.client.run(api_workflow(way(self._family, scene)), timeout_s=600)
            seconds = time.monotonic() - started
            [picture] = images_of(entry, "output.save")
            found: Read = read_of(scene, read(picture_of(host.client, picture)))
            self._known[key] = {**asdict(found), "seconds": seconds}
            with self._file.open("a") as lines:
                lines.write(json.dumps([key, self._known[key]]) + "\n")
        return self._known[key]


def _hash_of(family: str) -> str:
    """Return what the family's files are, in short."""
    found = hashlib.sha256()
    loras = [model_files.FOLDER / "loras" / name for name in model_files.loras(family).values()]
    vae = model_files.path_of(model_files.VAES[family])
    for path in (model_files.path_of(family), vae, *loras):
        found.update(Path(path).read_bytes())
    return found.hexdigest()[:12]


def _figures(title: str, answers: Sequence[dict[str, float]]) -> Iterator[dict]:
    read_off: dict[str, Callable[[dict[str, float]], float]] = {
        "identity right": lambda one: one["identity"],
        "words right": lambda one: one["words"],
        "leak": lambda one: one["leak"],
        "scene": lambda one: one["scene"],
    }
    for name, of in read_off.items():
        mean, half = _interval([100 * of(one) for one in answers])
        yield {**figure(f"{title}, {name}", 0.0, "%"), "value": f"{mean:.1f} ± {half:.1f}"}
    seconds = statistics.median(one["seconds"] for one in answers)
    yield figure(f"{title}, a picture", seconds, "s")


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of pictures and half the width of its 95 % interval."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return statistics.mean(values), 1.96 * spread / len(values) ** 0.5
