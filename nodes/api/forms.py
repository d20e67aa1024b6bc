"""Schemas of forms for the OpenAPI document.

One flat name with brackets for each attribute of the JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = dict[str, Any]

FILE: Schema = {"type": "string", "format": "binary"}
# Attributes that are, or may be, a file in a form that can hold one.
_FILES = ("images", "input_image", "mask_image", "file")


def form_of(
    attributes: Schema, wrapper: str | None, schemas: Mapping[str, Schema], *, with_files: bool
) -> Schema:
    """Return the schema of a form that sends the object `attributes`, its names inside `wrapper`.

    `schemas` are those that it refers to.
    """
    return {
        "type": "object",
        "properties": dict(_fields(attributes, wrapper, schemas, with_files)),
        "required": list(_required(attributes, wrapper, schemas)),
    }


def _required(
    attributes: Schema, wrapper: str | None, schemas: Mapping[str, Schema]
) -> Iterator[str]:
    for key in attributes["required"]:
        name, items = _name(wrapper, key), attributes["properties"][key].get("items", {})
        if "$ref" in items:
            yield from _required(schemas[items["$ref"].rpartition("/")[2]], f"{name}[0]", schemas)
        else:
            yield name


def _fields(
    attributes: Schema, wrapper: str | None, schemas: Mapping[str, Schema], with_files: bool
) -> Iterator[tuple[str, Schema]]:
    for key, schema in attributes["properties"].items():
        name, is_file = _name(wrapper, key), with_files and key in _FILES
        if schema.get("type") == "object":
            yield from _fields(schema, name, schemas, with_files)
        elif schema.get("type") != "array":
            yield name, {"anyOf": [FILE, schema]} if is_file else schema
        elif "$ref" in schema["items"]:  # the first of several; those behind it are numbered on
            yield from _fields(
                schemas[schema["items"]["$ref"].rpartition("/")[2]],
                f"{name}[0]",
                schemas,
                with_files,
            )
        else:
            yield f"{name}[]", {**schema, "items": FILE if is_file else schema["items"]}


def _name(wrapper: str | None, key: str) -> str:
    return key if wrapper is None else f"{wrapper}[{key}]"
