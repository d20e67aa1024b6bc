"""`dev.py clean-metadata`: what the cache left goes, and nothing else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_astria.devtools.clean_metadata import clean_file, run, without_left
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.paths import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from safetensors import safe_open
from safetensors.torch import save_file

SECRET = "# of Maria: 1533312 = maria_private.safetensors"
PROMPT = {
    "1": {
        "inputs": {"text": 'a "cat", is_changed: {é}', "is_changed": "an input of its own"},
        "class_type": "AstriaGenerate",
        "is_changed": [SECRET],
        "_meta": {"title": "Astria Generate"},
    },
    "2": {"inputs": {"images": ["1", 0], "x": 1e-07}, "class_type": "SaveImage"},
    "3": {"class_type": "AstriaModels", "inputs": {}, "is_changed": [None]},
    "4": {"is_changed": float("nan"), "class_type": "AstriaTunes", "inputs": {}},
}
WORKFLOW = {"nodes": [{"id": 1, "widgets_values": ["is_changed"]}], "version": 0.4}
PIXELS = np.arange(16 * 12 * 3, dtype=np.uint8).reshape(16, 12, 3)


def plainly(prompt: dict) -> dict:
    return {
        id: {key: value for key, value in one.items() if key != "is_changed"}
        for id, one in prompt.items()
    }


def write_png(path: Path, add: Callable[[PngImagePlugin.PngInfo], None]) -> None:
    info = PngImagePlugin.PngInfo()
    add(info)
    info.add_text("workflow", json.dumps(WORKFLOW))
    Image.fromarray(PIXELS).save(path, pnginfo=info)


TEXTS: dict[str, Callable[[PngImagePlugin.PngInfo], None]] = {
    "plain": lambda info: info.add_text("prompt", json.dumps(PROMPT)),
    "compressed": lambda info: info.add_text("prompt", json.dumps(PROMPT), zip=True),
    "international": lambda info: info.add_itxt("prompt", json.dumps(PROMPT, ensure_ascii=False)),
    "international, compressed": lambda info: info.add_itxt(
        "prompt", json.dumps(PROMPT, ensure_ascii=False), zip=True
    ),
    "of an animation": lambda info: info.add(
        b"comf", b"prompt\0" + json.dumps(PROMPT).encode(), after_idat=True
    ),
}


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return type and data of each chunk of a PNG, their checksums held against Pillow's reader."""
    file, found = io.BytesIO(data[8:]), []
    stream = PngImagePlugin.ChunkStream(file)
    while True:
        kind, _, length = stream.read()
        body = file.read(length)
        stream.crc(kind, body)
        found.append((kind, body))
        if kind == b"IEND":
            return found


