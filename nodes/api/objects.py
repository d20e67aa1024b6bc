"""The objects that the API answers with: the service's keys, in its order and formats."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

ROOT = "/astria"
# Attributes of a prompt that its object shows, with what stands there when they were not sent.
SHOWN: Mapping[str, Any] = {
    "text": "",
    "negative_prompt": None,
    "cfg_scale": None,
    "steps": None,
    "seed": None,
    "num_images": None,
    "scheduler": None,
    "w": None,
    "h": None,
    "ar": None,
    "aspect_ratio": None,
    "style": None,
    "color_grading": None,
    "film_grain": False,
    "super_resolution": False,
    "hires_fix": False,
    "inpaint_faces": False,
    "face_correct": False,
    "face_swap": False,
    "use_lpw": None,
    "controlnet": None,
    "controlnet_conditioning_scale": None,
    "controlnet_txt2img": False,
    "denoising_strength": None,
    "backend_version": None,
}
WHOLE = {"steps", "seed", "num_images", "w", "h"}
NUMBERS = {"cfg_scale", "denoising_strength", "controlnet_conditioning_scale"}


def tune_object(
    tune: Mapping[str, Any], origin: str, notices: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a stored tune's object with whole addresses.

    `notices`, where there are some, tell its maker what was noticed.
    """
    photos = [
        f"{origin}{ROOT}/tunes/{tune['id']}/images/{urllib.parse.quote(name)}"
        for name in tune["orig_images"]
    ]
    answer = {**tune, "url": f"{origin}{ROOT}{tune['url']}", "orig_images": photos}
    return {**answer, "notices": list(notices)} if notices else answer


def prompt_object(told: Mapping[str, Any], sent: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return a prompt's object.

    `told` holds id, tune_id, callback, times, images, notices and user_error, `sent` the
    attributes.
    """
    shown = {key: _typed(key, sent.get(key), default) for key, default in SHOWN.items()}
    tune_id = told["tune_id"]
    return {
        "id": told["id"],
        "callback": told["callback"],
        "trained_at": told["trained_at"],
        "started_training_at": told["started_training_at"],
        "created_at": told["created_at"],
        "updated_at": told["updated_at"],
        "tune_id": int(tune_id) if tune_id.isdecimal() else tune_id,
        **shown,
        "url": f"{origin}{ROOT}/tunes/{tune_id}/prompts/{told['id']}.json",
        "images": [image_url(origin, image) for image in told["images"]],
        "user_error": told["user_error"],
        "notices": list(told["notices"]),
    }


def _typed(key: str, value: Any, default: Any) -> Any:
    """Return an attribute in its own type: forms send all as text.

    Values were checked when the prompt was made.
    """
    if value is None or value == "":
        return default
    if not isinstance(value, str):
        return value
    if isinstance(default, bool) or key == "use_lpw":
        return value.strip().lower() in ("true", "1")
    if key in WHOLE:
        return int(float(value))
    return float(value) if key in NUMBERS else value


def image_url(origin: str, image: Mapping[str, str]) -> str:
    """Return the address of a picture on ComfyUI's view route."""
    query = urllib.parse.urlencode({key: image[key] for key in ("filename", "subfolder", "type")})
    return f"{origin}/view?{query}"
