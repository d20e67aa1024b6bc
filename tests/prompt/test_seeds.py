"""Every prompt of the service's documentation means exactly what is written here."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.prompt import (
    Dilation,
    FaceIdTag,
    ImageRef,
    LoraTag,
    PromptRequest,
    Segment,
    parse,
)
from comfyui_astria.tests.prompt.seed_prompts import (
    FIELDS_TEXT,
    FILM_NOIR,
    KEPT_BACKGROUND,
    MASKED,
    OUTPAINT_ONLY,
    OUTPAINT_TEXT,
    PORTRAIT,
    SERENE,
    SWEATER,
    TEXT_BLOCK,
    TRUMP_TEXT,
)

_ALL_OFF = {
    name: False
    for name in (
        "controlnet_txt2img",
        "super_resolution",
        "inpaint_faces",
        "face_correct",
        "film_grain",
        "face_swap",
        "hires_fix",
    )
}
_OUTPAINT_EXPECTED = {
    **_ALL_OFF,
    "num_images": 1,
    "backend_version": "0",
    "ar": "1:1",
    "scheduler": "euler_a",
    "use_lpw": False,
    "w": 1024,
    "h": 1024,
}


def _sweater_request(**outpaint: object) -> PromptRequest:
    base = Segment((SWEATER,), (LoraTag("1533312", 1.0),))
    return PromptRequest(
        prompt=(base,), **_OUTPAINT_EXPECTED, outpaint_width=1792, outpaint_height=1024, **outpaint
    )


TEXTS = {
    FILM_NOIR: PromptRequest(
        prompt=(
            Segment(
                (
                    (
                        "Dramatic 1940s film noir scene. Couple standing together aiming guns,"
                        " wooden paneled background."
                    ),
                )
            ),
            Segment(),
            Segment(
                (
                    (
                        "ohwx woman with determined expression, retro updo hairstyle, bright red"
                        " lipstick, black and yellow color-blocked dress, aiming revolver with"
                        " right hand"
                    ),
                ),
                (LoraTag("1533312", 1.0),),
            ),
            Segment(
                (
                    (
                        "ohwx man with serious face, grey fedora hat, brown suit with patterned"
                        " tie, white shirt, aiming pistol with left hand"
                    ),
                ),
                (LoraTag("1558021", 1.0),),
            ),
        ),
        **_ALL_OFF,
        num_images=4,
        backend_version="1",
        ar="1:1",
        scheduler="euler_a",
        use_lpw=False,
        w=1024,
        h=576,
    ),
    KEPT_BACKGROUND: PromptRequest(
        prompt=(
            Segment(),
            Segment(),
            Segment(
                ("ohwx woman, red blouse jeans, and belt, holding a rifle",),
                (LoraTag("749152", 1.0),),
            ),
            Segment(("ohwx man, dark vest",), (LoraTag("749183", 1.0),)),
        ),
        num_images=4,
        seed=43,
        steps=30,
        input_image=ImageRef(
            "url", "https://sdbooth2-production.s3.amazonaws.com/4j0pej570oosmbj22xx6igf3gfi2"
        ),
        controlnet_txt2img=False,
        super_resolution=True,
        inpaint_faces=True,
        face_correct=False,
        film_grain=False,
        face_swap=True,
        hires_fix=True,
        ar="1:1",
        scheduler="dpm++sde_karras",
        use_lpw=True,
    ),
    MASKED: PromptRequest(
        prompt=(Segment((MASKED.partition(" --mask_prompt")[0],)),),
        negative=(Segment(("clay, text, watermark, padding, cropped, typography",)),),
        num_images=1,
        steps=30,
        controlnet="pose",
        input_image=ImageRef(
            "url", "https://sdbooth2-production.s3.amazonaws.com/d6ff3soq5pok5tlbcanf599vkw06"
        ),
        controlnet_txt2img=False,
        super_resolution=True,
        inpaint_faces=False,
        face_correct=True,
        film_grain=False,
        face_swap=False,
        hires_fix=True,
        ar="1:1",
        scheduler="dpm++sde_karras",
        use_lpw=True,
        mask_prompt=("foreground",),
        mask_negative=("clothes",),
        mask_invert=True,
        mask_dilate=Dilation(-20.0, "px"),
        hires_denoising_strength=0.2,
    ),
    OUTPAINT_ONLY: PromptRequest(
        **{**_OUTPAINT_EXPECTED, "super_resolution": True, "use_lpw": True, "w": 576, "h": 864},
        input_image=ImageRef("url", PORTRAIT),
        denoising_strength=0.0,
        outpaint="top-center",
        outpaint_width=864,
        outpaint_height=1296,
    ),
    f"{FIELDS_TEXT}\n{TEXT_BLOCK}": _sweater_request(
        outpaint="top-center", outpaint_prompt=Segment(("fields",))
    ),
    f"{TRUMP_TEXT}\n{TEXT_BLOCK}": _sweater_request(
        outpaint="left-center",
        outpaint_prompt=Segment(("president Trump the middle of the field",)),
    ),
}


@pytest.mark.parametrize(
    "text",
    TEXTS,
    ids=["film noir", "kept background", "masked", "outpaint only", "outpaint", "second person"],
)
def test_a_pasted_prompt_is_exactly_this_request(text: str) -> None:
    request, diagnostics = PromptRequest.from_text(text)
    assert request == TEXTS[text]
    assert {found.severity for found in diagnostics} <= {"info"}


@pytest.mark.parametrize("text", TEXTS)
def test_a_pasted_prompt_survives_printing(text: str) -> None:
    assert PromptRequest.from_text(TEXTS[text].to_text())[0] == TEXTS[text]


def test_a_json_request_is_exactly_this_request() -> None:
    fields = {
        "prompt": f"<lora:1795721:1.0> {SERENE}",
        "num_images": 1,
        "super_resolution": True,
        "inpaint_faces": True,
        "w": 896,
        "h": 1152,
        "scheduler": "euler_a",
        "ar": "1:1",
    }
    request, _ = PromptRequest.from_fields(fields)
    assert request == PromptRequest(
        prompt=(Segment((SERENE,), (LoraTag("1795721", 1.0),)),),
        num_images=1,
        super_resolution=True,
        inpaint_faces=True,
        w=896,
        h=1152,
        scheduler="euler_a",
        ar="1:1",
    )


_CALLBACK = "https://optional-callback-url.com/to-your-service-when-ready?prompt_id=1"
_KEPT = (("callback", _CALLBACK),)


@pytest.mark.parametrize("strength", [0, "0"])
def test_the_forms_of_outpainting_only(strength: object) -> None:
    fields = {
        "prompt[text]": OUTPAINT_TEXT,
        "prompt[denoising_strength]": strength,
        "prompt[input_image_url]": PORTRAIT,
        "prompt[callback]": _CALLBACK,
    }
    request, diagnostics = PromptRequest.from_fields(fields)
    assert request == PromptRequest(
        input_image=ImageRef("url", PORTRAIT),
        denoising_strength=0.0,
        outpaint="top-center",
        outpaint_width=864,
        outpaint_height=1296,
        unknown=_KEPT,
    )
    assert [(found.code, found.field) for found in diagnostics] == [
        ("unknown-parameter", "prompt[callback]")
    ]


@pytest.mark.parametrize("side", [1024, "1024"])
def test_the_forms_of_outpainting_a_new_picture(side: object) -> None:
    fields = {
        "prompt[text]": FIELDS_TEXT,
        "prompt[w]": side,
        "prompt[h]": side,
        "prompt[callback]": _CALLBACK,
    }
    assert PromptRequest.from_fields(fields)[0] == PromptRequest(
        prompt=(Segment((SWEATER,), (LoraTag("1533312", 1.0),)),),
        w=1024,
        h=1024,
        outpaint="top-center",
        outpaint_width=1792,
        outpaint_height=1024,
        outpaint_prompt=Segment(("fields",)),
        unknown=_KEPT,
    )


def _faceid_fields(text: str, yes: object) -> dict[str, object]:
    switches = dict.fromkeys(
        ("prompt[super_resolution]", "prompt[face_correct]", "prompt[face_swap]"), yes
    )
    return {
        "prompt[text]": text,
        "prompt[negative_prompt]": "",
        **switches,
        "prompt[callback]": _CALLBACK,
    }


@pytest.mark.parametrize("yes", [True, "true"])
def test_the_forms_of_faceid(yes: object) -> None:
    request, _ = PromptRequest.from_fields(
        _faceid_fields("<faceid:690:0.8> woman trekking in the alps", yes)
    )
    assert request == PromptRequest(
        prompt=(Segment(("woman trekking in the alps",), (), (FaceIdTag("690", 0.8),)),),
        super_resolution=True,
        face_correct=True,
        face_swap=True,
        unknown=_KEPT,
    )


def test_a_placeholder_of_the_documentation_is_named_as_such() -> None:
    request, diagnostics = PromptRequest.from_fields(
        _faceid_fields("<faceid:tune_id:strength> woman trekking in the alps", True)
    )
    assert request is None
    errors = [found for found in diagnostics if found.severity == "error"]
    assert [(found.code, found.field, found.line, found.column) for found in errors] == [
        ("bad-number", "prompt[text]", 1, 17)
    ]
    assert errors[0].message == "field `prompt[text]`: <faceid:...>: `strength` is not a number"
    assert "placeholder" in errors[0].hint


def test_the_tag_shown_for_faceid_reads() -> None:
    assert PromptRequest.require("<faceid:ID:1>").base.faceids == (FaceIdTag("ID", 1.0),)


def test_every_seed_prompt_is_a_document_without_loss() -> None:
    for text in TEXTS:
        assert str(parse(text)) == text
