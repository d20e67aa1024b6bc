"""Reads FaceID adapter files.

Which kind one is, and that each weight is there with the shape it must have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from ..faces.face import EMBEDDING_SIZE, W600K_PACKS
from .errors import FaceIDError
from .ipadapter import (
    HEAD,
    KINDS,
    Adapter,
    AdapterKind,
    AdapterName,
    Weights,
    mlp_shapes,
    perceiver_shapes,
)

PROJECTIONS = ("q", "k", "v", "out")
FileKind = Literal[AdapterName, "pulid"]
AUTO = "auto"
PULID: FileKind = "pulid"
PLUS: tuple[FileKind, ...] = ("plus", "plusv2")
PORTRAIT: FileKind = "portrait"
# The parts of a file. Some training scripts write the second by another name.
PROJECTION, LAYERS, LAYERS_TOO = "image_proj", "ip_adapter", "adapter_modules"
PUBLISHED = "https://huggingface.co/h94/IP-Adapter-FaceID"
# In a file's metadata: the pack whose embeddings the adapter learned faces from.
RECOGNISER = "recogniser"


def sections(state: Mapping[str, Tensor | Mapping[str, Tensor]]) -> tuple[Weights, Weights]:
    """Return the weights of a file's two parts, whether it holds them as dicts or by a prefix of
    each name; empty where a part is missing.
    """
    found: dict[str, dict[str, Tensor]] = {PROJECTION: {}, LAYERS: {}}
    for name, value in state.items():
        part, _, rest = name.partition(".")
        part = LAYERS if part == LAYERS_TOO else part
        if part in found:
            found[part].update(value if isinstance(value, Mapping) else {rest: value})
    return found[PROJECTION], found[LAYERS]


def kind_of(
    state: Mapping[str, Tensor | Mapping[str, Tensor]], name: str, asked: str = AUTO
) -> FileKind:
    """Return which of KINDS, or PULID, the file is.

    Asked for a portrait, it may be the unnorm one: the weights tell these apart.

    Raises: FaceIDError for another kind of file, one that is not what was asked for, and one that
    could be two kinds.
    """
    if any(
        key.startswith(("pulid_ca.", "pulid_encoder.")) or key in ("pulid_ca", "pulid_encoder")
        for key in state
    ):
        candidates: tuple[FileKind, ...] = (PULID,)
    else:
        candidates = _candidates(*sections(state), name)
    if asked == PORTRAIT and candidates[0].startswith(PORTRAIT):
        return candidates[0]
    if asked != AUTO:
        if asked not in candidates:
            raise FaceIDError(
                f"The adapter '{name}' is set to be {asked}; its weights are those of"
                f" {' or '.join(candidates)}.",
                code="faceid-kind",
                hint="Set kind to auto, or choose another file.",
            )
        return asked
    if candidates == PLUS:
        return _plus(name)
    return candidates[0]


def _candidates(projection: Weights, layers: Weights, name: str) -> tuple[FileKind, ...]:
    if "perceiver_resampler.proj_in.weight" in projection:
        return PLUS
    if (
        "latents" in projection
        and projection.get("proj_in.weight", projection["latents"]).shape[-1] == EMBEDDING_SIZE
    ):
        return ("portrait_unnorm",)
    if (
        "proj.0.weight" in projection
        and "norm.weight" in projection
        and projection["proj.0.weight"].shape[-1] == EMBEDDING_SIZE
    ):
        return ("faceid",) if any("_lora." in key for key in layers) else ("portrait",)
    if not projection and not layers:
        what = "it has neither image_proj nor ip_adapter"
    elif "proj.weight" in projection or "latents" in projection or "proj.3.weight" in projection:
        what = "it is an IP-Adapter for pictures, which reads no face embedding"
    else:
        what = f"its image_proj holds {_listed(sorted(projection)) or 'nothing'}"
    raise FaceIDError(
        f"The file '{name}' is not a FaceID adapter: {what}.",
        code="faceid-file",
        hint=f"IP-Adapter FaceID files are published at {PUBLISHED}.",
    )


def _plus(name: str) -> FileKind:
    """Return which of the two it is: they hold the same weights and are used differently."""
    plain = re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].rpartition("\\")[2].lower())
    if "plusv2" in plain:
        return "plusv2"
    if "plus" in plain:
        return "plus"
    raise FaceIDError(
        f"The adapter '{name}' is a FaceID Plus or a FaceID PlusV2; their weights look alike, and"
        " the file's name does not say which.",
        code="faceid-ambiguous",
        hint="Set kind to plus or plusv2, or give the file its published name.",
    )


def read_adapter(
    state: Mapping[str, Tensor | Mapping[str, Tensor]],
    name: str,
    kind: AdapterName,
    metadata: Mapping[str, str] | None = None,
) -> Adapter:
    """Return the adapter in a file's weights. `kind` is one of KINDS.

    It reads faces of the pack that the file's metadata names, as "recogniser"; published files name
    none and read those of buffalo_l.
    Raises: FaceIDError naming the weights that are missing, too many or of another shape.
    """
    projection, layers = sections(state)
    what = KINDS[kind]
    for part, weights in ((PROJECTION, projection), (LAYERS, layers)):
        if not weights:
            raise _damaged(name, f"it has no {part}")
    count = 1 + max(
        (int(key.partition(".")[0]) for key in layers if key.partition(".")[0].isdigit()),
        default=-1,
    )
    _check(
        name,
        LAYERS,
        layers,
        {f"{number}.to_k_ip.weight": (None, None) for number in range(1, count, 2)},
        partly=True,
    )
    _check(name, PROJECTION, projection, _projection_shapes(what, projection, name))
    width = _output_width(what, projection)
    _check(name, LAYERS, layers, _layer_shapes(what, layers, count, width, name))
    pairs = tuple(
        (layers[f"{number}.to_k_ip.weight"], layers[f"{number}.to_v_ip.weight"])
        for number in range(1, count, 2)
    )
    return Adapter(
        name,
        what,
        dict(projection),
        pairs,
        {key: value for key, value in layers.items() if "_lora." in key},
        (metadata[RECOGNISER],) if RECOGNISER in (metadata or {}) else W600K_PACKS,
    )


def _output_width(kind: AdapterKind, projection: Weights) -> int:
    return projection["norm_out.weight" if kind.structure == "resampler" else "norm.weight"].shape[
        0
    ]


def _projection_shapes(
    kind: AdapterKind, projection: Weights, name: str
) -> dict[str, tuple[int, ...]]:
    if kind.structure == "resampler":
        _, tokens, width = _shape(projection, "latents", 3, name)
        (output,) = _shape(projection, "norm_out.weight", 1, name)
        return {
            "latents": (1, tokens, width),
            **perceiver_shapes("", width, output, EMBEDDING_SIZE),
        }
    (width,) = _shape(projection, "norm.weight", 1, name)
    rows, hidden = _shape(projection, "proj.2.weight", 2, name)
    shapes = mlp_shapes(width, max(rows // width, 1), hidden, EMBEDDING_SIZE)
    if kind.structure == "perceiver":
        _, seen = _shape(projection, "perceiver_resampler.proj_in.weight", 2, name)
        if width % HEAD:
            raise _damaged(
                name, f"its tokens have {width} channels, which heads of {HEAD} do not divide"
            )
        shapes |= perceiver_shapes("perceiver_resampler.", width, width, seen)
    return shapes


def _layer_shapes(
    kind: AdapterKind, layers: Weights, count: int, width: int, name: str
) -> dict[str, tuple[int, ...]]:
    """Odd numbers are cross-attentions, the even one before each the self-attention of the same
    block.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(1, count, 2):
        hidden, _ = _shape(layers, f"{number}.to_k_ip.weight", 2, name)
        shapes |= {f"{number}.to_{part}_ip.weight": (hidden, width) for part in "kv"}
        if kind.lora:
            rank, _ = _shape(layers, f"{number}.to_q_lora.down.weight", 2, name)
            for layer, seen in ((number - 1, hidden), (number, width)):
                for part in PROJECTIONS:
                    inputs = seen if part in ("k", "v") else hidden
                    shapes |= {
                        f"{layer}.to_{part}_lora.down.weight": (rank, inputs),
                        f"{layer}.to_{part}_lora.up.weight": (hidden, rank),
                    }
    return shapes


