"""The objects that the API answers with: the service's keys, in its order and formats."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..prompt.catalog import UNSET_BY_ZERO

ROOT = "/astria"
# Attributes of a prompt that its object shows, with their values when they were not sent.
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
# Ids that a prompt is sent with and keeps: whole numbers, or null.
MOST_DIGITS = 15
KEPT_IDS = ("pack_id", "base_pack_id", "orig_prompt_id", "order_id")
PICTURES = ("input_image", "mask_image")
# Keys of the service's objects that mean nothing here: always null.
NULL_IN_PROMPT = (
    "resolution",
    "prompt_expansion",
    "theme",
    "community",
    "workspace_id",
    "cost_mc",
    "video_model",
    "video_prompt",
    "video_duration",
    "input_video",
)
NULL_IN_TUNE = (
    "callback",
    "auto_extend",
    "resolution",
    "order_id",
    "workspace_id",
    "cost_mc",
)


def tune_object(
    tune: Mapping[str, Any], origin: str, notices: Sequence[str] = ()
) -> dict[str, Any]:
    """Return a stored tune's object with whole addresses.

    What the service documents and nothing here has is null. `notices`, where there are some, tell
    its maker what was noticed.
    """
    photos = [
        f"{origin}{ROOT}/tunes/{tune['id']}/images/{urllib.parse.quote(name)}"
        for name in tune["orig_images"]
    ]
    answer = {
        **tune,
        "url": f"{origin}{ROOT}{tune['url']}",
        "orig_images": photos,
        "characteristics": tune.get("characteristics") or {},
        **{key: tune.get(key) for key in ("pack_id", "preset", "user_error")},
        **{key: tune.get(key) for key in NULL_IN_TUNE},
    }
    return {**answer, "notices": list(notices)} if notices else answer


def prompt_object(
    stored: Mapping[str, Any], sent: Mapping[str, Any], origin: str
) -> dict[str, Any]:
    """Return a prompt's object.

    `stored` holds id, tune_id, callback, times, images, notices, user_error and liked, `sent` the
    attributes.
    """
    shown = {key: _typed(key, sent.get(key), default) for key, default in SHOWN.items()}
    shown |= {key: _picture(key, sent, origin) for key in PICTURES}
    shown |= {key: _kept_id(sent.get(key)) for key in KEPT_IDS}
    shown |= {**dict.fromkeys(NULL_IN_PROMPT), "image_references": []}
    tune_id = stored["tune_id"]
    return {
        "id": stored["id"],
        "callback": stored["callback"],
        "trained_at": stored["trained_at"],
        "started_training_at": stored["started_training_at"],
        "created_at": stored["created_at"],
        "updated_at": stored["updated_at"],
        "tune_id": int(tune_id) if tune_id.isdecimal() else tune_id,
        **shown,
        "url": f"{origin}{ROOT}/tunes/{tune_id}/prompts/{stored['id']}.json",
        "images": [image_url(origin, image) for image in stored["images"]],
        "liked": stored["liked"],
        "user_error": stored["user_error"],
        "notices": list(stored["notices"]),
    }


def _typed(key: str, value: Any, default: Any) -> Any:
    """Return an attribute in its own type: forms send all as text.

    Values were checked when the prompt was made.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return default
    if key in UNSET_BY_ZERO and not str(value).strip("0."):
        return default
    if not isinstance(value, str):
        return value
    if isinstance(default, bool) or key == "use_lpw":
        return value.strip().lower() in ("true", "1")
    if key in WHOLE:
        return int(float(value))
    return float(value) if key in NUMBERS else value


def _picture(key: str, sent: Mapping[str, Any], origin: str) -> str | None:
    """Return the address of a picture that a prompt came with, None without one."""
    named = next((sent[one] for one in (key, f"{key}_url", f"{key}_base64") if sent.get(one)), None)
    if not isinstance(named, str) or named.startswith("data:"):
        return None
    if named.startswith(("http://", "https://")):
        return named
    subfolder, _, name = named.rpartition("/")
    return image_url(origin, {"filename": name, "subfolder": subfolder, "type": "input"})


def _kept_id(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def callback_body(kind: Literal["tune", "prompt"], answer: Mapping[str, Any]) -> str:
    """Return the body of a callback: an object's own keys, and the whole object again as `kind`.

    Some programs read body.prompt.images, others body.images.
    """
    return json.dumps({**answer, kind: dict(answer)}, ensure_ascii=False)


def image_url(origin: str, image: Mapping[str, str]) -> str:
    """Return the address of a picture on ComfyUI's view route."""
    query = urllib.parse.urlencode({key: image[key] for key in ("filename", "subfolder", "type")})
    return f"{origin}/view?{query}"
