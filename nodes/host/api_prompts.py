"""Attributes of a prompt -> the planner's workflow, ready for the queue, or everything that is wrong with them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..api.addresses import checked
from ..api.fields import Upload
from ..api.files import INPUT_FOLDER, from_base64, picture_name
from ..api.objects import prompt_object
from ..api.problems import ApiError, Problem, problem
from ..api.settings import Settings
from ..errors import AstriaError, MissingModelError, PlanError
from ..pipeline.compiling import Compiled, CompileOptions, compile_request, sources_of
from ..pipeline.forms import api_workflow
from ..pipeline.plan import Plan, draft
from ..pipeline.sources import Options
from ..prompt import Diagnostic, ImageRef, PromptRequest
from ..tunes.bindings import KNOWN_BASES, BaseModel, Bindings
from ..tunes.prompts import Prompt
from ..tunes.resolve import Missing
from ..tunes.state import bindings_in
from ..tunes.tune import iso
from . import api_state
from .api_body import Weights
from .api_guess import guess_bases, guess_roles
from .api_tunes import BRANCHES, fetched
from .models import make_resolver, state_folder

PICTURES = ("input_image", "mask_image")
_SPELLED = ("", "_base64", "_url")
_MAY_HOLD_PICTURES = tuple(f"{name}{ending}" for name in PICTURES for ending in _SPELLED)
MAX_TEXT = 100_000  # of all attributes together
MAX_SEED = 2**32
MAX_SHOWN = 2000  # longer values of pictures are the pictures themselves


@dataclass(frozen=True)
class Prepared:
    """A prompt that can be queued, and the pictures to be put into ComfyUI's input folder first, by file name."""

    prompt: Prompt
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def prepare(tune_id: str | None, sent: Mapping[str, Any], origin: str, settings: Settings) -> Prepared:
    """Return the prompt that the attributes describe, for a base of the bindings or a stored tune; None means the default base.

    Raises: ApiError listing every problem.
    """
    attributes = dict(sent)
    callback, said = callback_of(attributes.pop("callback", None), settings)
    said = [*said, *guess_bases(tune_id)]
    base, extra = _base(tune_id)
    pictures = {key: one.content for key in PICTURES if isinstance(one := attributes.get(key), Upload)}
    files = {key: _named(content, key, settings) for key, content in pictures.items()}
    attributes |= files
    request, diagnostics = PromptRequest.from_fields(_readable(attributes))
    if request is None:
        raise _text_error(diagnostics)
    contents = {files[key]: content for key, content in pictures.items()}
    request = _with_local_pictures(request, contents, settings)
    seed = secrets.randbelow(MAX_SEED)
    options = CompileOptions(base, options=Options(seed))
    compiled, bound = _compiled(request, extra, options)
    notices = [*said, *bound, *(one.message for one in diagnostics), *(one.render() for one in compiled.plan.problems)]
    kept = _kept(attributes, request)
    prompt = Prompt(
        tune_id=tune_id or api_base_id(),
        fields=kept,
        digest=_digest(kept, callback),
        origin=origin,
        workflow=api_workflow(compiled.graph),
        callback=callback,
        inputs=tuple(contents),
        notices=tuple(dict.fromkeys(notices)),
    )
    return Prepared(prompt, contents)


def callback_of(given: Any, settings: Settings) -> tuple[str | None, list[str]]:
    """Return the address to call, and what is to be said. Raises: ApiError for an address that the owner does not allow."""
    if given in (None, ""):
        return None, []
    if not isinstance(given, str):
        raise ApiError("callback is no web address", code="bad-address")
    if not settings.callbacks:
        return None, [f"No callback is sent: callbacks = no in {api_state.SETTINGS_FILE}."]
    checked(given, settings.private_hosts)
    return given, []


def _kept(attributes: dict[str, Any], request: PromptRequest) -> dict[str, Any]:
    """Return the attributes to store: the text as `text`, and a picture that came as text as the file that it became."""
    kept = dict(attributes)
    if isinstance(kept.get("prompt"), str):  # of POST /generate
        kept["text"] = kept.pop("prompt")
    for key in PICTURES:
        named: ImageRef | None = getattr(request, key)
        for spelled in (f"{key}{ending}" for ending in _SPELLED):
            if named is not None and isinstance(kept.get(spelled), str) and len(kept[spelled]) > MAX_SHOWN:
                kept[spelled] = named.value
    return kept