def _shape(weights: Weights, key: str, dimensions: int, name: str) -> Sequence[int]:
    """The shape of a weight from which others follow."""
    value = weights.get(key)
    if value is None:
        raise _damaged(name, f"{key} is missing")
    if value.ndim != dimensions:
        raise _damaged(
            name, f"{key} has the shape {tuple(value.shape)}, expected {dimensions} dimensions"
        )
    return value.shape


def _check(
    name: str,
    part: str,
    weights: Weights,
    shapes: Mapping[str, tuple[int | None, ...]],
    *,
    partly: bool = False,
) -> None:
    """Raise where weights are missing, of another shape, or, unless the shapes are only some of the
    part's, too many.
    """
    missing = sorted(set(shapes) - set(weights))
    if missing:
        raise _damaged(name, f"{part} lacks {_listed(missing)}")
    for key, shape in shapes.items():
        if not partly and tuple(weights[key].shape) != shape:
            raise _damaged(
                name, f"{part}.{key} has the shape {tuple(weights[key].shape)}, expected {shape}"
            )
    unknown = [] if partly else sorted(set(weights) - set(shapes))
    if unknown:
        raise _damaged(name, f"{part} holds {_listed(unknown)}, which belong to no layer")


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _damaged(name: str, what: str) -> FaceIDError:
    return FaceIDError(
        f"The adapter '{name}' is damaged or of an unknown make: {what}.",
        code="faceid-damaged",
        hint=f"Get the file again, from {PUBLISHED}, and compare its size with the published one.",
    )
