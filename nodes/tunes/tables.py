"""The vocabulary of the bindings: known bases, roles, the fields of a base, and their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

from ..families import family as families
from ..graph.model_files import WEIGHT_ENDINGS
from .names import close_names, name_problem, shown
from .syntax import BASE_ID

BRANCHES = families.BRANCHES
FAMILIES = families.BASES


@dataclass(frozen=True)
class KnownBase:
    """A base whose family is known by its id, such as those of the service's gallery."""

    title: str
    family: str


_GALLERY: Mapping[str, KnownBase] = {
    "690204": KnownBase("Realistic Vision v5.1", "sd15"),
    "1504944": KnownBase("Flux1.dev", "flux"),
}
_IN_GALLERY = {one.family for one in _GALLERY.values()}
KNOWN_BASES: Mapping[str, KnownBase] = {
    **_GALLERY,
    # Other families that are published as single files, under their own names.
    **{
        name: KnownBase(families.FAMILIES[name].title, name)
        for name in FAMILIES
        if families.FAMILIES[name].files and name not in _IN_GALLERY
    },
}


@dataclass(frozen=True)
class Role:
    """A model that a stage needs beside MODEL, CLIP and VAE."""

    folders: tuple[str, ...]  # keys of the host's model folders, searched in this order
    purpose: str
    # The model is a folder of files, and stands below this one ("" for the model folder itself).
    below: str | None = None
    # How the names of files end that its node reads, of a folder one that must stand in it; () for
    # every file that the host lists.
    endings: tuple[str, ...] = ()
    is_flat: bool = False  # the file stands in the model folder itself
    published: str = ""  # name of the file that most take, where it serves every family

    def takes(self, name: str) -> bool:
        """Return whether a listed file can be the model, or stands where it makes a folder one.

        `name` is as the host lists it, with either kind of slash.
        """
        parts = name.replace("\\", "/").split("/")
        if self.below is not None:
            start = [self.below] if self.below else []
            if parts[: len(start)] != start or len(parts) != len(start) + 2:
                return False
        if self.is_flat and len(parts) > 1:
            return False
        return not self.endings or f"/{parts[-1].lower()}".endswith(self.endings)


# What the loaders of this pack read, and what a model of a library consists of.
_PACK = (".onnx",)
_TRANSFORMERS = ("/config.json",)


def _controlnet(kind: str, also: str = "") -> Role:
    return Role(("controlnet",), f"controlnet={kind}{also}")


