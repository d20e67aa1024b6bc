"""The attributes of a tune that is to be trained -> what is asked of the training, or everything
that keeps it from beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ....errors import AstriaError, MissingModelError
from ....families.family import FAMILIES
from ....graph.graph import api_workflow
from ....host.state import state_folder
from ....net.problems import ApiError, Problems
from ....net.settings import ApiSettings
from ....pipeline.training_plan import TrainingPlan, training_plan
from ....training.asked import Training
from ....training.errors import TrainingError
from ....training.presets import MAX_STEPS, MIN_STEPS
from ....training.progress import has_agreed, require_agreement
from ....training.request import MIN_PHOTOS, TrainingRequest, check_words, photos_problem
from ....tunes.bindings import Bindings
from ....tunes.host.state import make_resolver
from ....tunes.names import shown
from ....tunes.state import bindings_in
from ....tunes.tune import MAX_ID, iso, now
from ...branches import BRANCHES
from .. import state
from ..guess import guess_bases, guess_roles
from ..prompts import api_base_id

KINDS: Mapping[str | None, str] = {
    "lora": "lora",
    "pti": "pti",
    "checkpoint": "checkpoint",
    None: "checkpoint",  # the service's null
}
_FIELDS = {
    "training-preset": "preset",
    "training-model-type": "model_type",
    "training-model": "base_tune_id",
    "missing-base": "base_tune_id",
}
AGREED_BY = "people_agreed in api.ini"  # as long as it stands there
_SERVICE_BRANCHES = {family: branch for branch, family in BRANCHES.items()}
_FEWER = "Send the sharpest, in different light, clothes and surroundings."
_READY = (
    "For photos of a person that are ready at once send model_type faceid. For a LoRA or checkpoint"
    " that is trained already send file: the name of a file in ComfyUI's model folder, or the"
    " .safetensors file itself."
)


@dataclass(frozen=True)
class AskedTraining:
    """What is asked of a training, how the tune is kept, and what its maker should know."""

    training: Training
    about: Mapping[str, Any]
    notices: tuple[str, ...]


def asks_to_train(sent: Mapping[str, Any], about: Mapping[str, Any]) -> bool:
    """Say whether attributes of a tune ask for training: of no mock, photo set or model file."""
    return about.get("model_type") in KINDS and sent.get("file") in (None, "")


def require_room(settings: ApiSettings) -> None:
    """Raise ApiError where as many trainings wait as the owner allows prompts to."""
    if len(state.trainings().open()) >= settings.max_waiting:
        raise ApiError(
            f"{settings.max_waiting} trainings are waiting already",
            code="queue-full",
            hint="Try again later; the owner may raise max_waiting in api.ini.",
            status=429,
        )


def asked_training(
    about: Mapping[str, Any], photos: int, problems: Problems
) -> AskedTraining | None:
    """Return what is asked by the attributes `about`, which are in their types and were checked.

    `photos` are how many different ones there are. What is wrong is noted in `problems`; None where
    something is.
    """
    problem = photos_problem(photos)
    if problem and not problems.are_about("images") and not problems.are_about("image_urls"):
        hint = f"The same photo counts once. {_READY}" if photos < MIN_PHOTOS else _FEWER
        problems.note(ApiError(problem, code="training-photos", hint=hint), "images")
    base_id = about.get("base_tune_id")
    said: list[str] = []
    base: str | None = None
    with problems.noting("base_tune_id"):
        said += guess_bases(None if base_id is None else str(base_id))
        base = _base(about) if base_id is None else _bound(base_id)
    if problems or base is None:
        return None
    is_corrected = about.get("training_face_correct")
    said += guess_roles(["face_analysis", *(["face_restorer"] if is_corrected else [])], "")
    request = _request(about, photos, base)
    plan = _planned(request, problems)
    if plan is None:
        return None
    branch = _SERVICE_BRANCHES[plan.family.branch]
    if about.get("branch", branch) != branch:
        text = f"branch is {about['branch']}, and base {base} is of {branch}"
        problems.note(ApiError(text, code="tune-branch", hint="Leave branch out."), "branch")
        return None
    # Those who were asked before said so; else the owner's settings do.
    require_agreement(state_folder(), True, AGREED_BY, iso(now()) or "")
    if not about.get("name"):
        said.append("name is not sent: the captions say person. Send man, woman ...")
    settings = plan.settings
    request |= {"token": settings.token, "sizes_px": list(settings.sizes_px)}
    kept = {
        **about,
        "token": settings.token,
        "branch": branch,
        "model_type": None if about.get("model_type") is None else settings.kind,
        "base_tune_id": int(base) if base.isdecimal() else None,
    }
    return AskedTraining(Training(request, ""), kept, (*said, *plan.notes))


def _request(about: Mapping[str, Any], photos: int, base: str) -> dict[str, Any]:
    return {
        "photos": photos,
        "name": about.get("name") or "person",
        "base": base,
        "token": about.get("token"),
        "model_type": KINDS[about.get("model_type")],
        "preset": about.get("preset"),
        "steps": about.get("steps"),
        "face_crop": about.get("face_crop"),
        "training_face_correct": bool(about.get("training_face_correct")),
    }


def check_asked(about: Mapping[str, Any], agreed: bool, problems: Problems) -> None:
    """Note what is wrong with single attributes of a tune that is to be trained.

    `agreed` says that the owner's settings confirm that people agree; that they did once does not
    count.
    """
    with problems.noting("token"), _told():
        check_words(about.get("token"), "person")
    with problems.noting("name"), _told():
        check_words(None, about.get("name") or "person")
    steps = about.get("steps")
    if steps is not None and not MIN_STEPS <= steps <= MAX_STEPS:
        text = f"steps is {steps}; expected {MIN_STEPS} to {MAX_STEPS}, or none"
        problems.note(ApiError(text, code="training-number"), "steps")
    if not agreed and not has_agreed(state_folder(), AGREED_BY):
        hint = (
            "Train only people who agreed, and no minors. The owner of this ComfyUI confirms it"
            " once: people_agreed = yes in api.ini, or New tune in the sidebar."
        )
        text = "nobody has confirmed yet that the people on the photos agreed to being trained"
        problems.note(ApiError(text, code="training-agreement", hint=hint))


def _bound(id: int) -> str:
    """Return the id of a base as text. Raises: ApiError where it is that of a tune."""
    tune = None if str(id) in bindings_in(state_folder()).bases else state.tunes().get(id)
    if tune is not None:
        text = f"base_tune_id {id} is the tune {shown(tune.title)}; people are trained on bases"
        hint = "GET /gallery/tunes lists the bases, as does the sidebar."
        raise ApiError(text, code="missing-base", hint=hint)
    return str(id)


def _base(about: Mapping[str, Any]) -> str:
    """Return the base of a tune that names none: the default one, else the first of its branch.

    Raises: ApiError where there is none.
    """
    family = BRANCHES.get(about.get("branch", ""))
    bindings: Bindings = bindings_in(state_folder())
    if family is not None:
        fitting = [id for id, base in bindings.bases.items() if base.family == family]
        if bindings.default_base not in fitting:
            if fitting:
                return fitting[0]
            title = FAMILIES[family].title
            text = f"branch is {about['branch']}, and no base of {title} is bound"
            raise ApiError(text, code="missing-base", hint="GET /gallery/tunes lists the bases.")
    return api_base_id()


def _planned(request: Mapping[str, Any], problems: Problems) -> TrainingPlan | None:
    try:
        # Of a tune that is not there yet: what is planned depends on no id.
        return training_plan(TrainingRequest(tune_id=MAX_ID, **request), make_resolver())
    except (TrainingError, MissingModelError) as error:
        told = ApiError(error.message, code=error.code, hint=error.hint)
        problems.note(told, _FIELDS.get(error.code, ""))
        return None


def workflow_of(training: Training) -> Mapping[str, Any]:
    """Return the workflow of a training, as it is planned with what is bound now.

    Raises: ApiError where it cannot be planned any more.
    """
    try:
        return api_workflow(training_plan(training.asks_for(), make_resolver()).graph)
    except AstriaError as error:
        raise ApiError(error.message, code=error.code, hint=error.hint) from error


@contextmanager
def _told() -> Iterator[None]:
    """Have what a training refuses be an error of the API."""
    try:
        yield
    except TrainingError as error:
        raise ApiError(error.message, code=error.code, hint=error.hint) from error
