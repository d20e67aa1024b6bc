"""The part of the OpenAPI document on packs, and on inspecting a photo."""

from __future__ import annotations

from collections.abc import Mapping

from ..forms import Schema
from ..operations import PAGE, TEXT, json_of, list_of, operation, parameter, ref
from ..pictures.inspection import NOT_GUESSED
from ..schemas import ADDRESS, ID, NULL, TIME, TRUTH, WHOLE_NUMBER, body_of, object_of, or_null
from .attributes import MAX_PROMPTS

PACKS_SENT = {"PackAttributes": "pack", "PackTuneAttributes": "tune", "Inspect": None}
_CLASSES: Schema = {"type": "object"}  # class -> something
_NOTICES: Schema = {"type": "array", "items": TEXT}
_PACK = object_of(
    {
        "id": ID,
        "base_tune_id": or_null(WHOLE_NUMBER),
        "user_id": NULL,
        "slug": TEXT,
        "title": TEXT,
        "token": TEXT,
        "created_at": TIME,
        "updated_at": TIME,
        "multiplier": NULL,
        "model_type": TEXT,
        "branch": or_null(TEXT),
        "public_at": TIME,
        "unlisted_at": NULL,
        "cover_url": NULL,
        "logo": NULL,
        "cost_mc_hash": {**_CLASSES, "additionalProperties": WHOLE_NUMBER},
        "costs": {
            **_CLASSES,
            "additionalProperties": object_of({"cost": WHOLE_NUMBER, "num_images": WHOLE_NUMBER}),
        },
        "prompts_per_class": {
            **_CLASSES,
            "additionalProperties": {
                "type": "array",
                "items": object_of({"id": ID, "images": {"type": "array", "items": ADDRESS}}),
            },
        },
        "folder": or_null(TEXT),
        "url": ADDRESS,
        "notices": _NOTICES,
    },
)
_INSPECTED = object_of(
    {
        **dict.fromkeys(NOT_GUESSED, NULL),
        "blurry": TRUTH,
        "includes_multiple_people": or_null(TRUTH),
        "low_resolution": or_null(TRUTH),
        "width": WHOLE_NUMBER,
        "height": WHOLE_NUMBER,
        "faces": or_null(WHOLE_NUMBER),
        "face_width": or_null(WHOLE_NUMBER),
        "face_height": or_null(WHOLE_NUMBER),
        "sharpness": {"type": "number"},
        "notices": _NOTICES,
    },
)
_PROMPTS: Schema = {
    "type": "array",
    "items": object_of(
        {"id": ID, "class_name": or_null(TEXT), "text": TEXT},
        description="With the attributes that the prompt was sent with.",
    ),
}
PACK_SCHEMAS: Mapping[str, Schema] = {
    "Pack": _PACK,
    "WholePack": object_of({**_PACK["properties"], "prompts": _PROMPTS}),
    "Inspected": _INSPECTED,
}
_PACK_ID = parameter("id", "path", TEXT, "Id or slug of a pack.")
_PACK_ANSWER = json_of(ref("WholePack"))

PACK_PATHS: Mapping[str, Schema] = {
    "/packs": {
        "get": operation(
            "listPacks", "List packs, newest first", "200", list_of("Pack"), parameters=PAGE
        ),
        "post": operation(
            "createPack",
            "Make a pack of prompts",
            "201",
            _PACK_ANSWER,
            requestBody=body_of("PackAttributes", "pack"),
        ),
    },
    "/gallery/packs": {
        "get": operation(
            "listGalleryPacks", "The same list as /packs", "200", list_of("Pack"), parameters=PAGE
        ),
    },
    "/packs/{id}": {
        "parameters": [_PACK_ID],
        "get": operation("getPack", "Get a pack", "200", _PACK_ANSWER),
        "delete": operation(
            "deletePack",
            "Delete a pack; tunes made by it stay",
            "200",
            json_of(ref("Deleted")),
        ),
    },
    "/p/{id}": {
        "parameters": [_PACK_ID],
        "get": operation("getPackBySlug", "Get a pack", "200", _PACK_ANSWER),
    },
    "/p/{id}/tunes": {
        "parameters": [_PACK_ID],
        "post": operation(
            "createPackTune",
            "Make a tune and queue the pack's prompts on it",
            "201",
            json_of({"anyOf": [ref("Tune"), {"type": "array", "items": ref("Tune")}]}),
            requestBody=body_of("PackTuneAttributes", "tune"),
        ),
    },
    "/images/inspect": {
        "post": operation(
            "inspectImage",
            "Look at a photo: size, sharpness, faces",
            "200",
            json_of(ref("Inspected")),
            requestBody=body_of("Inspect", None),
        ),
    },
}


def pack_sent(prompt: Schema, tune: Schema) -> dict[str, Schema]:
    """Return the schema of a pack, by the attributes of a prompt and of a tune."""
    # A pack keeps no pictures: its prompts give them by their addresses.
    plain = {
        key: schema
        for key, schema in prompt["properties"].items()
        if not key.startswith(("input_image", "mask_image")) or key.endswith("_url")
    }
    packed = object_of({**plain, "class_name": TEXT}, ("text",))
    kept = ("title", "base_tune_id", "model_type", "token", "branch")
    about = {key: tune["properties"][key] for key in kept}
    listed = {
        "type": "array",
        "items": ref("PackPromptAttributes"),
        "minItems": 1,
        "maxItems": MAX_PROMPTS,
    }
    own = {key: schema for key, schema in tune["properties"].items() if key != "prompts_attributes"}
    ids = {"type": "array", "items": {**ID, "maximum": 2**52}}
    for_prompts = object_of({"callback": TEXT}, (), description="Added to each prompt.")
    return {
        "PackPromptAttributes": packed,
        "PackAttributes": object_of(
            {**about, "slug": TEXT, "prompts_attributes": listed}, ("title", "prompts_attributes")
        ),
        "PackTuneAttributes": object_of(
            {
                **own,
                "prompt_attributes": for_prompts,
                "prompt_ids": ids,
                "tune_ids": ids,
                "prompts_callback": TEXT,
            },
            (),
        ),
        "Inspect": object_of(
            {
                "name": TEXT,
                "file": {"type": "string", "contentEncoding": "base64"},
                "file_url": TEXT,
            },
            (),
        ),
    }
