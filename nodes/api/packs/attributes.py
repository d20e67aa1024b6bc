"""Packs as the API takes and tells them: stored prompts, and what tunes made by them are like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from ...net.addresses import place_of
from ...net.problems import ApiError, Problems
from ...prompt import PromptRequest
from ...tunes.names import one_id
from ...tunes.packs import NewPack, Pack, PackPrompt
from ...tunes.tune import MOCK_BRANCH, MODEL_TYPES, NewTune, iso, storable
from ..branches import BRANCHES
from ..objects import ROOT
from ..pictures.mock import PTI
from ..text_errors import text_error

MAX_PROMPTS = 200  # of one pack
MAX_CHARACTERS = 100_000  # of one prompt
MAX_ALL_CHARACTERS = 200_000  # of all prompts of a pack
MAX_TITLE = 200
EVERYBODY = "person"  # the class of packs whose prompts are for everybody
DEFAULT_TYPE = "faceid"  # what can be made of photos here
_CLASS = re.compile(r"[^\W\d][\w -]{0,39}")
_SLUG_LENGTH = 56
_ABOUT_TUNE = ("base_tune_id", "model_type", "token", "branch")
KNOWN = frozenset((*_ABOUT_TUNE, "title", "slug", "prompts_attributes"))
# Attributes of a request to make a tune by a pack that are about its prompts, not the tune.
ABOUT_PROMPTS = frozenset(("prompt_attributes", "prompt_ids", "tune_ids", "prompts_callback"))


def new_pack(sent: Mapping[str, Any], problems: Problems) -> NewPack | None:
    """Return the pack that attributes describe; what is wrong with them is noted in `problems`."""
    about = pack_tune(sent, problems)
    title = sent.get("title")
    if not is_title(title):
        text = f"a pack needs a title of at most {MAX_TITLE} characters"
        problems.note(ApiError(text, code="pack-title", hint="Send pack[title]."), "title")
    listed = sent.get("prompts_attributes")
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_PROMPTS:
        text = f"prompts_attributes is no list of 1 to {MAX_PROMPTS} prompts"
        hint = "Write pack[prompts_attributes][0][text], or JSON with a list of objects."
        problems.note(ApiError(text, code="pack-prompts", hint=hint), "prompts_attributes")
        return None
    prompts = []
    for number, one in enumerate(listed):
        with problems.noting(f"prompts_attributes[{number}]"):
            prompts.append(pack_prompt(one))
    if (length := characters_of(prompts)) > MAX_ALL_CHARACTERS:
        text = f"the prompts have {length} characters; expected at most {MAX_ALL_CHARACTERS}"
        problems.note(ApiError(text, code="too-large", status=413), "prompts_attributes")
    slug = sent.get("slug")
    if slug not in (None, "") and not isinstance(slug, str):
        problems.note(ApiError("slug is no text", code="bad-field"), "slug")
        return None
    slug = slug_of(slug or str(title))
    return None if problems else NewPack(slug, str(title).strip(), about, tuple(prompts))


def is_title(text: Any) -> bool:
    """Say whether a value can be the title of a pack."""
    return isinstance(text, str) and 0 < len(text.strip()) <= MAX_TITLE and storable(text)


def pack_tune(sent: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Return the attributes of tunes made by a pack; what is wrong is noted in `problems`."""
    about = {key: sent[key] for key in _ABOUT_TUNE if sent.get(key) not in (None, "")}
    about.setdefault("model_type", DEFAULT_TYPE)
    branches = (*BRANCHES, MOCK_BRANCH)
    for key, known in (("model_type", (*MODEL_TYPES, PTI)), ("branch", branches)):
        if key in about and about[key] not in known:
            text = f"{key} is {about[key]!r}; expected {', '.join(known)}"[:300]
            problems.note(ApiError(text, code="bad-field"), key)
    base = str(about.get("base_tune_id", "0"))
    if not re.fullmatch(r"[0-9]{1,15}", base, re.ASCII):
        text = f"base_tune_id is {base!r}; expected a whole number"[:300]
        problems.note(ApiError(text, code="bad-field"), "base_tune_id")
    elif "base_tune_id" in about:
        about["base_tune_id"] = int(base)
    token = about.get("token", "")
    if not isinstance(token, str) or len(token) > MAX_TITLE or not storable(token):
        problems.note(ApiError("token is no short text", code="bad-field"), "token")
    return about


