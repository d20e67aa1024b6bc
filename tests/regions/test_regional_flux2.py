"""What Flux.2 has of its own with regions: positions in the text, texts filled up with zeros,
masks that it does not read, modulations for all blocks, and reference pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    denoised,
    difference,
    halves,
    model_of,
    noise_of,
    person_everywhere,
    soft_people,
    with_regions,
)
from torch import Tensor

SIZE = (8, 12)
KLEIN = "flux2_klein_4b"


def texts(*lengths: int) -> list:
    return [text("flux2", 5 + number, length) for number, length in enumerate(lengths)]


def drawn(masks: Tensor, people: list, run: RegionRun | None = None) -> Any:
    return with_regions(model_of("flux2"), masks, people, [text("flux2", 2)], run)


def test_positions_count_from_0_in_every_text_and_others_still_may_change_them() -> None:
    """A text of more than 512 tokens, which is not filled up, beside shorter ones."""
    seen: list[tuple[Tensor, Tensor]] = []

    def told(given: dict) -> dict:
        seen.append((given["txt_ids"][0], given["txt"][0]))
        return {**given, "img_ids": given["img_ids"] * 2}

    people = texts(40, 600, 9)
    patched = drawn(soft_people(), people)
    alone = denoised(patched, "flux2", people[0])
    patched.set_model_post_input_patch(told)
    assert difference(denoised(patched, "flux2", people[0]), alone) > 1e-3
    [(ids, given)] = seen
    assert ids.shape[0] == given.shape[0] == 512 + 600 + 512
    places = torch.cat([torch.arange(length) for length in (512, 600, 512)])
    assert torch.equal(ids[:, 3], places.float()) and not ids[:, :3].any()


def test_a_persons_text_is_filled_up_as_the_scenes() -> None:
    """Whoever says it: the same words are the same text."""
    words = text("flux2", 5, 14)
    plain = denoised(model_of("flux2"), "flux2", words)
    everywhere = drawn(person_everywhere(), [text("flux2", 1), words])
    assert torch.equal(denoised(everywhere, "flux2", text("flux2", 1)), plain)


@pytest.mark.parametrize("family", ["flux2", KLEIN])
def test_the_mask_that_every_encoder_gives_is_not_read(family: str) -> None:
    people = texts(14, 14, 14)
    expected = denoised(drawn(halves(), people), family, people[0])
    for one in people:
        one[0][1]["attention_mask"] = torch.tensor([[0] * 4 + [1] * 10])
    assert torch.equal(denoised(drawn(halves(), people), family, people[0]), expected)


def test_a_mask_over_the_picture_is_refused() -> None:
    mask = {"attention_mask": torch.ones(1, 520, 520), "attention_mask_img_shape": SIZE}
    scene, person = texts(14, 14)
    for number in (0, 1):
        people = [scene, [[person[0][0], dict(person[0][1])]]]
        people[number] = [[people[number][0][0], {**people[number][0][1], **mask}]]
        with pytest.raises(PlanError, match="attention mask for its picture"):
            denoised(drawn(person_everywhere() * 0.5 + 0.25, people), "flux2", people[0])


def test_an_attention_over_other_tokens_stops_the_run() -> None:
    """Such as one whose image another node has made shorter."""

    def shortened(given: dict) -> dict:
        return {**given, "img": given["img"][:, :-1], "img_ids": given["img_ids"][:, :-1]}

    people = texts(14, 14, 14)
    patched = drawn(halves(), people)
    patched.set_model_post_input_patch(shortened)
    with pytest.raises(PlanError, match=r"works on 1119 tokens; expected 1120"):
        denoised(patched, "flux2", people[0])


def referring(scene: list, *sides: tuple[int, int]) -> list:
    generator = torch.Generator().manual_seed(6)
    pictures = [torch.randn(1, 128, *size, generator=generator) for size in sides]
    return [[scene[0][0], {**scene[0][1], "reference_latents": pictures}]]


@pytest.mark.parametrize("masks", [soft_people(), halves()])
def test_reference_pictures_stand_behind_the_image_and_see_the_scenes_text(masks: Tensor) -> None:
    words = text("flux2", 1, 14)
    scene = referring(words, (5, 8), (4, 4))
    plain = denoised(model_of("flux2"), "flux2", scene)
    assert difference(denoised(model_of("flux2"), "flux2", words), plain) > 1e-3
    patched = drawn(masks, [scene, words, words])
    assert difference(denoised(patched, "flux2", scene), plain) < 1e-5


@pytest.mark.parametrize("is_told", [True, False])
def test_reference_pictures_that_are_kept_for_later_steps_are_refused(is_told: bool) -> None:
    """FluxKVCache sets them at another time than the picture, and takes them out of the sequence
    after the first step.
    """
    scene, *people = texts(14, 14, 14)
    model = model_of("flux2").clone()
    if is_told:
        told = referring(scene, (4, 4))
        told[0][1]["reference_latents_method"] = "index_timestep_zero"
    else:
        told = referring(scene, (4, 4))
        model = load("comfy_extras.nodes_flux").FluxKVCache.execute(model).result[0]
    patched = with_regions(model, halves(), [told, *people], [text("flux2", 2)])
    with pytest.raises(PlanError, match="Flux KV Cache"):
        denoised(patched, "flux2", told)
    without = with_regions(model, halves(), [scene, *people], [text("flux2", 2)])
    assert torch.equal(
        denoised(without, "flux2", scene),
        denoised(drawn(halves(), [scene, *people]), "flux2", scene),
    )


MODULATIONS = ("double_stream_modulation_img", "double_stream_modulation_txt", "single_stream")


@pytest.mark.parametrize("only", MODULATIONS)
def test_modulations_for_all_blocks_have_rows(only: str) -> None:
    """The one LoRA acts on the tokens of its person, text and pixels, and on no other."""
    model, run, people = model_of("flux2"), RegionRun(), texts(14, 14, 14)
    file = whole_file(model, only=only)
    assert len(file) == 3
    patched = drawn(halves(), people, run)
    loras = [RegionLora(1, file, 1.0, "a")]
    gated = load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, loras, run)
    plain, acting = (modulated(one, only, people[0]) for one in (patched, gated))
    of_text = torch.tensor([1] * 512 + [2] * 512)
    of_image = halves().argmax(0).flatten()
    rows = {"img": of_image, "txt": of_text}.get(only[-3:], torch.cat([of_text, of_image]))
    assert plain.shape[1] == 1 and acting.shape[1] == len(rows)
    changed = (acting - plain).abs().amax((0, 2)) > 0
    assert torch.equal(changed, rows == 1)


def modulated(model: Any, only: str, scene: list) -> Tensor:
    """Return what the layer of that name gives in one step."""
    seen: list[Tensor] = []

    def see(apply: Callable, arguments: dict) -> Tensor:
        network = model.model.diffusion_model
        [layer] = [one for name, one in network.named_modules() if only in name and "lin" in name]
        before = layer.forward
        layer.forward = lambda x: seen.append(before(x)) or seen[-1]
        try:
            return apply(arguments["input"], arguments["timestep"], **arguments["c"])
        finally:
            layer.forward = before

    watched = model.clone()
    watched.set_model_unet_function_wrapper(see)
    denoised(watched, "flux2", scene, noise=noise_of("flux2"))
    [given] = seen
    return given
