"""How much of a LoRA file fits a model, in numbers and in words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ..families.lora_files import (
    embeddings_in,
    is_embedding,
    is_for,
    is_text_encoders,
    lora_family,
    unread_form,
)
from .lora import LoraError

# Which tensors of a file are counted: all, or those for one of the two models.
LookedAt = Literal["model and text encoder", "model", "text encoder"]
EVERYTHING: LookedAt = "model and text encoder"
MODEL: LookedAt = "model"
TEXT: LookedAt = "text encoder"
NO_LAYER = "no such layer in this model"
_OTHER_FORM = "Use a file in the form LoRA, LoCon, DoRA, LoHa or LoKr."
_NAMINGS = (
    "kohya, musubi-tuner, diffusers, PEFT, OneTrainer, ai-toolkit, LyCORIS, XLabs, DiffSynth or"
    " ComfyUI"
)
_SHOWN = 3  # names and reasons that a sentence lists


@dataclass(frozen=True)
class ModelKind:
    """A model's title, and the base family that its LoRAs are made for ("" unknown)."""

    title: str
    branch: str = ""


@dataclass(frozen=True)
class LoraFit:
    """A LoRA file on a model.

    `fitted` of the `total` tensors that were looked at act; `left` holds each other one by its name
    with the reason. `made_for` is the family that the file seems made for, `form` what it is
    instead of a LoRA, "" where its names do not say. `strength` is that on what was
    looked at, `text_strength` that on the text encoder where both were and it is another one.
    `region` says where it acts: 0 in the scene, 1.. in a person's region, None in the whole model.
    `shared` of its layers work on the picture as a whole, where it counts by the share of its
    region.
    """

    total: int
    fitted: int
    left: tuple[tuple[str, str], ...]
    is_refused: bool
    looked_at: LookedAt
    model: ModelKind
    made_for: str = ""
    form: str = ""
    embeddings: tuple[str, ...] = ()
    name: str = ""
    strength: float = 1.0
    text_strength: float | None = None
    region: int | None = None
    shared: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.left and not self.embeddings

    def describe(self, names: Sequence[str] = ()) -> str:
        """Return the fit in a sentence or more; `names` are those of the persons, in order."""
        wearer = self._wearer(names)
        if self.text_strength is not None:
            wearer += f" and {self.text_strength:g} on its text encoder"
        sentences = [f"LoRA '{self.name}' at {self.strength:g} on {wearer}:"]
        if self.total:
            sentences.append(f"fits {self.fitted} of {self.total} tensors.")
        else:
            sentences.append(f"the file holds nothing for the {self.looked_at}.")
        if self.shared:
            layers = "1 layer works" if self.shared == 1 else f"{self.shared} layers work"
            sentences.append(
                f"{layers} on the picture as a whole: there it counts by the share of its region."
            )
        if self.left:
            sentences.append(f"Left out: {_listed(self.left)}.")
        if self.left and not is_for(self.made_for, self.model.branch or self.made_for):
            title = self.model.title
            sentences.append(
                f"The file seems made for {self.made_for}: use a LoRA made for {title}."
            )
        if self.embeddings:
            sentences.append(_embedded(self.embeddings))
        return " ".join(sentences)

    def refusal(self) -> LoraError:
        """Return the error for a file of which nothing fits."""
        title = self.model.title
        if self.form:
            what = f"it is {self.form}, which is not read as a LoRA"
            hint = _OTHER_FORM
        elif not self.total:
            what = "it holds no tensors"
            hint = _OTHER_FORM
        else:
            what = f"none of its {self.total} tensors fits the {self.looked_at}, {title}"
            hint = self._way_out()
        left = f": {_listed(self.left)}" if self.left else ""
        seems = f" The file seems made for {self.made_for}." if self.made_for else ""
        return LoraError(
            f"The LoRA '{self.name}' cannot be applied to {self._wearer(())}: {what}{left}.{seems}",
            code="lora-keys",
            hint=hint,
        )

    def _way_out(self) -> str:
        """Return the hint for a file of which nothing fits, though it is a LoRA."""
        unknown = all(why == NO_LAYER for _, why in self.left)
        is_ours = bool(self.made_for) and is_for(self.made_for, self.model.branch)
        if unknown and (is_ours or not self.made_for):
            named = f"whose layers are named as {self.model.title}'s are by {_NAMINGS}"
            return f"Use a file {named}: with other names it may be a good LoRA in itself."
        if unknown or not is_ours:
            return f"Use a LoRA made for {self.model.title}."
        sizes = any("the layer has" in why for _, why in self.left)
        return f"Use a LoRA made for this variant of {self.model.title}." if sizes else _OTHER_FORM

    def _wearer(self, names: Sequence[str]) -> str:
        if self.region is None:
            return "the text encoder" if self.looked_at == TEXT else "the whole model"
        if self.region == 0:
            return "the scene"
        named = names[self.region - 1 : self.region]
        # Regions are named by their number, or by that and their words: "1: ohwx woman".
        return f"person {named[0] if named else self.region}"


