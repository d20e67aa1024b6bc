"""Pictures that a prompt brings itself, as a web address or as base64 text -> files of ComfyUI's input folder."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import AstriaError, PlanError
from ..net import settings as api_settings
from ..net.fetching import Fetching
from ..prompt import ImageRef, PromptRequest
from .build.stage_list import Problem

# A folder of their own: the HTTP API removes those pictures from the one above that none of its prompts names.
FOLDER = "astria/fetched"
FIELDS: Mapping[str, str] = {"image": "input_image", "mask": "mask_image"}  # socket that a picture stands for -> field of the request


@dataclass(frozen=True)
class PictureStore:
    """Where the pictures of prompts are put, and what their owner allows: ComfyUI's input folder, and the API's settings."""

    input_folder: Path
    settings_file: Path

    def fetching(self) -> Fetching:
        """Return what fetches the pictures of one request. Raises: ApiError for a slip in the settings."""
        return Fetching(api_settings.load(self.settings_file), str(self.settings_file))

    def file_of(self, picture: ImageRef, fetching: Fetching) -> str:
        """Return the name below the input folder of the file that a picture has become: the hash of its content. A web address is fetched.

        Raises: AstriaError for an address that is refused or gives nothing, for what is no picture of bounded size, and where it cannot be put.
        """
        try:
            from ..net.files import from_base64, picture_name, put_whole  # by Pillow, which the command line may lack
        except ModuleNotFoundError as error:
            hint = "Run this with the Python of ComfyUI, or name a file in ComfyUI's input folder."
            raise PlanError(f"it cannot be looked at: this Python has no {error.name}", code="no-pillow", hint=hint) from error
        most_bytes = api_settings.load(self.settings_file).image_bytes
        is_url = picture.kind == "url"
        content = fetching.get(picture.value, "the picture") if is_url else from_base64(picture.value, "the picture", most_bytes)
        name = f"{FOLDER}/{picture_name(content, 'the picture', most_bytes)}"
        try:
            put_whole(self.input_folder / name, content)
        except OSError as error:
            text = f"it cannot be written to {self.input_folder / FOLDER}: {error.strerror}"
            raise PlanError(text, code="picture-not-written", hint="Check the folder's rights and free space.") from error
        return name


def brought(request: PromptRequest, connected: Collection[str], settings_file: Path) -> dict[str, ImageRef]:
    """Return the pictures that are to become files, by the socket each stands for; none for a socket that is connected.

    Base64 text is taken always, a web address where the owner has allowed it in `settings_file`; else it stays in the request, and the
    planner speaks of it. Raises: ApiError for a slip in that file.
    """
    named = {name: getattr(request, field) for name, field in FIELDS.items() if name not in connected}
    taken = {"base64"}
    if any(one is not None and one.kind == "url" for one in named.values()) and api_settings.load(settings_file).fetch_urls:
        taken.add("url")
    return {name: one for name, one in named.items() if one is not None and one.kind in taken}


def named_files(request: PromptRequest, connected: Collection[str]) -> list[str]:
    """Return the files of the input folder that the request's pictures are, but for those whose socket is connected."""
    named = [getattr(request, field) for name, field in FIELDS.items() if name not in connected]
    return [one.value for one in named if one is not None and one.kind == "file"]


def without(request: PromptRequest, names: Collection[str]) -> PromptRequest:
    """Return the request without these pictures, to be planned as if they were connected."""
    return replace(request, **{FIELDS[name]: None for name in names})


def notes(pictures: Mapping[str, ImageRef]) -> str:
    """Return where pictures come from that are planned as if they were connected, a line each."""
    where = {"url": "is fetched from {} when the prompt runs.", "base64": "is the one that the prompt holds as text."}
    return "\n".join(f"The input {name} {where[one.kind].format(one.value)}" for name, one in pictures.items())


def as_files(request: PromptRequest, pictures: Mapping[str, ImageRef], store: PictureStore) -> tuple[PromptRequest, tuple[Problem, ...]]:
    """Return the request with each of `pictures` as a file, and what is wrong with those that cannot be had, which it then lacks."""
    if not pictures:
        return request, ()
    files: dict[str, ImageRef | None] = {}
    problems, fetching = [], store.fetching()
    for name, picture in pictures.items():
        try:
            files[FIELDS[name]] = ImageRef("file", store.file_of(picture, fetching))
        except AstriaError as error:
            files[FIELDS[name]] = None
            text = f"The prompt's input {name}: {error.message}."
            problems.append(Problem(error.code, "error", text, f"{error.hint} Or connect the {name}.".strip()))
    return replace(request, **files), tuple(problems)


def with_files(request: PromptRequest, connected: Collection[str], store: PictureStore) -> PromptRequest:
    """Return the request with every picture that it brings as a file. Raises: PlanError listing each that cannot be had."""
    filed, problems = as_files(request, brought(request, connected, store.settings_file), store)
    if problems:
        raise PlanError("\n".join(one.render() for one in problems), code=problems[0].code)
    return filed
