"""Names that LoRA files give a layer, and the name that the host knows for the same one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# Prefixes of modules that wrap a model when it is saved: PEFT, torch.compile, parallel training.
_WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:base_model\.model|_orig_mod|module|_fsdp_wrapped_module"
    r"|_checkpoint_wrapped_module)\."
)
_PROCESSOR = re.compile(r"\.processor\.(?=to_)")
# Trainers and diffusers put the part of the pipeline in front, with dots or with underscores.
_PART = re.compile(
    r"^(?:lora(?!_te(?!xt_fusion))|lycoris|model_diffusion_model|diffusion_model"
    r"|unet|transformer(?!_blocks)|model|text_encoders|(?:pipe_)?dit|net)_+"
)
# Language models as text encoders have layers under one or more wrappers of their own.
_ENCODER = re.compile(
    r"^(?:lora_)?(?:te|text_encoder)(?:_?(\d))?_(?:(?:language_)?model_)*"
    r"(?=text_model|text_proj|encoder_|layers_\d)"
)
_ANY_ENCODERS = re.compile(r"^(?:text_model|encoder_block)_")
# Flux's layers as other programs call them: XLabs' and DiffSynth's own names.
_FLUX = (
    (
        r"\bdouble_blocks\.(\d+)\.(?:processor\.)?(qkv|proj)_lora1\.",
        r"double_blocks.\1.img_attn.\2.",
    ),
    (
        r"\bdouble_blocks\.(\d+)\.(?:processor\.)?(qkv|proj)_lora2\.",
        r"double_blocks.\1.txt_attn.\2.",
    ),
    (r"\bsingle_blocks\.(\d+)\.(?:processor\.)?qkv_lora\.", r"single_blocks.\1.linear1_qkv."),
    (r"\bsingle_blocks\.(\d+)\.(?:processor\.)?proj_lora\.", r"single_blocks.\1.linear2."),
    (r"\bblocks\.(\d+)\.attn\.a_to_qkv\.", r"double_blocks.\1.img_attn.qkv."),
    (r"\bblocks\.(\d+)\.attn\.b_to_qkv\.", r"double_blocks.\1.txt_attn.qkv."),
    (r"\bblocks\.(\d+)\.attn\.a_to_out\.", r"double_blocks.\1.img_attn.proj."),
    (r"\bblocks\.(\d+)\.attn\.b_to_out\.", r"double_blocks.\1.txt_attn.proj."),
    (r"\bblocks\.(\d+)\.ff_a\.([02])\.", r"double_blocks.\1.img_mlp.\2."),
    (r"\bblocks\.(\d+)\.ff_b\.([02])\.", r"double_blocks.\1.txt_mlp.\2."),
    (r"\bblocks\.(\d+)\.norm1_a\.linear\.", r"double_blocks.\1.img_mod.lin."),
    (r"\bblocks\.(\d+)\.norm1_b\.linear\.", r"double_blocks.\1.txt_mod.lin."),
    (r"\bsingle_blocks\.(\d+)\.to_qkv_mlp\.", r"single_blocks.\1.linear1."),
    (r"\bsingle_blocks\.(\d+)\.proj_out\.", r"single_blocks.\1.linear2."),
    (r"\bsingle_blocks\.(\d+)\.norm\.linear\.", r"single_blocks.\1.modulation.lin."),
)
_FLUX_NAMES = tuple((re.compile(pattern), hosts) for pattern, hosts in _FLUX)
# Layers under plain names (see `_canonical`) that the host does not know, and one that it may.
_ALIAS = (
    # diffusers' names of Flux.2's and Chroma's layers.
    (r"^((?:double|single)_stream_modulation(?:_img|_txt)?)_linear$", r"\1_lin"),
    (r"^time_guidance_embed_", "time_text_embed_"),
    (r"^(distilled_guidance_layer_layers_\d+)_linear_1$", r"\1_in_layer"),
    (r"^(distilled_guidance_layer_layers_\d+)_linear_2$", r"\1_out_layer"),
    # Hunyuan Video's names of Flux' layers, which trainers of both carried over.
    (r"^((?:double|single)_blocks_\d+_(?:img_mod|txt_mod|modulation))_linear$", r"\1_lin"),
    (r"^(double_blocks_\d+_(?:img|txt)_mlp)_fc1$", r"\1_0"),
    (r"^(double_blocks_\d+_(?:img|txt)_mlp)_fc2$", r"\1_2"),
    # Queries, keys and values trained as one: SimpleTuner's fuse_qkv_projections, OneTrainer.
    (r"^transformer_blocks_(\d+)_attn_(?:to_)?qkv$", r"double_blocks_\1_img_attn_qkv"),
    (r"^transformer_blocks_(\d+)_attn_(?:to_)?added_qkv$", r"double_blocks_\1_txt_attn_qkv"),
    (r"^single_transformer_blocks_(\d+)_attn_to_qkv$", r"single_blocks_\1_linear1_qkv"),
    (r"^single_transformer_blocks_(\d+)_qkv_mlp$", r"single_blocks_\1_linear1"),
    (r"_attention_to_qkv$", "_attention_qkv"),
    # Krea2's own names under "transformer.", which are no blocks of diffusers' transformer.
    (r"^transformer_(blocks_\d+_(?:attn_(?:w[qkvo]|gate)|mlp_(?:gate|up|down)))$", r"\1"),
)
_ALIASES = tuple((re.compile(pattern), hosts) for pattern, hosts in _ALIAS)
# The same where the host keeps them apart: the ends of the one name, and of those of its parts.
_FUSED = (
    ("_to_qkv", ("_to_q", "_to_k", "_to_v")),
    ("_to_added_qkv", ("_add_q_proj", "_add_k_proj", "_add_v_proj")),
)
_BARE_PAIR = re.compile(r"(?<!_lora)(?<!\.lora)\.(down|up)\.weight$")


@dataclass(frozen=True)
class Fused:
    """One layer of a file where the host has several: its name in the file, the `ending` of the
    tensor's name, and the host's names of the layers, whose rows follow one another in it.
    """

    stem: str
    ending: str
    parts: tuple[str, ...]


class HostNames:
    """The host's names of layers, found by any way of writing them that only renames.

    `keys`: the host's key map, a name -> the weight or the part of one that it stands for.
    """

    def __init__(self, keys: Mapping[str, object]) -> None:
        self._keys = keys
        self._names: dict[str, str] = {}

    def renamed(self, name: str) -> str:
        """Return a tensor's name with the host's name of its layer, "" where there is none."""
        if self._is_known(name):
            return name
        plain = _of_flux(name)
        for stem in _stems(plain):
            if known := self._found(stem):
                return known + plain[len(stem) :]
        return ""

    def fused(self, name: str) -> Fused | None:
        """Return the layers of queries, keys and values that a tensor's one layer stands for, None
        where it is no such layer of this model.
        """
        plain = _of_flux(name)
        for stem in _stems(plain):
            layer = _canonical(stem)
            for end, parts in _FUSED:
                if layer.endswith(end):
                    known = [self._known().get(layer.removesuffix(end) + part) for part in parts]
                    if None not in known:
                        return Fused(stem, plain[len(stem) :], tuple(filter(None, known)))
        return None

    def is_of_either(self, name: str) -> bool:
        """Say whether the layer is one of several text encoders, and the name not of which."""
        return any(len(self._encoders(_canonical(stem))) > 1 for stem in _stems(name))

    def _is_known(self, name: str) -> bool:
        return any(stem in self._keys for stem in _stems(name))

    def _found(self, stem: str) -> str:
        plain, known = _canonical(stem), self._known()
        for name in (plain, *_aliases(plain)):
            if name in known:
                return known[name]
        encoders = self._encoders(plain)
        return encoders[0] if len(encoders) == 1 else ""

    def _known(self) -> Mapping[str, str]:
        if not self._names:
            self._names = dict(self._unmistakable())
        return self._names

    def _unmistakable(self) -> Iterator[tuple[str, str]]:
        """Yield plain and host's name of each layer; none where two layers are called alike."""
        found: dict[str, list[str]] = {}
        for name in self._keys:
            found.setdefault(_canonical(name), []).append(name)
        for plain, names in found.items():
            if all(self._keys[name] == self._keys[names[0]] for name in names):
                yield plain, names[0]

    def _encoders(self, plain: str) -> list[str]:
        """Return the names of the layers so called in each text encoder, none twice."""
        if not _ANY_ENCODERS.match(plain):
            return []
        names = [self._names.get(f"te{number}_{plain}", "") for number in (1, 2, 3)]
        return list({self._keys[name]: name for name in names if name}.values())


