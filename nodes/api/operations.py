"""The words of the OpenAPI document that its routes share: answers, parameters, pages."""

from __future__ import annotations

from typing import Any

from .forms import Schema
from .objects import KEPT_IDS

MAX_OFFSET = 2**52
TEXT: Schema = {"type": "string"}
LIST = (20, 120)  # items of a page: usually, and at most
GALLERY = (1000, 1000)  # all of them: the bound bases


def ref(name: str) -> Schema:
    """Return the schema of this name among the document's own."""
    return {"$ref": f"#/components/schemas/{name}"}


def json_of(schema: Schema) -> Schema:
    """Return the content of a body that is JSON."""
    return {"application/json": {"schema": schema}}


def list_of(name: str) -> Schema:
    """Return the content of an answer that is a list."""
    return json_of({"type": "array", "items": ref(name)})


_REFUSALS = {
    "400": "The request cannot be read.",
    "401": "The key is missing or wrong.",
    "403": "A page of another site asks, or another machine without a key.",
    "404": "There is no such thing.",
    "405": "The address takes other methods; the header Allow lists them.",
    "408": "Its body came too slowly.",
    "413": "It is too large.",
    "415": "It is of a kind that is not read.",
    "422": "It is refused; extra_info lists every problem.",
    "429": "Too many prompts are waiting.",
    "503": (
        "The owner has something to mend: api.ini, the bindings or the database. With code busy:"
        " too much arrives at once."
    ),
}


def operation(
    name: str, summary: str, success: str, content: Schema | None = None, **more: Any
) -> Schema:
    """Return an operation that answers with status `success` and `content`, or refuses."""
    good: Schema = {"description": "It is done."} | ({"content": content} if content else {})
    refusals = {
        status: {"description": text, "content": json_of(ref("Error"))}
        for status, text in _REFUSALS.items()
    }
    return {
        "operationId": name,
        "summary": summary,
        "responses": {success: good, **refusals},
        **more,
    }


def parameter(name: str, place: str, schema: Schema, text: str) -> Schema:
    """Return a parameter in the address: a part of its path, or of its query."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": text,
    }


TUNE_ID = parameter(
    "id", "path", TEXT, "Id of a tune; for prompts also of a base tune in the bindings."
)
_TUNES_BY = {
    "title": "Of exactly this title.",
    "name": "Of this class name; name[] takes several.",
    "model_type": "Of this model type.",
    "branch": "Of this branch.",
}
TUNE_FILTERS = [parameter(name, "query", TEXT, text) for name, text in _TUNES_BY.items()]
PROMPT_FILTERS = [
    parameter("text", "query", TEXT, "With these words in the text, a to z in any case."),
    parameter("liked", "query", {"type": "boolean"}, "Liked ones, or the others."),
    *(
        parameter(name, "query", {"type": "integer", "minimum": 0}, "Sent with this id.")
        for name in KEPT_IDS
    ),
]
PROMPT_ID = parameter("prompt_id", "path", TEXT, "Id of a prompt.")
NAME = parameter("name", "path", TEXT, "File name of a photo, as orig_images has it.")


def page_parameters(usual: int, most: int) -> list[Schema]:
    """Return the parameters of a list of `usual` items, or of up to `most` where it is asked."""
    number = {"type": "integer", "minimum": 0}
    return [
        parameter(
            "offset",
            "query",
            {**number, "maximum": MAX_OFFSET, "default": 0},
            "How many to pass over.",
        ),
        parameter(
            "limit",
            "query",
            {**number, "maximum": most, "default": usual},
            "How many to list at most.",
        ),
        parameter(
            "before_id",
            "query",
            {**number, "maximum": MAX_OFFSET},
            "List what has a lower id: that of the last one of the page before.",
        ),
    ]


PAGE = page_parameters(*LIST)
GALLERY_PAGE = page_parameters(*GALLERY)
