"""Binding and unbinding edit the file in place, and leave what they refuse as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import BindingsError
from comfyui_astria.nodes.tunes.bindings import ROLES, Bindings, bind, load, unbind
from comfyui_astria.tests.tunes.bindings_strategies import EXAMPLE, all_bindings, values
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("1533312", "new.pt", "1533312 = my_wife.safetensors", "1533312 = new.pt"),
        ("upscaler", "u.pth", "upscaler = 4x-UltraSharp.pth", "upscaler = u.pth"),
        ("defaults.base", "690204", "base = 1504944", "base = 690204"),
        ("base.1504944.vae", "v.sft", "vae = ae.safetensors", "vae = v.sft"),
        ("1558021", "man.pt", "#3.safetensors\n", "#3.safetensors\n1558021 = man.pt\n"),
        (
            "controlnet_pose",
            "p.pth",
            "4x-UltraSharp.pth\n",
            "4x-UltraSharp.pth\ncontrolnet_pose = p.pth\n",
        ),
        (
            "tunes.SDXLrender_v2.0",
            "r.pt",
            "#3.safetensors\n",
            "#3.safetensors\nSDXLrender_v2.0 = r.pt\n",
        ),
        (
            "base.690204.outpaint_model",
            "i.pt",
            "V51.safetensors\n",
            "V51.safetensors\noutpaint_model = i.pt\n",
        ),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_binding_changes_one_line(
    tmp_path: Path, newline: str, key: str, value: str, old: str, new: str
) -> None:
    path = tmp_path / "b.ini"
    path.write_bytes(EXAMPLE.replace("\n", newline).encode())
    bind(path, key, value)
    assert EXAMPLE.count(old) == 1
    assert path.read_bytes().decode() == EXAMPLE.replace(old, new).replace("\n", newline)


@given(
    all_bindings,
    st.sampled_from(["7", "tunes.seven", "upscaler", "face_swapper"]),
    values,
    st.booleans(),
)
def test_binding_keeps_every_other_line_and_unbinding_removes_it(
    tmp_path_factory: pytest.TempPathFactory,
    bindings: Bindings,
    key: str,
    value: str,
    ends_with_newline: bool,
) -> None:
    path = tmp_path_factory.mktemp("b") / "b.ini"
    text = "# mine\n" + bindings.to_text().replace("\n[", "\n  # about this\n\n[ ") + "# last"
    path.write_text(
        text.replace("[ ", "[") + "\n" * ends_with_newline, encoding="utf-8", newline=""
    )
    name = key.removeprefix("tunes.")
    bind(path, key, value)
    bound = load(path)
    assert (bound.roles if name in ROLES else bound.tunes)[name] == value
    before = text.replace("[ ", "[").split("\n")
    after = path.read_text(encoding="utf-8").split("\n")
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
    assert (
        path.read_text()
        == "[base 690204]\nfamily = sd15\ncheckpoint = rv.ckpt\n\n[base mine]\nfamily ="
        " sdxl\ncheckpoint = xl.ckpt\n\n[tunes]\n1533312 = wife.pt\n"
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
        (
            "690204",
            "a",
            "690204 is the base tune Realistic Vision v5.1: a base binds its files one by one",
        ),
        ("1533312", "../a", "it holds an empty, '.' or '..' part"),
        ("1533312", "a\n[roles]\nupscaler = b", "control character or a line break"),
        ("base.12.checkpoint", "a", "base '12' is new and its family is not known"),
        ("base.690204.checkpont", "a", "Did you mean 'checkpoint'"),
        (
            "base.690204.diffusion_model",
            "a",
            "it names both a checkpoint and a diffusion_model; keep one",
        ),
        ("base.690204.family", "sd2", "expected sd15, sdxl, flux, flux_schnell, flux2, "),
        ("base.a b.family", "sd15", "expected a tune id after 'base', not 'a b'"),
        ("tunes.a=b", "a", "it holds '='"),
        ("defaults.base", "a b", "expected the id of a base, not 'a b'"),
    ],
)
def test_error_a_refused_binding_leaves_the_file_as_it_was(
    tmp_path: Path, key: str, value: str, message: str
) -> None:
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
    assert path.read_text() == EXAMPLE.replace(
        "[base 690204]\nfamily = sd15\ncheckpoint = realisticVisionV51.safetensors\n", ""
    )


def test_unbinding_the_family_needs_an_otherwise_empty_base(tmp_path: Path) -> None:
    path = tmp_path / "b.ini"
    path.write_text("[base 1]\nfamily = sd15\ncheckpoint = a\n")
    with pytest.raises(
        BindingsError,
        match=r"the family of base 1 is needed by its checkpoint\n.*--remove base\.1$",
    ):
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
