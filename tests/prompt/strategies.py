"""Random texts and requests of the prompt language."""

from __future__ import annotations

from comfyui_astria.nodes.errors import PromptError
from comfyui_astria.nodes.prompt import (
    ANCHORS,
    Dilation,
    EmbeddingTag,
    FaceIdTag,
    ImageRef,
    LoraTag,
    PromptRequest,
    Segment,
)
from comfyui_astria.nodes.prompt.catalog import (
    CONTROLNETS,
    FLAGS,
    PARAMETERS,
    RATIOS,
    SCHEDULERS,
    STYLES,
)
from comfyui_astria.nodes.prompt.kinds import tidy
from hypothesis import strategies as st

# What a text is made of where it touches the language; joined at random these meet every rule and
# every slip.
FRAGMENTS = (
    *"\n \t\r\0\ufeff\u00a0\u2028<>:\"'()[]\\-=,.;B",
    "\r\n",
    "--",
    "—",
    "BREAK",
    "BREAK ",
    "\nBREAK\n",
    "break",
    "<lora:1533312:1.0>",
    "<lora:a>",
    "<lora:it's:-0.5>",
    '<lora:a" b:1>',
    "<faceid:7:0.5>",
    "<easynegative>",
    "<lora",
    "<lora:",
    "<lor:x:1>",
    "<x:",
    "lora:5:1>",
    "embedding:x",
    "a woman",
    "king's",
    "ready-to-wear",
    "1940s--noir",
    "-20",
    "20%",
    "0.5",
    "true",
    "seed",
    "seed=5",
    "\nseed=5",
    "\nw=64\nh=64",
    "\nw=8",
    "\nnegative_prompt=bad <emb>\nBREAK ugly",
    "\nuse_lpw=false",
    "\nhires_fix=true",
    "\nfoo=bar",
    "(red:1.2)",
    "--outpaint center --outpaint_width 64 --outpaint_height 64",
    '--outpaint_prompt "fields <lora:x:1>"',
    "--mask_prompt face",
    "--mask_prompt 'red car' ",
    "—outpaint",
    "-outpaint",
    "--no",
    "emoji 👩‍🦰",
    "\nNegative prompt: ",
    "negative\nprompt: x",
    "\nSteps: 30, Sampler: Euler a, Seed: 5",
    "\nSteps: 30\n",
    "Seed: 5, Size: 64x64",
    ', Lora hashes: "a: b, c"',
    "[a:b:0.5]",
    "{a|b}",
    " AND ",
    "\uff08",
    "&lt;",
    "\\n",
    "<lora:x:0.5:0.7>",
    ", (<lora:x:1>:1.2), ",
    '"<lora:x:1>" ',
    "(a, <lora:x:1>)",
    "<lora:x:1>. ",
    "\uff0c",
    "Negative prompt: ",
    "\uff1c\uff4c\uff4f\uff52\uff41\uff1a\uff58\uff1e",
    "<lora:x:te=0.5:lbw=A>",
    "<lyco:x:1>",
    ",",
    *(f"--{name} " for name in FLAGS),
    *(f"\n{name}=" for name in PARAMETERS),
)

wild_texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=25).map("".join)


def _segment(
    texts: list[str], embeddings: list[EmbeddingTag], loras: list[LoraTag], faceids: list[FaceIdTag]
) -> Segment | None:
    """Return a segment of these parts, None where they are not one.

    The text may hold syntax, or not be tidy.
    """
    pieces: list[str | EmbeddingTag] = []
    for at, text in enumerate(texts):
        pieces += [text] if text else []
        pieces += embeddings[at : at + 1]
    try:
        return Segment(tuple(pieces), tuple(loras), tuple(faceids))
    except PromptError:
        return None


_names = st.from_regex(r"[A-Za-z0-9_.' \"()+/-]{1,12}", fullmatch=True).filter(
    lambda name: name == name.strip()
)
_loras = st.builds(LoraTag, _names, st.floats(-100, 100), st.none() | st.floats(-100, 100))
_faceids = st.builds(FaceIdTag, _names, st.floats(0, 10))
_embeddings = st.builds(
    EmbeddingTag,
    st.from_regex(r"[a-z0-9]([a-z0-9_.+/-]{0,8}[a-z0-9])?", fullmatch=True).filter(
        lambda n: n not in ("lora", "faceid")
    ),
)
_words = (
    st.text("ab '\"=<-.(,B):;!", max_size=8)
    | st.sampled_from(["a woman", "seed=5", "w = 3", "king's", "(red:1.2)", ", b", ". b", ") b"])
    | st.sampled_from(["Negative prompt: b", "negative prompt:", "Steps: 3, Seed: 4"])
    | st.text(max_size=6)
)
_texts = _words.map(tidy)
texts_only = st.builds(lambda text: _segment([text], [], [], []), _texts).filter(
    lambda one: one is not None
)
segments = st.builds(
    _segment,
    st.lists(_texts | st.sampled_from([" and ", ", "]), max_size=3),
    st.lists(_embeddings, max_size=3),
    st.lists(_loras, max_size=2),
    st.lists(_faceids, max_size=1),
).filter(lambda one: one is not None)


