"""What of a LoRA fits, told where the artist and programs read it: in the report of a run, in the
error of a run that stops, and in the prompt box.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import STEPS, generate_graph, saved, text_of
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from safetensors.torch import load_file, save_file

OWN, OTHER, PART = "fit_own", "fit_other", "fit_part"
SIZE = f"{STEPS}\nw=64\nh=48\nscheduler=euler"


@pytest.fixture(scope="module", autouse=True)
def files(host: LiveHost) -> Iterator[None]:
    paths = [
        write_tiny_lora(host.loras, branch, f"{name}.safetensors")
        for name, branch in ((OWN, "sd15"), (OTHER, "flux"), (PART, "sd15"))
    ]
    part = load_file(paths[2])
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v.lora_up.weight"
    save_file({**part, key: part[key][:7].contiguous()}, paths[2])
    yield
    for path in paths:
        path.unlink()


def ran(host: LiveHost, text: str) -> tuple[numpy.ndarray, str]:
    """Return the picture and the report with what the nodes inside add to it."""
    entry = host.client.run(generate_graph(text))
    notes = [
        note for output in entry["outputs"].values() for note in output.get("astria_notes", ())
    ]
    return saved(host, entry), "\n".join([text_of(entry, "generate"), *notes])


def test_a_lora_of_the_whole_picture_is_counted_in_the_report(host: LiveHost) -> None:
    _, report = ran(host, f"<lora:{OWN}:0.6> a cat\n{SIZE}")
    assert f"LoRA {OWN}.safetensors at 0.6: the whole picture, seems made for SD1.5" in report
    assert f"LoRA '{OWN}.safetensors' at 0.6 on the whole model: fits 18 of 18 tensors." in report


def test_one_that_fits_in_part_says_what_is_left_out(host: LiveHost) -> None:
    _, report = ran(host, f"<lora:{PART}:0.6> a cat\n{SIZE}")
    assert "on the whole model: fits 15 of 18 tensors. Left out: lora_unet_mid_block" in report


def test_persons_wear_it_by_the_same_rule_and_are_named_by_their_words(host: LiveHost) -> None:
    text = f"a street BREAK BREAK <lora:{PART}:0.8> ohwx woman BREAK <lora:{OWN}:1> ohwx man\n"
    _, report = ran(host, f"{text}{SIZE}")
    assert f"LoRA {PART}.safetensors at 0.8: person 1 (ohwx woman)" in report
    assert (
        f"LoRA '{PART}.safetensors' at 0.8 on person 1: ohwx woman: fits 9 of 12 tensors. Left out:"
        " lora_unet_mid_block" in report
    )
    assert f"LoRA '{OWN}.safetensors' at 1 on person 2: ohwx man: fits 12 of 12 tensors." in report
    assert f"LoRA '{PART}.safetensors' at 0.8 on the text encoder: fits 6 of 6 tensors." in report


@pytest.mark.parametrize(
    ("text", "on"),
    [
        (f"<lora:{OTHER}:1> a cat", "the whole model"),
        (f"a street BREAK BREAK <lora:{OTHER}:1> ohwx woman", "person 1"),
    ],
)
def test_one_of_another_family_stops_the_run_on_a_person_and_on_the_whole_picture(
    host: LiveHost, text: str, on: str
) -> None:
    with pytest.raises(RunError) as caught:
        host.client.run(generate_graph(f"{text}\n{SIZE}"))
    said = str(caught.value)
    assert f"The LoRA '{OTHER}.safetensors' cannot be applied to {on}: " in said
    assert "The file seems made for Flux.1." in said
    assert "Use a LoRA made for SD1.5." in said


def test_the_prompt_box_says_whom_a_file_was_made_for(host: LiveHost) -> None:
    def ask(route: str, **body: Any) -> dict[str, Any]:
        status, answer = host.client.post_json(f"/astria/{route}", body)
        assert status == 200, answer
        return answer

    text = f"<lora:{OTHER}:1> a cat"
    said = ask("describe", text=text, offset=8)["text"]
    assert said.endswith(
        f"File: {OTHER}.safetensors\nSeems made for Flux.1, by the names and sizes of its tensors."
    )
    report = ask("explain", text=f"{text}\nw=64\nh=48", family="sd15")["report"]
    assert f"LoRA {OTHER}.safetensors at 1: the whole picture, seems made for Flux.1" in report
    assert f"warning: The LoRA '{OTHER}.safetensors' seems made for Flux.1" in report
