"""The attributes of a prompt, as the OpenAPI document describes what may be sent."""

from __future__ import annotations

from typing import Any

from ..prompt import PARAMETERS
from ..prompt.catalog import UNSET_BY_ZERO, Parameter
from ..prompt.kinds import Boolean, Choice, Decimal, Whole


def _schema(parameter: Parameter) -> dict[str, Any]:
    """Return the schema of what the language's own table says."""
    kind, about = parameter.kind, {"description": parameter.help}
    if isinstance(kind, Whole):
        return {
            "type": "integer",
            "minimum": kind.lowest,
            "maximum": kind.highest,
            "multipleOf": kind.multiple,
            **about,
        }
    if isinstance(kind, Decimal):
        return {"type": "number", "minimum": kind.lowest, "maximum": kind.highest, **about}
    if isinstance(kind, Choice):
        return {"enum": list(kind.options), **about}
    return {"type": "boolean" if isinstance(kind, Boolean) else "string", **about}


ATTRIBUTES = {
    key: _schema(parameter) | ({"minimum": 0} if key in UNSET_BY_ZERO else {})
    for key, parameter in PARAMETERS.items()
}
