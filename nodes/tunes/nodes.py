"""Nodes for what ids stand for.

The bindings that a person edits, and the tunes that the pack keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import folder_paths
import numpy as np
from comfy_api.latest import io, ui

from ..faces.detector import rgb_pixels
from ..faces.photos import (
    LEAST_FACE_PX,
    MAX_SIDE_PX,
    MIN_FACE_PX,
    bounded,
    find_person,
    identity_of,
    notes,
    png_bytes,
    read_photo,
)
from ..graph.sockets import NO_FILE
from ..host.state import fingerprint, state_folder
from ..host.tensors import as_pictures
from ..host.types import FaceAnalysisType, ModelsType, gathered_inputs, only_values
from .bindings import Bindings, ModelBundle
from .face_cache import FaceCache
from .host.state import bindings_text, files_text, models_overview
from .kept_nodes import store_if_any
from .names import shown
from .store import NewTune, Tune, TuneError, TuneStore
from .tune import MAX_ID

EXAMPLE_BINDINGS = "[tunes]\n1533312 = my_wife.safetensors"


class AstriaModels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        tooltip = (
            "Lines as in the bindings file, for this workflow only: [tunes] 1533312 ="
            " my_wife.safetensors, [roles] upscaler = 4x.pth"
        )
        return io.Schema(
            node_id="AstriaModels",
            display_name="Astria Models",
            category="astria",
            description=(
                "Shows what the ids and roles of prompts stand for, adds bindings for this"
                " workflow, and gathers connected models."
            ),
            search_aliases=["bindings", "tunes", "lora ids"],
            inputs=[
                io.String.Input(
                    "bindings",
                    multiline=True,
                    dynamic_prompts=False,
                    tooltip=tooltip,
                    placeholder=EXAMPLE_BINDINGS,
                ),
                *gathered_inputs(),
            ],
            outputs=[ModelsType.Output(display_name="models")],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, bindings: str | None) -> bool | str:
        try:
            Bindings.parse(bindings or "", "AstriaModels")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        return fingerprint(bindings_text(), files_text())

    @classmethod
    def execute(cls, bindings: str, **sockets) -> io.NodeOutput:
        own = Bindings.parse(bindings, "AstriaModels")
        connected = tuple(name for name, link in sockets.items() if link is not None)
        return io.NodeOutput(ModelBundle(own, connected), ui=ui.PreviewText(models_overview(own)))


_ABOUT_A_TUNE = ("analysis", "title", "name", "token", "tune_id", "model_type", "file")


class AstriaCreateTune(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaCreateTune",
            display_name="Astria Create Tune",
            category="astria/tunes",
            description=(
                "Keeps photos of one person as a tune that prompts name: <faceid:ID:1>. Ready at"
                " once, nothing is trained."
            ),
            search_aliases=["faceid tune", "photo set", "store photos"],
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip=(
                        "Photos of one person, a batch or a list. The largest face of each counts."
                    ),
                ),
                FaceAnalysisType.Input(
                    "analysis",
                    tooltip="Finds faces and tells people apart: Astria Load Face Analysis.",
                ),
                io.String.Input(
                    "title",
                    default="",
                    placeholder="Anna",
                    tooltip="The same title with the same photos is the same tune.",
                ),
                io.String.Input(
                    "name",
                    default="person",
                    tooltip="Who it is in the prompt's words: man, woman, boy, girl ...",
                ),
                io.String.Input(
                    "token",
                    default="ohwx",
                    tooltip="The word that stands for this person in prompts.",
                ),
                io.Int.Input(
                    "tune_id",
                    default=0,
                    min=0,
                    max=MAX_ID,
                    tooltip="The id that your prompts name; 0 for the next free one.",
                ),
                io.Combo.Input(
                    "model_type",
                    options=["faceid", "lora"],
                    tooltip="lora: photos beside a LoRA file, for swapping faces.",
                ),
                io.Combo.Input(
                    "file",
                    options=[NO_FILE, *folder_paths.get_filename_list("loras")],
                    tooltip="Of model_type lora.",
                ),
                io.Int.Input(
                    "min_face_px",
                    default=MIN_FACE_PX,
                    min=LEAST_FACE_PX,
                    max=MAX_SIDE_PX,
                    optional=True,
                    tooltip=(
                        "Photos whose largest face is smaller are left out; lower it for small"
                        " photos."
                    ),
                ),
            ],
            outputs=[
                io.String.Output(display_name="tune_id"),
                io.String.Output(display_name="report"),
            ],
            is_output_node=True,
            is_input_list=True,  # photos of several sizes are no batch
        )

    @classmethod
    def fingerprint_inputs(cls, title: Sequence[str | None], **inputs) -> str:
        """Change when the tune of this title comes or goes: one that was deleted is made again."""
        store = store_if_any()
        tune = store.find_by_title(title[0]) if store and title[0] else None
        return fingerprint(str(tune.id) if tune else "")

    @classmethod
    def execute(cls, images, min_face_px=(MIN_FACE_PX,), **lists) -> io.NodeOutput:
        given = only_values({**lists, "min_face_px": min_face_px})
        analysis, title, name, token, tune_id, model_type, file = (
            given[key] for key in _ABOUT_A_TUNE
        )
        if (model_type == "lora") != (file != NO_FILE):
            message = (
                f"A tune of model_type {model_type} {'needs a' if file == NO_FILE else 'takes no'}"
                f" file; file is {shown(file)}."
            )
            raise TuneError(
                message,
                code="tune-file",
                hint="Choose model_type lora and a file, or faceid and none.",
            )
        new = NewTune(
            title=title,
            name=name or None,
            token=token,
            model_type=model_type,
            file=None if file == NO_FILE else file.replace("\\", "/"),
        )
        if analysis.recogniser is None:
            message = (
                "The connected analysis finds faces and does not tell whose they are: its pack is"
                " 'none'."
            )
            raise TuneError(
                message, code="no-recogniser", hint="Choose a pack in Astria Load Face Analysis."
            )
        cache = FaceCache(state_folder())
        findings = [
            find_person(bounded(one), analysis, cache, given["min_face_px"])
            for batch in images
            for one in rgb_pixels(as_pictures(batch))
        ]
        photos = [one.pixels for one in identity_of(findings, analysis, title).photos]
        tune, state = _stored(TuneStore(state_folder()), new, tune_id, photos)
        tag = "faceid" if model_type == "faceid" else "lora"
        lines = [
            f"Tune {tune.id} {shown(tune.title)} {state}, with {len(photos)} of {len(findings)}"
            f" photo(s). Write <{tag}:{tune.id}:1>."
        ]
        report = "\n".join([*lines, *notes(findings)])
        return io.NodeOutput(str(tune.id), report, ui=ui.PreviewText(report))


def _stored(
    store: TuneStore, new: NewTune, tune_id: int, photos: Sequence[np.ndarray]
) -> tuple[Tune, str]:
    """Return the tune of these photos, made unless it is there, and which of both.

    Raises: TuneError when another has the id or these photos.
    """
    there = store.get(tune_id) if tune_id else store.find_by_title(new.title)
    if there is not None and there.title == new.title and _has_photos(store, there, photos):
        fields = ("name", "token", "model_type", "file")
        if other := [
            f"{field} {shown(str(getattr(there, field)))}"
            for field in fields
            if getattr(there, field) != getattr(new, field)
        ]:
            message = (
                f"Tune {there.id} {shown(there.title)} has these photos already, but"
                f" {' and '.join(other)}."
            )
            raise TuneError(
                message,
                code="tune-differs",
                hint="Delete that tune first, or choose another title.",
            )
        return there, "was there already"
    about = {key: value for key, value in vars(new).items() if value is not None}
    return (
        store.create(photos=[png_bytes(one) for one in photos], id=tune_id or None, **about),
        "is stored",
    )


def _has_photos(store: TuneStore, tune: Tune, photos: Sequence[np.ndarray]) -> bool:
    """Compare pixels, not files: another version of the PNG writer makes other files of them."""
    paths = store.photo_paths(tune.id)
    return len(paths) == len(photos) and all(
        path.is_file() and np.array_equal(read_photo(path), photo)
        for path, photo in zip(paths, photos, strict=True)
    )


NODES = [AstriaModels, AstriaCreateTune]
