"""A stored prompt once more, with other attributes where some are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...net.files import INPUT_FOLDER
from ...tunes.prompts import Prompt
from ..pictures.mock import FILE_PREFIX
from .prompts import Prepared, Terms, prepare
from .reading import PICTURES, SPELLED, TEXTS
from .studio import names_address


def prepare_again(
    prompt: Prompt, sent: Mapping[str, Any], terms: Terms, said: Sequence[str] = ()
) -> Prepared:
    """Return a new prompt with the attributes of `prompt`, those of `sent` in their place.

    Raises: ApiError listing every problem.
    """
    attributes = {"callback": prompt.callback, **prompt.fields, **_stored_picture(prompt)}
    for names in (TEXTS, *SPELLED.values()):  # several spellings of one attribute
        if any(name in sent for name in names):
            attributes = {key: value for key, value in attributes.items() if key not in names}
    attributes |= sent
    prepared = prepare(prompt.tune_id, attributes, terms, said)
    # Its pictures stay in the input folder as long as this one needs them, too.
    kept = [name for name in prompt.inputs if name in attributes.values()]
    inputs = tuple(dict.fromkeys((*kept, *prepared.prompt.inputs)))
    return replace(prepared, prompt=replace(prepared.prompt, inputs=inputs))


def _stored_picture(prompt: Prompt) -> dict[str, Any]:
    """Return the one picture that came with a prompt as the file that is here.

    Its address may have expired. Of two pictures nobody noted which file is whose. A picture in
    base64 is stored as its file already, and a file of the owner's stays the one that was named.
    """
    named = [(key, one) for key in PICTURES for one in SPELLED[key] if prompt.fields.get(one)]
    came = [one for one in prompt.inputs if not one.startswith(f"{INPUT_FOLDER}/{FILE_PREFIX}")]
    if len(named) != 1 or len(came) != 1:
        return {}
    [(key, spelled)], [file] = named, came
    return {spelled: None, key: file} if names_address(prompt.fields[spelled]) else {}
