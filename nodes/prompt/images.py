"""References to pictures: a web address, a file of ComfyUI's input folder, or the picture itself in
base64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .kinds import ValueProblem
from .source import quoted

_WEB_ADDRESS = re.compile(r"https?://[^\s/][^\s]*", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DATA_ADDRESS = "data:"
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = re.compile(r"con|prn|aux|nul|(com|lpt)[1-9¹²³]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where a picture comes from.

    `kind` is `url`, `file` (a name in ComfyUI's input folder) or `base64`.
    """

    kind: str
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
                f"{quoted(text)} is not a web address",
                "Expected http://... or https://... without blanks.",
            )
        return _file(text)

    def show(self, value: object) -> str:
        return value.value if isinstance(value, ImageRef) else ""


def _base64(text: str) -> ImageRef | ValueProblem:
    packed = "".join(text.split())
    if not _BASE64.fullmatch(packed):
        return ValueProblem(
            "bad-base64",
            f"{quoted(text)} is not base64",
            "Send the picture's bytes as base64, or name a file of the input folder.",
        )
    return ImageRef("base64", packed)


def _file(text: str) -> ImageRef | ValueProblem:
    """Refuse what could lead out of the input folder, control characters, and the names that
    Windows keeps for devices in every folder: opening one of them waits for a keyboard.

    Whether the file is there is the pipeline's question.
    """
    folders = re.split(r"[/\\]", text)
    is_absolute = text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", text)
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
