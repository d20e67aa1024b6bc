"""Teaches the small text encoders what their words say, before a network learns to paint by them:
`python dev.py learn encoders --encoder clip`.

A text encoder that learns along with its network, from the little that words change in a noise,
comes to tell hardly any word from another. The published ones are trained before, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...devtools.console import DevError
from .. import words
from ..scene import random_scene
from .data import FIRST_SEED, Rows, fitting
from .host import open_host, start
from .loop import Learner, asked
from .quick import keep_inputs

BATCH = 48
RATE = 1e-3  # AdamW's for all layers: Muon's steps drown the tokens' own rows
PADDED = -100  # of a label that counts nothing

# What can be said, each with its choices, in the order of labels.
FACTS: dict[str, tuple[str, ...]] = {
    "kind": words.KINDS,
    "hair": tuple(words.HAIRS),
    "skin": tuple(words.SKINS),
    "clothes": tuple(words.CLOTHES),
    "hat": ("no", *words.HATS),
    "glasses": ("no", "glasses"),
    "pose": words.POSES,
    "place": tuple(words.PLACES),
    "time": tuple(words.TIMES),
    "count": tuple(one.split()[0] for one in words.COUNTS),
    "person": ("1", "2", "3", "4"),
}
OF_PERSON = ("kind", "hair", "skin", "clothes", "hat", "glasses", "pose")
NOUNS = {"hair": "hair", "skin": "skin", "dress": "clothes", "suit": "clothes", "hat": "hat"}
ALONE = {word: fact for fact in ("kind", "pose", "place", "time") for word in FACTS[fact]}


def said_at(text: str) -> list[tuple[str, dict[str, str]]]:
    """Return the words and commas of a text, each with what has been said up to it of the scene and
    of the person that it speaks of.
    """
    found = []
    facts: dict[str, str] = {}
    before = ""
    for word in re.findall(r"[\w-]+|,", text):
        if word in words.KINDS:
            number = min(int(facts.get("person", "0")) + 1, len(FACTS["person"]))
            facts = {name: value for name, value in facts.items() if name not in OF_PERSON}
            facts["person"] = str(number)
        if word in ALONE:
            facts[ALONE[word]] = word
        if word in NOUNS and before in FACTS[NOUNS[word]]:
            facts[NOUNS[word]] = before
        if word == "glasses":
            facts["glasses"] = "no" if before == "no" else "glasses"
        if word in ("nobody", "person", "people"):
            facts["count"] = word if word == "nobody" else before
        found.append((word, dict(facts)))
        before = word
    return found


def labels_of(text: str, rows: Sequence[int], first: int, count_of: Callable[[str], int]):
    """Return for each token of a text its own row, the row before it, and what is said up to it, in
    the order of FACTS. The tokens behind the last word know what it knows.

    `first` is the number of tokens before the first word, `count_of` gives those of a word.
    """
    said: list[dict[str, str]] = [{}] * first
    for word, facts in said_at(text):
        said += [facts] * count_of(word)
    said += [said[-1] if said else {}] * (len(rows) - len(said))
    before = [PADDED, *rows[:-1]]
    return [
        [row, last, *(_number(name, facts) for name in FACTS)]
        for row, last, facts in zip(rows, before, said, strict=True)
    ]


def _number(name: str, facts: dict[str, str]) -> int:
    return FACTS[name].index(facts[name]) if name in facts else PADDED


class Heads(torch.nn.Module):
    """Reads every token's labels off its state, each by one matrix."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.sizes = [rows, rows, *(len(choices) for choices in FACTS.values())]
        self.all = torch.nn.Linear(width, sum(self.sizes))

    def loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross entropy; states [B,T,C], labels [B,T,L]."""
        found = self.all(states).split(self.sizes, -1)
        return sum(
            functional.cross_entropy(one.flatten(0, 1), labels[..., at].flatten())
            for at, one in enumerate(found)
        ) / len(self.sizes)


@dataclass(frozen=True)
class Encoder:
    """A text encoder that learns: its tokens, its first model, its states [B,T,C]."""

    tokens_of: Callable[[], Callable[[str], list[int]]]
    model: Callable[[int], torch.nn.Module]
    states: Callable[[torch.nn.Module, Tensor], Tensor]
    width: int
    first: int
    end: int
    longest: int
    more: tuple[int, ...] = ()


def clip() -> Encoder:
    """Return SD1.5's and Flux's CLIP."""
    from ..host.models import CLIP_L
    from .unet import CHUNK, clip_encoder, clip_tokens

    def states(model: torch.nn.Module, rows: Tensor) -> Tensor:
        return model(rows, num_tokens=[CHUNK] * len(rows))[0]

    return Encoder(
        clip_tokens, clip_encoder, states, CLIP_L["hidden_size"], 1, CLIP_L["eos_token_id"], CHUNK
    )


def t5() -> Encoder:
    """Return Flux's T5."""
    from ..host.models import T5
    from .flux import END, LONGEST, PADDING, t5_encoder, t5_states, t5_tokens

    return Encoder(t5_tokens, t5_encoder, t5_states, T5["d_model"], 0, END, LONGEST, (PADDING,))