# A bindings key may put a family before a role, sdxl.controlnet_pose, for a model that is made for
# that family.
ROLES: Mapping[str, Role] = {
    "upscaler": Role(
        ("upscale_models",),
        "super-resolution and hires fix",
        published="4x-UltraSharp.pth",
    ),
    "controlnet_pose": _controlnet("pose", " and the constant pose of people"),
    "controlnet_canny": _controlnet("canny"),
    "controlnet_depth": _controlnet("depth"),
    "controlnet_lineart": _controlnet("lineart"),
    "controlnet_hed": _controlnet("hed"),
    "controlnet_mlsd": _controlnet("mlsd"),
    "controlnet_segroom": _controlnet("segroom"),
    "controlnet_tile": _controlnet("tile", " and --tiled_upscale_v2"),
    "controlnet_qr": _controlnet("qr"),
    "controlnet_union": Role(("controlnet",), "one ControlNet that knows every kind"),
    "control_patch": Role(
        ("model_patches",),
        "one ControlNet that is a patch of the model, and inpaints: Z-Image's Fun ControlNet Union",
        published="Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors",
    ),
    "pose_estimator": Role(
        ("checkpoints",),
        "the pose of an input image, for controlnet=pose: SDPose",
        published="sdpose_wholebody_fp16.safetensors",
    ),
    "depth_estimator": Role(
        ("geometry_estimation",),
        "the depth map of an input image, for controlnet=depth: Depth Anything 3",
        published="depth_anything_3_mono_large.safetensors",
    ),
    "background_removal": Role(
        ("background_removal",),
        "--remove_background, and the mask word foreground: BiRefNet",
        endings=WEIGHT_ENDINGS,
        published="birefnet.safetensors",
    ),
    "sam3": Role(
        ("checkpoints",),
        "mask words: SAM3",
        endings=WEIGHT_ENDINGS,
        published="sam3.1_multiplex_fp16.safetensors",
    ),
    "grounding_dino": Role(
        ("grounding-dino",), "mask words, with sam: GroundingDINO", below="", endings=_TRANSFORMERS
    ),
    "sam": Role(
        ("sams",), "mask words, with grounding_dino: Segment Anything", endings=WEIGHT_ENDINGS
    ),
    "clipseg": Role(("clipseg",), "mask words: CLIPSeg", below="", endings=_TRANSFORMERS),
    "face_analysis": Role(
        ("insightface",),
        "finding and telling apart faces: the buffalo_l pack",
        below="models",
        endings=_PACK,
    ),
    "face_detector": Role(
        ("detection",),
        "finding the faces of a picture, alone or beside face_analysis: MediaPipe",
        published="mediapipe_face_fp32.safetensors",
    ),
    "face_analysis_pulid": Role(
        ("insightface",),
        "<faceid:...> on Flux: the antelopev2 pack",
        below="models",
        endings=_PACK,
    ),
    "faceid": Role(
        ("ipadapter", "pulid"),
        "<faceid:...>: an IP-Adapter FaceID of the model's family, PuLID on Flux",
        endings=WEIGHT_ENDINGS,
    ),
    "faceid_portrait": Role(
        ("ipadapter",), "<faceid:...> with --faceid_portrait", endings=WEIGHT_ENDINGS
    ),
    "clip_vision": Role(("clip_vision",), "IP-Adapter FaceID Plus: CLIP-ViT-H"),
    "eva_clip": Role(
        ("clip_vision",),
        "PuLID: EVA02-CLIP-L-336",
        endings=WEIGHT_ENDINGS,
        published="EVA02_CLIP_L_336_psz14_s6B.pt",
    ),
    "face_parsing": Role(
        ("facedetection",),
        "face parsing: PuLID, and what a swap or correction keeps",
        endings=WEIGHT_ENDINGS,
        published="parsing_bisenet.pth",
    ),
    "face_restorer": Role(
        ("upscale_models",),
        "face_correct: GFPGAN and others",
        published="GFPGANv1.4.pth",
    ),
    "face_swapper": Role(
        ("insightface",), "face_swap: inswapper_128.onnx", endings=_PACK, is_flat=True
    ),
}


def is_role(key: str) -> bool:
    """Return whether `key` is a role, or one with the family that it is bound for before it.

    sdxl.controlnet_pose.
    """
    family, dot, role = key.rpartition(".")
    return role in ROLES and (not dot or family in BRANCHES)


@dataclass(frozen=True)
class BaseModel:
    """The model of a base tune.

    One checkpoint, or a diffusion model with its text encoders and VAE.
    """

    family: str
    checkpoint: str | None = None
    diffusion_model: str | None = None
    clip_l: str | None = None
    t5xxl: str | None = None
    text_encoder: str | None = None  # of families with a single one
    vae: str | None = None
    outpaint_model: str | None = None  # inpainting model of the same family, e.g. Flux Fill
    # "yes": T5 reads the text alone, without the padding behind it (Flux).
    trim_padding: str | None = None
    native_size: str | None = None  # pixels, where it is not the family's

    def facts(self) -> families.Family:
        """Return what is known of its family, with its own native size where it has one."""
        of = families.FAMILIES[self.family]
        return replace(of, native_size=int(self.native_size)) if self.native_size else of


BASE_FIELDS = tuple(item.name for item in fields(BaseModel))
YES_NO = ("yes", "no")
# Of native sizes: what every family can paint, and sizes of an aspect ratio go by an eighth of it.
NATIVE_SIZES = range(128, 4097, 16)
# What a diffusion_model needs beside it.
SPLIT_FILES: Mapping[str, tuple[str, ...]] = {
    name: (*families.FAMILIES[name].text.files, "vae")
    for name in FAMILIES
    if families.FAMILIES[name].text.files
}
_ENCODERS = ("clip_l", "t5xxl", "text_encoder")


