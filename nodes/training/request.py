"""What is asked of a training, and the numbers that follow from it for a base's family."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..families.family import FAMILIES
from .errors import TrainingError
from .presets import (
    MAX_SIZE_PX,
    MAX_STEPS,
    MIN_SIZE_PX,
    MIN_STEPS,
    SIZE_MULTIPLE,
    Preset,
    preset_of,
)

MIN_PHOTOS, MAX_PHOTOS = 4, 20
MAX_CLASS_PICTURES = 200
MAX_FACE_WEIGHT = 100
MAX_SEED = 2**64 - 1
MODEL_TYPES = ("lora", "pti", "checkpoint")
CHECKPOINTS_OF = "sd15"  # the family that is small enough for a copy of each person
# Where a request says nothing; DreamBooth's own word on SD1.5, as the service has it.
TOKENS = {"sd15": "sks", "sdxl": "ohwx", "flux": "ohwx"}
_TOKEN = re.compile(r"[^\W_]([\w-]{0,48}[^\W_])?")
_MARK = "BREAK"  # divides prompts, in which both will stand
_NAME = re.compile(r"(?=.{1,50}$)[^\W_][\w'-]*( [^\W_][\w'-]*)*")


@dataclass(frozen=True)
class TrainingRequest:
    """A person to be trained, as the service's `POST /tunes` asks for it.

    `tune_id` names the tune whose photos are learned, `photos` counts them; `base` is a base id of
    the bindings, None the default base. `model_type` checkpoint stands for the service's null.
    None elsewhere: what the preset or the family says. `sizes_px` replaces the preset's sizes.
    Raises: TrainingError, saying which value was expected.
    """

    tune_id: int
    photos: int
    name: str  # the class word: man, woman, person ...
    base: str | None = None
    token: str | None = None
    model_type: str = "lora"
    preset: str | None = None
    steps: int | None = None
    sizes_px: tuple[int, ...] = ()
    face_crop: bool | None = None
    face_weight: float = 1.0
    training_face_correct: bool = False
    masks: bool = False
    class_pictures: int = 0
    seed: int = 0
    # The person, or whoever may speak for them, said yes to being trained.
    person_agreed: bool = False

    def __post_init__(self) -> None:
        if self.tune_id < 1:
            raise TrainingError(f"tune_id {self.tune_id}: expected 1 or more", code="training-tune")
        problem = photos_problem(self.photos)
        if problem:
            raise TrainingError(problem, code="training-photos")
        check_words(self.token, self.name)
        if self.model_type not in MODEL_TYPES:
            raise TrainingError(
                f"model_type '{self.model_type}' cannot be trained; expected"
                f" {', '.join(MODEL_TYPES)}.",
                code="training-model-type",
            )
        _check_number("steps", self.steps, MIN_STEPS, MAX_STEPS)
        _check_number("seed", self.seed, 0, MAX_SEED)
        _check_number("class_pictures", self.class_pictures, 0, MAX_CLASS_PICTURES)
        check_face_weight(self.face_weight)
        check_sizes(self.sizes_px)


@dataclass(frozen=True)
class TrainingSettings:
    """The numbers of a training, each filled in. `kind`: lora or checkpoint, what is saved."""

    preset: Preset
    kind: str
    token: str
    steps: int
    sizes_px: tuple[int, ...]
    face_crop: bool
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> str:
        """The sizes as the nodes take them: "512, 768"."""
        return ", ".join(map(str, self.sizes_px))


def settle_training(request: TrainingRequest, branch: str) -> TrainingSettings:
    """Return the numbers of the request on a base of `branch` (sd15, sdxl, flux).

    Raises: TrainingError for a preset of another family, a checkpoint that is not of SD1.5.
    """
    preset = preset_of(branch, request.preset)
    if request.model_type == "checkpoint" and branch != CHECKPOINTS_OF:
        raise TrainingError(
            f"A tune without model_type is a checkpoint, and the base is"
            f" {FAMILIES[branch].title}: whole checkpoints are made of"
            f" {FAMILIES[CHECKPOINTS_OF].title} only.",
            code="training-model-type",
            hint="Set model_type to lora.",
        )
    notes = []
    if request.model_type == "pti":
        notes.append(
            "model_type pti is trained as a LoRA alone: no text embedding is learned. Its"
            " <lora:...> tag works the same."
        )
    return TrainingSettings(
        preset=preset,
        kind="checkpoint" if request.model_type == "checkpoint" else "lora",
        token=request.token or TOKENS[branch],
        steps=request.steps or preset.steps_for(request.photos),
        sizes_px=request.sizes_px or preset.sizes_px,
        face_crop=preset.face_crop if request.face_crop is None else request.face_crop,
        notes=tuple(notes),
    )


def photos_problem(photos: int) -> str:
    """Say that so many photos cannot be trained, empty where they can."""
    if MIN_PHOTOS <= photos <= MAX_PHOTOS:
        return ""
    return f"There are {photos} photos; expected {MIN_PHOTOS} to {MAX_PHOTOS} of one person."


def check_words(token: str | None, name: str) -> None:
    """Raise TrainingError unless token and class word can stand in captions and prompts."""
    if token is not None and (not _TOKEN.fullmatch(token) or _MARK in token):
        raise TrainingError(
            f"token '{token}': expected one word of letters, digits, - and _, at most 50 and not"
            f" {_MARK}, e.g. ohwx.",
            code="training-token",
        )
    if token is not None and token.lower() in name.lower().split():
        raise TrainingError(
            f"token '{token}': expected a word that means nothing yet, e.g. ohwx; the kind of"
            " person is the name.",
            code="training-token",
        )
    if not _NAME.fullmatch(name) or _MARK in name:
        raise TrainingError(
            f"name '{name}': expected the kind of person in a word or few, not {_MARK}, e.g."
            " woman, man, person.",
            code="training-name",
        )


def check_face_weight(weight: float) -> None:
    """Raise TrainingError unless a face may count so many times what the rest of a photo does."""
    _check_number("face_weight", weight, 1, MAX_FACE_WEIGHT)


def check_sizes(sizes_px: tuple[int, ...]) -> None:
    """Raise TrainingError for sizes that no family is trained at."""
    for size in sizes_px:
        if size % SIZE_MULTIPLE or not MIN_SIZE_PX <= size <= MAX_SIZE_PX:
            raise TrainingError(
                f"size {size}: expected a multiple of {SIZE_MULTIPLE} from {MIN_SIZE_PX} to"
                f" {MAX_SIZE_PX} px.",
                code="training-size",
            )


def _check_number(what: str, value: float | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise TrainingError(f"{what} {value}: expected {least} to {most}.", code="training-number")
