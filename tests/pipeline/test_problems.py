"""What is said of values that the plan does not use, of strengths near zero, and of models that
paint masks poorly.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.graph.graph import Link
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import Plan

from .support import draft_text, equipped, plan_text, store_with_photos

CANVAS = "--outpaint center --outpaint_width 1280 --outpaint_height 1280"


def told(planned: Plan, code: str) -> list[str]:
    return [one.message for one in planned.problems if one.code == code]


def test_what_changes_a_connected_mask_is_not_said_to_do_nothing() -> None:
    flags = "a cat --mask_invert --mask_dilate 20"
    assert plan_text(flags, image=True, mask=True).problems == ()
    assert plan_text(f"{flags}\nmask_image=mask.png", image=True).problems == ()
    assert len(told(plan_text(flags, image=True), "no-effect")) == 2
    [negative] = told(plan_text("a cat --mask_negative hat", image=True, mask=True), "no-effect")
    assert negative == "mask_negative has no effect without mask_prompt.", (
        "a drawn mask has no words to take others from"
    )


@pytest.mark.parametrize(
    ("why", "start"),
    [
        ("a cat --only_upscale", "--only_upscale"),
        ("a cat\ndenoising_strength=0", "denoising_strength=0"),
    ],
)
def test_what_only_the_first_sampling_takes_is_said_to_do_nothing_without_it(
    why: str, start: str
) -> None:
    words, _, block = why.partition("\n")
    text = f"{words} --controlnets canny reference --mask_prompt face\ncontrolnet=depth\n{block}"
    [message] = told(draft_text(text, image=True, mask=True), "without-base")
    idle = "controlnet=depth, --controlnets canny, --controlnets reference, the mask."
    assert message == f"{start} leaves the input image as it is, so there is no effect of: {idle}"
    assert not draft_text(text, image=True, mask=True).errors, (
        "what is not asked for cannot be missing"
    )
    [worded] = told(draft_text(text, image=True, control_image=True), "without-base")
    assert worded.endswith("--controlnets reference, control_image, --mask_prompt face.")
    assert not told(plan_text("a cat", image=True, mask=True), "without-base")


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("", True),
        ("<lora:1533312:1>\nsteps=4", True),
        (CANVAS, True),
        ("a cat", False),
        ("<face>", False),
        ("BREAK in snow", False),
        ("BREAK BREAK ohwx woman", False),
        ("\nstyle=Cinematic", False),
    ],
)
def test_a_picture_of_no_words_is_told(text: str, is_told: bool) -> None:
    said = told(draft_text(text), "no-words")
    assert said == ["The prompt has no words, so the model paints whatever it likes."] * is_told
    assert not told(draft_text(text, image=True), "no-words"), "the picture says what is to come"


def test_steps_count_where_a_later_stage_samples_and_are_otherwise_said_to_do_nothing() -> None:
    text = "a cat {}\ndenoising_strength=0\nsteps=20\ncfg_scale=5\nscheduler=lcm"
    [message] = told(plan_text(text, image=True), "without-base")
    assert message.endswith("no effect of: steps, cfg_scale, scheduler.")
    for stage in (CANVAS, "--tiled_upscale", "\ninpaint_faces=true", "\nhires_fix=true"):
        assert not told(equipped(text.format(stage), image=True), "without-base"), stage
    assert told(
        equipped(text.format("--tiled_upscale --hires_denoising_strength 0"), image=True),
        "without-base",
    )


def test_a_strength_beside_only_upscale_is_said_to_do_nothing_and_may_be_tiny() -> None:
    planned = plan_text("--only_upscale\ndenoising_strength=0.001", image=True)
    [message] = told(planned, "without-base")
    assert message.endswith("no effect of: denoising_strength.")
    assert len(planned.problems) == 1


def test_a_kept_background_wins_over_controlnet_txt2img_and_that_is_said() -> None:
    text = "BREAK BREAK ohwx woman\ncontrolnet=canny\ncontrolnet_txt2img={}\ndenoising_strength=0.5"
    planned = equipped(text.format("true"), image=True)
    assert planned.stages[0].kind == "inpaint"
    assert [one.code for one in planned.problems] == ["background-overrules"]
    assert equipped(text.format("false"), image=True).problems == ()
    masked = equipped(text.format("true"), image=True, mask=True)
    assert [one.code for one in masked.problems] == ["mask-overrules"], "said once"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("BREAK photo, 35mm BREAK ohwx woman", "photo, 35mm"),
        ("<lora:1533312:0.5> BREAK BREAK ohwx woman", "<lora:1533312:0.5>"),
        ("BREAK BREAK ohwx woman", None),
        ("a street BREAK photo BREAK ohwx woman", None),
        ("BREAK photo", None),
        ("BREAK photo BREAK ohwx woman --mask_prompt face", None),
        ("BREAK photo BREAK ohwx woman\ndenoising_strength=0", None),
    ],
)
def test_a_background_that_is_drawn_by_words_for_persons_is_told(
    text: str, said: str | None
) -> None:
    found = told(draft_text(text, image=True), "background-drawn")
    assert found == (
        []
        if said is None
        else [
            f"`{said}` stands before the persons, so the whole picture is drawn anew, its"
            " background as well."
        ]
    )
    assert not told(draft_text(text), "background-drawn"), "there is no background to keep"


@pytest.mark.parametrize(
    ("canvas", "what"),
    [
        ("768x1024", "256 px of its width are cut off, and nothing new is painted."),
        ("1024x1024", "nothing new is painted. Make the canvas larger."),
        ("1025x1024", None),
    ],
)
def test_a_canvas_that_cuts_off_what_was_painted_is_told(canvas: str, what: str | None) -> None:
    width, height = canvas.split("x")
    flags = f"--outpaint center --outpaint_width {width} --outpaint_height {height}"
    text = f"a cat {flags} --outpaint_prompt fields\nw=1024\nh=1024"
    found = told(plan_text(text), "outpaint-canvas")
    assert len(found) == (what is not None)
    assert all(f"The picture is 1024x1024 and its canvas {canvas}: {what}" in one for one in found)
    # Of an input image the size is known then.
    of_image = plan_text(f"a cat {flags}\ndenoising_strength=0", image=True)
    assert not told(of_image, "outpaint-canvas")


def test_a_canvas_that_must_not_be_smaller_is_an_error_before_anything_is_painted() -> None:
    text = "a cat --outpaint center --outpaint_width 768 --outpaint_height 1024"
    [error] = draft_text(text, "sdxl", Options(smaller_canvas="error")).errors
    assert "canvas of 768x1024 is smaller than the source image of 1024x1024" in error.message


@pytest.mark.parametrize(
    ("text", "family", "is_told"),
    [
        ("a cat\nw=1024\nh=1024", "sd15", True),
        ("a cat\nw=1024\nh=768", "sd15", False),
        ("a cat\nw=2048\nh=2048", "sdxl", True),
        ("a cat\nw=2048\nh=2048", "flux", False),
        ("a cat\nw=4096\nh=4096", "flux", True),
        ("a cat --only_upscale\nw=4096\nh=4096\ninput_image=a.png", "sd15", False),
        (f"a cat {CANVAS}", "sd15", True),
        (f"a cat {CANVAS}", "sdxl", False),
        (f"a cat {CANVAS}\ndenoising_strength=0\ninput_image=a.png", "sd15", True),
    ],
)
def test_a_size_that_the_model_paints_poorly_is_told(text: str, family: str, is_told: bool) -> None:
    assert len(told(draft_text(text, family), "size")) == is_told


@pytest.mark.parametrize(("sides", "most_px"), [("", 1048575), ("\nw=640\nh=480", 0)])
def test_an_input_image_of_its_own_size_is_looked_at_when_it_is_there(
    sides: str, most_px: int
) -> None:
    planned = plan_text(f"a cat{sides}", "sd15", image=True)
    assert not told(planned, "size")
    assert planned.graph.nodes["base.fit"].inputs["most_px"] == most_px


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "woman <lora:1533312:1> <lora:1533312:0.5>",
            "<lora:1533312:1.0> and <lora:1533312:0.5> name one LoRA, whose weights add up to 1.5.",
        ),
        (
            "BREAK <lora:1533312:1> BREAK a man BREAK <lora:1533312:1> woman",
            "<lora:1533312:1.0> and <lora:1533312:1.0> name one LoRA, whose weights add up to 2.",
        ),
        ("<lora:1533312:1> BREAK BREAK <lora:1533312:1> woman", None),
        ("BREAK BREAK <lora:1533312:1> woman BREAK <lora:1533312:1> man", None),
        ("<lora:1533312:1> <lora:1558021:1> woman", None),
    ],
)
def test_a_lora_that_acts_twice_on_one_is_told(text: str, said: str | None) -> None:
    assert told(draft_text(text), "weights-add-up") == ([said] if said else [])


def test_a_face_that_acts_twice_on_one_is_told(tmp_path: Path) -> None:
    store = store_with_photos(tmp_path, 7)
    planned = equipped("<faceid:7:0.8> <faceid:7:0.5> woman", store=store)
    assert told(planned, "weights-add-up") == [
        "<faceid:7:0.8> and <faceid:7:0.5> name one face, whose strengths add up to 1.3."
    ]


def test_faceid_portrait_without_a_face_is_said_to_do_nothing(tmp_path: Path) -> None:
    assert told(plan_text("a cat --faceid_portrait"), "no-effect") == [
        "faceid_portrait has no effect without a <faceid:...> tag."
    ]
    assert len(told(plan_text("a cat --faceid_portrait", "flux"), "no-effect")) == 1
    store = store_with_photos(tmp_path, 7)
    assert equipped("<faceid:7:1> woman --faceid_portrait", store=store).problems == ()
    assert not told(
        equipped("a street BREAK BREAK <faceid:7:1> woman --faceid_portrait", store=store),
        "no-effect",
    )
    [flux] = told(
        equipped("<faceid:7:1> woman --faceid_portrait", "flux", store=store), "no-effect"
    )
    assert "on Flux.1 dev" in flux


@pytest.mark.parametrize("family", ["sdxl", "sdxl_inpaint"])
def test_sdxl_warns_wherever_a_part_is_repainted(family: str) -> None:
    assert told(equipped("BREAK BREAK ohwx woman", family, image=True), "sdxl-inpainting") == [
        "Inpainting with SDXL gives poor results."
    ]
    assert told(plan_text(f"a cat {CANVAS}", family), "sdxl-inpainting") == [
        "Outpainting with SDXL gives poor results."
    ]
    assert (
        len(told(plan_text(f"a cat {CANVAS}", family, image=True, mask=True), "sdxl-inpainting"))
        == 1
    )
    assert not told(
        plan_text("a street BREAK BREAK ohwx woman", family, image=True), "sdxl-inpainting"
    ), "the whole picture is painted"
    assert not told(plan_text("BREAK BREAK ohwx woman", family), "sdxl-inpainting"), (
        "there is no picture to keep"
    )
    assert not told(
        plan_text("a cat\ndenoising_strength=0", family, image=True, mask=True), "sdxl-inpainting"
    )
    assert not told(plan_text(f"a cat {CANVAS}", "sd15"), "sdxl-inpainting")


def test_the_strength_of_the_second_sampling_counts_where_there_is_one() -> None:
    small = "a cat --hires_denoising_strength 0.005"
    assert told(plan_text(small), "no-effect") == [
        "hires_denoising_strength has no effect without hires_fix."
    ]
    assert told(plan_text("a cat --hires_denoising_strength 0"), "no-effect") == [
        "hires_denoising_strength has no effect without hires_fix."
    ]
    for turned_on in ("\nhires_fix=true", " --tiled_upscale"):
        [error] = draft_text(f"{small}{turned_on}").errors
        assert (
            error.message
            == "--hires_denoising_strength 0.005 is too small: ComfyUI works out 30/0.005 noise"
            " levels for it."
        )
        assert error.hint.endswith("to 0 to enlarge without a second sampling.")


def test_a_second_sampling_of_strength_zero_only_enlarges() -> None:
    planned = plan_text("a cat --hires_denoising_strength 0\nhires_fix=true")
    assert planned.problems == ()
    assert {stage.name: stage.size for stage in planned.stages} == {
        "base": "512x512",
        "hires_fix": "1024x1024",
        "super_resolution": "2048x2048",
    }
    assert planned.graph.nodes["super_resolution.upscale"].inputs["factor"] == 2.0
    assert planned.output == Link("super_resolution.upscale")
    assert planned.sampler_calls == 1, "the first"
