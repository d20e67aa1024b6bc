"""A tune: a LoRA, a checkpoint or the photo set of one person, with the fields of the service's
tune object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal, Protocol, get_args

from ..errors import AstriaError
from .names import name_problem, shown

ModelType = Literal["lora", "faceid", "checkpoint"]
MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)
MOCK_BRANCH = "fast"  # of the service's mock: no model, and placeholders for pictures
# Ids given by hand; automatic ones go on from there within what every JSON reader keeps exactly.
MAX_ID = 2**52
# Characters of texts that every list of tunes holds.
MAX_TEXTS = {"title": 500, "name": 200, "token": 200, "branch": 50, "args": 10_000}


class TuneError(AstriaError):
    """A tune, a photo or the tunes database cannot be used; names the value and the file."""


@dataclass(frozen=True)
class NewTune:
    """The attributes of a tune that its maker sets.

    Raises: TuneError for a value that no tune can have.
    """

    title: str
    name: str | None = None  # class name beside the token: man, woman ...
    model_type: ModelType | None = None
    token: str = "ohwx"
    base_tune_id: int | None = None
    branch: str | None = None
    file: str | None = None  # model file below the host's model folder
    args: str | None = None
    steps: int | None = None
    face_crop: bool | None = None
    training_face_correct: bool | None = None
    ckpt_url: str | None = None
    ckpt_urls: tuple[str, ...] = ()
    is_api: bool = False
    # What `{{key}}` in its prompts stands for.
    characteristics: Mapping[str, str] = field(default_factory=dict)
    pack_id: int | None = None  # of the pack that it was made by
    preset: str | None = None  # by which it was trained, where one was named

    @property
    def is_mock(self) -> bool:
        """Whether its prompts run no model, and give placeholders."""
        return self.branch == MOCK_BRANCH

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise TuneError(f"a tune needs a title, not {shown(self.title)}", code="tune-title")
        if self.model_type is not None and self.model_type not in MODEL_TYPES:
            expected = ", ".join(MODEL_TYPES)
            message = (
                f"model_type {shown(self.model_type)} of tune {shown(self.title)}: expected"
                f" {expected} or none"
            )
            raise TuneError(message, code="tune-model-type")
        if self.file is not None and (problem := name_problem(self.file)):
            message = (
                f"file {shown(self.file)} of tune {shown(self.title)} is no file name below a model"
                f" folder: {problem}"
            )
            raise TuneError(message, code="tune-file")
        for key, value in vars(self).items():
            if isinstance(value, str) and not storable(value):
                raise TuneError(
                    f"{key} {shown(value)} of a tune is not Unicode text", code="tune-text"
                )
            # A stored one is shown however long it is.
            if type(self) is NewTune and (problem := length_problem(key, value)):
                raise TuneError(problem, code="tune-text")
            if isinstance(value, int) and not 0 <= value <= MAX_ID:
                raise TuneError(
                    f"{key} {value} of tune {shown(self.title)}: expected 0 to {MAX_ID}",
                    code="tune-number",
                )


def length_problem(key: str, value: object) -> str:
    """Return the message for a text of a tune's field that is too long, "" where it is not."""
    most = MAX_TEXTS.get(key)
    if most is None or not isinstance(value, str) or len(value) <= most:
        return ""
    return f"{key} has {len(value)} characters; expected at most {most}"


def storable(text: str) -> bool:
    """Say whether `text` can be written as UTF-8: JSON may smuggle in lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True)
class Tune(NewTune):
    """A stored tune. Times are in UTC, in whole milliseconds."""

    id: int = 0
    orig_images: tuple[str, ...] = ()  # photo files in the tune's own folder, in the order given
    eta: datetime | None = None
    trained_at: datetime | None = None
    started_training_at: datetime | None = None
    expires_at: datetime | None = None  # none: a tune on the user's own disk stays
    created_at: datetime | None = None
    updated_at: datetime | None = None
    user_error: str | None = None  # why its training ended without a model

    @property
    def is_photo_set(self) -> bool:
        """Whether its photos are an identity for FaceID; those of a mock are for show."""
        return bool(self.orig_images) and not self.is_mock

    @property
    def url(self) -> str:
        """Path of the tune's object below the server's address."""
        return f"/tunes/{self.id}.json"

    def why_no_file(self) -> str:
        """Say why the tune has no model file, in words that follow its name."""
        if self.model_type == "faceid":
            return "is a photo set"
        if self.user_error:
            return "was not trained"
        return "is not trained yet" if self.orig_images else "has no model file"

    def how_to_train(self) -> str:
        """Say what gives it the model that it waits for, empty where it waits for none."""
        if self.file or self.model_type == "faceid" or not self.orig_images:
            return ""
        if self.user_error:
            return "Have its training go on in the sidebar, or make the tune anew."
        return "Wait until it is trained, or send the prompt to its own id where the API trains it."

    def mock_refusal(self) -> tuple[str, str]:
        """Return message and hint for a tag that names this mock."""
        message = (
            f"tune {self.id} {shown(self.title)} is a mock (branch=fast): it holds no model, and"
            " no picture can be made with it"
        )
        hint = (
            f"Send the prompt to the tune's own id, {self.id}, for a placeholder; for a picture"
            " make the tune without branch=fast."
        )
        return message, hint

    def to_json(self) -> dict[str, object]:
        """Return the service's response object, keys in its order, times as
        "2023-10-02T14:32:40.363Z".
        """
        return {
            "id": self.id,
            "title": self.title,
            "name": self.name,
            "is_api": self.is_api,
            "token": self.token,
            "base_tune_id": self.base_tune_id,
            "args": self.args,
            "steps": self.steps,
            "face_crop": self.face_crop,
            "training_face_correct": self.training_face_correct,
            "ckpt_url": self.ckpt_url,
            "ckpt_urls": list(self.ckpt_urls),
            "eta": iso(self.eta),
            "trained_at": iso(self.trained_at),
            "started_training_at": iso(self.started_training_at),
            "expires_at": iso(self.expires_at),
            "created_at": iso(self.created_at),
            "branch": self.branch,
            "model_type": self.model_type,
            "updated_at": iso(self.updated_at),
            "url": self.url,
            "orig_images": list(self.orig_images),
            "characteristics": dict(self.characteristics),
            "pack_id": self.pack_id,
            "preset": self.preset,
            "user_error": self.user_error,
        }


def now() -> datetime:
    """Return the time in UTC, cut to milliseconds as it is stored."""
    moment = datetime.now(timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime | None) -> str | None:
    """Return the time as the service writes it, e.g. "2023-10-02T14:32:40.363Z"."""
    if moment is None:
        return None
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_iso(text: str | None) -> datetime | None:
    """Return the time that `iso` wrote."""
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))


class Tunes(Protocol):
    """The tunes database, as far as looking up goes; TuneStore is one."""

    def get(self, id: int) -> Tune | None: ...

    def find_by_title(self, title: str) -> Tune | None: ...

    def list(self, *, limit: int = 20, offset: int = 0) -> Sequence[Tune]: ...

    def photo_paths(self, id: int) -> Sequence[Path]: ...
