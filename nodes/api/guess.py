"""The file at hand that a base tune of the service's gallery, or a role, most likely stands
for, by the names under which they are published.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..families.family import BASES, FAMILIES, Family, variant_of


@dataclass(frozen=True)
class _BaseField:
    """A field of a base: the model folder of its file, and what its name has in it, or has not."""

    folder: str
    name: re.Pattern[str]
    without: re.Pattern[str] = re.compile(r"(?!)")
    is_needed: bool = True


def _like(folder: str, name: str, without: str = "(?!)", is_needed: bool = True) -> _BaseField:
    return _BaseField(
        folder, re.compile(name, re.IGNORECASE), re.compile(without, re.IGNORECASE), is_needed
    )


_OTHER_FLUX = r"fill|kontext|redux|canny|depth|schnell|krea"
_FLUX_2 = r"flux[._-]?2"
_FLUX_DEV = r"(^|[/_-])flux[._-]?1?[._-]?dev|^flux1-dev"
# Base -> the ways to load it, the first whole one counts.
_BASES: Mapping[str, Sequence[Mapping[str, _BaseField]]] = {
    "690204": (
        {"checkpoint": _like("checkpoints", r"realistic[ ._-]?vision.*5[._-]?1", r"inpaint")},
    ),
    "1504944": (
        {
            "diffusion_model": _like("diffusion_models", _FLUX_DEV, _OTHER_FLUX),
            "clip_l": _like("text_encoders", r"(^|/)clip_l"),
            "t5xxl": _like("text_encoders", r"(^|/)t5[._-]?xxl"),
            "vae": _like(
                "vae", r"(^|/)(flux[._-]?)?(ae|vae)\.(safetensors|sft)$|flux.*vae", _FLUX_2
            ),
            "outpaint_model": _like("diffusion_models", r"flux.*fill", is_needed=False),
        },
        {"checkpoint": _like("checkpoints", _FLUX_DEV, _OTHER_FLUX)},
    ),
}

# Its names leave out other models of Flux.1 better than that of the published file would.
_WAYS = {**_BASES, "flux": _BASES["1504944"]}

_PUBLISHED = [name for name in BASES if FAMILIES[name].files and name not in _WAYS]
# In which order a base is guessed at where none is bound: the gallery's Flux before its older one,
# then families that are published as single files, another Flux.1 last.
ATTEMPTS = (*reversed(_BASES), *sorted(_PUBLISHED, key=lambda name: FAMILIES[name].branch in _WAYS))

_PRECISION = re.compile(r"[-_.](bf16|fp16|fp32|fp8|fp4|int8|mxfp8|nvfp4).*$", re.IGNORECASE)

# Files that serve as well: ComfyUI's templates of Flux.2 load the VAE with a smaller decoder.
_ALSO_SERVES = {"flux2-vae": ("full_encoder_small_decoder",)}


def _of_family(of: Family) -> Mapping[str, _BaseField]:
    """Return how the files of a family are called, whatever their precision."""
    others = [_stem(one.files[0].name) for one in FAMILIES.values() if one.files and one is not of]
    way = {}
    for field, file in of.published.items():
        stem = _stem(file.name)
        longer = [_spelled(other) for other in others if other != stem and stem in other]
        # A short name may be the beginning of any other, as ae is of aesthetic.
        names = "|".join(map(_spelled, (stem, *_ALSO_SERVES.get(stem, ()))))
        name = rf"(^|/)(?:{names})(?![a-z0-9])"
        way[field] = _like(file.folder, name, "|".join(longer) or "(?!)")
    return way


def _spelled(stem: str) -> str:
    """Return a pattern of a name however its words are parted."""
    words = re.findall(r"[a-z]+|[0-9]+", stem, re.IGNORECASE)
    return "[ ._-]?".join(map(re.escape, words))


def _stem(name: str) -> str:
    return _PRECISION.sub("", name.rpartition(".")[0])


def _ways(base: str) -> Sequence[Mapping[str, _BaseField]]:
    if base in _WAYS:
        return _WAYS[base]
    return (_of_family(FAMILIES[base]),) if base in BASES and FAMILIES[base].files else ()


def guessed(base: str, files: Callable[[str], Sequence[str]]) -> Mapping[str, str]:
    """Return field -> file for a base of the gallery, or one called like its family; empty where a
    needed file is not there.

    `files` lists a model folder.
    """
    for way in _ways(base):
        found = {
            field: _best(wanted, _of_variant(base, field, files(wanted.folder)))
            for field, wanted in way.items()
        }
        if all(found[field] for field, wanted in way.items() if wanted.is_needed):
            return {field: name for field, name in found.items() if name}
    return {}


def _of_variant(base: str, field: str, names: Sequence[str]) -> Sequence[str]:
    """Return the names that are not those of another variant than the base called like a family."""
    if field != "diffusion_model" or base not in FAMILIES:
        return names
    several = [one for one in FAMILIES.values() if one.host == FAMILIES[base].host]
    return [name for name in names if variant_of(several, name)[0].name == base]


def _best(wanted: _BaseField, names: Sequence[str]) -> str:
    """Return the plainest name that fits: variants have longer ones."""
    portable = [name.replace("\\", "/") for name in names]
    fitting = [
        name for name in portable if wanted.name.search(name) and not wanted.without.search(name)
    ]
    return min(fitting, key=lambda name: (len(name), name), default="")


_CONTROLS = {
    "pose": "openpose",
    "canny": "canny",
    "depth": "depth",
    "lineart": "lineart",
    "hed": "softedge|hed",
    "mlsd": "mlsd",
    "segroom": "seg",
}
_UNIONS = ("controlnet_union", "control_patch")
_ANY = ""  # family of what serves all of them
_XL = r"sdxl|[_-]xl"


def _controlnet(word: str) -> Mapping[str, str]:
    return {
        "sd15": f"sd15.*({word})",
        "sdxl": f"({_XL}).*({word})|({word}).*({_XL})",
        "flux": rf"flux(?![._-]?2).*({word})",
    }


# Role -> family that the model is made for -> what its published name has in it.
ROLE_NAMES: Mapping[str, Mapping[str, str]] = {
    "upscaler": {_ANY: r"(^|/)4x|x4plus"},
    **{
        f"controlnet_{kind}": _controlnet(word)
        for kind, word in {**_CONTROLS, "tile": "tile", "qr": "qr"}.items()
    },
    "controlnet_union": _controlnet("union"),
    # Its first version has no number, and takes no masked picture.
    "control_patch": {"zimage": r"z[-_]?image.*fun.*control.*union[-_. ]?\d"},
    "pose_estimator": {_ANY: "sdpose"},
    "depth_estimator": {_ANY: r"depth_anything_3"},
    "background_removal": {_ANY: "birefnet"},
    "sam3": {_ANY: r"(^|/)sam3"},
    "grounding_dino": {_ANY: "grounding-?dino"},
    "sam": {_ANY: r"(^|/)sam_(vit|hq)"},
    "clipseg": {_ANY: "clipseg"},
    "face_analysis": {_ANY: "^buffalo_l$"},
    "face_detector": {_ANY: "mediapipe_face"},
    "face_analysis_pulid": {_ANY: "^antelopev2$"},
    "faceid": {
        "sd15": r"ip-adapter-faceid(-plus(v2)?)?_sd15\.",
        "sdxl": r"ip-adapter-faceid(-plusv2)?_sdxl\.",
        "flux": r"pulid_flux(?![._-]?2)",
    },
    "faceid_portrait": {"sd15": "faceid-portrait.*sd15", "sdxl": "faceid-portrait.*sdxl"},
    "clip_vision": {"sd15": "clip-vit-h", "sdxl": "clip-vit-h"},
    "eva_clip": {_ANY: "eva02_clip_l_336"},
    "face_parsing": {_ANY: "parsing_bisenet"},
    "face_restorer": {_ANY: "gfpgan|codeformer|restoreformer"},
    "face_swapper": {_ANY: "inswapper"},
}
# What is missing -> the roles that may stand in, the first that is there counts; what is missing
# with several names needs all of one line.
_INSTEAD: Mapping[str, Sequence[Sequence[str]]] = {
    "segmenter": (("sam3",), ("grounding_dino", "sam"), ("clipseg",), ("background_removal",)),
    "faceid": (("faceid", "clip_vision"), ("faceid",)),
    "face_analysis": (("face_analysis",), ("face_detector",)),
    **{
        f"controlnet_{kind}": ((f"controlnet_{kind}",), ("controlnet_union",))
        for kind in (*_CONTROLS, "tile")
    },
}


def guessed_roles(
    missing: str, family: str, files: Callable[[str], Sequence[str]]
) -> Mapping[str, str]:
    """Return bindings key -> file for a role that a plan misses, empty where nothing fits.

    `files` lists what is there for a role.

    A key has the family before the role, sdxl.controlnet_pose, where the model is made for that
    family.
    """
    for line in _INSTEAD.get(missing, ((missing,),)):
        found = [_role(role, family, files) for role in line]
        if all(found):
            return dict(one for one in found if one)
    return {}


def _role(role: str, family: str, files: Callable[[str], Sequence[str]]) -> tuple[str, str] | None:
    names = ROLE_NAMES.get(role, {})
    made_for = family if family in names else _ANY
    if made_for not in names:
        return None
    without = "(?!)" if role in _UNIONS else "union"
    file = _best(_like("", names[made_for], without), files(role))
    return (f"{made_for}.{role}" if made_for else role, file) if file else None
