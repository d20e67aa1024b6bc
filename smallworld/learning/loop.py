"""One training loop for all models: schedule, moving average, curve, and a state to go on from."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import allow_mutation_on_saved_tensors

from ...devtools.console import DevError, say
from ...devtools.paths import DEV
from .quick import CPU, optimisers

WARM_UP = 50  # steps
LEAST = 0.02  # of the first rate, at the end
EVERY = 100  # steps between two states
TOLD = 20  # steps between two points of the curve


def state_file(work: Path, name: str) -> Path:
    """Return where the state of a training is kept."""
    return work / f"{name}.state.pt"


@dataclass
class Learner:
    """A model that learns, and what is kept of it in `work`/NAME.state.pt and NAME.jsonl.

    `plain` are parts of the names of layers that AdamW trains; `kept` is the part of the moving
    average that stays in a step; the rates fall from the part `falls` of the training on.
    `adds_in_place`: the model adds in place to what gradients need, as the host's layers do.
    """

    name: str
    model: torch.nn.Module
    work: Path
    steps: int
    plain: Sequence[str] = ()
    muon: float = 0.02
    adam: float = 2e-3
    kept: float = 0.999
    falls: float = 0.5
    adds_in_place: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)
    device: str = CPU.type
    step: int = 0
    rate: float = 1.0  # of all rates; what has learned before goes on with less

    def __post_init__(self) -> None:
        self.work.mkdir(parents=True, exist_ok=True)
        try:
            self.model.to(self.device)
        except (AssertionError, RuntimeError) as error:
            raise DevError(
                f"This PyTorch cannot use the device {self.device!r}: {error}",
                "Leave --device out to train on the CPU.",
            ) from error
        self._optimisers = optimisers(self.model, self.muon, self.adam, self.plain)
        self._rates = [group["lr"] for group in self._groups]
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        if self.file.exists():
            state = torch.load(self.file, map_location=CPU, weights_only=False)
            self.model.load_state_dict(state["model"])
            if state["optimisers"] is not None:
                for one, kept in zip(self._optimisers, state["optimisers"], strict=True):
                    one.load_state_dict(kept)
            self.average = {name: value.to(self.device) for name, value in state["average"].items()}
            self.step = state["step"]
            self.rate = state["rate"]

    @property
    def _groups(self) -> list[dict[str, Any]]:
        # Asked anew: a state that is loaded replaces them.
        return [group for one in self._optimisers for group in one.param_groups]

    @property
    def file(self) -> Path:
        """Where the state is kept."""
        return state_file(self.work, self.name)

    @property
    def part(self) -> float:
        """How much of the training is done, 0 to 1."""
        return self.step / self.steps

    def run(self, loss_of: Callable[[int], Tensor], minutes: float) -> None:
        """Train until the last step, or for that long; every step's random numbers come from its
        number, so that a training that goes on is the same as one that was never stopped.
        """
        began = time.monotonic()
        smooth = 0.0
        curve = self.work / f"{self.name}.jsonl"
        while self.step < self.steps and time.monotonic() - began < minutes * 60:
            self._set_rates()
            torch.manual_seed(self.step)
            self.model.zero_grad(set_to_none=True)
            with allow_mutation_on_saved_tensors() if self.adds_in_place else nullcontext():
                loss = loss_of(self.step)
                loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            for one in self._optimisers:
                one.step()
            self.step += 1
            self._follow()
            smooth = 0.97 * smooth + 0.03 * float(loss.detach()) if smooth else float(loss.detach())
            if self.step % TOLD == 0:
                seconds = round(time.monotonic() - began)
                say(f"{self.name} {self.step} of {self.steps}: {smooth:.4f}, {seconds} s")
                with curve.open("a") as lines:
                    lines.write(json.dumps({"step": self.step, "loss": round(smooth, 5)}) + "\n")
            if self.step % EVERY == 0:
                self.keep()
        self.keep()

    def keep(self) -> None:
        """Write the state, whole or not at all."""
        new = self.file.with_suffix(".new")
        state = {
            "model": self.model.state_dict(),
            "optimisers": [one.state_dict() for one in self._optimisers],
            "average": self.average,
            "step": self.step,
            "rate": self.rate,
            **self.about,
        }
        torch.save(on_cpu(state), new)
        new.replace(self.file)

    def _set_rates(self) -> None:
        warm = min(1.0, (self.step + 1) / WARM_UP)
        left = min(1.0, LEAST + (1 - self.part) / (1 - self.falls))
        for rate, group in zip(self._rates, self._groups, strict=True):
            group["lr"] = rate * self.rate * warm * left

    @torch.no_grad()
    def _follow(self) -> None:
        kept = min(self.kept, self.step / (self.step + 20))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - kept)
            else:  # a count
                self.average[name].copy_(value)


def on_cpu(value: Any) -> Any:
    """Return the same with all its tensors on the CPU, as files hold them."""
    if isinstance(value, Tensor):
        return value.to(CPU)
    if isinstance(value, Mapping):
        return {key: on_cpu(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(on_cpu(one) for one in value)
    return value


def asked(argv: Sequence[str], name: str, steps: int, **more: float | str) -> argparse.Namespace:
    """Return what the command line says: --work, --steps, --minutes, --threads, and `more`."""
    ask = argparse.ArgumentParser(
        prog=f"dev.py learn {name}", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    ask.add_argument(
        "--work", type=Path, default=DEV / "smallworld", help="where states and latents are kept"
    )
    ask.add_argument("--steps", type=int, default=steps)
    ask.add_argument("--minutes", type=float, default=120.0, help="stop after them, to go on later")
    ask.add_argument("--threads", type=int, default=torch.get_num_threads())
    for option, value in more.items():
        ask.add_argument(f"--{option.replace('_', '-')}", type=type(value), default=value)
    given = ask.parse_args(argv)
    torch.set_num_threads(given.threads)
    return given
