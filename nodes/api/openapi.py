"""The OpenAPI document of the API, held against the running server by a contract test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faces.photos import LEAST_FACE_PX, MAX_SIDE_PX, MIN_FACE_PX
from .forms import Schema, form_of
from .objects import NUMBERS, ROOT, SHOWN, WHOLE

_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_TRUTH: Schema = {"type": "boolean"}
_ID: Schema = {"type": "integer", "minimum": 1}
_TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
_ADDRESS: Schema = {"type": "string", "pattern": "^https?://"}


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
        "id": _ID,
        "title": _TEXT,
        "name": _or_null(_TEXT),
        "is_api": _TRUTH,
        "token": _TEXT,
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
    },
)
_TUNE["properties"]["notices"] = {
    "type": "array",
    "items": _TEXT,
    "description": "What its maker should know, in the answer to POST only.",
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
        "url": _ADDRESS,
        "images": {"type": "array", "items": _ADDRESS},
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


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _body(name: str) -> Schema:
    """Return a request body.

    JSON with the attributes in an object of their name, or plain; and forms with the names that
    brackets spell.
    """
    wrapper = _SENT[name]
    plain = (
        _ref(name) if wrapper is None else {"anyOf": [_object({wrapper: _ref(name)}), _ref(name)]}
    )
    forms = {kind: {"schema": _ref(f"{name}{ending}")} for kind, ending in _FORMS.items()}
    return {"required": True, "content": {**_json(plain), **forms}}


_FORMS = {"multipart/form-data": "Multipart", "application/x-www-form-urlencoded": "Form"}
_SENT = {"TuneAttributes": "tune", "PromptAttributes": "prompt", "Generate": None}
_REFUSALS = {
    "400": "The request cannot be read.",
    "401": "The key is missing or wrong.",
    "403": "A page of another site asks, or another machine without a key.",
    "404": "There is no such thing.",
    "413": "It is too large.",
    "415": "It is of a kind that is not read.",
    "422": "It is refused; extra_info lists every problem.",
    "429": "Too many prompts are waiting.",
    "503": "The owner has something to mend: api.ini, the bindings or the database.",
}


def _operation(
    name: str, summary: str, success: str, content: Schema | None = None, **more: Any
) -> Schema:
    good: Schema = {"description": "It is done."} | ({"content": content} if content else {})
    refusals = {
        status: {"description": text, "content": _json(_ref("Error"))}
        for status, text in _REFUSALS.items()
    }
    return {
        "operationId": name,
        "summary": summary,
        "responses": {success: good, **refusals},
        **more,
    }


def _parameter(name: str, place: str, schema: Schema, text: str) -> Schema:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": text,
    }


_TUNE_ID = _parameter(
    "id", "path", _TEXT, "Id of a tune; for prompts also of a base tune in the bindings."
)
_PROMPT_ID = _parameter("prompt_id", "path", _TEXT, "Id of a prompt.")
_NAME = _parameter("name", "path", _TEXT, "File name of a photo, as orig_images has it.")
_PAGE = [
    _parameter(
        "offset",
        "query",
        {"type": "integer", "minimum": 0, "maximum": 2**52, "default": 0},
        "How many to pass over.",
    ),
    _parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 0, "maximum": 100, "default": 20},
        "How many to list at most.",
    ),
]
_TITLE = _parameter("title", "query", _TEXT, "List the newest tune of exactly this title.")


def _list_of(name: str) -> Schema:
    return _json({"type": "array", "items": _ref(name)})


PATHS: Mapping[str, Schema] = {
    "/openapi.json": {
        "get": _operation("openapi", "This document", "200", _json({"type": "object"}))
    },
    "/generate": {
        "post": _operation(
            "generate",
            "Make a prompt on the default base tune",
            "201",
            _json(_ref("Prompt")),
            requestBody=_body("Generate"),
        ),
    },
    "/tunes": {
        "get": _operation(
            "listTunes",
            "List tunes, newest first",
            "200",
            _list_of("Tune"),
            parameters=[*_PAGE, _TITLE],
        ),
        "post": _operation(
            "createTune",
            "Make a tune",
            "201",
            _json(_ref("Tune")),
            requestBody=_body("TuneAttributes"),
        ),
    },
    "/tunes/{id}": {
        "parameters": [_TUNE_ID],
        "get": _operation("getTune", "Get a tune", "200", _json(_ref("Tune"))),
        "delete": _operation("deleteTune", "Delete a tune, its photos and its prompts", "200"),
    },
    "/tunes/{id}/images/{name}": {
        "parameters": [_TUNE_ID, _NAME],
        "get": _operation("getPhoto", "Get a photo of a tune", "200", {"image/*": {}}),
    },
    "/tunes/{id}/prompts": {
        "parameters": [_TUNE_ID],
        "get": _operation(
            "listPrompts",
            "List the prompts of a tune, newest first",
            "200",
            _list_of("Prompt"),
            parameters=_PAGE,
        ),
        "post": _operation(
            "createPrompt",
            "Make a prompt",
            "201",
            _json(_ref("Prompt")),
            requestBody=_body("PromptAttributes"),
        ),
    },
    "/tunes/{id}/prompts/{prompt_id}": {
        "parameters": [_TUNE_ID, _PROMPT_ID],
        "get": _operation("getPrompt", "Get a prompt", "200", _json(_ref("Prompt"))),
        "delete": _operation(
            "deletePrompt", "Delete a prompt, ending its run; its pictures stay", "200"
        ),
    },
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
        "TuneAttributes": _TUNE_SENT,
        "PromptAttributes": prompt,
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
