"""Who wears which LoRA, and whom its file was made for, as the report and Explain tell it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import Plan, draft
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.local_files import LocalFiles
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.tests.pipeline.support import sources
from comfyui_astria.tests.pipeline.test_cli import CommandLine
from safetensors.torch import save_file

PEOPLE = (
    "<lora:light:0.5> a street BREAK <lora:film:0.7> film noir"
    " BREAK <lora:her:0.8> ohwx woman in a long yellow dress BREAK <lora:him:1> ohwx man"
)
FLUX = {"lora_unet_double_blocks_18_img_attn_qkv.lora_up.weight": torch.zeros(12, 2)}
SDXL = {"lora_unet_input_blocks_7_1_transformer_blocks_1_attn1_to_q.alpha": torch.zeros(1)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "loras"
    folder.mkdir(parents=True)
    for name in ("light", "film", "him"):
        save_file(FLUX, folder / f"{name}.safetensors")
    save_file(SDXL, folder / "her.safetensors")
    return folder.parent


def drafted(models: Path, text: str, family: str = "flux", **connected: bool) -> Plan:
    resolver = Resolver(Bindings(), None, LocalFiles(models))
    return draft(PromptRequest.require(text), sources(family, **connected), resolver, Options())


def test_every_lora_is_listed_with_who_wears_it(models: Path) -> None:
    assert [
        (one.lora.file, one.lora.weight, one.wearer) for one in drafted(models, PEOPLE).loras
    ] == [
        ("film.safetensors", 0.7, "everybody"),
        ("her.safetensors", 0.8, "person 1 (ohwx woman in a long …)"),
        ("him.safetensors", 1.0, "person 2 (ohwx man)"),
        ("light.safetensors", 0.5, "the scene"),
    ]
    alone = drafted(models, "<lora:film:0.7> a cat").loras
    assert [one.describe() for one in alone] == [
        "LoRA film.safetensors at 0.7: the whole picture, seems made for Flux.1"
    ]


@pytest.mark.parametrize(
    ("tag", "told"),
    [
        ("<lora:film:1:0>", "at 0 on the model and 1 on the text encoder"),
        ("<lora:film:0.3:0.8>", "at 0.8 on the model and 0.3 on the text encoder"),
        ("<lora:film:0.8:0.8>", "at 0.8"),
    ],
)
def test_a_lora_of_two_weights_is_told_with_both(models: Path, tag: str, told: str) -> None:
    (alone,) = drafted(models, f"{tag} a cat").loras
    assert alone.describe().startswith(f"LoRA film.safetensors {told}: the whole picture")


def test_the_new_area_of_an_outpainting_wears_its_own(models: Path) -> None:
    text = (
        "<lora:film:0.7> a cat --outpaint top-center --outpaint_width 864 --outpaint_height 1296"
        ' --outpaint_prompt "<lora:light:0.4> sky"\nw=512\nh=512'
    )
    assert [(one.lora.file, one.wearer) for one in drafted(models, text).loras] == [
        ("film.safetensors", "the whole picture"),
        ("light.safetensors", "the new area of the outpainting"),
    ]


def test_stages_that_say_the_same_again_list_nothing_twice(models: Path) -> None:
    text = f"{PEOPLE}\nhires_fix=true\nw=512\nh=512"
    assert len(drafted(models, text, upscale_model=True).loras) == 4


@pytest.mark.parametrize("text", ["<lora:her:1> a cat", PEOPLE])
def test_a_file_made_for_another_family_is_told_once_wherever_it_stands(
    models: Path, text: str
) -> None:
    (problem,) = (one for one in drafted(models, text).problems if one.code == "lora-family")
    assert problem.severity == "warning"
    assert problem.message.startswith(
        "The LoRA 'her.safetensors' seems made for SDXL, by the names and sizes of its tensors; the"
        " model is Flux.1 dev."
    )
    assert "Use a LoRA made for Flux.1 dev" in problem.hint


def test_a_file_made_for_the_models_family_is_no_news(models: Path) -> None:
    assert drafted(models, "<lora:her:1> a cat", "sdxl").problems == ()


def test_a_file_that_does_not_say_is_not_guessed_about(models: Path) -> None:
    (models / "loras" / "her.safetensors").write_bytes(b"")
    plan = drafted(models, "<lora:her:1> a cat")
    assert plan.problems == ()
    assert plan.loras[0].describe() == "LoRA her.safetensors at 1: the whole picture"


def test_a_file_that_is_no_lora_is_warned_of(models: Path) -> None:
    save_file({"emb_params": torch.zeros(2, 8)}, models / "loras" / "her.safetensors")
    (problem,) = drafted(models, "<lora:her:1> a cat").problems
    assert (problem.code, problem.severity) == ("lora-form", "warning")
    assert "seems to be an embedding (textual inversion)" in problem.message


def test_explain_lists_wearers_and_families_from_the_headers(models: Path) -> None:
    comfy = CommandLine(models.parent)
    comfy.prompt.write_text(f"{PEOPLE}\nw=512\nh=512", encoding="utf-8")
    assert comfy.run("explain", str(comfy.prompt), "--family", "flux") == 0
    listed = comfy.said[comfy.said.index("\nLoRAs\n") : comfy.said.index("\nNotes\n")]
    assert (
        "  LoRA her.safetensors at 0.8: person 1 (ohwx woman in a long …), seems made for SDXL"
        in listed
    )
    assert "  LoRA light.safetensors at 0.5: the scene, seems made for Flux.1" in listed
    assert "warning: The LoRA 'her.safetensors' seems made for SDXL" in comfy.said