def main_field(family: str) -> str:
    """Return the field of a base that names its model, as the family is published."""
    return "diffusion_model" if families.FAMILIES[family].files else "checkpoint"


def base_problem(base: BaseModel) -> str | None:
    """Return the contradiction in `base`; None when there is none.

    Whether its files exist is the resolver's matter.
    """
    if base.checkpoint and base.diffusion_model:
        return "it names both a checkpoint and a diffusion_model; keep one"
    if beside := [name for name in (*_ENCODERS, "vae") if base.checkpoint and getattr(base, name)]:
        return f"a checkpoint brings its own text encoders and VAE; remove {', '.join(beside)}"
    if base.diffusion_model and base.family not in SPLIT_FILES:
        return f"family {base.family} is loaded from a checkpoint, not from a diffusion_model"
    fitting = SPLIT_FILES.get(base.family, ())
    if wrong := [name for name in _ENCODERS if getattr(base, name) and name not in fitting]:
        return f"family {base.family} has no {wrong[0]} text encoder; remove {wrong[0]}"
    if base.trim_padding and "t5xxl" not in fitting:
        return f"family {base.family} has no T5 whose padding could be trimmed; remove trim_padding"
    return None


def value_problem(section: str, key: str, value: str) -> str | None:
    """Return why `key = value` cannot stand in `section`, and what is expected; None if it can."""
    if section == "roles" and not is_role(key):
        return f"expected a role, not {shown(key)}.{guess(key, ROLES)} Roles: {', '.join(ROLES)}"
    if section == "defaults":
        if key != "base":
            return f"expected 'base = ID', not the key {shown(key)}"
        return (
            None if BASE_ID.fullmatch(value) else f"expected the id of a base, not {shown(value)}"
        )
    if section.startswith("base "):
        if not BASE_ID.fullmatch(section.removeprefix("base ")):
            return f"expected a tune id after 'base', not {shown(section.removeprefix('base '))}"
        if key not in BASE_FIELDS:
            return (
                f"expected a field of a base, not {shown(key)}.{guess(key, BASE_FIELDS)} Fields:"
                f" {', '.join(BASE_FIELDS)}"
            )
        if key == "family":
            return (
                None if value in FAMILIES else f"expected {', '.join(FAMILIES)}, not {shown(value)}"
            )
        if key == "trim_padding":
            return (
                None if value in YES_NO else f"expected {' or '.join(YES_NO)}, not {shown(value)}"
            )
        if key == "native_size":
            return _native_problem(value)
    if section == "tunes" and (problem := name_problem(key) or _key_problem(key)):
        return f"expected a tune id or the name in a LoRA tag, not {shown(key)}: {problem}"
    if " # " in value:
        return (
            f"expected a file name alone, not {shown(value)}; a comment stands on a line of its own"
        )
    problem = name_problem(value)
    return (
        f"expected a file name below the model folder, not {shown(value)}: {problem}"
        if problem
        else None
    )


def _native_problem(value: str) -> str | None:
    if re.fullmatch("[0-9]{3,4}", value) and int(value) in NATIVE_SIZES:
        return None
    return (
        f"expected pixels from {NATIVE_SIZES[0]} to {NATIVE_SIZES[-1]} in multiples of"
        f" {NATIVE_SIZES.step}, not {shown(value)}"
    )


def _key_problem(key: str) -> str | None:
    bad = re.search(r"[=:<>#\[\]]", key)
    return f"it holds {bad[0]!r}" if bad else None


def guess(key: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest of `known`, "" when none comes close."""
    close = close_names(key, list(known))
    return f" Did you mean {close[0]!r}?" if close else ""


def base_title(id: str) -> str:
    """Return the id with the name of the base that the service has under it."""
    known = KNOWN_BASES.get(id)
    return f"{id} ({known.title}, {known.family})" if known else id


def incomplete(base: BaseModel) -> str | None:
    """Return the field that a base lacks to be loaded, in words; None when it is whole."""
    if base.checkpoint:
        return None
    if not base.diffusion_model:
        return "it names neither a checkpoint nor a diffusion_model"
    absent = [name for name in SPLIT_FILES[base.family] if not getattr(base, name)]
    return f"its diffusion_model needs {', '.join(absent)} as well" if absent else None
