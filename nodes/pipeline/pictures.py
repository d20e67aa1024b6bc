"""Where a request's input image and mask come from.

A connected socket, a file of ComfyUI's input folder, an address or base64 of the prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import AstriaError, PlanError
from ..graph.graph import Graph, Value
from ..net import settings as api_settings
from ..net.pictures import PictureStore
from ..prompt import ImageRef, PromptRequest
from ..prompt.images import shown_address
from ..tunes.names import name_problem
from .build.stage_list import Problem

# Socket that a picture stands for -> field of the request.
FIELDS: Mapping[str, str] = {"image": "input_image", "mask": "mask_image"}

# What is to become a file before the plan, by `with_files`; a web address only where the owner has
# allowed it.
_NOT_A_FILE = {
    "url": "a web address, and none is fetched here",
    "base64": "base64 text, which is no file yet",
}
_ALLOW = (
    "let addresses be fetched by the line fetch_urls = yes in api.ini, in the folder user/__astria"
    " of ComfyUI"
)


def add_picture(
    graph: Graph, what: str, connected: Value | None, named: ImageRef | None
) -> tuple[Value | None, tuple[Problem, ...]]:
    """Return the source of the input picture `what` (`image` or `mask`), loading a named file, and
    what is wrong with it.

    A connected picture wins over the one the prompt names, which then gives a note.
    """
    if connected is not None:
        return connected, () if named is None else (_overruled(what, named),)
    if named is None:
        return None, ()
    if named.kind != "file":
        text = f"The prompt's input {what} is {_NOT_A_FILE[named.kind]}."
        hint = (
            f"Connect the {what} (input '{what}'), or name a file in ComfyUI's input folder in the"
            " prompt"
        )
        hint = f"{hint}, or {_ALLOW}." if named.kind == "url" else f"{hint}."
        return None, (Problem("picture-not-connected", "error", text, hint),)
    problem = name_problem(named.value)
    if problem:
        return None, (
            Problem(
                "picture-name",
                "error",
                f"The prompt's input {what} {named.value!r} is refused: {problem}.",
            ),
        )
    if what == "mask":
        return graph.add("input.mask", "LoadImageMask", image=named.value, channel="red"), ()
    return graph.add("input.image", "LoadImage", image=named.value), ()


def _overruled(what: str, named: ImageRef) -> Problem:
    shown = shown_address(named.value) if named.kind != "base64" else "base64 text"
    return Problem(
        "picture-overruled",
        "info",
        f"The connected {what} is used in place of the prompt's ({shown}).",
    )


def pictures_to_load(
    request: PromptRequest, connected: Collection[str], settings_file: Path
) -> dict[str, ImageRef]:
    """Return the pictures that are to become files, by the socket each stands for.

    None for a socket that is connected.

    Base64 text is taken always, a web address where the owner has allowed it in `settings_file`;
    else it stays in the request, and the planner speaks of it. Raises: ApiError for a slip in that
    file.
    """
    named = {
        name: getattr(request, field) for name, field in FIELDS.items() if name not in connected
    }
    taken = {"base64"}
    if (
        any(one is not None and one.kind == "url" for one in named.values())
        and api_settings.load(settings_file).fetch_urls
    ):
        taken.add("url")
    return {name: one for name, one in named.items() if one is not None and one.kind in taken}


def named_files(request: PromptRequest, connected: Collection[str]) -> list[str]:
    """Return the files of the input folder that the request's pictures are, but for those whose
    socket is connected.
    """
    named = [getattr(request, field) for name, field in FIELDS.items() if name not in connected]
    return [one.value for one in named if one is not None and one.kind == "file"]


def without_pictures(request: PromptRequest, names: Collection[str]) -> PromptRequest:
    """Return the request without these pictures, to be planned as if they were connected."""
    return replace(request, **{FIELDS[name]: None for name in names})


def picture_origins(pictures: Mapping[str, ImageRef]) -> str:
    """Return where pictures come from that are planned as if they were connected, a line each."""
    where = {
        "url": "is fetched from {} when the prompt runs.",
        "base64": "is the one that the prompt holds as text.",
    }
    return "\n".join(
        f"The input {name} {where[one.kind].format(shown_address(one.value))}"
        for name, one in pictures.items()
    )


def as_files(
    request: PromptRequest, pictures: Mapping[str, ImageRef], store: PictureStore
) -> tuple[PromptRequest, tuple[Problem, ...]]:
    """Return the request with each of `pictures` as a file, and what is wrong with those that
    cannot be had, which it then lacks.
    """
    if not pictures:
        return request, ()
    files: dict[str, ImageRef | None] = {}
    problems, fetching = [], store.fetching()
    for name, add_picture in pictures.items():
        try:
            files[FIELDS[name]] = ImageRef("file", store.file_of(add_picture, fetching))
        except AstriaError as error:
            files[FIELDS[name]] = None
            text = f"The prompt's input {name}: {error.message}."
            problems.append(
                Problem(error.code, "error", text, f"{error.hint} Or connect the {name}.".strip())
            )
    return replace(request, **files), tuple(problems)


def with_files(
    request: PromptRequest, connected: Collection[str], store: PictureStore
) -> PromptRequest:
    """Return the request with each picture given by address or as base64 stored as a file.

    Raises: PlanError listing each that cannot be had.
    """
    filed, problems = as_files(
        request, pictures_to_load(request, connected, store.settings_file), store
    )
    if problems:
        raise PlanError("\n".join(one.render() for one in problems), code=problems[0].code)
    return filed
