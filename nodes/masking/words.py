"""Words of a mask prompt: what is looked for in a picture."""

from __future__ import annotations

import re

from ..errors import PromptError

_QUOTED = re.compile(r'"([^"]*)"')
# A letter that no text holds keeps a phrase's place while the rest is split.
_HELD = "\N{NULL}"


def split_words(text: str) -> tuple[str, ...]:
    """Return the words and phrases of `text` in lower case, each once, in their order.

    Blanks separate words: `windows door` are two. Quotes keep a phrase, `"red hat" shoes`, and so
    do commas: where there is one outside of quotes, commas alone separate, `red hat, shoes`.
    Raises: PromptError when a quote is not closed.
    """
    phrases: list[str] = []

    def hold(match: re.Match[str]) -> str:
        phrases.append(match[1])
        return _HELD

    rest = _QUOTED.sub(hold, text.replace(_HELD, " "))
    if '"' in rest:
        raise PromptError(
            f"A quote is opened and not closed in {text!r}.",
            code="mask-words",
            hint='Write phrases as "red hat", or separate them by commas.',
        )
    held = iter(phrases)
    parts = rest.split(",") if "," in rest else re.sub(_HELD, f" {_HELD} ", rest).split()
    filled = (re.sub(_HELD, lambda _: next(held), part) for part in parts)
    tidied = (" ".join(phrase.lower().split()) for phrase in filled)
    return tuple(dict.fromkeys(phrase for phrase in tidied if phrase))