ENCODERS = {"clip": clip, "t5": t5}


def lessons(encoder: Encoder, rows: Rows, step: int) -> tuple[Tensor, Tensor]:
    """Return the tokens [B,T] of a step's texts and their labels [B,T,L]."""
    rng = np.random.default_rng(step)
    end = rows[encoder.end]

    def count_of(word: str) -> int:
        return 1 if word == "," else rows.of(word).index(end) - encoder.first

    tokens, labels = [], []
    while len(tokens) < BATCH:
        scene = random_scene(FIRST_SEED + int(rng.integers(1 << 20)))
        text = fitting(scene, rng, lambda one: len(rows.of(one)), encoder.longest)
        own = rows.of(text)
        tokens.append(own)
        labels.append(labels_of(text, own, encoder.first, count_of))
    longest = max(len(own) for own in tokens)
    padding = rows[encoder.more[0]] if encoder.more else end
    none = [PADDED] * (2 + len(FACTS))
    filled = [own + [padding] * (longest - len(own)) for own in tokens]
    known = [own + [none] * (longest - len(own)) for own in labels]
    return torch.tensor(filled), torch.tensor(known)


def learned(work: Path, name: str) -> dict[str, Tensor]:
    """Return the weights of an encoder that has learned. Raises DevError where none has."""
    file = work / f"{name}.state.pt"
    if not file.exists():
        raise DevError(
            f"The text encoder {name} has learned nothing: there is no {file}.",
            f"Train it first: python dev.py learn encoders --encoder {name}",
        )
    weights = torch.load(file, weights_only=False)["average"]
    prefix = "encoder."
    return {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }


def use_encoders(model: torch.nn.ModuleDict, work: Path, names: Sequence[str]) -> None:
    """Give a model the text encoders that have learned; they learn no more."""
    for name in names:
        model[name].load_state_dict(learned(work, name))
        model[name].requires_grad_(False)


def first_model(name: str, rows: int) -> torch.nn.ModuleDict:
    """Return an encoder with a token table of that many rows, and its heads, with first weights."""
    encoder = ENCODERS[name]()
    own = encoder.model(rows)
    model = torch.nn.ModuleDict({"encoder": own, "heads": Heads(encoder.width, rows)})
    start(model, seed=len(name))
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "position_embedding" in parameter_name:
                parameter.mul_(0.2)
    return model


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "encoders", 1500, encoder="clip")
    open_host()
    encoder = ENCODERS[given.encoder]()
    rows = Rows(encoder.tokens_of(), encoder.more)
    model = first_model(given.encoder, len(rows.ids))
    keep_inputs(model["encoder"])

    def loss(step: int) -> Tensor:
        tokens, labels = lessons(encoder, rows, step)
        return model["heads"].loss(encoder.states(model["encoder"], tokens), labels)

    learner = Learner(given.encoder, model, given.work, given.steps, ("",), adam=RATE, kept=0.99)
    learner.run(loss, given.minutes)
