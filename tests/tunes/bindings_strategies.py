"""A bindings file, and bindings as hypothesis makes them: names, bases, whole files."""

from __future__ import annotations

import string

from comfyui_astria.nodes.tunes import bindings as module
from comfyui_astria.nodes.tunes.bindings import ROLES, BaseModel, Bindings
from comfyui_astria.nodes.tunes.names import name_problem, one_id
from hypothesis import strategies as st

EXAMPLE = """\
# Astria bindings: ids and roles of prompts -> your own files
[base 690204]
family = sd15
checkpoint = realisticVisionV51.safetensors

[base 1504944]
family = flux
diffusion_model = flux1-dev.safetensors
clip_l = clip_l.safetensors
t5xxl = t5xxl_fp16.safetensors
vae = ae.safetensors
outpaint_model = flux1-fill-dev.safetensors

[tunes]
# the two of the film noir scene
1533312 = my_wife.safetensors
epi_noiseoffset2 = light/epiNoiseoffset v2 = final #3.safetensors

[roles]
upscaler = 4x-UltraSharp.pth

[defaults]
base = 1504944
"""


def names(forbidden: str) -> st.SearchStrategy[str]:
    """File names below a folder, of any characters but the forbidden ones."""
    characters = st.characters(
        exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters=forbidden
    )
    start = st.sampled_from(
        ["a", "Ž", "_", "..x", "#1", "1"] if "#" not in forbidden else ["a", "7", "..x"]
    )
    part = st.builds(
        lambda head, rest: head + rest.rstrip(), start, st.text(characters, max_size=8)
    )
    return (
        st.lists(part, min_size=1, max_size=2)
        .map("/".join)
        .filter(lambda name: name_problem(name) is None)
    )


values = names("\\/:").filter(lambda name: " # " not in name)
keys = names("\\/:=<>#[]")
ids = (
    st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8)
    .filter(lambda id: id[0] != "-")
    .map(one_id)
)
maybe = st.none() | values
bases = st.one_of(
    st.builds(BaseModel, st.sampled_from(module.FAMILIES), checkpoint=maybe, outpaint_model=maybe),
    st.builds(
        BaseModel,
        st.just("sd15"),
        diffusion_model=maybe,
        clip_l=maybe,
        vae=maybe,
        outpaint_model=maybe,
    ),
    st.builds(
        BaseModel, st.just("flux"), diffusion_model=maybe, clip_l=maybe, t5xxl=maybe, vae=maybe
    ),
)
all_bindings = st.builds(
    Bindings,
    bases=st.dictionaries(ids, bases, max_size=3),
    default_base=st.none() | ids,
    tunes=st.dictionaries(keys, values, max_size=3),
    roles=st.dictionaries(st.sampled_from(list(ROLES)), values, max_size=3),
)
