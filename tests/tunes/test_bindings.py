"""The bindings file: read, written, edited in place."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import BindingsError
from comfyui_astria.nodes.tunes.bindings import FAMILIES, ROLES, BaseModel, Bindings, load
from comfyui_astria.tests.tunes.bindings_strategies import EXAMPLE, all_bindings
from hypothesis import example, given
from hypothesis import strategies as st

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
    tunes={
        "1533312": "my_wife.safetensors",
        "epi_noiseoffset2": "light/epiNoiseoffset v2 = final #3.safetensors",
    },
    roles={"upscaler": "4x-UltraSharp.pth"},
)


lines = st.sampled_from(
    ["[tunes]", "[base 1]", "[base 2]", "[roles]", "[defaults]", "[x]", "[tunes", "# c", "",
     "family = sd15",
     "1 = a.pt", "2 = b.pt", "upscaler = u", "checkpoint = c", "diffusion_model = d", "base = 1",
     "base = ?", "x", "= 1", "1 =", "1 = ../a"]
)  # fmt: skip
texts = st.text() | st.lists(lines, max_size=8).map("\n".join)


def test_the_example_is_read() -> None:
    assert Bindings.parse(EXAMPLE, "x") == PARSED


def test_an_id_is_one_whatever_its_leading_zeros() -> None:
    base = "family = sd15\ncheckpoint = a"
    text = f"[base 007]\n{base}\n[defaults]\nbase = 0007\n[tunes]\n0012 = b\n0x1 = c\n000 = d"
    bindings = Bindings.parse(text, "x")
    assert (list(bindings.bases), bindings.default_base) == (["7"], "7")
    assert bindings.tunes == {"12": "b", "0x1": "c", "0": "d"}
    for twice in (f"[base 7]\n{base}\n[base 07]\n{base}", "[tunes]\n7 = a\n007 = b"):
        with pytest.raises(BindingsError, match="already set in line"):
            Bindings.parse(twice, "x")


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
        (
            "\n[tunse]",
            (
                "f, line 2: '[tunse]': expected [tunes], [roles], [defaults] or [base ID]. Did you"
                " mean [tunes]?"
            ),
        ),
        ("[tunes", "f, line 1: '[tunes': expected ']' at the end of a section's line"),
        ("[base a/b]", "f, line 1: '[base a/b]': expected a tune id after 'base', not 'a/b'"),
        ("[tunes]\nanna", "f, line 2: 'anna': expected 'key = value', found no '='"),
        ("[tunes]\n1 =", "f, line 2: '1 =': expected a value after the '='"),
        ("[tunes]\n= a", "f, line 2: '= a': expected a key before the '='"),
        ("[tunes]\n1 = a\n[tunes]\n1 = b", "f, line 4: '1 = b': 1 is already set in line 2"),
        (
            "[tunes]\n1 = ../a",
            (
                "f, line 2: '1 = ../a': expected a file name below the model folder, not '../a': it"
                " holds an empty, '.' or '..' part"
            ),
        ),
        (
            "[tunes]\n1 = a.pt # wife",
            (
                "f, line 2: '1 = a.pt # wife': expected a file name alone, not 'a.pt # wife'; a"
                " comment stands on a line of its own"
            ),
        ),
        (
            "[tunes]\n../1 = a",
            (
                "f, line 2: '../1 = a': expected a tune id or the name in a LoRA tag, not '../1':"
                " it holds an empty, '.' or '..' part"
            ),
        ),
        (
            "[roles]\nupscalr = a",
            (
                "f, line 2: 'upscalr = a': expected a role, not 'upscalr'. Did you mean"
                f" 'upscaler'? Roles: {', '.join(ROLES)}"
            ),
        ),
        ("[defaults]\ntune = 1", "f, line 2: 'tune = 1': expected 'base = ID', not the key 'tune'"),
        ("[defaults]\nbase = a b", "f, line 2: 'base = a b': expected the id of a base, not 'a b'"),
        (
            "[base 1]\nfamily = sd2",
            f"f, line 2: 'family = sd2': expected {', '.join(FAMILIES)}, not 'sd2'",
        ),
        (
            "[base 1]\ncheckpont = a",
            (
                "f, line 2: 'checkpont = a': expected a field of a base, not 'checkpont'. Did you"
                " mean 'checkpoint'? Fields: family, checkpoint, diffusion_model, clip_l, t5xxl,"
                " text_encoder, vae, outpaint_model, trim_padding, native_size"
            ),
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
            (
                "f, line 1: '[base 1]': family sdxl is loaded from a checkpoint, not from a"
                " diffusion_model"
            ),
        ),
        (
            "[base 1]\nfamily = sd15\nt5xxl = b",
            "f, line 1: '[base 1]': family sd15 has no t5xxl text encoder; remove t5xxl",
        ),
        (
            "[base 1]\nfamily = flux\ntrim_padding = 1",
            "f, line 3: 'trim_padding = 1': expected yes or no, not '1'",
        ),
        (
            "[base 1]\nfamily = sd15\nnative_size = 1000",
            "f, line 3: 'native_size = 1000': expected pixels from 128 to 4096 in multiples of 16,"
            " not '1000'",
        ),
        (
            "[base 1]\nfamily = sdxl\ntrim_padding = yes",
            (
                "f, line 1: '[base 1]': family sdxl has no T5 whose padding could be trimmed;"
                " remove trim_padding"
            ),
        ),
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
    mine = Bindings(
        {"1": BaseModel("sd15", checkpoint="a")}, "1", {"5": "a", "6": "b"}, {"upscaler": "u"}
    )
    other = Bindings({"1": BaseModel("sdxl", checkpoint="c")}, None, {"6": "c"})
    assert mine.merged_with(other) == Bindings(
        other.bases, "1", {"5": "a", "6": "c"}, {"upscaler": "u"}
    )
    assert mine.merged_with(Bindings(default_base="2")).default_base == "2"


def test_a_missing_file_holds_no_bindings(tmp_path: Path) -> None:
    assert load(tmp_path / "none.ini") == Bindings()


def test_a_file_is_parsed_when_it_differs_and_only_then(tmp_path: Path) -> None:
    path = tmp_path / "bindings.ini"
    texts = ["[tunes]\n1 = a.safetensors\n", "[tunes]\n1 = b.safetensors\n"]
    path.write_text(texts[0], encoding="utf-8")
    before = load(path)
    assert load(path) is before
    stamp = path.stat()
    path.write_text(texts[1], encoding="utf-8")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # of the same size and time
    assert load(path).tunes == {"1": "b.safetensors"}


def test_error_a_file_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_bytes("[tunes]\n1 = Žofie".encode("cp1250"))
    with pytest.raises(
        BindingsError, match=r"b\.ini, line 2: expected UTF-8 text, found the byte 0x8e"
    ):
        load(path)


def test_error_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(BindingsError, match="cannot be read"):
        load(tmp_path)