def _digest(fields: Mapping[str, Any], callback: str | None) -> str:
    plain = json.dumps([fields, callback], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def api_base_id() -> str:
    """Return the id of the default base tune, which POST /generate uses. Raises: ApiError where none is set."""
    bindings = bindings_in(state_folder())
    if bindings.default_base:
        return bindings.default_base
    if len(bindings.bases) == 1:
        return next(iter(bindings.bases))
    found = make_resolver().base(None)
    assert isinstance(found, Missing)
    raise ApiError(found.message, code="missing-base", hint=found.hint)


def _base(tune_id: str | None) -> tuple[str | None, Bindings | None]:
    """Return the base to compile for, and bindings that a stored checkpoint adds. Raises: ApiError, 404 for an id that nothing has."""
    if tune_id is None:
        return api_base_id(), None
    if tune_id in bindings_in(state_folder()).bases:
        return tune_id, None
    tune = api_state.tunes().get(int(tune_id)) if tune_id.isdecimal() and len(tune_id) <= 16 else None
    if tune is not None and tune.model_type == "checkpoint" and tune.file:
        model = BaseModel(BRANCHES.get(tune.branch or "sd15", "sd15"), checkpoint=tune.file)
        return tune_id, Bindings(bases={tune_id: model})
    if tune is not None:
        return str(tune.base_tune_id) if tune.base_tune_id else api_base_id(), None
    missing = make_resolver().base(tune_id)
    assert isinstance(missing, Missing)
    raise ApiError(missing.message, code="missing-base", hint=missing.hint, status=422 if tune_id in KNOWN_BASES else 404)


def _named(content: bytes, key: str, settings: Settings) -> str:
    return f"{INPUT_FOLDER}/{picture_name(content, key, settings.image_bytes)}"


def _readable(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes as the language reads them. Raises: ApiError for files where none belong, and for texts without an end."""
    if not any(isinstance(attributes.get(key), str) for key in ("text", "prompt")):
        raise ApiError("a prompt needs a text", code="missing-text", hint="Send prompt[text]; it may be empty where an input image is only enlarged.")
    for key, value in attributes.items():
        if isinstance(value, Upload | Weights):
            raise ApiError(f"{key} is sent as a file"[:300], code="bad-field", hint=f"Files are taken as {' and '.join(PICTURES)}.")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise ApiError(f"{key} is not Unicode text"[:300], code="bad-field")
    # All of it is kept with the prompt, but for pictures, which become files.
    length = sum(len(key) + len(value) for key, value in attributes.items() if isinstance(value, str) and key not in _MAY_HOLD_PICTURES)
    if length > MAX_TEXT:
        raise ApiError(f"the attributes have {length} characters; expected at most {MAX_TEXT}", code="too-large", status=413)
    return attributes


def _text_error(diagnostics: tuple[Diagnostic, ...]) -> ApiError:
    errors = [one for one in diagnostics if one.severity == "error"]
    places = ("field", "line", "column")
    problems = [
        {**problem(one.code, one.message, one.hint), **{key: getattr(one, key) for key in places}, "start": one.span.start, "end": one.span.end}
        for one in errors
    ]
    message = "\n".join(f"{one.message} {one.hint}".strip() for one in errors)
    return ApiError(message, code=errors[0].code, hint="The problems in extra_info name field, line, column and offsets.", problems=problems)


def _with_local_pictures(request: PromptRequest, contents: dict[str, bytes], settings: Settings) -> PromptRequest:
    """Return the request with web addresses and base64 replaced by files, whose contents are added to `contents`."""
    changed: dict[str, ImageRef] = {}
    for key in PICTURES:
        named: ImageRef | None = getattr(request, key)
        if named is None or named.kind == "file":
            continue
        is_url = named.kind == "url"
        content = fetched(named.value, key, settings) if is_url else from_base64(named.value, key, settings.image_bytes)
        name = _named(content, key, settings)
        contents[name] = content
        changed[key] = ImageRef("file", name)
    return replace(request, **changed) if changed else request


def _compiled(request: PromptRequest, extra: Bindings | None, options: CompileOptions) -> tuple[Compiled, list[str]]:
    """Return the workflow, and what is to be said of models that were bound for it. Raises: ApiError listing all that keeps it from running."""
    said: list[str] = []
    while True:
        resolver = make_resolver(extra)
        try:
            return compile_request(request, resolver, options), said
        except (PlanError, MissingModelError) as error:
            sources = sources_of(request, resolver, options)
            if isinstance(sources, Missing):
                raise _kept_from_running(error, [problem("missing-base", sources.message, sources.hint)]) from error
            drafted = draft(request, sources, resolver, options.options)
            found = [] if drafted.errors else guess_roles((one.key for one in drafted.missing), sources.family.branch)
            if not found:
                raise _kept_from_running(error, _reasons(drafted)) from error
            said += found


def _kept_from_running(error: AstriaError, reasons: list[Problem]) -> ApiError:
    return ApiError(error.message, code=error.code, hint=error.hint, problems=reasons)


def _reasons(drafted: Plan) -> list[Problem]:
    found = [problem(one.code, one.message, one.hint) for one in drafted.errors]
    return [*found, *(problem("missing-model", one.message, one.hint) for one in drafted.missing)]


def object_of(prompt: Prompt, origin: str) -> dict[str, Any]:
    """Return the prompt as the API answers with it, its addresses beginning with `origin`."""
    told = {**vars(prompt), **{key: iso(value) for key, value in vars(prompt).items() if key.endswith("_at")}}
    return prompt_object(told, prompt.fields, origin)
