"""References to pictures: a web address, a file of ComfyUI's input folder, or the picture itself in
base64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .kinds import ValueProblem
from .source import quoted

_WEB_ADDRESS = re.compile(r"https?://[^\s/][^\s]*", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_AFTER_HOST = re.compile(r"[/?#\\]")
INPUT = "input"
# As ComfyUI writes where a picture lies; it cuts off as much without looking.
_PLACED = re.compile(r"(.*[^ ]) \[(input|output|temp)\]", re.DOTALL)
_PLACED_WRONG = re.compile(r"\[(input|output|temp)\]\Z")
_DATA_ADDRESS = "data:"
MOST_SHOWN = 80  # characters of an address
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[1-9¹²³]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where a picture comes from.

    `kind` is `url`, `file` (a name in ComfyUI's input folder, or as `placed` reads it) or `base64`.
    """

    kind: Literal["url", "file", "base64"]
    value: str


@dataclass(frozen=True)
class ImageKind:
    """A web address or file name; with `is_base64`, the picture's bytes as text."""

    is_base64: bool = False

    @property
    def expected(self) -> str:
        return (
            "a picture in base64"
            if self.is_base64
            else "a web address, or the name of a file in ComfyUI's input folder"
        )

    def read(self, text: str) -> ImageRef | ValueProblem:
        if text[: len(_DATA_ADDRESS)].lower() == _DATA_ADDRESS:
            head, _, text = text.partition(",")
            if not head.lower().endswith(";base64"):
                return ValueProblem(
                    "bad-base64",
                    "the data address is not in base64",
                    "Expected data:image/png;base64,...",
                )
            return _base64(text)
        if self.is_base64:
            return _base64(text)
        if _WEB_ADDRESS.fullmatch(text):
            return ImageRef("url", text)
        if _OTHER_SCHEME.match(text) or "://" in text:
            return ValueProblem(
                "bad-url",
                f"{quoted(shown_address(text))} is not a web address",
                "Expected http://... or https://... without blanks.",
            )
        return _file(text)

    def show(self, value: object) -> str:
        return value.value if isinstance(value, ImageRef) else ""


def shown_address(url: str) -> str:
    """Return a web address as messages and logs show it: how far it names the server.

    Name, password, path and query are where programs keep secrets.
    """
    scheme, slashes, rest = url.partition("//")
    if not slashes:
        scheme, rest = "", url
    host = _AFTER_HOST.split(rest, maxsplit=1)[0]
    more = "/..." if len(rest.rstrip("/")) > len(host) else ""
    plain = f"{scheme}{slashes}{host.rpartition('@')[2]}{more}"
    return plain if len(plain) <= MOST_SHOWN else f"{plain[: MOST_SHOWN - 3]}..."


def _base64(text: str) -> ImageRef | ValueProblem:
    packed = "".join(text.split())
    if not _BASE64.fullmatch(packed):
        return ValueProblem(
            "bad-base64",
            f"{quoted(text)} is not base64",
            "Send the picture's bytes as base64, or name a file of the input folder.",
        )
    return ImageRef("base64", packed)


def placed(name: str) -> tuple[str, str]:
    """Return the name of a picture's file without what follows it, and which of ComfyUI's folders
    it lies in: `x.png [output]` is x.png in the output folder, x.png is one of the input folder.
    """
    found = _PLACED.fullmatch(name)
    return (found[1], found[2]) if found else (name, INPUT)


def _file(text: str) -> ImageRef | ValueProblem:
    """Refuse what could lead out of ComfyUI's folders, control characters, and the names that
    Windows keeps for devices in every folder: opening one of them waits for a keyboard.

    Whether the file is there is the pipeline's question.
    """
    name, _ = placed(text)
    if _PLACED_WRONG.search(name):
        return ValueProblem(
            "bad-file-name",
            f"{quoted(text)} is not the name of a file",
            "Write the name, one blank, and one of [input], [output], [temp].",
        )
    folders = re.split(r"[/\\]", name)
    is_absolute = name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name)
    is_device = any(_DEVICE.fullmatch(part.partition(".")[0].rstrip(" ")) for part in folders)
    is_odd = is_device or any(ord(c) < 32 or ord(c) == 127 for c in text)
    if is_absolute or ".." in folders or is_odd:
        hint = "Copy the picture into ComfyUI's input folder and give its name there."
        return ValueProblem(
            "bad-file-name",
            f"{quoted(text)} is not the name of a file in ComfyUI's input folder",
            hint,
        )
    return ImageRef("file", text)