def pack_prompt(one: Any) -> PackPrompt:
    """Return a prompt of a pack.

    Raises: ApiError with everything that is wrong in its texts. Placeholders are text here: what
    they stand for is known with the tune.
    """
    if not isinstance(one, dict):
        raise ApiError(
            "it is no object", code="bad-field", hint='Write {"text": "...", "class_name": "man"}.'
        )
    fields = {key: value for key, value in one.items() if value not in (None, "")}
    name = fields.pop("class_name", "")
    if name and not (isinstance(name, str) and _CLASS.fullmatch(name)):
        text = f"class_name is {name!r}; expected a word such as man"[:300]
        raise ApiError(text, code="bad-field")
    if any(not isinstance(value, str | int | float) for value in fields.values()):
        raise ApiError(
            "a prompt of a pack holds texts, numbers, true and false only",
            code="bad-field",
            hint="Give a picture as input_image_url.",
        )
    if not all(storable(f"{key}{value}") for key, value in fields.items()):
        raise ApiError("a prompt of a pack holds Unicode text only", code="bad-field")
    if (length := characters_of([PackPrompt(fields)])) > MAX_CHARACTERS:
        text = f"it has {length} characters; expected at most {MAX_CHARACTERS}"
        raise ApiError(text, code="too-large", status=413)
    if not isinstance(fields.get("text"), str):
        raise ApiError("a prompt of a pack needs a text", code="missing-text")
    if "callback" in fields:
        place_of(str(fields["callback"]))  # refused now, and not once a run has ended
    own = {key: value for key, value in fields.items() if key != "callback"}
    request, diagnostics = PromptRequest.from_fields(own)
    if request is None:
        raise text_error([one for one in diagnostics if one.severity == "error"])
    return PackPrompt(fields, name)


def characters_of(prompts: Sequence[PackPrompt]) -> int:
    """Return the characters of the attributes of prompts."""
    return sum(len(key) + len(str(value)) for one in prompts for key, value in one.fields.items())