def stems_of(names: Iterable[str]) -> set[str]:
    """Return the parts of tensors' names that may be the name of a layer."""
    return {stem for name in names for stem in _stems(name)}


def _stems(name: str) -> list[str]:
    """Return the name up to each dot, the longest first; old trainers end a layer with `_lora`."""
    ends = {match.start() for match in re.finditer(r"\.|_lora\.", name)}
    return [name[:end] for end in sorted(ends, reverse=True) if end]


def _of_flux(name: str) -> str:
    for pattern, hosts in _FLUX_NAMES:
        renamed = pattern.sub(hosts, name)
        if renamed != name:
            return _BARE_PAIR.sub(r".lora_\1.weight", renamed)
    return name


def _aliases(plain: str) -> Iterator[str]:
    for pattern, hosts in _ALIASES:
        if pattern.search(plain):
            yield pattern.sub(hosts, plain)


def _canonical(stem: str) -> str:
    """Return the layer's name without wrappers and part, with underscores for dots."""
    plain = _PROCESSOR.sub(".", _WRAPPERS.sub("", stem)).replace(".", "_").rstrip("_")
    while (shorter := _PART.sub("", plain)) != plain:
        plain = shorter
    if match := _ENCODER.match(plain):
        return f"te{match[1] or 1}_{plain[match.end() :]}"
    return plain
