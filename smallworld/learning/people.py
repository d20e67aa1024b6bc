"""Trains a LoRA for each of some people, by this pack's own training on a ComfyUI, from eight
pictures each: `python dev.py learn people --family sd15`. Their files keep rank 4.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...devtools import small_world
from ...devtools.console import DevError, say
from ...devtools.environment import current
from ...devtools.host import Host, HostOptions
from ...devtools.paths import DEV, STATE_FOLDER
from ...devtools.train import train
from ...nodes.graph.graph import Graph, Link
from ...nodes.pipeline.training_cli import planned_training
from ...nodes.training.photos import CLASS, caption_of
from .. import identities, model_files
from ..photos import SIDE, TOKEN, draw_photos, kind_of, photos_of, text_of
from .loop import asked
from .low_rank import nearest

FIRST = len(identities.learned)
STEPS = 500
TEN = 10  # values that the host's Create List takes
KEPT = 4  # ranks of a file; the rest of a trained LoRA's 16 is 3 % of its squared changes
JUDGED = 4  # photos whose texts are drawn while it learns


@dataclass(frozen=True)
class Recipe:
    """How people are trained; 0 is what the preset says. With `own_texts` each photo has a text of
    all that it shows but the face, and likeness is judged by pictures of such texts.
    """

    learning_rate: float = 0.0
    rank: int = 0
    accumulation: int = 1
    own_texts: bool = False
    class_pictures: int = 0  # of others of the kind, painted by the base

    def applied(self, graph: Graph, texts: Sequence[str], kind: str) -> Graph:
        """Return the graph of a training so of a `kind`, whose photos show what `texts` say."""
        made = Graph()
        said: dict[str, Link] = {}
        if self.own_texts:
            other = caption_of(CLASS, TOKEN, kind)
            every = [
                made.add(f"text.{at}", "PrimitiveString", value=text)
                for at, text in enumerate([*texts, *[other] * self.class_pictures])
            ]
            said["training.positive"] = _listed(made, "texts", every)
            said["training.samples"] = _listed(made, "texts.judged", every[:JUDGED])
        for name, call in graph.nodes.items():
            own = {}
            if call.class_type == "AstriaTrainLora":
                own = {
                    "learning_rate": self.learning_rate,
                    "rank": self.rank,
                    "accumulation": self.accumulation,
                }
            elif name in said:
                own = {"text": said[name]}
            made.nodes[name] = replace(call, inputs={**call.inputs, **own})
        return made


def _listed(graph: Graph, name: str, links: Sequence[Link]) -> Link:
    """Return a list of these values, each of which may be a list; a node of the host takes ten."""
    if len(links) > TEN:
        links = [
            _listed(graph, f"{name}.{at}", links[at : at + TEN]) for at in range(0, len(links), TEN)
        ]
    every = {f"inputs.input{at}": one for at, one in enumerate(links)}
    return graph.add(name, "CreateList", **every)


def main(argv: Sequence[str]) -> None:
    """Train whom there is no LoRA of yet: `count` people from the `first` number on, which no base
    model saw.
    """
    given = asked(
        argv,
        "people",
        STEPS,
        family="sd15",
        first=FIRST,
        count=4,
        rate=0.0,
        rank=0,
        accumulation=1,
        face_weight=1.0,
        texts="one",
        others=0,
    )
    if given.texts not in ("one", "own"):
        raise DevError(
            f"--texts is {given.texts!r}.", "Give one, for all photos, or own, for each of its own."
        )
    recipe = Recipe(given.rate, given.rank, given.accumulation, given.texts == "own", given.others)
    missing = _missing(given.family, range(given.first, given.first + given.count))
    base = DEV / "learn-people"
    small_world.write_bindings(base, given.family)
    with Host(current(), HostOptions(base, small_world=True, cpu=True)) as host:
        for number in missing:
            path = path_of(given.family, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_cut(_trained(host, base, number, given, recipe), path)
            say(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def _missing(family: str, numbers: Iterable[int]) -> list[int]:
    """Return whom of these there is no LoRA of, and say of whom there is one."""
    found = []
    for number in numbers:
        path = path_of(family, number)
        if path.exists():
            say(f"{path.name} is there already and stays; move it away to train it anew.")
        else:
            found.append(number)
    return found


def _trained(
    host: Host, base: Path, number: int, given: argparse.Namespace, recipe: Recipe
) -> Path:
    """Train an identity on a host with this base directory, and return the LoRA's file."""
    photos = draw_photos(number, given.work / "people" / f"{given.family}_{number}")
    arguments = [str(photos), "--name", kind_of(number), "--steps", str(given.steps)]
    arguments += ["--size", str(SIDE), "--no-face-crop", "--person-agreed", "--again"]
    arguments += ["--token", TOKEN, "--base", small_world.BASES[given.family]]
    arguments += ["--class-pictures", str(given.others)]
    arguments += ["--face-weight", str(given.face_weight)]
    state = base / "user" / STATE_FOLDER
    planned = planned_training(arguments, folder=state, models=[model_files.FOLDER])
    texts = [text_of(photo) for photo in photos_of(number)]
    graph = recipe.applied(planned.plan.graph, texts, kind_of(number))
    plan = replace(planned.plan, graph=small_world.with_loader(graph))
    return base / "models" / "loras" / train(host.client, replace(planned, plan=plan), state)


def write_cut(trained: Path, path: Path) -> None:
    """Write a LoRA file as it was trained, what it says of itself included, with KEPT ranks."""
    with safe_open(trained, "pt") as file:
        about = file.metadata()
    save_file(cut(load_file(trained), KEPT), path, metadata=about)


def cut(weights: Mapping[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Return a LoRA in kohya's names whose changes alpha / r * up @ down of linear layers, up
    [out,r] and down [r,in], are the nearest ones of at most this rank: their largest singular
    values. What has that rank or less stays as it is.
    """
    found = dict(weights)
    for name, down in weights.items():
        layer = name.removesuffix(".lora_down.weight")
        if layer == name or len(down) <= rank:
            continue
        up, alpha = (weights[f"{layer}.{part}"].float() for part in ("lora_up.weight", "alpha"))
        change = up @ down.float() * (alpha / len(down))
        fewer = nearest(change, rank)
        found[f"{layer}.lora_up.weight"], found[name] = (one.to(down.dtype) for one in fewer)
        found[f"{layer}.alpha"] = torch.tensor(rank, dtype=down.dtype)
    return found


def path_of(family: str, number: int) -> Path:
    """Return where the LoRA of an identity is kept."""
    return model_files.FOLDER / "loras" / model_files.NAME / f"{family}_{number}.safetensors"
