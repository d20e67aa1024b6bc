"""What is told before any model loads.

All that keeps a request from running whatever its family, at once.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import MissingModelError, PlanError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.build.stage_list import Problem
from comfyui_astria.nodes.pipeline.plan import draft
from comfyui_astria.nodes.pipeline.precheck import check_before_models, check_text
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.file_search import Missing

from .support import EQUIPPED, ROOT, resolver, sources

CROWD = "a street" + " BREAK" + " BREAK a person" * 9


def early(
    text: str,
    bindings: str = EQUIPPED,
    found: tuple = ((), ()),
    options: Options | None = None,
    **sockets: bool,
) -> None:
    check_before_models(
        PromptRequest.require(text),
        lambda family: sources(family.name, **sockets),
        resolver(bindings),
        options or Options(),
        found,
    )


@pytest.mark.parametrize(("text", "told"), [
    (CROWD, "9 persons"),
    ("<lora:99:1> a cat", "LoRA '99'"),
    ("<faceid:98:1> a cat", "FaceID photo set '98'"),
    ("a street BREAK BREAK <lora:97:1> ohwx woman", "LoRA '97'"),
    ("a cat --outpaint center --outpaint_width 96 --outpaint_height 96"
     " --outpaint_prompt '<lora:96:1> fields'", "LoRA '96'"),
    ("a cat\ncontrolnet=hed", "no node that draws this map"),
    ("a cat\ncontrolnet=canny", "needs an input image"),
    ("a cat\ndenoising_strength=0", "there is no input image"),
    ("a cat\ninput_image_url=https://example.com/a.png", "fetch_urls = yes in api.ini"),
    ("a cat <nowhere>", "embedding 'nowhere'"),
])  # fmt: skip
def test_what_no_family_can_run_is_told(text: str, told: str) -> None:
    with pytest.raises((PlanError, MissingModelError), match=told):
        early(text)


def test_a_model_that_every_family_lacks_is_told_and_one_that_some_have_is_not() -> None:
    with pytest.raises(MissingModelError, match="no upscaler is bound"):
        early("a cat\nsuper_resolution=true", bindings="")
    early("a cat\nsuper_resolution=true", bindings="", upscale_model=True)
    early("a cat\nsuper_resolution=true", bindings="", options=Options(missing_models="skip"))
    early(
        "a cat\ncontrolnet=canny",
        bindings="[roles]\nsdxl.controlnet_canny = canny.safetensors",
        image=True,
    )


def test_a_face_without_photos_follows_missing_models_before_a_model_loads() -> None:
    with pytest.raises(MissingModelError, match="FaceID photo set '9' is not in"):
        early("<faceid:9:1> a woman", bindings=EQUIPPED)
    early("<faceid:9:1> a woman", bindings=EQUIPPED, options=Options(missing_models="skip"))
    with pytest.raises(PlanError) as caught:  # of a request that is not written
        early(f"<faceid:9:1> {CROWD}", bindings="", options=Options(missing_models="skip"))
    assert "photo set" not in str(caught.value)
    with pytest.raises(MissingModelError, match="FaceID photo set '9' is not in"):
        check_text(PromptRequest.require("<faceid:9:1> a woman"), resolver(EQUIPPED))


def test_every_reason_is_told_at_once() -> None:
    text = f"<lora:99:1> {CROWD} <lora:98:1>\ncontrolnet=hed\nsuper_resolution=true"
    found = (
        (Problem("x", "error", "The picture is gone."),),
        (Missing("input picture", "a.png", "a.png is gone.", ""),),
    )
    with pytest.raises(PlanError) as caught:
        early(text, bindings="", found=found)
    for told in (
        "The picture is gone.",
        "9 persons",
        "no node that draws this map",
        "a.png is gone.",
        "LoRA '99'",
        "LoRA '98'",
    ):
        assert str(caught.value).count(told) == 1


def test_tags_of_stages_that_do_not_run_are_not_missed() -> None:
    with pytest.raises(PlanError) as caught:
        early("<lora:99:1> a cat\ndenoising_strength=0\ninput_image_url=https://example.com/a.png")
    assert "99" not in str(caught.value)
    early("<lora:99:1> a cat\ndenoising_strength=0", image=True)


def test_what_can_run_on_one_family_alone_passes() -> None:
    for path in sorted(ROOT.glob("workflows/prompts/*.txt")):
        request = PromptRequest.require(path.read_text(encoding="utf-8"))
        for name in FAMILIES:
            given = sources(name, image=True, control_image=True)
            drafted = draft(request, given, resolver(EQUIPPED), Options())
            if not drafted.errors and not drafted.missing:
                check_before_models(
                    request,
                    lambda family: sources(family.name, image=True, control_image=True),
                    resolver(EQUIPPED),
                    Options(),
                )


def test_the_wording_alone_is_checked_for_an_artists_own_sampler() -> None:
    check_text(
        PromptRequest.require("<lora:1533312:1> a cat BREAK BREAK <lora:rv51:1> a man"), resolver()
    )
    with pytest.raises(PlanError) as caught:
        check_text(
            PromptRequest.require(f"<lora:99:1> <lora:rv51:1> {CROWD} <lora:98:1>"), resolver()
        )
    for told in ("9 persons", "LoRA '99'", "LoRA '98'", "checkpoint 'rv51.safetensors'"):
        assert told in str(caught.value)
