"""Schemas of values and of requests, which the OpenAPI document is written with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .forms import Schema
from .operations import json_of, ref

WHOLE_NUMBER: Schema = {"type": "integer"}
TRUTH: Schema = {"type": "boolean"}
ID: Schema = {"type": "integer", "minimum": 1}
TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
NULL: Schema = {"type": "null"}
ADDRESS: Schema = {"type": "string", "pattern": "^https?://"}


def or_null(schema: Schema) -> Schema:
    """Return the schema of what may be null as well."""
    return {"anyOf": [schema, {"type": "null"}]}


def object_of(
    properties: Mapping[str, Schema], required: tuple[str, ...] | None = None, **more: Any
) -> Schema:
    """Return the schema of an object; all its keys are required where none are named."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties if required is None else required),
        **more,
    }


FORMS = {"multipart/form-data": "Multipart", "application/x-www-form-urlencoded": "Form"}


def body_of(name: str, wrapper: str | None) -> Schema:
    """Return a request body.

    JSON with the attributes in an object of the name `wrapper`, or plain; and forms with the names
    that brackets spell.
    """
    plain = (
        ref(name) if wrapper is None else {"anyOf": [object_of({wrapper: ref(name)}), ref(name)]}
    )
    forms = {kind: {"schema": ref(f"{name}{ending}")} for kind, ending in FORMS.items()}
    return {"required": True, "content": {**json_of(plain), **forms}}
