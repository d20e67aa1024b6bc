"""What a prompt would do where it stands: its plan in words, and what is missing for it.

The editor tells what is connected there; which family a model is of is read off its file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import torch
from comfy import model_detection

from ...errors import AstriaError
from ...families.family import Family, family
from ...graph.graph import Socket
from ...graph.sockets import MODEL_SOCKETS
from ...host.models import fitting
from ...host.shown_paths import without_folders
from ...net.tensor_header import tensor_shapes
from ...pipeline.build.sources import MissingModels, Options
from ...pipeline.compiling import CompileOptions
from ...pipeline.explain import drafted_for, explain
from ...pipeline.host.run_pictures import run_pictures
from ...pipeline.pictures import picture_origins, pictures_to_load, without_pictures
from ...prompt import PromptRequest
from ...tunes.bindings import Bindings
from ...tunes.file_search import Missing
from ...tunes.host.state import HostFiles, make_resolver
from ...tunes.resolve import Resolver
from ..naming import role_problems, tag_problems
from ..utf16 import Utf16
from .prompt_box import diagnostic_entry

PICTURES = ("image", "mask", "control_image", "person_masks")
_MODEL_FOLDERS = ("checkpoints", "diffusion_models")
_NOT_KNOWN = (
    "Which family the connected model is of cannot be read off its file before a run. Choose one"
    " above to see the plan."
)


@dataclass(frozen=True)
class Context:
    """What stands around a prompt in its node; `family` is that of the connected model, None where
    none is connected or it cannot be told, as `is_connected` says.
    """

    resolver: Resolver
    options: CompileOptions
    family: Family | None
    is_connected: bool


def context_of(asked: Mapping[str, Any]) -> Context:
    """Return the context of a request.

    A person chooses `family`, or `base`, a base tune of the bindings. `model` is the file of the
    connected model with its folder, `last_family` that of the last run; `sockets` the names of what
    is connected; `bindings` those of a connected Astria Models.
    """
    sockets = {name: Socket(name) for name in asked.get("sockets", "").split() if name}
    pictures = {name: sockets[name] for name in PICTURES if name in sockets}
    missing = asked.get("missing_models", "error")
    options = CompileOptions(
        asked.get("base") or None,
        **pictures,
        connected={name: sockets[name] for name in MODEL_SOCKETS if name in sockets},
        model_file=model_file_of(asked),
        options=Options(missing_models=missing if missing in get_args(MissingModels) else "error"),
    )
    try:
        extra = Bindings.parse(asked.get("bindings", ""), "AstriaModels")
    except AstriaError:
        extra = Bindings()  # the node itself says what is wrong with its text
    resolver = make_resolver(extra)
    chosen = family(asked["family"]) if asked.get("family") else None
    if chosen is None and not options.base and asked.get("model"):
        chosen = _family_of_listed(asked["model"], resolver)
    if chosen is None and not options.base and asked.get("last_family"):
        chosen, _ = resolver.variant_of((family(asked["last_family"]),), "")
    is_connected = "model" in sockets and not options.base
    return Context(resolver, options, chosen, is_connected)


def model_file_of(asked: Mapping[str, Any]) -> str:
    """Return the file of the connected model as the host lists it, "" where none is known."""
    return asked.get("model", "").partition("/")[2]


def _family_of_listed(model: str, resolver: Resolver) -> Family | None:
    """Return the family of `FOLDER/FILE` as the host lists it, None where it cannot be told."""
    folder, _, name = model.partition("/")
    if folder not in _MODEL_FOLDERS or name not in HostFiles().list(folder):
        return None
    for root in HostFiles().roots(folder):
        path = Path(root, name)
        if path.is_file():
            found = _families_of_file(path, path.stat().st_mtime_ns)
            return resolver.variant_of(found, str(path))[0] if found else None
    return None


@lru_cache(maxsize=64)
def _families_of_file(path: Path, _written: int) -> Sequence[Family]:
    """Return the families that a file may be of by the names and sizes of its tensors, which the
    host tells models apart by; the numbers are not read.
    """
    shapes = tensor_shapes(path)
    if shapes is None:
        return ()
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    prefix = model_detection.unet_prefix_from_state_dict(weights)
    try:
        config = model_detection.model_config_from_unet(weights, prefix)
    except (RuntimeError, NotImplementedError, KeyError):  # it looks at numbers
        return ()
    return () if config is None else fitting(config)


def explanation(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plan of `text` in words, and whether it could run; `runs` is null where that
    depends on a model that is not known.
    """
    text = asked["text"]
    request, diagnostics = PromptRequest.from_text(text)
    lines = [one.render(text) for one in diagnostics]
    if request is None:
        return {"runs": False, "report": "\n".join(lines)}
    context = context_of(asked)
    if context.is_connected and context.family is None:
        return {"runs": None, "report": "\n".join([_NOT_KNOWN, *lines])}
    request, context, origins = _with_pictures(request, context)
    explained = explain(request, context.resolver, context.options, context.family)
    return {
        "runs": explained.runs,
        "report": "\n".join(filter(None, [explained.text, origins, *lines])),
    }


def _with_pictures(request: PromptRequest, context: Context) -> tuple[PromptRequest, Context, str]:
    """Return the request without pictures that a run would fetch, these as sockets, and where they
    come from.
    """
    given = {name: Socket(name) for name in PICTURES if getattr(context.options, name)}
    to_be_had = pictures_to_load(request, given, run_pictures().settings_file)
    sockets = {name: Socket(name) for name in to_be_had}
    changed = replace(context, options=replace(context.options, **sockets))
    return without_pictures(request, to_be_had), changed, picture_origins(to_be_had)


def names_missing(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return diagnostics of what `text` names and is not here: tags, and roles of what it asks for
    as far as the family of the model is known.
    """
    text, context = asked["text"], context_of(asked)
    found = tag_problems(text, context.resolver, context.family)
    request, _ = PromptRequest.from_text(text)
    if request is not None and context.family is not None:
        request, context, _ = _with_pictures(request, context)
        drafted = drafted_for(request, context.resolver, context.options, context.family)
        missing = () if isinstance(drafted, Missing) else drafted.missing
        found += role_problems(text, missing)
    units = Utf16(text)
    entries = [diagnostic_entry(one.diagnostic, units, one.bind_key) for one in found]
    # A line below the prompt is short, and its reader may sit at another machine.
    return {"diagnostics": [{**one, "message": without_folders(one["message"])} for one in entries]}