@pytest.mark.parametrize("kind", TEXTS)
def test_a_png_loses_the_entries_and_keeps_everything_else_to_the_byte(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a.png"
    write_png(path, TEXTS[kind])
    path.chmod(0o640)
    before = chunks(path.read_bytes())
    assert run([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 3 is_changed entries removed\n"
    after = chunks(path.read_bytes())
    differing = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [body.startswith(b"prompt\0") for _, body in differing] == [True]
    with Image.open(path) as picture:
        assert (np.asarray(picture) == PIXELS).all()
        assert json.loads(picture.text["workflow"]) == WORKFLOW
        text = picture.text.get("prompt") or differing[0][1].partition(b"\0")[2].decode()
    assert json.loads(text) == plainly(PROMPT)
    assert SECRET.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["a.png"], "nothing is left beside it"

    whole = path.read_bytes()
    assert run([str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: holds no is_changed entry\n"
    assert path.read_bytes() == whole


def test_a_webp_as_the_host_writes_it(tmp_path: Path) -> None:
    path, picture = tmp_path / "a.webp", Image.fromarray(PIXELS)
    exif = picture.getexif()
    exif[0x0110] = f"prompt:{json.dumps(PROMPT)}"
    exif[0x010F] = f"workflow:{json.dumps(WORKFLOW)}"
    picture.save(path, exif=exif, lossless=True)
    size = path.stat().st_size
    assert clean_file(path) == 3
    assert SECRET.encode() not in path.read_bytes()
    assert path.stat().st_size == size
    with Image.open(path) as kept:
        assert (np.asarray(kept.convert("RGB")) == PIXELS).all()
        assert json.loads(kept.getexif()[0x0110].removeprefix("prompt:")) == plainly(PROMPT)
        assert kept.getexif()[0x010F] == f"workflow:{json.dumps(WORKFLOW)}"
    assert clean_file(path) == 0


def test_a_latent_keeps_its_numbers_and_other_metadata(tmp_path: Path) -> None:
    path, latent = tmp_path / "a.latent", torch.arange(24.0).reshape(1, 4, 2, 3)
    metadata = {"prompt": json.dumps(PROMPT), "workflow": json.dumps(WORKFLOW)}
    save_file({"latent_tensor": latent, "latent_format_version_0": torch.zeros(0)}, path, metadata)
    assert clean_file(path) == 3
    assert SECRET.encode() not in path.read_bytes()
    with safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("latent_tensor"), latent)
        assert json.loads(file.metadata()["prompt"]) == plainly(PROMPT)
        assert json.loads(file.metadata()["workflow"]) == WORKFLOW


def test_an_exr_keeps_every_offset(tmp_path: Path) -> None:
    text = json.dumps(PROMPT).encode()
    head = b"\x76\x2f\x31\x01\x02\0\0\0" + b"prompt\0string\0" + len(text).to_bytes(4, "little")
    path = tmp_path / "a.exr"
    path.write_bytes(head + text + b"channels\0chlist\0 and pixels")
    assert clean_file(path) == 3
    data = path.read_bytes()
    assert data.startswith(head)
    assert data.endswith(b"channels\0chlist\0 and pixels")
    assert json.loads(data[len(head) : len(head) + len(text)]) == plainly(PROMPT)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GIF89a", "none of .png, .webp"),
        (b"", "none of .png, .webp"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "ends within its chunk IHDR"),
        (b"RIFF\0\0\0\0WEBPEXIF\xff\0\0\0", "ends within its chunk EXIF"),
    ],
)
def test_what_cannot_be_cleaned_is_told_with_its_name_and_left_as_it_is(
    tmp_path: Path, content: bytes, told: str, capsys: pytest.CaptureFixture
) -> None:
    bad, good = tmp_path / "bad.png", tmp_path / "good.png"
    bad.write_bytes(content)
    write_png(good, TEXTS["plain"])
    assert run([str(bad), str(tmp_path / "absent.png"), str(tmp_path), str(good)]) == 1
    out = capsys.readouterr().out
    assert f"{bad}: left as it is. " in out
    assert told in out
    assert f"{tmp_path / 'absent.png'}: left as it is. No such file" in out
    assert f"{tmp_path}: left as it is. Is a directory" in out
    assert f"{good}: 3 is_changed entries removed" in out, "the files after it are cleaned"
    assert bad.read_bytes() == content


def test_a_prompt_that_is_no_json_but_may_hold_entries_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, lambda info: info.add_text("prompt", '{"1": {"is_changed": ['))
    with pytest.raises(DevError, match="Its is_changed entries cannot be found"):
        clean_file(path)


def test_a_prompt_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, lambda info: info.add_text("prompt", "a cat, masterpiece"))
    assert clean_file(path) == 0


def test_a_pattern_is_replaced_by_files_where_the_shell_has_not(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_png(tmp_path / "one[1].png", TEXTS["plain"])
    write_png(tmp_path / "one1.png", TEXTS["plain"])
    assert run([str(tmp_path / "one[1].png")]) == 0
    assert clean_file(tmp_path / "one1.png") == 3, "a file of that very name is meant"
    write_png(tmp_path / "one1.png", TEXTS["plain"])
    assert run([str(tmp_path / "*.png")]) == 0
    assert "one1.png: 3 is_changed" in capsys.readouterr().out


def test_without_files_it_says_what_to_give() -> None:
    with pytest.raises(DevError, match="takes the files to clean"):
        run([])


def test_it_runs_on_a_plain_python(tmp_path: Path) -> None:
    """Isolated, without site packages."""
    path = tmp_path / "a.png"
    write_png(path, TEXTS["plain"])
    command = [sys.executable, "-I", "-S", str(ROOT / "dev.py"), "clean-metadata", str(path)]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = {command[3:]!r};" + (
        f"import runpy; runpy.run_path({str(ROOT / 'dev.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 is_changed entries removed" in done.stdout


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.just("is_changed"), inner, max_size=3)
    ),
    max_leaves=8,
)
NODES = st.dictionaries(
    st.sampled_from(["class_type", "inputs", "is_changed", "_meta"]), VALUES, max_size=4
)


@given(
    st.dictionaries(st.text(max_size=3), NODES | VALUES.filter(lambda one: type(one) is not dict)),
    st.sampled_from([None, 2, "\t"]),
    st.booleans(),
)
def test_any_workflow_loses_the_entries_of_its_nodes_and_nothing_else(
    prompt: dict, indent: int | str | None, is_ascii: bool
) -> None:
    text = json.dumps(prompt, indent=indent, ensure_ascii=is_ascii)
    expected = {
        id: {key: value for key, value in one.items() if key != "is_changed"}
        if isinstance(one, dict)
        else one
        for id, one in prompt.items()
    }
    cleaned, removed = without_left(text)
    assert json.loads(cleaned) == expected
    assert removed == sum("is_changed" in one for one in prompt.values() if type(one) is dict)
    if indent is None:
        assert cleaned == json.dumps(expected, ensure_ascii=is_ascii)
