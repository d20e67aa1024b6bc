"""Attributes of a prompt -> the planner's workflow, ready for the queue, or everything that is
wrong with them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import MissingModelError, PlanError
from ...graph.graph import api_workflow
from ...host.shown_paths import without_folders
from ...host.state import state_folder
from ...net.fetching import Fetching
from ...net.problems import ApiError, Problems
from ...net.settings import ApiSettings
from ...pipeline.build.sources import Options
from ...pipeline.compiling import Compiled, CompileOptions, compile_request, sources_of
from ...pipeline.plan import draft
from ...prompt import ImageRef, PromptRequest
from ...training.asked import Training
from ...tunes.bindings import KNOWN_BASES, BaseModel, Bindings
from ...tunes.file_search import Missing
from ...tunes.host.state import make_resolver
from ...tunes.prompts import Prompt
from ...tunes.resolve import Resolver
from ...tunes.state import bindings_in, trained_name
from ...tunes.tune import Tune
from ..branches import BRANCHES
from ..callbacks import callback_of
from ..held_pixels import check_pixels
from ..objects import PICTURES
from ..packs.placeholders import Filling, filled_back
from . import state
from .guess import guess_bases, guess_roles
from .missing import reasons, tags_of
from .packs.filling import filled, tune_at
from .pictures.input_pixels import input_pixels
from .pictures.mock import MAX_SEED, Workflow, mocked
from .reading import SPELLED, AttributeReading, read
from .training.waiting import ExpectedFiles, named, training_at

MAX_SHOWN = 2000  # longer addresses of pictures are the pictures themselves
_WEB = ("http://", "https://")


@dataclass(frozen=True)
class Terms:
    """The terms of one request: the address it came to, the owner's settings, and its budget for
    pictures from the web.
    """

    origin: str
    settings: ApiSettings
    fetching: Fetching
    pack_id: int | None = None  # of the pack whose prompts are asked for
    prompts_callback: str | None = None  # called once, when all of them have ended


@dataclass(frozen=True)
class Prepared:
    """A prompt that can be queued, and the pictures to be put into ComfyUI's input folder first, by
    file name.

    `tune` is the stored tune that it is of, which has to be there still when it is stored.
    """

    prompt: Prompt
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    tune: int | None = None


@dataclass(frozen=True)
class _DrawnOn:
    """The model of a prompt: a base, bindings that a stored checkpoint or a tune in training adds,
    a stored tune, and the file that its training will give.
    """

    base: str | None = None
    extra: Bindings | None = None
    tune: int | None = None
    expected: ExpectedFiles | None = None

    def resolver(self) -> Resolver:
        """Return what looks up the models of a prompt that is drawn on it."""
        return make_resolver(self.extra, self.expected)


def prepare(
    tune_id: str | None, sent: Mapping[str, Any], terms: Terms, first_notices: Sequence[str] = ()
) -> Prepared:
    """Return the prompt that the attributes describe, for a base of the bindings or a stored tune.

    None means the default base.

    `first_notices` stand before its own. Raises: ApiError listing every problem.
    """
    problems, notices, tune = Problems(), list(first_notices), tune_at(tune_id)
    training: Training | None = None
    is_mock = tune is not None and tune.is_mock
    attributes: dict[str, Any] = dict(sent)
    fillings: Mapping[str, Filling] = {}
    ground, callback = _DrawnOn(), None
    with problems.noting():
        training = training_at(tune)
        attributes, fillings, more = named(tune, training, *filled(tune, sent))
        notices += more
    if is_mock:
        ground = _DrawnOn(tune=tune.id)
    else:
        notices += guess_bases(tune_id)
        with problems.noting():
            ground = _ground(tune_id, training)
    with problems.noting("callback"):
        callback, more = callback_of(attributes.pop("callback", None), terms.settings)
        notices += more
    try:
        reading = read(attributes, terms.settings, terms.fetching, problems)
        made = (
            mocked(tune, reading, problems)
            if is_mock
            else _planned(reading, attributes, ground, problems, terms.settings.max_megapixels)
        )
    except ApiError as error:
        raise filled_back(error, fillings) from error
    kept = _kept(reading)
    prompt = Prompt(
        tune_id=tune_id or api_base_id(),
        fields=kept if terms.pack_id is None else {**kept, "pack_id": terms.pack_id},
        digest=_digest(kept, callback),
        origin=terms.origin,
        workflow=made.nodes,
        callback=callback,
        inputs=tuple(made.pictures),
        notices=tuple(dict.fromkeys(map(without_folders, [*notices, *made.notices]))),
        waits_for=ground.tune if ground.expected else None,
    )
    return Prepared(prompt, made.pictures, ground.tune)


def _planned(
    reading: AttributeReading,
    attributes: Mapping[str, Any],
    ground: _DrawnOn,
    problems: Problems,
    max_megapixels: int,
) -> Workflow:
    """Return the planner's workflow of what was read.

    Raises: ApiError listing everything that keeps it from running, `problems` noted already first.
    """
    options = CompileOptions(ground.base, options=Options(secrets.randbelow(MAX_SEED)))
    if problems:
        planned = options if ground.base else None
        problems.refuse(reasons(reading, tags_of(attributes), ground.resolver(), planned))
    compiled, bound = _compiled(reading, ground, options)
    plan = compiled.plan
    check_pixels(plan.stages, plan.settings.num_images, input_pixels(reading), max_megapixels)
    of_plan = (one.render() for one in plan.problems)
    return Workflow(
        api_workflow(compiled.graph), reading.contents, (*bound, *reading.notices, *of_plan)
    )


def _kept(reading: AttributeReading) -> dict[str, Any]:
    """Return the attributes to store.

    The text as `text`, and a picture that came as text as the file that it became.
    """
    kept = dict(reading.attributes)
    if isinstance(kept.get("prompt"), str):  # of POST /generate
        kept["text"] = kept.pop("prompt")
    for key in PICTURES:
        named: ImageRef | None = getattr(reading.request, key)
        for spelled in SPELLED[key]:
            value = kept.get(spelled)
            if (
                named is not None
                and isinstance(value, str)
                and named.value in reading.contents
                and (len(value) > MAX_SHOWN or not value.startswith(_WEB))
            ):
                del kept[spelled]
                kept[key] = named.value
    return kept


def _digest(fields: Mapping[str, Any], callback: str | None) -> str:
    plain = json.dumps([fields, callback], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def api_base_id() -> str:
    """Return the id of the default base tune, which POST /generate uses.

    Raises: ApiError where none is set.
    """
    bindings = bindings_in(state_folder())
    if bindings.default_base:
        return bindings.default_base
    if len(bindings.bases) == 1:
        return next(iter(bindings.bases))
    found = make_resolver().base(None)
    assert isinstance(found, Missing)
    raise ApiError(found.message, code="missing-base", hint=found.hint)


def _ground(tune_id: str | None, training: Training | None) -> _DrawnOn:
    """Return the model of a prompt at this id, of a tune of this training.

    Raises: ApiError, 404 for an id that nothing has.
    """
    if tune_id is None:
        return _DrawnOn(api_base_id())
    if tune_id in bindings_in(state_folder()).bases:
        return _DrawnOn(tune_id)
    tune = state.tunes().get(int(tune_id)) if tune_id.isdecimal() and len(tune_id) <= 16 else None
    if tune is not None and training is not None and training.is_open:
        return _in_training(tune, training)
    if tune is not None and tune.model_type == "checkpoint" and tune.file:
        model = BaseModel(BRANCHES.get(tune.branch or "sd15", "sd15"), checkpoint=tune.file)
        return _DrawnOn(tune_id, Bindings(bases={tune_id: model}), tune.id)
    if tune is not None:
        return _DrawnOn(_base_of(tune, training), tune=tune.id)
    if tune_id not in KNOWN_BASES:
        raise ApiError(
            f"there is no tune {tune_id}",
            code="missing-base",
            hint="GET /tunes lists the tunes, GET /gallery/tunes the base tunes that are bound.",
            status=404,
        )
    missing = make_resolver().base(tune_id)
    assert isinstance(missing, Missing)
    raise ApiError(missing.message, code="missing-base", hint=missing.hint)


def _base_of(tune: Tune, training: Training | None) -> str:
    """Return the base that a LoRA or photo set is worn on: its own, that of its training, else the
    default one. Raises: ApiError where none is set.
    """
    if tune.base_tune_id:
        return str(tune.base_tune_id)
    return training.request["base"] if training is not None else api_base_id()


def _in_training(tune: Tune, training: Training) -> _DrawnOn:
    """Return what a prompt at a tune is drawn on once it is trained."""
    id, file = str(tune.id), trained_name(tune.id)
    if training.kind == "checkpoint":
        model = BaseModel(BRANCHES.get(tune.branch or "sd15", "sd15"), checkpoint=file)
        expected = ExpectedFiles("checkpoints", file)
        return _DrawnOn(id, Bindings(bases={id: model}), tune.id, expected)
    expected = ExpectedFiles("loras", file)
    names = [id] if tune.title.isdecimal() else [id, tune.title]
    extra = Bindings(tunes=dict.fromkeys(names, file))
    return _DrawnOn(training.request["base"], extra, tune.id, expected)


def _compiled(
    reading: AttributeReading, ground: _DrawnOn, options: CompileOptions
) -> tuple[Compiled, list[str]]:
    """Return the workflow, and the notices on models that were bound for it.

    Raises: ApiError listing all that keeps it from running.
    """
    notices: list[str] = []
    request = reading.request
    assert request is not None, "wrong attributes were refused before"
    while True:
        resolver = ground.resolver()
        try:
            return compile_request(request, resolver, options), notices
        except (PlanError, MissingModelError) as error:
            found = _guessed(request, resolver, options)
            if not found:
                problems = reasons(reading, tags_of(reading.attributes), resolver, options)
                raise ApiError(
                    error.message, code=error.code, hint=error.hint, problems=problems
                ) from error
            notices += found


def _guessed(request: PromptRequest, resolver: Resolver, options: CompileOptions) -> list[str]:
    """Bind what the request misses where files look like it; return the notices.

    Nothing is bound for what cannot run anyway.
    """
    sources = sources_of(request, resolver, options)
    if isinstance(sources, Missing):
        return []
    drafted = draft(request, sources, resolver, options.options)
    return (
        []
        if drafted.errors
        else guess_roles((one.key for one in drafted.missing), sources.family.branch)
    )
