"""The training itself: pictures and captions -> a LoRA, on a model as the host has loaded it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import comfy.model_management
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ...families.family import Family
from ...rounding import ceil_div
from ..errors import TrainingError
from ..loop import Loop, LoopNumbers, LoopState
from ..low_rank import fresh_factors, parameters_of
from ..memory import MemoryNeed, Trained, memory_need
from ..outcome import TrainingNumbers, TrainingOutcome, likeness_note
from .best import Best
from .judge import Judge
from .lessons import Lessons, Material
from .loss import Denoising
from .model import LearningOptions, learning_model, model_digest, trained_layers, training_dtype
from .names import kohya_names
from .state import RESUME_FILE, Judged, digest, restore_state, save_state, smoothed
from .teller import Teller

STATE_EVERY = 100  # steps
JUDGED = 4  # times, beside the base itself


class TrainingRun:
    """One training of one person on one model."""

    def __init__(
        self,
        model: ModelPatcher,
        of: Family,
        material: Material,
        numbers: TrainingNumbers,
        teller: Teller,
    ) -> None:
        self._base = model
        self._of = of
        self._material = material
        self._numbers = numbers
        self._teller = teller
        _require_fitting(material, model)
        layers = trained_layers(model)
        self._model_digest = model_digest(model, layers)
        with torch.inference_mode(False):  # tensors of that mode take no gradient
            self._factors = fresh_factors(layers, numbers.rank, numbers.seed, model.load_device)
        self.need = self._memory_need()
        self.checkpointing = self._checkpointing()
        options = LearningOptions(self.checkpointing)
        self.model = learning_model(model, self._factors, options)
        self._notes = [*material.photos.notes, *self._model_notes()]

    def run(self, judge: Judge | None, folder: Path | None) -> tuple[dict, TrainingOutcome]:
        """Train, and return the LoRA by the host's names, and how it went.

        `folder` is where the state is kept to go on from; None: nowhere.
        Raises: TrainingError; the host's own exception where it was interrupted.
        """
        started = time.monotonic()
        with torch.inference_mode(False), torch.enable_grad():
            try:
                self.load()
                loop = self._loop()
                judged, best = self._train(loop, judge, folder)
            except comfy.model_management.OOM_EXCEPTION as error:
                raise self._out_of_memory() from error
            finally:
                # What the host holds of the model is as it was before.
                self.model.cleanup()
                self.model.eject_model()
        seconds = time.monotonic() - started
        return best, self._outcome(loop.state, judged, seconds)

    def load(self) -> None:
        """Let the host bring the model to the device, with room for what the gradient keeps."""
        room = self.need.total(checkpointing=self.checkpointing)
        # As in every other node: the host's own tensors are made in this mode.
        with torch.inference_mode():
            comfy.model_management.load_models_gpu(
                [self.model], memory_required=room, minimum_memory_required=room
            )
        self.model.pre_run()

    def _loop(self) -> Loop:
        denoising = Denoising(self.model, self._numbers.min_snr_gamma)
        lessons = Lessons(denoising, self._material, self._numbers)
        numbers = LoopNumbers(
            self._numbers.steps,
            self._numbers.learning_rate,
            scales_loss=training_dtype(self._base) is torch.float16,
        )
        return Loop(parameters_of(self._factors), numbers, lessons.losses)

    def _train(
        self, loop: Loop, judge: Judge | None, folder: Path | None
    ) -> tuple[Judged, dict[str, Tensor]]:
        # A judge must have seen the base: with one, what was begun without is begun anew.
        key = digest(self._model_digest, self._material.digest(self._numbers), judge is None)
        judged = self._restored(loop, folder, key)
        best = Best(folder, self._factors)
        self._teller.judged(judged)
        self._teller.begin(loop.state.step)
        try:
            # The base, or a step in whose judgement the training was interrupted.
            self._judge_where_due(judge, judged, best, loop.state.step)
            for state in loop.steps():
                comfy.model_management.throw_exception_if_processing_interrupted()
                self._teller.step(state.step, state.losses)
                self._judge_where_due(judge, judged, best, state.step)
                is_last = state.step == self._numbers.steps
                if folder and (is_last or state.step % STATE_EVERY == 0):
                    save_state(folder, loop, judged, key)
        except comfy.model_management.InterruptProcessingException:
            if folder and self._teller.is_wanted() and loop.state.step:
                save_state(folder, loop, judged, key)
            raise
        return judged, best.lora(judged, self._numbers.steps)

    def _restored(self, loop: Loop, folder: Path | None, key: str) -> Judged:
        """Bring the loop to where it was interrupted; say where a state is not gone on from."""
        if folder is None or not (folder / RESUME_FILE).exists():
            return Judged()
        judged = restore_state(folder, loop, key)
        if judged is None:
            note = (
                "An interrupted training of this tune had another base, other photos, captions or"
                " numbers, or its state cannot be read: it is not gone on from, and this one begins"
                " anew."
            )
            self._teller.note(note)
            self._notes.append(note)
        return judged or Judged()

    def _judge_where_due(self, judge: Judge | None, judged: Judged, best: Best, step: int) -> None:
        stretch = max(1, ceil_div(self._numbers.steps, JUDGED))
        is_due = step == self._numbers.steps or step % stretch == 0
        if judge is not None and is_due and judged.last_step != step:
            self._judge(judge, judged, best, step)

    def _judge(self, judge: Judge, judged: Judged, best: Best, step: int) -> None:
        """Draw samples, look whose likeness they have, and keep the LoRA where it is the best."""
        with torch.inference_mode():
            pictures = judge.pictures(self.model, self._numbers.seed)
        judged.samples += self._teller.samples(step, pictures)
        likeness = judge.likeness(pictures)
        if likeness is not None and step == 0:
            judged.base_likeness = likeness
        elif likeness is not None:
            above = likeness - (judged.base_likeness or 0.0)
            judged.likeness.append((step, above))
            if all(above > value for _, value in judged.likeness[:-1]):
                judged.best_step = step
                best.keep()
        judged.last_step = step
        self._teller.judged(judged)
        self.load()

    def _outcome(self, state: LoopState, judged: Judged, seconds: float) -> TrainingOutcome:
        photos, likeness = self._material.photos, tuple(judged.likeness)
        note = likeness_note(likeness)
        return TrainingOutcome(
            numbers=self._numbers,
            family=self._of.name,
            token=photos.token,
            name=photos.name,
            names=kohya_names(self._base, self._of.branch, self._factors),
            losses=smoothed(state.losses),
            likeness=likeness,
            best_step=judged.best_step,
            seconds=seconds,
            notes=(*self._notes, *([note] if note else [])),
        )

    def _memory_need(self) -> MemoryNeed:
        dtype = training_dtype(self._base)
        channels = self._base.model.diffusion_model
        trained = Trained(
            self._of.branch,
            self._base.model_size(),
            sum(one.numel() for one in parameters_of(self._factors).values()),
            getattr(channels, "hidden_size", None) or channels.model_channels,
            dtype.itemsize,
        )
        cells = max(one.shape[-1] * one.shape[-2] for one in self._material.latents)
        return memory_need(trained, cells)

    def _checkpointing(self) -> bool:
        """Decide whether blocks are computed twice; refuse where even that would not fit."""
        free = comfy.model_management.get_free_memory(self._base.load_device)
        held = self._base.loaded_size()
        total = comfy.model_management.get_total_memory(self._base.load_device)
        least = self.need.total(checkpointing=True)
        if least > total:
            raise TrainingError(
                f"The training needs about {least / 2**30:.1f} GiB beside the model, and the device"
                f" has {total / 2**30:.1f} GiB.",
                code="training-memory",
                hint="Train at smaller sizes, 512 or 384.",
            )
        choice = self._numbers.checkpointing
        plain = self.need.total(checkpointing=False) + self.need.weights
        is_on = choice == "on" or (choice == "auto" and plain > free + held)
        self._teller.note(self.need.lines(checkpointing=is_on, free=int(free + held)))
        return is_on

    def _out_of_memory(self) -> TrainingError:
        device = self._base.load_device
        free = comfy.model_management.get_free_memory(device) / 2**30
        needed = self.need.total(checkpointing=self.checkpointing) / 2**30
        return TrainingError(
            f"The device ran out of memory. Estimated need beside the model: {needed:.1f} GiB; free"
            f" after it: {free:.1f} GiB.",
            code="training-memory",
            hint="Train at smaller sizes, with checkpointing on.",
        )

    def _model_notes(self) -> Iterator[str]:
        if self._base.patches:
            yield (
                f"The MODEL carries patches on {len(self._base.patches)} weights, a LoRA perhaps:"
                " the person is learned on top of them and will look right with them only."
            )
        given = [about for caption in self._material.captions for _, about in caption]
        if self._of.is_distilled and not all("guidance" in about for about in given):
            yield (
                "Captions came without Flux Guidance, and ComfyUI takes 3.5 for them. Connect Flux"
                " Guidance with 1 between CLIP Text Encode and positive: a distilled model learns"
                " as if guidance did nothing."
            )


def _require_fitting(material: Material, model: ModelPatcher) -> None:
    own = model.model.latent_format.latent_channels
    for latent in material.latents:
        if latent.ndim != 4 or latent.shape[1] != own:
            raise TrainingError(
                f"A latent has {latent.shape[1]} channels, and the MODEL's have {own}.",
                code="training-material",
                hint="Encode the pictures with the VAE of the MODEL's own family.",
            )