def lines_of(fits: Sequence[LoraFit], names: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Return a line for each fit, and those of them whose file is not worn whole; none twice."""
    lines = dict.fromkeys(fit.describe(names) for fit in fits)
    return list(lines), list(dict.fromkeys(fit.describe(names) for fit in fits if not fit.is_whole))


# Called with the fit of each LoRA file that is applied.
OnFit = Callable[[LoraFit], None]


def log_partial_fit(fit: LoraFit) -> None:
    """Write a fit that is not whole into the host's log."""
    if not fit.is_whole:
        logging.warning("Astria: %s", fit.describe())


def fit_of(
    state_dict: Mapping[str, Tensor],
    fitted: Collection[str],
    left: Mapping[str, str],
    *,
    looked_at: LookedAt,
    model: ModelKind,
) -> LoraFit:
    """Return the fit of a file: the names of its tensors that act, and of others with the reason.

    It is refused where nothing of what it has for the model acts. One for the text encoder alone is
    refused where nothing of that acts either, as far as it is looked at.
    """
    texts = {name for name in state_dict if is_text_encoders(name)}
    models = {name for name in state_dict if name not in texts and not is_embedding(name)}
    seen = {EVERYTHING: texts | models, MODEL: models, TEXT: texts}[looked_at]
    # Some of these tensors must act: the model's where the file has any, else the text encoder's.
    deciding = models if models or looked_at == MODEL else texts
    is_elsewhere = looked_at == TEXT or (looked_at == MODEL and bool(texts) and not models)
    return LoraFit(
        total=len(seen),
        fitted=len(seen.intersection(fitted)),
        left=tuple((name, left[name]) for name in sorted(seen.intersection(left))),
        is_refused=not is_elsewhere and deciding.isdisjoint(fitted),
        looked_at=looked_at,
        model=model,
        made_for=lora_family({name: tuple(one.shape) for name, one in state_dict.items()}),
        form=unread_form(state_dict),
        embeddings=tuple(embeddings_in(state_dict)),
    )


def _listed(left: Sequence[tuple[str, str]]) -> str:
    """Return the reasons, each with the first of its names and their count."""
    names_of: dict[str, list[str]] = {}
    for name, why in left:
        names_of.setdefault(why, []).append(name)
    reasons = []
    for why, names in list(names_of.items())[:_SHOWN]:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        reasons.append(f"{', '.join(names[:_SHOWN])}{more} ({why})")
    count = sum(map(len, list(names_of.values())[_SHOWN:]))
    if count:
        reasons.append(f"{count} more for other reasons")
    return "; ".join(reasons)


def _embedded(names: Sequence[str]) -> str:
    called = ", ".join(filter(None, names)) or "without a name"
    return (
        f"It also holds an embedding ({called}), which is not loaded from a LoRA file: save it as a"
        " file of its own into the embeddings folder and write <its name> into the prompt."
    )