def _switch() -> st.SearchStrategy[bool]:
    return st.booleans()


_IMAGES = st.sampled_from(
    [
        ImageRef("url", "https://a.example/p?q=1"),
        ImageRef("file", "me (1).png"),
        ImageRef("base64", "iVBORw0KGgo="),
        ImageRef("file", "a/b.png"),
    ]
)
_LINES = _texts.filter(lambda text: text not in ("", "undefined"))
_SIDES = st.integers(1, 2048).map(lambda n: n * 8)
_VALUES: dict[str, st.SearchStrategy[object]] = {
    "num_images": st.integers(1, 8),
    "seed": st.integers(0, 2**32),
    "steps": st.integers(1, 50),
    "cfg_scale": st.floats(0, 15),
    "controlnet": st.sampled_from(CONTROLNETS),
    "controlnet_conditioning_scale": st.floats(0, 1),
    "controlnet_txt2img": _switch(),
    "input_image": _IMAGES,
    "mask_image": _IMAGES,
    "denoising_strength": st.floats(0, 1),
    "inpaint_faces": _switch(),
    "face_correct": _switch(),
    "face_swap": _switch(),
    "film_grain": _switch(),
    "color_grading": st.sampled_from(["Film Velvia", "Film Portra", "Ektar"]),
    "scheduler": st.sampled_from(SCHEDULERS),
    "use_lpw": st.just(False),
    "ar": st.sampled_from((*RATIOS, "portrait", "landscape")),
    "aspect_ratio": st.sampled_from(RATIOS),
    "style": st.sampled_from(STYLES),
    "backend_version": _LINES,
    "prompt_expansion": _LINES,
    "mask_prompt": st.lists(_LINES, min_size=1, max_size=3).map(tuple),
    "mask_negative": st.lists(_LINES, min_size=1, max_size=3).map(tuple),
    "mask_dilate": st.builds(Dilation, st.floats(-100, 100), st.sampled_from(["px", "%"])),
    "hires_denoising_strength": st.floats(0, 1),
    "hires_cfg_scale": st.floats(0, 30),
    "resemblance": st.floats(0, 3),
    "control_guidance_end": st.floats(0, 1),
    "improve_similarity": st.floats(0, 100),
    "video_model": _LINES,
    "video_prompt": _LINES,
    "duration": st.floats(0, 3600),
    **{name: st.just(True) for name, flag in FLAGS.items() if flag.takes == "nothing"},
}
# Values that only make sense together.
_TOGETHER: tuple[st.SearchStrategy[dict[str, object]], ...] = (
    st.fixed_dictionaries({"w": _SIDES, "h": _SIDES}),
    st.fixed_dictionaries({"super_resolution": st.just(True)}, optional={"hires_fix": _switch()}),
    st.just({"super_resolution": False, "hires_fix": False}),
    st.just({"hires_fix": True}),
    st.fixed_dictionaries(
        {
            "outpaint": st.sampled_from(ANCHORS),
            "outpaint_width": st.integers(1, 16384),
            "outpaint_height": st.integers(1, 16384),
        },
        optional={"outpaint_prompt": segments},
    ),
    st.fixed_dictionaries(
        {"controlnets": st.lists(st.sampled_from(CONTROLNETS), min_size=2, max_size=3).map(tuple)},
        optional={
            "controlnet_weights": st.lists(st.floats(0, 2), min_size=1, max_size=2).map(tuple)
        },
    ),
)
_unknown = st.tuples(
    st.from_regex(r"[a-z_][a-z0-9_.-]{0,6}", fullmatch=True).filter(
        lambda key: key not in PARAMETERS
    ),
    _texts,
)


def _request(
    values: dict[str, object], groups: list[dict[str, object]], **parts: object
) -> PromptRequest | None:
    for group in groups:
        values = {**values, **group}
    try:
        return PromptRequest(**parts, **values)
    except PromptError:
        return None


requests = st.builds(
    _request,
    st.fixed_dictionaries({}, optional=_VALUES),
    st.lists(st.one_of(*_TOGETHER), max_size=2),
    prompt=st.lists(segments, min_size=1, max_size=4).map(tuple),
    negative=st.lists(texts_only, max_size=3).map(tuple),
    unknown=st.lists(_unknown, max_size=2).map(tuple),
).filter(lambda request: request is not None)
