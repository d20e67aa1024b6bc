"""Nodes for the tunes that the pack keeps: shown, and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from comfy_api.latest import io, ui
from PIL import Image, ImageOps

from ..errors import ImageError
from ..faces.photos import photo_hash, read_photo
from ..host.state import fingerprint, state_folder
from ..net.secret import keyed_hash, own_key
from .face_cache import FaceCache
from .host.trained import forget_trained, trained_file
from .names import shown
from .store import DATABASE_FILE, TuneStore
from .tune import MAX_ID, Tune, TuneError

MOST_SHOWN = 100
MAX_DIGITS = 16  # of an id
SQUARE_PX = 512


class AstriaTunes(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTunes",
            display_name="Astria Tunes",
            category="astria/tunes",
            description="Lists the tunes that the pack keeps, or shows one with all its photos.",
            search_aliases=["list tunes", "photo sets"],
            inputs=[
                io.String.Input(
                    "tune",
                    default="",
                    tooltip=(
                        "Id or title of one tune; empty for the newest ones, with one photo each."
                    ),
                )
            ],
            outputs=[
                io.String.Output(display_name="text"),
                io.Image.Output(display_name="photos", tooltip="Fitted into squares."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **inputs) -> str:
        store = store_if_any()
        tunes = store.list(limit=MOST_SHOWN) if store else ()
        return fingerprint(repr([(tune.id, tune.updated_at) for tune in tunes]))

    @classmethod
    def execute(cls, tune: str) -> io.NodeOutput:
        store = store_if_any()
        if tune.strip():
            shown_tunes = [_required(store, tune.strip())]
            paths = store.photo_paths(shown_tunes[0].id)
        else:
            shown_tunes = list(store.list(limit=MOST_SHOWN)) if store else []
            paths = [path for one in shown_tunes for path in store.photo_paths(one.id)[:1]]
        photos, unread = _readable(paths)
        lines = [_line(one) for one in shown_tunes] or [
            "There are no tunes yet. Astria Create Tune makes one."
        ]
        text = "\n".join([*lines, *unread])
        return io.NodeOutput(text, _squares(photos), ui=ui.PreviewText(text))


class AstriaDeleteTune(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaDeleteTune",
            display_name="Astria Delete Tune",
            category="astria/tunes",
            description=(
                "Deletes a tune, its photos and what was found in them. Needs id, title and a word"
                " that it tells only you, so that a stranger's workflow deletes nothing."
            ),
            search_aliases=["remove tune", "forget photos"],
            inputs=[
                io.Int.Input(
                    "tune_id",
                    default=0,
                    min=0,
                    max=MAX_ID,
                    tooltip="The id of the tune, as Astria Tunes lists it.",
                ),
                io.String.Input("title", default="", tooltip="The title of that tune, exactly."),
                io.String.Input(
                    "confirm",
                    default="",
                    optional=True,
                    tooltip="The word that the first run tells; without it nothing is deleted.",
                ),
            ],
            outputs=[io.String.Output(display_name="text")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, tune_id: int, title: str, confirm: str = "") -> io.NodeOutput:
        store = store_if_any()
        tune = _required(store, tune_id)
        if tune.title != title:
            message = (
                f"Tune {tune_id} does not have the title {shown(title)}; it was left as it is."
            )
            raise TuneError(
                message, code="tune-title-differs", hint="Astria Tunes shows the titles."
            )
        word = _word_for(tune)
        if confirm.strip() != word:
            message = (
                f"Tune {tune_id} {shown(title)} with {len(tune.orig_images)} photo(s) is not"
                f" deleted yet."
            )
            hint = f"To delete it write {word} into confirm. Do so in a workflow that you trust."
            raise TuneError(message, code="tune-not-confirmed", hint=hint)
        # What cannot be read cannot be forgotten, but deleted.
        photos, _ = _readable(store.photo_paths(tune_id))
        FaceCache(state_folder()).forget(photo_hash(photo) for photo in photos)
        is_trained = trained_file(tune) is not None
        forget_trained(tune)
        store.delete(tune_id)
        text = (
            f"Tune {tune_id} {shown(title)} and its {len(tune.orig_images)} photo(s) are deleted."
        )
        if is_trained:
            text += f" So is the file that it was trained to, {shown(tune.file)}."
        elif tune.file:
            text += (
                f" Its file {shown(tune.file)} stays in the model folder: delete it there, or whole"
                " tunes in the sidebar."
            )
        return io.NodeOutput(text, ui=ui.PreviewText(text))


def store_if_any() -> TuneStore | None:
    """Return the store, None where nothing was ever kept: looking makes no database."""
    return TuneStore(state_folder()) if (state_folder() / DATABASE_FILE).exists() else None


def _word_for(tune: Tune) -> str:
    """Return the word that confirms the deletion of this tune on this installation.

    Titles can be guessed, and read by a workflow from Astria Tunes; this one stands in an error
    only, which no node can read.
    """
    key = own_key(state_folder())
    return keyed_hash(key, ("delete tune", str(tune.id), tune.title, repr(tune.created_at)))[:8]


def _required(store: TuneStore | None, name: str | int) -> Tune:
    """Return the tune of this id, or of this id or title for text.

    Raises: TuneError where there is none.
    """
    tune = None
    if store:
        by_id = isinstance(name, int) or (name.isdecimal() and len(name) <= MAX_DIGITS)
        tune = (store.get(int(name)) if by_id else None) or (
            store.find_by_title(name) if isinstance(name, str) else None
        )
    if tune is None:
        known = (
            ", ".join(f"{one.id} {shown(one.title)}" for one in store.list(limit=5))
            if store
            else ""
        )
        message = f"There is no tune {shown(str(name))}. The newest: {known or 'none'}."
        raise TuneError(message, code="tune-unknown", hint="Astria Tunes lists them all.")
    return tune


def _readable(paths: Sequence[Path]) -> tuple[list[np.ndarray], list[str]]:
    """Return the photos that can be read, and a word about each that cannot."""
    photos, unread = [], []
    for path in paths:
        try:
            photos.append(read_photo(path))
        except ImageError as error:
            unread.append(error.message)
    return photos, unread


def _line(tune: Tune) -> str:
    kind = f"{tune.model_type or 'no model'} {tune.file or ''}".strip()
    made = f"{tune.created_at:%Y-%m-%d}" if tune.created_at else ""
    return (
        f"{tune.id}  {shown(tune.title)}  {kind}  {tune.token} {tune.name or ''} "
        f" {len(tune.orig_images)} photo(s)  {made}".strip()
    )


def _squares(photos: Sequence[np.ndarray]) -> torch.Tensor:
    """Return the photos as one IMAGE, whole, each on a grey square; an empty one without photos."""
    fitted = [
        np.asarray(ImageOps.pad(Image.fromarray(one), (SQUARE_PX, SQUARE_PX), color=(90, 90, 90)))
        for one in photos
    ]
    return (
        torch.from_numpy(np.stack(fitted)).float() / 255
        if fitted
        else torch.zeros(0, SQUARE_PX, SQUARE_PX, 3)
    )


NODES = [AstriaTunes, AstriaDeleteTune]
