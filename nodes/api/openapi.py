"""The OpenAPI document of the API, held against the running server by a contract test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faces.photos import LEAST_FACE_PX, MAX_SIDE_PX, MIN_FACE_PX
from .forms import Schema, form_of
from .objects import (
    KEPT_IDS,
    NULL_IN_PROMPT,
    NULL_IN_TUNE,
    NUMBERS,
    ROOT,
    SHOWN,
    SHOWN_PICTURES,
    WHOLE,
)
from .operations import (
    GALLERY_PAGE,
    NAME,
    PAGE,
    PROMPT_FILTERS,
    PROMPT_ID,
    TUNE_FILTERS,
    TUNE_ID,
    json_of,
    list_of,
    operation,
    parameter,
    ref,
)

_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_TRUTH: Schema = {"type": "boolean"}
_ID: Schema = {"type": "integer", "minimum": 1}
_TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_ADDRESS: Schema = {"type": "string", "pattern": "^https?://"}
_NULL: Schema = {"type": "null"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _object(
    properties: Mapping[str, Schema], required: tuple[str, ...] | None = None, **more: Any
) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
        **more,
    }


_TUNE = _object(
    {
        # A base of the bindings may have a word for its id.
        "id": {"anyOf": [_ID, _TEXT]},
        "title": _TEXT,
        "name": _or_null(_TEXT),
        "is_api": _TRUTH,
        "token": _or_null(_TEXT),
        "base_tune_id": _or_null(_WHOLE),
        "args": _or_null(_TEXT),
        "steps": _or_null(_WHOLE),
        "face_crop": _or_null(_TRUTH),
        "training_face_correct": _or_null(_TRUTH),
        "ckpt_url": _or_null(_TEXT),
        "ckpt_urls": {"type": "array", "items": _TEXT},
        "eta": _or_null(_TIME),
        "trained_at": _or_null(_TIME),
        "started_training_at": _or_null(_TIME),
        "expires_at": _or_null(_TIME),
        "created_at": _TIME,
        "branch": _or_null(_TEXT),
        "model_type": _or_null(_TEXT),
        "updated_at": _TIME,
        "url": _ADDRESS,
        "orig_images": {"type": "array", "items": _ADDRESS},
        **dict.fromkeys(NULL_IN_TUNE, _NULL),
    },
)
_TUNE["properties"]["notices"] = {
    "type": "array",
    "items": _TEXT,
    "description": "What its maker should know, in the answers to POST and PATCH only.",
}


def _attribute(key: str, default: Any) -> Schema:
    if isinstance(default, bool) or key == "use_lpw":
        return _TRUTH
    return _WHOLE if key in WHOLE else {"type": "number"} if key in NUMBERS else _TEXT


_PROMPT = _object(
    {
        "id": _ID,
        "callback": _or_null(_TEXT),
        "trained_at": _or_null(_TIME),
        "started_training_at": _or_null(_TIME),
        "created_at": _TIME,
        "updated_at": _TIME,
        "tune_id": {"anyOf": [_WHOLE, _TEXT]},
        **{key: _or_null(_attribute(key, default)) for key, default in SHOWN.items()},
        **dict.fromkeys(SHOWN_PICTURES, _or_null(_ADDRESS)),
        **dict.fromkeys(KEPT_IDS, _or_null(_WHOLE)),
        **dict.fromkeys(NULL_IN_PROMPT, _NULL),
        "image_references": {"type": "array", "items": _ADDRESS, "maxItems": 0},
        "url": _ADDRESS,
        "images": {"type": "array", "items": _ADDRESS},
        "liked": _TRUTH,
        "user_error": _or_null(_TEXT),
        "notices": {"type": "array", "items": _TEXT},
    },
)
_PROBLEM = _object(
    {
        "code": _TEXT,
        "severity": _TEXT,
        "message": _TEXT,
        "hint": _TEXT,
        "field": _TEXT,
        **dict.fromkeys(("line", "column", "start", "end"), _WHOLE),
    },
    ("code", "severity", "message", "hint", "field"),
)
_ERROR = _object(
    {
        "message": {"type": "string", "description": "All that is wrong in one line, with hints."},
        "error": _object(
            {
                "type": _TEXT,
                "message": _TEXT,
                "details": _TEXT,
                "extra_info": _object(
                    {"problems": {"type": "array", "items": _PROBLEM, "minItems": 1}}
                ),
            }
        ),
        "node_errors": {"type": "object"},
    },
)
_TUNE_SENT = _object(
    {
        "title": {"type": "string", "minLength": 1},
        "name": _TEXT,
        "model_type": {"enum": ["faceid", "lora", "checkpoint"]},
        "token": _TEXT,
        "base_tune_id": {"type": "integer", "minimum": 0, "maximum": 2**52},
        "branch": {"enum": ["sd15", "sdxl1", "flux1"]},
        "callback": _TEXT,
        "images": {
            "type": "array",
            "items": {"type": "string", "contentEncoding": "base64"},
            "description": "The photos of the person.",
        },
        "image_urls": {"type": "array", "items": _TEXT},
        "min_face_px": {
            "type": "integer",
            "minimum": LEAST_FACE_PX,
            "maximum": MAX_SIDE_PX,
            "description": f"Photos with a smaller face are left out; {MIN_FACE_PX} where not set.",
        },
        "file": {
            "type": "string",
            "description": (
                "A model file below ComfyUI's model folder; a multipart form may hold the file"
                " itself."
            ),
        },
        "prompts_attributes": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/PromptAttributes"},
        },
    },
    ("title", "model_type"),
)
_CHANGES = _object(
    {key: _TUNE_SENT["properties"][key] for key in ("title", "name", "token", "base_tune_id")},
    (),
)
_DELETED = _object({"id": _ID, "message": _TEXT})


def _body(name: str) -> Schema:
    """Return a request body.

    JSON with the attributes in an object of their name, or plain; and forms with the names that
    brackets spell.
    """
    wrapper = _SENT[name]
    plain = ref(name) if wrapper is None else {"anyOf": [_object({wrapper: ref(name)}), ref(name)]}
    forms = {kind: {"schema": ref(f"{name}{ending}")} for kind, ending in _FORMS.items()}
    return {"required": True, "content": {**json_of(plain), **forms}}


_FORMS = {"multipart/form-data": "Multipart", "application/x-www-form-urlencoded": "Form"}
_SENT = {
    "TuneAttributes": "tune",
    "TuneChanges": "tune",
    "PromptAttributes": "prompt",
    "PromptChanges": "prompt",
    "Generate": None,
}


def _prompt_operations(where: str) -> Schema:
    """Return what can be done with a prompt, whose address begins with `where`."""
    at = "" if where == "/prompts/{prompt_id}" else "OfTune"
    parameters = [PROMPT_ID] if not at else [TUNE_ID, PROMPT_ID]
    prompt = json_of(ref("Prompt"))
    return {
        where: {
            "parameters": parameters,
            "get": operation(f"getPrompt{at}", "Get a prompt", "200", prompt),
            "delete": operation(
                f"deletePrompt{at}",
                "Delete a prompt, ending its run; its pictures stay",
                "200",
                json_of(ref("Deleted")),
            ),
        },
        f"{where}/duplicate": {
            "parameters": parameters,
            "post": operation(
                f"duplicatePrompt{at}",
                "Make a prompt once more, with other attributes where some are sent",
                "201",
                prompt,
                requestBody=_body("PromptChanges"),
            ),
        },
        f"{where}/likes": _likes(at, parameters),
    }


def _likes(ending: str, parameters: list[Schema]) -> Schema:
    prompt = json_of(ref("Prompt"))
    return {
        "parameters": parameters,
        "post": operation(f"likePrompt{ending}", "Like a prompt", "201", prompt),
        "delete": operation(f"unlikePrompt{ending}", "Take a like back", "200", prompt),
    }


PATHS: Mapping[str, Schema] = {
    "/openapi.json": {
        "get": operation("openapi", "This document", "200", json_of({"type": "object"}))
    },
    "/generate": {
        "post": operation(
            "generate",
            "Make a prompt on the default base tune",
            "201",
            json_of(ref("Prompt")),
            requestBody=_body("Generate"),
        ),
    },
    "/tunes": {
        "get": operation(
            "listTunes",
            "List tunes, newest first",
            "200",
            list_of("Tune"),
            parameters=[*PAGE, *TUNE_FILTERS],
        ),
        "post": operation(
            "createTune",
            "Make a tune",
            "201",
            json_of(ref("Tune")),
            requestBody=_body("TuneAttributes"),
        ),
    },
    "/tunes/{id}": {
        "parameters": [TUNE_ID],
        "get": operation("getTune", "Get a tune", "200", json_of(ref("Tune"))),
        "patch": operation(
            "changeTune",
            "Change a tune",
            "200",
            json_of(ref("Tune")),
            requestBody=_body("TuneChanges"),
        ),
        "delete": operation(
            "deleteTune",
            "Delete a tune, its photos and its prompts",
            "200",
            json_of(ref("Deleted")),
        ),
    },
    "/gallery/tunes": {
        "get": operation(
            "listBases",
            "List the base tunes that are bound here",
            "200",
            list_of("Tune"),
            parameters=[*GALLERY_PAGE, *TUNE_FILTERS],
        ),
    },
    "/tunes/{id}/images/{name}": {
        "parameters": [TUNE_ID, NAME],
        "get": operation("getPhoto", "Get a photo of a tune", "200", {"image/*": {}}),
    },
    "/tunes/{id}/prompts": {
        "parameters": [TUNE_ID],
        "get": operation(
            "listPrompts",
            "List the prompts of a tune, newest first",
            "200",
            list_of("Prompt"),
            parameters=[*PAGE, *PROMPT_FILTERS],
        ),
        "post": operation(
            "createPrompt",
            "Make a prompt",
            "201",
            json_of(ref("Prompt")),
            requestBody=_body("PromptAttributes"),
        ),
    },
    "/prompts": {
        "get": operation(
            "listAllPrompts",
            "List the prompts of all tunes, newest first",
            "200",
            list_of("Prompt"),
            parameters=[
                *PAGE,
                *PROMPT_FILTERS,
                parameter("tune_id", "query", _TEXT, "Of this tune."),
            ],
        ),
    },
    **_prompt_operations("/tunes/{id}/prompts/{prompt_id}"),
    **_prompt_operations("/prompts/{prompt_id}"),
    "/prompts/{prompt_id}/like": _likes("AsPrinted", [PROMPT_ID]),
}


_ABOUT = (
    "Forms spell attributes as tune[title] and prompt[text], lists as tune[images][], and the"
    " prompts of a tune as tune[prompts_attributes][0][text], tune[prompts_attributes][1][text] and"
    " so on."
)


def document(origin: str, attributes: Mapping[str, Schema], *, needs_key: bool) -> dict[str, Any]:
    """Return the document, for a server whose addresses begin with `origin`.

    `attributes` are those of a prompt beside its text.
    """
    prompt, generate = (
        _object({text: _TEXT, **attributes, "callback": _TEXT}, (text,))
        for text in ("text", "prompt")
    )
    schemas = {
        "Tune": _TUNE,
        "Prompt": _PROMPT,
        "Error": _ERROR,
        "Deleted": _DELETED,
        "TuneAttributes": _TUNE_SENT,
        "TuneChanges": _CHANGES,
        "PromptAttributes": prompt,
        "PromptChanges": {**prompt, "required": []},
        "Generate": generate,
    }
    for kind, ending in _FORMS.items():
        with_files = kind == "multipart/form-data"
        schemas |= {
            f"{name}{ending}": form_of(schemas[name], wrapper, schemas, with_files=with_files)
            for name, wrapper in _SENT.items()
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Astria prompts on ComfyUI", "version": "1", "description": _ABOUT},
        "servers": [{"url": f"{origin}{ROOT}"}],
        "security": [{"key": []}] if needs_key else [{"key": []}, {}],
        "paths": dict(PATHS),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
