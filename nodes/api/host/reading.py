"""The attributes of a prompt -> the request that they make, with its pictures.

What is wrong with them is noted, all of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...net.fetching import Fetching
from ...net.files import INPUT_FOLDER, from_base64, picture_name
from ...net.problems import ApiError, Problems
from ...net.settings import ApiSettings
from ...prompt import ImageRef, PromptRequest
from ..fields import Upload
from ..objects import KEPT_IDS, PICTURES
from ..text_errors import text_error

SPELLED = {
    name: tuple(f"{name}{ending}" for ending in ("", "_base64", "_url")) for name in PICTURES
}
MAX_TEXT = 100_000  # of all attributes together
TEXTS = ("text", "prompt")  # the text of a prompt; POST /generate calls it prompt
# Of the service's prompts, without meaning here; what is no file is kept all the same.
WITHOUT_EFFECT = (
    *KEPT_IDS,
    "workspace_id",
    "community",
    "resolution",
    "theme",
    "lora_scale",
    "video_model",
    "video_prompt",
    "video_duration",
    "video_audio",
    "video_upscale_model",
    "video_upscale_target_resolution",
    "video_fps_model",
    "video_first_frame_url",
    "video_last_frame_url",
    "image_reference_urls",
    "source_image_url",
    "input_video_url",
    "audio_reference_url",
    "generate_audio",
)
_MAY_HOLD_PICTURES = {spelled for names in SPELLED.values() for spelled in names}
# Stands for a picture that is at fault: the rest is then looked at as it was meant.
_REFUSED = f"{INPUT_FOLDER}/refused.png"


@dataclass
class AttributeReading:
    """Attributes as they were read.

    Where something is wrong, `request` is what the others make: None for nothing; `is_whole` where
    only pictures lack.
    """

    attributes: dict[str, Any]  # uploaded pictures as file names
    request: PromptRequest | None = None
    is_whole: bool = True
    # Pictures by their names in the input folder.
    contents: dict[str, bytes] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def leave_out(self, key: str) -> None:
        """Go on without an attribute that is at fault."""
        self.is_whole = False
        if key in TEXTS:
            self.attributes[key] = ""
        else:
            self.attributes.pop(key, None)


def read(
    sent: Mapping[str, Any], settings: ApiSettings, fetching: Fetching, problems: Problems
) -> AttributeReading:
    """Read the attributes; what is wrong with them is noted in `problems`.

    Raises: ApiError at once for texts without an end.
    """
    reading = AttributeReading(dict(sent))
    for key in PICTURES:
        if isinstance(one := reading.attributes.get(key), Upload):
            reading.attributes[key] = _REFUSED
            with problems.noting(key):
                reading.attributes[key] = _kept(reading, one.content, key, settings)
    _check(reading, problems)
    request, diagnostics = PromptRequest.from_fields(_with_effect(reading.attributes))
    of_text = (". ".join(filter(None, (one.message, one.hint))) for one in diagnostics)
    idle = [key for key in WITHOUT_EFFECT if reading.attributes.get(key) not in (None, "")]
    reading.notices = (*of_text, *(f"{key} has no effect here." for key in idle))
    for key in idle:
        if not isinstance(reading.attributes[key], str | int | float):
            del reading.attributes[key]  # lists and objects, of any size
    if request is None:
        errors = [one for one in diagnostics if one.severity == "error"]
        problems.note(text_error(errors))
        request = _request_without(reading, {one.field for one in errors})
    if request is not None:
        reading.request = _with_local_pictures(request, reading, settings, fetching, problems)
    return reading


def _check(reading: AttributeReading, problems: Problems) -> None:
    """Note files where none belong, and what is no text.

    Refuse texts without an end before anything reads them.
    """
    given = reading.attributes
    # All of it is kept with the prompt, but for pictures, which become files.
    length = sum(
        len(key) + _length(value)
        for key, value in given.items()
        if not (isinstance(value, str) and key in _MAY_HOLD_PICTURES)
    )
    if length > MAX_TEXT:
        raise ApiError(
            f"the attributes have {length} characters; expected at most {MAX_TEXT}",
            code="too-large",
            status=413,
        )
    for key, value in list(given.items()):
        with problems.noting(key[:100]):
            if _holds_file(value):
                reading.leave_out(key)
                raise ApiError(
                    f"{key} is sent as a file"[:300],
                    code="bad-field",
                    hint=f"Files are taken as {' and '.join(PICTURES)}.",
                )
            if isinstance(value, str) and any(
                "\ud800" <= character <= "\udfff" for character in value
            ):
                reading.leave_out(key)
                raise ApiError(
                    f"{key} is not Unicode text"[:300],
                    code="bad-field",
                    hint="Send UTF-8; JSON may spell characters as pairs of \\u....",
                )
    if not any(isinstance(given.get(key), str) for key in TEXTS):
        hint = "Send prompt[text]; it may be empty where an input image is only enlarged."
        problems.note(ApiError("a prompt needs a text", code="missing-text", hint=hint), "text")
        reading.leave_out("text")


def _length(value: Any) -> int:
    """Return the characters of a value where it is stored and shown."""
    if isinstance(value, str):
        return len(value)
    return len(json.dumps(value, ensure_ascii=False, default=lambda file: ""))


def _holds_file(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_file, value.values()))
    if isinstance(value, list):
        return any(map(_holds_file, value))
    return isinstance(value, Upload)


def _request_without(reading: AttributeReading, fields: set[str]) -> PromptRequest | None:
    """Return the request that is left without the attributes at fault.

    None where the others do not go together either.
    """
    for key in fields & reading.attributes.keys():
        reading.leave_out(key)
    for name, spelled in SPELLED.items():
        if fields.intersection(spelled):
            reading.attributes[name] = _REFUSED
    return PromptRequest.from_fields(_with_effect(reading.attributes))[0]


def _with_effect(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key not in WITHOUT_EFFECT}


def _with_local_pictures(
    request: PromptRequest,
    reading: AttributeReading,
    settings: ApiSettings,
    fetching: Fetching,
    problems: Problems,
) -> PromptRequest:
    """Return the request with web addresses and base64 replaced by files, whose contents are
    kept.
    """
    changed: dict[str, ImageRef] = {}
    for key in PICTURES:
        named: ImageRef | None = getattr(request, key)
        if named is None or named.kind == "file":
            continue
        spelled = next((one for one in SPELLED[key] if reading.attributes.get(one)), key)
        changed[key] = ImageRef("file", _REFUSED)
        with problems.noting(spelled):
            if named.kind == "base64":
                content = from_base64(named.value, key, settings.image_bytes)
            elif problems:  # nothing is fetched for what is refused already
                fetching.check(named.value, key)
                continue
            else:
                content = fetching.get(named.value, key)
            changed[key] = ImageRef("file", _kept(reading, content, key, settings))
    return replace(request, **changed) if changed else request


def _kept(reading: AttributeReading, content: bytes, key: str, settings: ApiSettings) -> str:
    """Return the file name of a picture, which is kept. Raises: ApiError for what is no picture."""
    name = f"{INPUT_FOLDER}/{picture_name(content, key, settings.image_bytes)}"
    reading.contents[name] = content
    return name
