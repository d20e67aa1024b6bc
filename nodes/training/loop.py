"""Steps of AdamW over the trained tensors: warm-up, clipping, and an end where numbers fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from .errors import TrainingError

WARM_UP = 0.05  # of all steps
CLIP_NORM = 1.0
BETAS = (0.9, 0.999)
WEIGHT_DECAY = 0.01
# Of float16, whose small gradients vanish: the loss is multiplied by this, the gradients divided.
FIRST_SCALE, MIN_SCALE, MAX_SCALE = 2.0**12, 1.0, 2.0**20
STEPS_TO_DOUBLE = 200


@dataclass(frozen=True)
class LoopNumbers:
    """What the loop goes by: how many steps, at which rate; `scales_loss` for float16."""

    steps: int
    learning_rate: float
    scales_loss: bool = False

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0: linear over the first twentieth."""
        warm = max(1, math.ceil(self.steps * WARM_UP))
        return self.learning_rate * min(1.0, (step + 1) / warm)


@dataclass
class LoopState:
    """All that the next step depends on, beside the trained tensors."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    scale: float = FIRST_SCALE
    steady: int = 0  # steps since the scale was changed


# Gives the losses of a step, one after another, each to be differentiated before the next.
Losses = Callable[[int], Iterable[Tensor]]


class Loop:
    """Trains parameters by name, a step at a time."""

    def __init__(
        self, parameters: Mapping[str, nn.Parameter], numbers: LoopNumbers, losses: Losses
    ) -> None:
        self.parameters = parameters
        self.numbers = numbers
        self.state = LoopState()
        self._losses = losses
        self._optimizer = torch.optim.AdamW(
            list(parameters.values()), lr=0.0, betas=BETAS, weight_decay=WEIGHT_DECAY
        )

    def steps(self) -> Iterator[LoopState]:
        """Do the steps that are left, and yield the state after each.

        Raises: TrainingError with code `training-nan` where a loss or gradient is no number.
        """
        while self.state.step < self.numbers.steps:
            self._step()
            yield self.state

    def _step(self) -> None:
        state, scale = self.state, self.state.scale if self.numbers.scales_loss else 1.0
        for group in self._optimizer.param_groups:
            group["lr"] = self.numbers.rate(state.step)
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for loss in self._losses(state.step):
            value = loss.item()
            if not math.isfinite(value):
                raise _no_number("loss", state.step)
            (loss * scale).backward()
            total += value
        if self._clipped(scale):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.losses.append(total)

    def _clipped(self, scale: float) -> bool:
        """Bring the gradients to length 1 where they are longer; say whether they are numbers."""
        given = [one.grad for one in self.parameters.values() if one.grad is not None]
        if scale != 1.0:
            torch._foreach_div_(given, scale)
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), CLIP_NORM)
        is_number = bool(norm.isfinite())
        if not self.numbers.scales_loss:
            if not is_number:
                raise _no_number("gradient", self.state.step)
            return True
        self._rescale(is_number)
        return is_number

    def _rescale(self, is_number: bool) -> None:
        """Halve the scale where gradients overflowed, double it after a steady while."""
        state = self.state
        state.steady = state.steady + 1 if is_number else 0
        if not is_number:
            if state.scale <= MIN_SCALE:
                raise _no_number("gradient", state.step)
            state.scale /= 2
        elif state.steady == STEPS_TO_DOUBLE:
            state.scale, state.steady = min(state.scale * 2, MAX_SCALE), 0

    def tensors(self) -> dict[str, Tensor]:
        """Return the trained tensors and the optimiser's, by name; none of them a copy."""
        found = {f"weight.{name}": one.detach() for name, one in self.parameters.items()}
        for name, one in self.parameters.items():
            for key, value in self._optimizer.state.get(one, {}).items():
                found[f"{key}.{name}"] = value
        return found

    def restore(self, tensors: Mapping[str, Tensor], state: LoopState) -> None:
        """Go on from what `tensors` returned after `state.step` steps."""
        weights = {name: tensors[f"weight.{name}"] for name in self.parameters}
        self.state = state
        for name, parameter in self.parameters.items():
            with torch.no_grad():
                parameter.copy_(weights[name])
            if f"exp_avg.{name}" in tensors:
                kept = self._optimizer.state[parameter]
                kept["step"] = tensors[f"step.{name}"].cpu().clone()
                for key in ("exp_avg", "exp_avg_sq"):
                    kept[key] = tensors[f"{key}.{name}"].to(parameter.device).clone()


def _no_number(what: str, step: int) -> TrainingError:
    return TrainingError(
        f"The {what} of step {step + 1} is no number; the training was stopped there.",
        code="training-nan",
        hint=(
            "Halve learning_rate. On a base in float16 start ComfyUI with --bf16-unet, or"
            " --fp32-unet where the card has no bfloat16."
        ),
    )
