"""Text for widgets in which the editor expands `{a|b}` and drops comments when it queues: written so that it arrives unchanged."""

from __future__ import annotations

import re

from ..errors import PlanError

_SPECIAL = re.compile(r"(?P<slashes>\\*)(?P<brace>[{}|])")
# An empty choice vanishes at queue time, after comments were looked for.
_COMMENT_START = re.compile(r"/(?=[/*])")


def escaped(text: str) -> str:
    """Return the widget text from which the editor's dynamic prompts give back `text` exactly.

    The editor removes `//...` and `/*...*/`, for which it knows no escape, then reads a backslash with the character after it
    as that pair, picks one choice of each `{a|b}`, and at last turns `\\{`, `\\}` and `\\|` into the bare character.
    Raises: PlanError for text that ends in an odd number of backslashes, which no widget text can give.
    """
    if (len(text) - len(text.rstrip("\\"))) % 2:
        message = f"The prompt text '{text[-30:]}' ends in a single backslash, which the editor's prompt box cannot hold."
        raise PlanError(message, code="trailing-backslash", hint="Take the backslash out of the prompt, or compile the api form.")
    return _COMMENT_START.sub("/{}", _SPECIAL.sub(_escaped_brace, text))


def _escaped_brace(found: re.Match) -> str:
    slashes, brace = found["slashes"], found["brace"]
    # Backslashes are read in pairs: after an odd number the brace needs a choice of its own, and one backslash more, which the
    # last step takes away.
    return f"{slashes}\\{{\\{brace}}}" if len(slashes) % 2 else f"{slashes}\\{brace}"
