"""The bindings file: read, written, edited in place."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import BindingsError
from comfyui_astria.nodes.tunes import bindings as module
from comfyui_astria.nodes.tunes.bindings import ROLES, BaseModel, Bindings, bind, load, unbind
from comfyui_astria.nodes.tunes.names import name_problem
from hypothesis import example, given
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
PARSED = Bindings(
    bases={
        "690204": BaseModel("sd15", checkpoint="realisticVisionV51.safetensors"),
        "1504944": BaseModel(
            "flux",
            diffusion_model="flux1-dev.safetensors",
            clip_l="clip_l.safetensors",
            t5xxl="t5xxl_fp16.safetensors",
            vae="ae.safetensors",
            outpaint_model="flux1-fill-dev.safetensors",
        ),
    },
    default_base="1504944",
    tunes={"1533312": "my_wife.safetensors", "epi_noiseoffset2": "light/epiNoiseoffset v2 = final #3.safetensors"},
    roles={"upscaler": "4x-UltraSharp.pth"},
)


def names(forbidden: str) -> st.SearchStrategy[str]:
    """File names below a folder, of any characters but the forbidden ones."""
    characters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters=forbidden)
    start = st.sampled_from(["a", "Ž", "_", "..x", "#1", "1"] if "#" not in forbidden else ["a", "7", "..x"])
    part = st.builds(lambda head, rest: head + rest.rstrip(), start, st.text(characters, max_size=8))
    return st.lists(part, min_size=1, max_size=2).map("/".join).filter(lambda name: name_problem(name) is None)


values = names("\\/:").filter(lambda name: " # " not in name)
keys = names("\\/:=<>#[]")
ids = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8).filter(lambda id: id[0] != "-")
maybe = st.none() | values
bases = st.one_of(
    st.builds(BaseModel, st.sampled_from(module.FAMILIES), checkpoint=maybe, outpaint_model=maybe),
    st.builds(BaseModel, st.just("sd15"), diffusion_model=maybe, clip_l=maybe, vae=maybe, outpaint_model=maybe),
    st.builds(BaseModel, st.just("flux"), diffusion_model=maybe, clip_l=maybe, t5xxl=maybe, vae=maybe),
)
all_bindings = st.builds(
    Bindings,
    bases=st.dictionaries(ids, bases, max_size=3),
    default_base=st.none() | ids,
    tunes=st.dictionaries(keys, values, max_size=3),
    roles=st.dictionaries(st.sampled_from(list(ROLES)), values, max_size=3),
)
lines = st.sampled_from(
    ["[tunes]", "[base 1]", "[base 2]", "[roles]", "[defaults]", "[x]", "[tunes", "# c", "", "family = sd15",
     "1 = a.pt", "2 = b.pt", "upscaler = u", "checkpoint = c", "diffusion_model = d", "base = 1", "base = ?", "x", "= 1", "1 =", "1 = ../a"]
)  # fmt: skip
texts = st.text() | st.lists(lines, max_size=8).map("\n".join)


def test_the_example_is_read() -> None:
    assert Bindings.parse(EXAMPLE, "x") == PARSED


@given(all_bindings)
def test_what_is_written_is_read_back(bindings: Bindings) -> None:
    assert Bindings.parse(bindings.to_text(), "x") == bindings


@given(texts)
@example("[tunes]\r\n1 = a\r\n")
@example("\ufeff[tunes]\n1 = a")
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    try:
        bindings = Bindings.parse(text, "my.ini")
    except BindingsError as error:
        number = int(re.match(r"my\.ini, line (\d+): ", error.message)[1])
        assert 1 <= number <= text.count("\n") + 1
    else:
        assert Bindings.parse(bindings.to_text(), "again") == bindings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 = a", "f, line 1: '1 = a': expected a section such as [tunes] before the first key"),
        ("\n[tunse]", "f, line 2: '[tunse]': expected [tunes], [roles], [defaults] or [base ID]. Did you mean [tunes]?"),
        ("[tunes", "f, line 1: '[tunes': expected ']' at the end of a section's line"),
        ("[base a/b]", "f, line 1: '[base a/b]': expected a tune id after 'base', not 'a/b'"),
        ("[tunes]\nanna", "f, line 2: 'anna': expected 'key = value', found no '='"),
        ("[tunes]\n1 =", "f, line 2: '1 =': expected a value after the '='"),
        ("[tunes]\n= a", "f, line 2: '= a': expected a key before the '='"),
        ("[tunes]\n1 = a\n[tunes]\n1 = b", "f, line 4: '1 = b': 1 is already set in line 2"),
        (
            "[tunes]\n1 = ../a",
            "f, line 2: '1 = ../a': expected a file name below the model folder, not '../a': it holds an empty, '.' or '..' part",
        ),
        (
            "[tunes]\n1 = a.pt # wife",
            "f, line 2: '1 = a.pt # wife': expected a file name alone, not 'a.pt # wife'; a comment stands on a line of its own",
        ),
        (
            "[tunes]\n../1 = a",
            "f, line 2: '../1 = a': expected a tune id or the name in a LoRA tag, not '../1': it holds an empty, '.' or '..' part",
        ),
        (
            "[roles]\nupscalr = a",
            f"f, line 2: 'upscalr = a': expected a role, not 'upscalr'. Did you mean 'upscaler'? Roles: {', '.join(ROLES)}",
        ),
        ("[defaults]\ntune = 1", "f, line 2: 'tune = 1': expected 'base = ID', not the key 'tune'"),
        ("[defaults]\nbase = a b", "f, line 2: 'base = a b': expected the id of a base, not 'a b'"),
        ("[base 1]\nfamily = sd2", "f, line 2: 'family = sd2': expected sd15, sdxl, flux, flux_schnell, not 'sd2'"),
        (
            "[base 1]\ncheckpont = a",
            "f, line 2: 'checkpont = a': expected a field of a base, not 'checkpont'. Did you mean 'checkpoint'? "
            "Fields: family, checkpoint, diffusion_model, clip_l, t5xxl, vae, outpaint_model, trim_padding",
        ),
        ("[base 1]\ncheckpoint = a", "f, line 1: '[base 1]': the base has no family"),
        (
            "[base 1]\nfamily = flux\ncheckpoint = a\ndiffusion_model = b",
            "f, line 1: '[base 1]': it names both a checkpoint and a diffusion_model; keep one",
        ),
        (
            "[base 1]\nfamily = flux\ncheckpoint = a\nvae = b",
            "f, line 1: '[base 1]': a checkpoint brings its own text encoders and VAE; remove vae",
        ),
        (
            "[base 1]\nfamily = sdxl\ndiffusion_model = b",
            "f, line 1: '[base 1]': family sdxl is loaded from a checkpoint, not from a diffusion_model",
        ),
        ("[base 1]\nfamily = sd15\nt5xxl = b", "f, line 1: '[base 1]': family sd15 has no t5xxl text encoder; remove t5xxl"),
        ("[base 1]\nfamily = flux\ntrim_padding = 1", "f, line 3: 'trim_padding = 1': expected yes or no, not '1'"),
        ("[base 1]\nfamily = sdxl\ntrim_padding = yes",
         "f, line 1: '[base 1]': family sdxl reads every text in full windows of 77 tokens; remove trim_padding"),
    ],
)
def test_error_names_source_line_and_expectation(text: str, message: str) -> None:
    with pytest.raises(BindingsError) as caught:
        Bindings.parse(text, "f")
    assert caught.value.message == message


@pytest.mark.parametrize(
    "bindings",
    [
        Bindings(tunes={"1": "../a"}),
        Bindings(tunes={"a=b": "c"}),
        Bindings(roles={"x": "a"}),
        Bindings(default_base="a b"),
        Bindings(bases={"1": BaseModel("flux", checkpoint="a", diffusion_model="b")}),
        Bindings(bases={"1]\n[tunes": BaseModel("flux")}),
    ],
)
def test_error_values_that_the_file_cannot_hold_are_not_written(bindings: Bindings) -> None:
    with pytest.raises(BindingsError):
        bindings.to_text()


def test_merging_lets_the_other_win_and_keeps_the_rest() -> None:
    mine = Bindings({"1": BaseModel("sd15", checkpoint="a")}, "1", {"5": "a", "6": "b"}, {"upscaler": "u"})
    other = Bindings({"1": BaseModel("sdxl", checkpoint="c")}, None, {"6": "c"})
    assert mine.merged_with(other) == Bindings(other.bases, "1", {"5": "a", "6": "c"}, {"upscaler": "u"})
    assert mine.merged_with(Bindings(default_base="2")).default_base == "2"


def test_a_missing_file_holds_no_bindings(tmp_path: Path) -> None:
    assert load(tmp_path / "none.ini") == Bindings()


def test_error_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_bytes("[tunes]\n1 = Žofie".encode("cp1250"))
    with pytest.raises(BindingsError, match=r"b\.ini, line 2: expected UTF-8 text, found the byte 0x8e"):
        load(path)


def test_error_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BindingsError, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("1533312", "new.pt", "1533312 = my_wife.safetensors", "1533312 = new.pt"),
        ("upscaler", "u.pth", "upscaler = 4x-UltraSharp.pth", "upscaler = u.pth"),
        ("defaults.base", "690204", "base = 1504944", "base = 690204"),
        ("base.1504944.vae", "v.sft", "vae = ae.safetensors", "vae = v.sft"),
        ("1558021", "man.pt", "#3.safetensors\n", "#3.safetensors\n1558021 = man.pt\n"),
        ("controlnet_pose", "p.pth", "4x-UltraSharp.pth\n", "4x-UltraSharp.pth\ncontrolnet_pose = p.pth\n"),
        ("tunes.SDXLrender_v2.0", "r.pt", "#3.safetensors\n", "#3.safetensors\nSDXLrender_v2.0 = r.pt\n"),
        ("base.690204.outpaint_model", "i.pt", "V51.safetensors\n", "V51.safetensors\noutpaint_model = i.pt\n"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_binding_changes_one_line(tmp_path: Path, newline: str, key: str, value: str, old: str, new: str) -> None:
    path = tmp_path / "b.ini"
    path.write_bytes(EXAMPLE.replace("\n", newline).encode())
    bind(path, key, value)
    assert EXAMPLE.count(old) == 1
    assert path.read_bytes().decode() == EXAMPLE.replace(old, new).replace("\n", newline)


@given(all_bindings, st.sampled_from(["7", "tunes.seven", "upscaler", "face_swapper"]), values, st.booleans())
def test_binding_keeps_every_other_line_and_unbinding_removes_it(
    tmp_path_factory: pytest.TempPathFactory, bindings: Bindings, key: str, value: str, ends_with_newline: bool
) -> None:
    path = tmp_path_factory.mktemp("b") / "b.ini"
    text = "# mine\n" + bindings.to_text().replace("\n[", "\n  # about this\n\n[ ") + "# last"
    path.write_text(text.replace("[ ", "[") + "\n" * ends_with_newline, encoding="utf-8", newline="")
    name = key.removeprefix("tunes.")
    bind(path, key, value)
    bound = load(path)
    assert (bound.roles if name in ROLES else bound.tunes)[name] == value
    before, after = text.replace("[ ", "[").split("\n"), path.read_text(encoding="utf-8").split("\n")
    kept = [line for line in before if not line.startswith(f"{name} = ")]
    assert is_subsequence(kept, after)
    assert unbind(path, key)
    assert is_subsequence(kept, path.read_text(encoding="utf-8").split("\n"))
    assert load(path) == Bindings(
        bindings.bases,
        bindings.default_base,
        {key: file for key, file in bindings.tunes.items() if key != name},
        {key: file for key, file in bindings.roles.items() if key != name},
    )


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(line in rest for line in part)


def test_a_new_file_is_built_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "b.ini"
    bind(path, "base.690204.checkpoint", "rv.ckpt")  # the family of a known base is known
    bind(path, "base.mine.family", "sdxl")
    bind(path, "base.mine.checkpoint", "xl.ckpt")
    bind(path, "1533312", "wife.pt")
    assert path.read_text() == (
        "[base 690204]\nfamily = sd15\ncheckpoint = rv.ckpt\n\n[base mine]\nfamily = sdxl\ncheckpoint = xl.ckpt\n\n[tunes]\n1533312 = wife.pt\n"
    )


def test_bindings_of_a_notepad_file_with_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_bytes("\ufeff[tunes]\r\n1 = a".encode())
    bind(path, "1", "b")
    bind(path, "2", "c")
    assert path.read_bytes().decode() == "\ufeff[tunes]\r\n1 = b\r\n2 = c\r\n"
    assert unbind(path, "1")
    assert path.read_bytes().decode() == "\ufeff[tunes]\r\n2 = c\r\n"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("upscalr", "a", "Did you mean 'upscaler'"),
        ("../x", "a", "is not a key of the bindings"),
        ("690204", "a", "690204 is the base tune Realistic Vision v5.1: a base binds its files one by one"),
        ("1533312", "../a", "it holds an empty, '.' or '..' part"),
        ("1533312", "a\n[roles]\nupscaler = b", "control character or a line break"),
        ("base.12.checkpoint", "a", "base '12' is new and its family is not known"),
        ("base.690204.checkpont", "a", "Did you mean 'checkpoint'"),
        ("base.690204.diffusion_model", "a", "it names both a checkpoint and a diffusion_model; keep one"),
        ("base.690204.family", "sd2", "expected sd15, sdxl, flux, flux_schnell, not 'sd2'"),
        ("base.a b.family", "sd15", "expected a tune id after 'base', not 'a b'"),
        ("tunes.a=b", "a", "it holds '='"),
        ("defaults.base", "a b", "expected the id of a base, not 'a b'"),
    ],
)
def test_error_a_refused_binding_leaves_the_file_as_it_was(tmp_path: Path, key: str, value: str, message: str) -> None:
    path = tmp_path / "b.ini"
    path.write_text(EXAMPLE)
    with pytest.raises(BindingsError) as caught:
        bind(path, key, value)
    assert message in str(caught.value)
    assert path.read_text() == EXAMPLE


def test_error_a_broken_file_is_not_edited(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_text("[tunes]\nbroken\n")
    with pytest.raises(BindingsError, match="line 2"):
        bind(path, "1", "a")
    assert path.read_text() == "[tunes]\nbroken\n"


def test_unbinding_a_whole_base_and_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_text(EXAMPLE)
    assert not unbind(path, "1")
    assert not unbind(path, "base.5")
    assert path.read_text() == EXAMPLE
    assert unbind(path, "base.690204")
    assert path.read_text() == EXAMPLE.replace("[base 690204]\nfamily = sd15\ncheckpoint = realisticVisionV51.safetensors\n", "")


def test_unbinding_the_family_needs_an_otherwise_empty_base(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_text("[base 1]\nfamily = sd15\ncheckpoint = a\n")
    with pytest.raises(BindingsError, match=r"the family of base 1 is needed by its checkpoint\n.*--remove base\.1$"):
        unbind(path, "base.1.family")
    assert unbind(path, "base.1.checkpoint")
    assert unbind(path, "base.1.family")
    assert path.read_text() == ""


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.ini", tmp_path / "b.ini"
    real.write_text("[tunes]\n")
    link.symlink_to(real)
    bind(link, "1", "a")
    assert link.is_symlink()
    assert real.read_text() == "[tunes]\n1 = a\n"
