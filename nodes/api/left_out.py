"""The service's routes that are left out here, with the message for each."""

from __future__ import annotations

_ONE_OWNER = "There is one owner here: whoever holds the key of api.ini."
# First part of a path of the service -> the name of the feature, and a hint.
_LEFT_OUT = {
    "users": ("users and their accounts", _ONE_OWNER),
    "workspaces": ("workspaces", _ONE_OWNER),
    "billing": ("billing", "Nothing is billed here."),
    "invoices": ("invoices", "Nothing is billed here."),
    "orders": ("orders", "Nothing is billed here."),
    "pricing": ("pricing", "Nothing is billed here."),
    "themes": ("themes", "Write the prompts yourself, and POST each to /tunes/:id/prompts."),
    "video": ("video", "Pictures are made here; POST /tunes/:id/prompts."),
    "videos": ("video", "Pictures are made here; POST /tunes/:id/prompts."),
    "community": ("the community's feed", "GET /prompts lists the prompts made here."),
    "boards": ("boards", "GET /prompts lists the prompts made here."),
    "cli": ("the list of the service's own models", "GET /gallery/tunes lists the bases here."),
}


def why_unanswered(path: str) -> tuple[str, str]:
    """Return the message and the hint for a path below /astria that nothing answers."""
    first = path.strip("/").partition("/")[0].removesuffix(".json")
    if first in _LEFT_OUT:
        what, hint = _LEFT_OUT[first]
        return f"left out here: {what} of the service", hint
    return f"there is nothing at {path or '/'!r}", "GET /astria/openapi.json lists what there is."
