"""Settings in JSON, as InvokeAI, Fooocus and ComfyUI hand them out: told, and written anew."""

from __future__ import annotations

import json
import re

from ..catalog import PARAMETERS
from ..kinds import tidy
from ..lexer import BLANKS
from ..source import Report, Rewrite, Span
from .keys import NEGATIVE, plain
from .settings import Taken, translate

_KNOWN = re.compile(
    r'"(?:positive_prompt|prompt|negative_prompt|steps|seed|cfg_scale|class_type)"\s{0,9}:',
    re.IGNORECASE,
)
_PROMPTS = ("positive prompt", "prompt")


def notice_json(report: Report) -> bool:
    """Report a text that is an object of JSON with settings; say whether it is one."""
    source = report.source.strip(BLANKS)
    if not (source.startswith("{") and source.endswith("}") and _KNOWN.search(source)):
        return False
    start = report.source.index("{")
    own = _written(source)
    rewrite = None
    if own is not None:
        rewrite = Rewrite(Span(0, len(report.source)), own, "Write as text and key=value")
    report.add(
        "foreign-syntax",
        "warning",
        Span(start, start + 1),
        "JSON of another program is read as text, all of it",
        "Paste the prompt's text alone, and its settings as key=value lines below.",
        rewrite,
    )
    return True


def _written(source: str) -> str | None:
    """Return the prompt and the settings of a flat object in this language, None for any other."""
    try:
        found = json.loads(source)
    except (ValueError, RecursionError):
        return None
    values = {
        plain(key): value for key, value in found.items() if isinstance(value, str | int | float)
    }
    text = next((str(values.pop(key)) for key in _PROMPTS if key in values), None)
    if text is None:
        return None
    negative = tidy(str(values.pop(NEGATIVE, "")))
    own = {"negative_prompt": negative} if negative else {}
    for one in translate([(key, str(value)) for key, value in values.items()]):
        own |= one.own if isinstance(one, Taken) else {}
    return "\n".join([text, *(f"{key}={own[key]}" for key in PARAMETERS if key in own)])
