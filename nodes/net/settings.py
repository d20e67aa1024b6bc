"""api.ini: what its owner decides about the API, in lines of `key = value`."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

from .problems import ApiError

SETTINGS_FILE = "api.ini"
LEAST_KEY = 8

_TRUTH = {"yes": True, "no": False, "true": True, "false": False}
_HOST = re.compile(r"[0-9a-z._-]+|\[[0-9a-f:.]+\]|[0-9a-f:]+")


@dataclass(frozen=True)
class ApiSettings:
    """The settings, each with what counts where the file does not set it.

    Sizes are in MB of 1,000,000 bytes.
    """

    # What programs send as "Authorization: Bearer KEY"; without one only this machine may ask.
    key: str = ""
    fetch_urls: bool = False  # whether pictures are fetched from the web addresses in requests
    callbacks: bool = True  # whether addresses are called when a prompt is done
    # Hosts of the own network that may be fetched from and called back.
    private_hosts: tuple[str, ...] = ()
    # Whether pictures say, as XMP, that a trained model made them.
    mark_pictures: bool = True
    people_agreed: bool = False  # whether the people who are trained agreed to it
    idempotent: bool = False  # same title: the same tune; same attributes: the same prompt
    # What addresses in answers begin with, where a proxy stands before ComfyUI.
    public_url: str = ""
    max_request_mb: int = 200
    max_image_mb: int = 25
    max_images: int = 50
    # All pictures of a prompt together, at its largest stage: 3 GB where ComfyUI holds them.
    max_megapixels: int = 256
    max_model_mb: int = 30_000
    max_waiting: int = 1000  # prompts not done yet, and as many trainings
    fleet: bool = False  # whether prompts are run by a fleet's workers; read when ComfyUI starts
    keep_days: int = 0  # that prompts are kept after their end; 0: for ever
    fetch_timeout_s: int = 60  # for all fetched pictures of a request
    read_timeout_s: int = 30  # in which some of a body must have arrived

    @property
    def request_bytes(self) -> int:
        return self.max_request_mb * 1_000_000

    @property
    def image_bytes(self) -> int:
        return self.max_image_mb * 1_000_000

    @property
    def model_bytes(self) -> int:
        return self.max_model_mb * 1_000_000


_DEFAULTS = {one.name: one.default for one in fields(ApiSettings)}


def load(path: Path, shown: str = "") -> ApiSettings:
    """Return the settings in the file `path`; a missing file sets none.

    Raises: ApiError naming line and file, the latter as `shown` where strangers read it.
    """
    shown = shown or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ApiSettings()
    except (OSError, UnicodeDecodeError) as error:
        raise _error(
            f"{shown} cannot be read: {type(error).__name__}",
            "Save it as UTF-8 text that ComfyUI may read.",
        ) from error
    return parse(text, shown)


def parse(text: str, source: str) -> ApiSettings:
    """Return the settings in `text`; `source` names it in errors.

    Raises: ApiError naming the line.
    """
    found: dict[str, object] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            # The line is not shown: it may hold the API's key.
            raise _error(
                f"{source}, line {number}: it is no setting, for it has no '='",
                f"Write NAME = VALUE. Settings: {', '.join(_DEFAULTS)}.",
            )
        if key not in _DEFAULTS:
            raise _error(
                f"{source}, line {number}: {key!r} is no setting",
                f"Settings: {', '.join(_DEFAULTS)}.",
            )
        if key in found:
            raise _error(f"{source}, line {number}: {key} is set twice", "Keep one of both.")
        found[key] = _value(key, value, f"{source}, line {number}")
    return ApiSettings(**found)


def _value(key: str, value: str, place: str) -> object:
    default = _DEFAULTS[key]
    if isinstance(default, bool):
        if value.lower() not in _TRUTH:
            raise _error(f"{place}: {key} = {value!r}; expected yes or no")
        return _TRUTH[value.lower()]
    if isinstance(default, int):
        if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
            raise _error(f"{place}: {key} = {value!r}; expected a whole number from 1")
        return int(value)
    if isinstance(default, tuple):
        hosts = tuple(filter(None, (one.strip().lower() for one in value.split(","))))
        if bad := [one for one in hosts if not _HOST.fullmatch(one)]:
            raise _error(
                f"{place}: {key} holds {bad[0]!r}; expected names or addresses of hosts, with"
                " commas between them"
            )
        return tuple(one.strip("[]") for one in hosts)
    return _text(key, value, place)


def _text(key: str, value: str, place: str) -> str:
    if key == "key" and not (
        len(value) >= LEAST_KEY and value.isascii() and value.isprintable() and " " not in value
    ):
        # The value is not shown: it may be a mistyped key.
        raise _error(
            f"{place}: the key needs {LEAST_KEY} characters or more, plain ones without blanks"
        )
    if key == "public_url" and not re.fullmatch(r"https?://[^\s/?#]+", value):
        raise _error(f"{place}: public_url = {value!r}; expected https://host without a path")
    return value


def _error(message: str, hint: str = "") -> ApiError:
    return ApiError(
        message, code="api-settings", hint=hint or "Correct the line, or remove it.", status=503
    )