def slug_of(title: str) -> str:
    """Return the word by which addresses name a pack: small letters, digits and hyphens."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LENGTH].strip("-")
    return slug if re.search(r"[a-z]", slug) else f"pack-{slug}".strip("-")


def classes_of(pack: Pack) -> list[str]:
    """Return the classes that a pack has prompts for; that of everybody where there is no other."""
    named = dict.fromkeys(one.class_name for one in pack.prompts if one.class_name)
    return list(named) or ([EVERYBODY] if pack.prompts else [])


def prompts_for(pack: Pack, class_name: str | None, ids: Sequence[Any]) -> list[PackPrompt]:
    """Return the prompts of a pack for a class, those of `ids` where some are given.

    Raises: ApiError for a class or an id that the pack does not have.
    """
    known = {str(one.id): one for one in pack.prompts}
    wanted = {one_id(str(one)): str(one) for one in ids}
    if absent := [sent for id, sent in wanted.items() if id not in known]:
        text = f"pack {pack.slug} has no prompt {absent[0]!r}"[:300]
        raise ApiError(text, code="pack-prompts", hint=f"It has {', '.join(known)}."[:300])
    chosen = [known[id] for id in wanted] or list(pack.prompts)
    fitting = [one for one in chosen if one.class_name in ("", class_name)]
    if not fitting:
        asked = "no class" if class_name is None else repr(class_name)
        text = f"pack {pack.slug} has no prompts for {asked}"[:300]
        hint = f"Send tune[name], one of: {', '.join(classes_of(pack))}."
        raise ApiError(text, code="pack-class", hint=hint)
    return fitting


def with_own_tag(fields: Mapping[str, Any], model_type: str | None) -> dict[str, Any]:
    """Return a prompt's attributes with {{tune}} before a text that does not say where it stands.

    A checkpoint needs no tag.
    """
    text = str(fields["text"])
    if model_type not in ("lora", "faceid", PTI) or re.search(r"\{\{[ \t]*tune[ \t]*\}\}", text):
        return dict(fields)
    return {**fields, "text": f"{{{{tune}}}} {text}"}


def asked_prompts(
    pack: Pack, sent: Mapping[str, Any], class_name: str | None, model_type: str | None
) -> list[dict[str, Any]]:
    """Return the attributes of the pack's prompts for one tune, with what the request adds to each.

    Raises: ApiError.
    """
    more = sent.get("prompt_attributes") or {}
    ids = sent.get("prompt_ids") or []
    if not isinstance(more, dict):
        raise ApiError(
            "prompt_attributes is no object",
            code="bad-field",
            hint="Write tune[prompt_attributes][callback]=ADDRESS.",
        )
    more = {key: value for key, value in more.items() if value is not None}
    if not isinstance(more.get("text", ""), str):
        text = f"prompt_attributes[text] is {more['text']!r}; expected a text"[:300]
        raise ApiError(text, code="bad-field", hint="Leave it out to keep the pack's texts.")
    chosen = prompts_for(pack, class_name, ids if isinstance(ids, list) else [ids])
    return [with_own_tag({**one.fields, **more}, model_type) for one in chosen]


def asked_tune(pack: Pack, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of the tune that a request makes by a pack: its own win.

    The pack's prompts are among them. Raises: ApiError, for prompts of the request's own, too.
    """
    if sent.get("prompts_attributes"):
        raise ApiError(
            "prompts_attributes has no place here: a tune made by a pack gets the pack's prompts",
            code="bad-field",
            hint="Add to those by prompt_attributes, or send prompts to the tune when it is made.",
        )
    own = {
        key: value
        for key, value in sent.items()
        if key not in ABOUT_PROMPTS and value not in (None, "")
    }
    about = {**pack.tune, **own}
    name = own.get("name")
    prompts = asked_prompts(pack, sent, name, about.get("model_type"))
    return {**about, "prompts_attributes": prompts}


def pack_object(pack: Pack, origin: str, notices: Sequence[str] = ()) -> dict[str, Any]:
    """Return a pack's object as lists show it, with the service's keys."""
    classes = {name: prompts_for(pack, name, ()) for name in classes_of(pack)}
    return {
        "id": pack.id,
        "base_tune_id": pack.tune.get("base_tune_id"),
        "user_id": None,
        "slug": pack.slug,
        "title": pack.title,
        "token": pack.tune.get("token", NewTune.token),
        "created_at": iso(pack.created_at),
        "updated_at": iso(pack.updated_at),
        "multiplier": None,
        "model_type": pack.tune.get("model_type"),
        "branch": pack.tune.get("branch"),
        "public_at": iso(pack.created_at),
        "unlisted_at": None,
        "cover_url": None,
        "logo": None,
        "cost_mc_hash": dict.fromkeys(classes, 0),
        "costs": {
            name: {"cost": 0, "num_images": sum(map(_images, prompts))}
            for name, prompts in classes.items()
        },
        "prompts_per_class": {
            name: [{"id": one.id, "images": []} for one in prompts]
            for name, prompts in classes.items()
        },
        "folder": pack.folder,
        "url": f"{origin}{ROOT}/packs/{pack.id}.json",
        "notices": list(notices),
    }


def whole_pack(pack: Pack, origin: str, notices: Sequence[str] = ()) -> dict[str, Any]:
    """Return a pack's object with its prompts and their attributes."""
    prompts = [
        {**one.fields, "id": one.id, "class_name": one.class_name or None} for one in pack.prompts
    ]
    return {**pack_object(pack, origin, notices), "prompts": prompts}


def _images(prompt: PackPrompt) -> int:
    """Return the number of pictures of a prompt."""
    text, given = str(prompt.fields["text"]), prompt.fields.get("num_images")
    if given is None and "num_images" in text:  # a pasted text may set it below itself
        request, _ = PromptRequest.from_text(text)
        given = request.num_images if request else None
    return int(given) if str(given).isdecimal() else 1
