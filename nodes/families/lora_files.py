"""The signs in the names and sizes of a LoRA file's tensors: the family it was made for, and
forms that nothing here reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, Sequence[int]]

# How names of text-encoder weights begin; they act on the CLIP and not on the diffusion model.
# PEFT and others wrap a model before they save it, and then nothing may be left but its own names.
_TEXT_ENCODER = re.compile(
    r"(?:(?:base_model\.model|_orig_mod|module)\.)*"
    r"(?:lora_te(?!xt_fusion)|lora_prior_te|text_encoder|te\d?\."
    r"|t5xxl\.|clip_[lg]\.|conditioner\.|cond_stage_model\."
    r"|(?:base_model\.model\.)?(?:lycoris_|lora_)?(?:text_model[._]|encoder[._]block[._]\d"
    r"|(?:text_model\.)?encoder\.layers\.\d))"
)
# Embeddings that a trainer put beside the LoRA's own tensors.
_EMBEDDING = re.compile(
    r"^bundle_emb\.([^.]+)\.|^(?:clip_l|clip_g|emb_params)$|^string_to_(?:param|token)\b"
)


@dataclass(frozen=True)
class _Sign:
    """Marks of one family: a name that fits `some` and none that fits `never`.

    `channels`, where given: the inputs of a layer whose name fits `sized` are among them.
    """

    title: str
    some: str
    never: str = r"(?!)"
    sized: str = ""
    channels: tuple[int, ...] = ()


# Tensors whose second side is the inputs of their layer; that of the others may be a rank. LoKr's
# two hold a factor of them each.
_INWARD = re.compile(r"[._]down\.weight$|lora_A\b|hada_w[12]_b$|\.diff$|to_[qkv]\.weight$")
_KRONECKER = re.compile(r"(.+\.)lokr_w2(?:_b)?")
_UNET = r"(?:^|[._])(?:(?:input|output|down|up)_blocks?[._]\d|mid(?:dle)?_block[._])"
# Blocks in which SD1.5 has attention and SDXL has none.
_SHALLOW = (
    r"(?:input_blocks[._][12]|output_blocks[._](?:[6-9]|1[01])|down_blocks[._]0|up_blocks[._]3)[._]"
)
_NOT_UNETS = r"(?:^|[._])(?:double|single|joint|transformer)_blocks[._]\d+[._](?!attn[12])"
_TEXT_KEYS = r"attn2[._](?:processor[._])?to_k"
_DOUBLE = r"(?:^|[._])double_blocks[._]\d"
_SINGLE = r"(?:^|[._])single_blocks[._]\d"
_JOINED = r"(?:^|[._])transformer_blocks[._]\d+[._]attn[._]"
_SINGLES = r"(?:^|[._])single_transformer_blocks[._]\d"
_MMDIT = f"{_DOUBLE}|{_SINGLE}|{_SINGLES}|{_JOINED}"
# Flux.2 calls layers as Flux.1 does; it has three modulations for all blocks, and wider ones behind
# its attention.
_FLUX2 = r"_stream_modulation|to_qkv_mlp_proj|ff(?:_context)?[._]linear_(?:in|out)|time_guidance_em"
_BEHIND = r"(?:img|txt)_mlp[._]2|linear_out"
_ATTENTION = r"attn[._]|_attn_|qkv_mlp"
_LAYERS = r"(?:^|[._])layers[._]\d+[._](?:attention|feed_forward|adaLN)"
_KREA2 = (
    r"txtfusion|text_fusion|(?:^|[._])blocks[._]\d+[._](?:attn[._]w[qkvo](?:[._]|$)|mlp[._]gate)|"
    r"(?:^|[._])transformer_blocks[._]\d+[._](?:attn[._]to_gate|ff[._](?:gate|up|down))"
)

# The first that fits counts. Sources: the module names of each family in ComfyUI's comfy/ldm, and
# its comfy/utils.py for those of diffusers.
_SIGNS = (
    _Sign("Stable Cascade", r"^lora_prior_unet_"),
    # Deep blocks of transformers, and the width of the text that its keys are made of.
    _Sign("SDXL", _UNET, sized=_TEXT_KEYS, channels=(2048,)),
    _Sign("SD2", _UNET, sized=_TEXT_KEYS, channels=(1024,)),
    _Sign("SD1.5", _UNET, sized=_TEXT_KEYS, channels=(768,)),
    _Sign("SDXL", _UNET + r".*transformer_blocks[._][1-9][._]"),
    _Sign(
        "SDXL", r"label_emb|add_embedding|^(?:lora_te2_|text_encoder_2\.).*text_model", _NOT_UNETS
    ),
    _Sign("SD1.5", _SHALLOW + r".*transformer_blocks[._]"),
    _Sign("a UNet (SD1.5, SD2 or SDXL)", _UNET),
    _Sign("Chroma", r"distilled_guidance_layer"),
    _Sign("Krea 2", _KREA2),
    # Flux.2 dev, as wide, has eight of these blocks.
    _Sign(
        "Krea 2",
        r"(?:^|[._])transformer_blocks[._](?:[89]|\d\d)[._]attn[._]",
        sized=_JOINED,
        channels=(6144,),
    ),
    # Before Hunyuan Video: Flux.2 dev has as many single blocks, and converters write its names.
    _Sign("Flux.2 dev", _MMDIT, sized=_ATTENTION, channels=(6144,)),
    _Sign("Flux.2 dev", r"(?:^|[._])single_(?:transformer_)?blocks[._]4\d[._]"),
    _Sign("Flux.2 klein 9B", _MMDIT, sized=_ATTENTION, channels=(4096,)),
    _Sign("Flux.2 klein 4B", _MMDIT, sized=_BEHIND, channels=(9216,)),
    _Sign("Flux.2 klein 4B", _FLUX2, sized=_ATTENTION, channels=(3072,)),
    # What a single block's first and last layer take.
    _Sign("Flux.2 dev", _SINGLE, sized=r"linear[12]", channels=(6144, 24576)),
    _Sign("Flux.2 klein 9B", _SINGLE, sized=r"linear[12]", channels=(4096, 16384)),
    _Sign("Flux.2 klein 4B", _SINGLE, sized=r"linear2", channels=(12288,)),
    _Sign("Flux.2", _FLUX2),
    _Sign("HiDream", r"(?:double|single)_stream_blocks[._]\d"),
    _Sign("SD3", r"(?:^|[._])joint_blocks[._]\d"),
    _Sign("AuraFlow", r"(?:^|[._])joint_transformer_blocks[._]\d|double_layers[._]\d"),
    _Sign(
        "Hunyuan Video",
        r"double_blocks[._]19[._]|single_blocks[._]3[89][._]|\.(?:img|txt)_attn_qkv",
    ),
    # Of both, only the attention has layers of the same names and sizes; Flux.1 has more blocks.
    _Sign(
        "Flux.1 or Flux.2 klein 4B",
        f"{_DOUBLE}|{_SINGLE}",
        r"double_blocks[._](?:[89]|1\d)[._]|single_blocks[._][23]\d[._]|_mod|_mlp|linear|processor",
    ),
    _Sign("Flux.1", rf"{_DOUBLE}|{_SINGLE}|{_SINGLES}|(?:^|\.)blocks\.\d+\.attn\.[ab]_to_"),
    _Sign("Wan", r"(?:^|[._])blocks[._]\d+[._](?:self_attn|cross_attn)[._][qkvo](?:[._]|$)"),
    _Sign("Wan", r"(?:^|[._])blocks[._]\d+[._](?:ffn[._][02]|cross_attn[._]k_img)"),
    _Sign("Cosmos or Anima", r"(?:^|[._])blocks[._]\d+[._](?:self_attn|cross_attn)[._][qkv]_proj"),
    _Sign("Z-Image", _LAYERS, sized=_LAYERS, channels=(3840,)),
    _Sign("Z-Image", r"(?:^|[._])layers[._]\d+[._]attention[._]to_"),
    _Sign("Lumina 2 or Z-Image", _LAYERS),
    _Sign("Qwen-Image", r"transformer_blocks[._]\d+[._](?:img|txt)_(?:mlp|mod)[._]"),
    _Sign("Qwen-Image", _JOINED, sized=r"add_[qkv]_proj|attn[._]to_", channels=(3072,)),
    _Sign("SD3", _JOINED, sized=r"attn[._](?:to|add)_", channels=(1536, 2432)),
    _Sign("Flux.1, Flux.2 klein 4B, SD3 or Qwen-Image", _JOINED),
    _Sign("LTX-Video or PixArt", r"(?:^|[._])transformer_blocks[._]\d+[._]attn[12][._]", _UNET),
)
# The base family of this pack that a title means.
_BRANCHES = {
    "SD1.5": "sd15",
    "SDXL": "sdxl",
    "Flux.1": "flux",
    "Flux.2 dev": "flux2",
    "Flux.2 klein 4B": "flux2_klein_4b",
    "Flux.2 klein 9B": "flux2_klein_9b",
    "Z-Image": "zimage",
    "Krea 2": "krea2",
}
# Those of another one that go on it as well: their names and sizes are the same.
_ALSO = {
    "Flux.1, Flux.2 klein 4B, SD3 or Qwen-Image": ("flux", "flux2_klein_4b"),
    "Flux.1 or Flux.2 klein 4B": ("flux", "flux2_klein_4b"),
    "Flux.2": ("flux2", "flux2_klein_4b", "flux2_klein_9b"),
    "a UNet (SD1.5, SD2 or SDXL)": ("sd15", "sdxl"),
    "Lumina 2 or Z-Image": ("zimage",),
}

# Forms that neither the host nor this pack reads, by the name of a tensor.
_UNREAD = (
    (re.compile(r"\.on_input$|\.ia3_l\b"), "IA3"),
    (re.compile(r"\.vera_lambda_|^vera_[AB]"), "VeRA"),
    (re.compile(r"\.oft_[rR]\b"), "OFT as PEFT writes it"),
    (re.compile(r"\.boft_[Rs]\b"), "BOFT as PEFT writes it"),
    (re.compile(r"\.lora_E\b"), "AdaLoRA"),
    (re.compile(r"\.fourierft_spectrum\b"), "FourierFT"),
    (re.compile(r"\.vblora_"), "VB-LoRA"),
    (re.compile(r"\.randlora_|^randlora_"), "RandLoRA"),
    (re.compile(r"\.hra_u\b"), "HRA"),
    (re.compile(r"\.(?:bone|miss)_block\b"), "MiSS or Bone"),
    (re.compile(r"\.shira_weight\b"), "SHiRA"),
    (re.compile(r"^(?:control_model|controlnet_)"), "a ControlNet"),
    (re.compile(r"^(?:ip_adapter\.|image_proj\.)"), "an IP-Adapter"),
)
# Parts of names that LoRAs of any form have.
_OF_LORAS = re.compile(r"lora|hada_|lokr_|oft_|\.diff(?:_b)?$|_norm$|set_weight|\.[ab][12]\.")


def lora_family(shapes: Shapes) -> str:
    """Return the title of the family of models that a LoRA file seems made for, "" where its names
    and sizes do not say.
    """
    for sign in _SIGNS:
        if _fits(sign, shapes):
            return sign.title
    return ""


@dataclass(frozen=True)
class LoraSigns:
    """A guess at a LoRA file: the family that it seems made for (see `lora_family`), and what it is
    instead of a LoRA (see `unread_form`), "" where its names do not say.
    """

    made_for: str = ""
    form: str = ""

    def describe(self) -> str:
        return f"to be {self.form}" if self.form else self.made_for and f"made for {self.made_for}"


def signs_of(shapes: Shapes) -> LoraSigns:
    return LoraSigns(lora_family(shapes), unread_form(shapes))


def is_for(title: str, branch: str) -> bool:
    """Say whether a file of that family (see `lora_family`) may go on models of `branch`."""
    return not title or branch == _BRANCHES.get(title) or branch in _ALSO.get(title, ())


def is_text_encoders(name: str) -> bool:
    """Say whether a tensor of a LoRA file acts on a text encoder."""
    return _TEXT_ENCODER.match(name) is not None


def embeddings_in(names: Iterable[str]) -> list[str]:
    """Return the names of the embeddings inside a LoRA file, "" for one without a name."""
    found = (_EMBEDDING.match(name) for name in names)
    return list(dict.fromkeys(match[1] or "" for match in found if match))


def is_embedding(name: str) -> bool:
    """Say whether a tensor of a LoRA file belongs to an embedding that lies in it."""
    return _EMBEDDING.match(name) is not None


def unread_form(names: Iterable[str]) -> str:
    """Return what a file is that holds no LoRA which the host or this pack reads, "" where its
    names do not say.
    """
    named = list(names)
    if named and all(map(is_embedding, named)):
        return "an embedding (textual inversion)"
    for pattern, title in _UNREAD:
        if any(map(pattern.search, named)):
            return title
    if any(name.endswith(".weight") for name in named) and not any(map(_OF_LORAS.search, named)):
        return "a whole checkpoint or diffusion model"
    return ""


def _fits(sign: _Sign, shapes: Shapes) -> bool:
    some, never = re.compile(sign.some), re.compile(sign.never)
    if not any(map(some.search, shapes)) or any(map(never.search, shapes)):
        return False
    if not sign.channels:
        return True
    sized = re.compile(sign.sized)
    return any(
        _inputs(name, shapes) in sign.channels for name in shapes if sized.search(name) is not None
    )


def _inputs(name: str, shapes: Shapes) -> int | None:
    """Return the inputs of a tensor's layer, None where the tensor does not tell."""
    if len(shapes[name]) < 2:
        return None
    if _INWARD.search(name):
        return shapes[name][1]
    large = _KRONECKER.fullmatch(name)
    if large is None:
        return None
    small = (shapes.get(large[1] + ending, ()) for ending in ("lokr_w1", "lokr_w1_b"))
    factor = next((shape[1] for shape in small if len(shape) > 1), None)
    return None if factor is None else factor * shapes[name][1]
