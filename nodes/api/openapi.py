"""The OpenAPI document of the API, held against the running server by a contract test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..faces.photos import LEAST_FACE_PX, MAX_SIDE_PX, MIN_FACE_PX
from ..training.presets import MAX_STEPS, SERVICE_PRESETS
from ..tunes.tune import MAX_TEXTS
from .forms import Schema, form_of
from .objects import (
    KEPT_IDS,
    NULL_IN_PROMPT,
    NULL_IN_TUNE,
    NUMBERS,
    PICTURES,
    ROOT,
    SHOWN,
    WHOLE,
)
from .operations import (
    GALLERY_PAGE,
    NAME,
    PAGE,
    PROMPT_FILTERS,
    PROMPT_ID,
    TEXT,
    TUNE_FILTERS,
    TUNE_ID,
    json_of,
    list_of,
    operation,
    parameter,
    ref,
)
from .packs.document import PACK_PATHS, PACK_SCHEMAS, PACKS_SENT, pack_sent
from .schemas import (
    ADDRESS,
    FORMS,
    ID,
    NULL,
    TIME,
    TRUTH,
    WHOLE_NUMBER,
    body_of,
    object_of,
    or_null,
)

_TUNE = object_of(
    {
        # A base of the bindings may have a word for its id.
        "id": {"anyOf": [ID, TEXT]},
        "title": TEXT,
        "name": or_null(TEXT),
        "is_api": TRUTH,
        "token": or_null(TEXT),
        "base_tune_id": or_null(WHOLE_NUMBER),
        "args": or_null(TEXT),
        "steps": or_null(WHOLE_NUMBER),
        "face_crop": or_null(TRUTH),
        "training_face_correct": or_null(TRUTH),
        "ckpt_url": or_null(TEXT),
        "ckpt_urls": {"type": "array", "items": TEXT},
        "eta": or_null(TIME),
        "trained_at": or_null(TIME),
        "started_training_at": or_null(TIME),
        "expires_at": or_null(TIME),
        "created_at": TIME,
        "branch": or_null(TEXT),
        "model_type": or_null(TEXT),
        "updated_at": TIME,
        "url": ADDRESS,
        "orig_images": {"type": "array", "items": ADDRESS},
        "characteristics": {"type": "object", "additionalProperties": TEXT},
        "pack_id": or_null(ID),
        "preset": or_null(TEXT),
        "user_error": or_null(TEXT),
        **dict.fromkeys(NULL_IN_TUNE, NULL),
    },
)
_TUNE["properties"]["notices"] = {
    "type": "array",
    "items": TEXT,
    "description": "What its maker should know, and what its training noticed.",
}


def _attribute(key: str, default: Any) -> Schema:
    if isinstance(default, bool) or key == "use_lpw":
        return TRUTH
    return WHOLE_NUMBER if key in WHOLE else {"type": "number"} if key in NUMBERS else TEXT


_PROMPT = object_of(
    {
        "id": ID,
        "callback": or_null(TEXT),
        "trained_at": or_null(TIME),
        "started_training_at": or_null(TIME),
        "created_at": TIME,
        "updated_at": TIME,
        "tune_id": {"anyOf": [WHOLE_NUMBER, TEXT]},
        **{key: or_null(_attribute(key, default)) for key, default in SHOWN.items()},
        **dict.fromkeys(PICTURES, or_null(ADDRESS)),
        **dict.fromkeys(KEPT_IDS, or_null(WHOLE_NUMBER)),
        **dict.fromkeys(NULL_IN_PROMPT, NULL),
        "image_references": {"type": "array", "items": ADDRESS, "maxItems": 0},
        "url": ADDRESS,
        "images": {"type": "array", "items": ADDRESS},
        "liked": TRUTH,
        "user_error": or_null(TEXT),
        "notices": {"type": "array", "items": TEXT},
    },
)
_PROBLEM = object_of(
    {
        "code": TEXT,
        "severity": TEXT,
        "message": TEXT,
        "hint": TEXT,
        "field": TEXT,
        **dict.fromkeys(("line", "column", "start", "end"), WHOLE_NUMBER),
    },
    ("code", "severity", "message", "hint", "field"),
)
_ERROR = object_of(
    {
        "message": {"type": "string", "description": "All that is wrong in one line, with hints."},
        "error": object_of(
            {
                "type": TEXT,
                "message": TEXT,
                "details": TEXT,
                "extra_info": object_of(
                    {"problems": {"type": "array", "items": _PROBLEM, "minItems": 1}}
                ),
            }
        ),
        "node_errors": {"type": "object"},
    },
)
_TUNE_SENT = object_of(
    {
        "title": {"type": "string", "minLength": 1, "maxLength": MAX_TEXTS["title"]},
        "name": {"type": "string", "maxLength": MAX_TEXTS["name"]},
        "model_type": {
            "enum": ["faceid", "lora", "checkpoint", "pti"],
            "description": (
                "lora, pti or none without a file: it is trained, none as a whole checkpoint."
            ),
        },
        "token": {"type": "string", "maxLength": MAX_TEXTS["token"]},
        "base_tune_id": {"type": "integer", "minimum": 0, "maximum": 2**52},
        "preset": {"enum": list(SERVICE_PRESETS), "description": "Of a training on Flux."},
        "steps": {"type": "integer", "minimum": 0, "maximum": MAX_STEPS},
        "face_crop": TRUTH,
        "training_face_correct": TRUTH,
        "branch": {
            "enum": ["sd15", "sdxl1", "flux1", "fast"],
            "description": "fast makes a mock: no model runs, its prompts give placeholders.",
        },
        "characteristics": {
            "type": "object",
            "properties": {"eye_color": TEXT, "hair_color": TEXT},
            "required": [],
            "additionalProperties": TEXT,
            "description": "What {{eye_color}} in the tune's prompts stands for; any names.",
        },
        "callback": TEXT,
        "images": {
            "type": "array",
            "items": {"type": "string", "contentEncoding": "base64"},
            "description": "The photos of the person.",
        },
        "image_urls": {"type": "array", "items": TEXT},
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
    ("title",),
)
CHANGEABLE = ("title", "name", "token", "base_tune_id", "characteristics")
_CHANGES = object_of(
    {key: _TUNE_SENT["properties"][key] for key in CHANGEABLE},
    (),
)
_DELETED = object_of({"id": ID, "message": TEXT})


def _body(name: str) -> Schema:
    return body_of(name, _SENT[name])


_SENT = {
    "TuneAttributes": "tune",
    "TuneChanges": "tune",
    "PromptAttributes": "prompt",
    "PromptChanges": "prompt",
    "Generate": None,
}


def _prompt_operations(where: str) -> Schema:
    """Return the operations on a prompt, whose address begins with `where`."""
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
                parameter("tune_id", "query", TEXT, "Of this tune."),
            ],
        ),
    },
    **_prompt_operations("/tunes/{id}/prompts/{prompt_id}"),
    **_prompt_operations("/prompts/{prompt_id}"),
    "/prompts/{prompt_id}/like": _likes("AsPrinted", [PROMPT_ID]),
    "/fleet": {
        "get": operation("getFleet", "See a fleet's workers", "200", json_of({"type": "object"}))
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
        object_of({text: TEXT, **attributes, "callback": TEXT}, (text,))
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
        **PACK_SCHEMAS,
        **pack_sent(prompt, _TUNE_SENT),
    }
    for kind, ending in FORMS.items():
        with_files = kind == "multipart/form-data"
        schemas |= {
            f"{name}{ending}": form_of(schemas[name], wrapper, schemas, with_files=with_files)
            for name, wrapper in {**_SENT, **PACKS_SENT}.items()
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Astria prompts on ComfyUI", "version": "1", "description": _ABOUT},
        "servers": [{"url": f"{origin}{ROOT}"}],
        "security": [{"key": []}] if needs_key else [{"key": []}, {}],
        "paths": {**PATHS, **PACK_PATHS},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
