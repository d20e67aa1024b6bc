"""Defaults, inputs, policies and errors of the planner."""

from __future__ import annotations

from dataclasses import replace

import pytest
from comfyui_astria.nodes.errors import MissingModelError, PlanError
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.check import check_graph
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.graph import Graph, Link, Socket
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.build.text import Models
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.pipeline.plan import plan
from comfyui_astria.nodes.prompt import PromptRequest

from .support import BINDINGS, EQUIPPED, FILES, draft_text, plan_text, resolver, sources

DEFAULTS = [
    ("sd15", 512, 30, 7.0),
    ("sdxl", 1024, 30, 7.0),
    ("flux", 1024, 28, 3.5),
    ("flux_fill", 1024, 28, 30.0),
    ("flux_schnell", 1024, 4, 1.0),
    ("flux2", 1024, 20, 4.0),
    ("flux2_klein_4b", 1024, 4, 1.0),
    ("flux2_klein_9b", 1024, 4, 1.0),
    ("flux2_klein_4b_base", 1024, 20, 5.0),
    ("flux2_klein_9b_base", 1024, 20, 5.0),
]


@pytest.mark.parametrize(("name", "size", "steps", "cfg"), DEFAULTS)
def test_defaults_of_each_family(name: str, size: int, steps: int, cfg: float) -> None:
    settings = plan_text("a cat", name).settings
    assert (settings.width, settings.height, settings.steps, settings.cfg, settings.num_images) == (
        size,
        size,
        steps,
        cfg,
        1,
    )
    assert settings.scheduler == ("euler" if name.startswith("flux") else "euler_a")


def test_every_setting_says_where_it_comes_from() -> None:
    settings = plan_text("a cat\nsteps=12", options=Options(seed=9)).settings
    told = {one.key: (one.value, one.reason) for one in settings.explained}
    assert told["steps"] == (12, "set in the prompt")
    assert told["seed"] == (9, "the node's seed, since the prompt sets none")
    assert told["cfg_scale"] == (7.0, "default of SD1.5")
    assert set(told) == {
        "scheduler",
        "sampler",
        "size",
        "num_images",
        "seed",
        "steps",
        "cfg_scale",
        "denoising_strength",
        "use_lpw",
    }


def test_the_prompts_seed_wins_over_the_nodes() -> None:
    nodes = plan_text("a cat\nseed=43", options=Options(seed=9)).graph.nodes
    assert nodes["base.noise"].inputs["seed"] == 43


def test_flux_says_once_that_a_negative_prompt_has_no_effect() -> None:
    planned = plan_text("a cat\nnegative_prompt=dog", "flux")
    assert [one.code for one in planned.problems] == ["negative-without-effect"]
    assert planned.graph.nodes["base.negative"].inputs["text"] == ""


def test_schnell_takes_no_guidance_and_says_so_of_a_prompt_that_sets_some() -> None:
    quiet = plan_text("a cat", "flux_schnell")
    assert quiet.problems == ()
    assert {one.key: one.reason for one in quiet.settings.explained}[
        "cfg_scale"
    ] == "Flux.1 schnell takes no guidance, and the true CFG stays 1"
    planned = plan_text(
        "a cat --tiled_upscale_v2\ncfg_scale=5", "flux_schnell", upscale_model=True, controlnet=True
    )
    assert "cfg_scale has no effect on Flux.1 schnell: it takes no guidance." in [
        one.message for one in planned.problems
    ]
    assert "FluxGuidance" not in {call.class_type for call in planned.graph.nodes.values()}


def test_fill_beside_schnell_outpaints_with_its_own_steps_and_guidance() -> None:
    given = replace(
        sources("flux_schnell"),
        outpaint_models=Models(Socket("outpaint_model"), Socket("clip"), Socket("vae")),
        outpaint_family=FAMILIES["flux_fill"],
    )
    text = "a cat --outpaint center --outpaint_width 1280 --outpaint_height 1024"
    nodes = plan(PromptRequest.require(text), given, resolver(), Options()).graph.nodes
    assert (nodes["base.sigmas"].inputs["steps"], nodes["outpaint.sigmas"].inputs["steps"]) == (
        4,
        28,
    )
    assert nodes["outpaint.guidance"].inputs["guidance"] == 30.0
    nodes = plan(
        PromptRequest.require(f"{text}\nsteps=6"),
        replace(given, graph=Graph()),
        resolver(),
        Options(),
    ).graph.nodes
    assert nodes["base.sigmas"].inputs["steps"] == nodes["outpaint.sigmas"].inputs["steps"] == 6


def test_sd_encodes_base_and_common_of_both_prompts() -> None:
    planned = plan_text("a street BREAK film noir\nnegative_prompt=text BREAK blurry")
    assert planned.graph.nodes["base.positive"].inputs["text"] == "a street, film noir"
    assert planned.graph.nodes["base.negative"].inputs["text"] == "text, blurry"


def test_use_lpw_decides_whether_brackets_weigh() -> None:
    assert (
        plan_text("a (red:1.2) hat").graph.nodes["base.positive"].inputs["text"]
        == "a (red:1.2) hat"
    )
    assert (
        plan_text("a (red:1.2) hat\nuse_lpw=false").graph.nodes["base.positive"].inputs["text"]
        == r"a \(red:1.2\) hat"
    )


def test_loras_stack_in_order_and_one_named_twice_adds_up() -> None:
    nodes = plan_text("<lora:1533312:0.5> <lora:detail:-0.3> a cat <lora:1533312:0.25>").graph.nodes
    assert [
        (
            nodes[f"base.lora_{n}"].inputs["lora_name"],
            nodes[f"base.lora_{n}"].inputs["strength_model"],
        )
        for n in (1, 2)
    ] == [
        ("my_wife.safetensors", 0.75),
        ("detail.safetensors", -0.3),
    ]
    assert nodes["base.lora_2"].inputs["model"] == Link("base.lora_1")
    assert nodes["base.lora_2"].inputs["clip"] == Link("base.lora_1", 1)
    assert nodes["base.positive"].inputs["clip"] == Link("base.lora_2", 1)


def test_every_missing_lora_is_named_at_once() -> None:
    with pytest.raises(MissingModelError) as caught:
        plan_text("<lora:99:1> <lora:98:1> a cat")
    assert "'99'" in str(caught.value)
    assert "'98'" in str(caught.value)
    assert "bind 99" in str(caught.value)


def test_a_checkpoint_as_lora_of_the_whole_picture_is_refused() -> None:
    with pytest.raises(
        PlanError, match=r"<lora:rv51> stands for the checkpoint 'rv51.safetensors'"
    ):
        plan_text("<lora:rv51:1> a cat")


def test_upscaler_comes_from_the_socket_else_the_bindings_else_the_policy_decides() -> None:
    text = "a cat\nsuper_resolution=true"
    assert plan_text(text, upscale_model=True).graph.nodes["super_resolution.upscale"].inputs[
        "upscale_model"
    ] == Socket("upscale_model")
    assert plan_text(text).graph.nodes["models.upscaler"].inputs["model_name"] == "4x.pth"
    with pytest.raises(MissingModelError, match="no upscaler is bound"):
        plan_text(text, bindings="")
    skipped = plan_text(text, options=Options(missing_models="skip"), bindings="")
    assert [one.code for one in skipped.problems] == ["stage-skipped"]
    assert [stage.name for stage in skipped.stages] == ["base"]
    assert skipped.output == Link("base.decode")


def test_skip_is_for_stages_not_for_loras() -> None:
    with pytest.raises(MissingModelError, match="'99'"):
        plan_text("<lora:99:1> a cat", options=Options(missing_models="skip"))


def test_a_face_for_the_outpainted_area_is_refused_and_not_left_out() -> None:
    with pytest.raises(PlanError, match=r"<faceid:\.\.\.> in --outpaint_prompt"):
        plan_text(
            "x --outpaint center --outpaint_width 96 --outpaint_height 96 --outpaint_prompt"
            " '<faceid:12:1> man'"
        )


def test_a_graph_refuses_links_to_nodes_that_are_not_there() -> None:
    with pytest.raises(PlanError, match="refers to 'b'"):
        Graph().add("a", "VAEDecode", samples=Link("b"))


def test_embeddings_are_named_as_the_host_lists_them_and_must_be_there() -> None:
    planned = plan_text("a cat <ink>, drawn\nnegative_prompt=<easynegative> blurry")
    assert (
        planned.graph.nodes["base.positive"].inputs["text"]
        == "a cat embedding:styles/ink.pt , drawn"
    )
    assert (
        planned.graph.nodes["base.negative"].inputs["text"]
        == "embedding:easynegative.safetensors blurry"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FILES, "embeddings", ["styles\\ink.pt"])
        assert (
            plan_text("<ink>").graph.nodes["base.positive"].inputs["text"]
            == "embedding:styles/ink.pt"
        )
    with pytest.raises(
        MissingModelError, match=r"embedding 'nowhere' was not found\. Searched embeddings"
    ):
        plan_text("a cat <nowhere>")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a cat --mask_invert", "mask_invert"),
        ("a cat --control_guidance_end 0.5", "control_guidance_end"),
        ("a cat --hires_denoising_strength 0.3", "hires_denoising_strength"),
        ("a cat --resemblance 0.5", "resemblance"),
        ("a cat\ncontrolnet_conditioning_scale=0.5", "controlnet_conditioning_scale"),
    ],
)
def test_a_value_that_tunes_a_step_nobody_asked_for_is_said_to_have_no_effect(
    text: str, what: str
) -> None:
    assert [
        one.message.split(" has")[0] for one in plan_text(text).problems if one.code == "no-effect"
    ] == [what]


def test_a_negative_prompt_for_a_person_who_is_not_there_is_not_ignored() -> None:
    [error] = draft_text("a cat\nnegative_prompt=a BREAK b BREAK c").errors
    assert error.message == "The negative prompt has 3 BREAK segments, and the prompt 1."


def test_hires_fix_turns_super_resolution_on() -> None:
    drafted = draft_text("a cat\nhires_fix=true")
    sizes = {stage.name: stage.size for stage in drafted.stages}
    assert sizes == {"base": "512x512", "hires_fix": "1024x1024", "super_resolution": "2048x2048"}


def test_lora_weights_beyond_the_hosts_range_are_refused_by_name() -> None:
    planned = plan_text("<lora:detail:80> <lora:detail:80> a cat")
    with pytest.raises(
        PlanError,
        match=r"base\.lora_1 \(AstriaLoadLora\): input 'strength_model' is 160\.0, outside -100",
    ):
        check_graph(planned.graph, snapshot())


def test_a_base_of_schnell_is_planned_and_loaded_as_such() -> None:
    schnell = BINDINGS.replace("family = flux", "family = flux_schnell")
    request, _ = PromptRequest.from_text("a cat")
    compiled = compile_request(request, resolver(schnell), CompileOptions("1504944"))
    assert (compiled.plan.settings.steps, compiled.plan.settings.cfg) == (4, 1.0)
    kinds = {call.class_type for call in compiled.plan.graph.nodes.values()}
    assert {"UNETLoader", "DualCLIPLoader"} <= kinds and "FluxGuidance" not in kinds


def test_a_base_with_trimmed_texts_encodes_all_of_them_without_padding() -> None:
    def encoders(bindings: str) -> set[str]:
        flags = "--outpaint top-left --outpaint_width 1280 --outpaint_height 1280"
        request, _ = PromptRequest.from_text(
            f"a bar\nBREAK\na photo\nBREAK\nAnn\nBREAK\nBob\n{flags}"
        )
        nodes = compile_request(
            request, resolver(bindings), CompileOptions("1504944")
        ).plan.graph.nodes
        texts = [call for call in nodes.values() if call.class_type == "CLIPTextEncode"]
        assert len(texts) > 2
        return {nodes[call.inputs["clip"].node].class_type for call in texts}

    assert (
        encoders(BINDINGS)
        == encoders(
            BINDINGS.replace("vae = ae.safetensors", "vae = ae.safetensors\ntrim_padding = no")
        )
        == {"DualCLIPLoader"}
    )
    assert encoders(
        BINDINGS.replace("vae = ae.safetensors", "vae = ae.safetensors\ntrim_padding = yes")
    ) == {"T5TokenizerOptions"}


def test_a_base_s_native_size_is_that_of_pictures_ratios_and_faces() -> None:
    def planned(text: str, native: str) -> tuple[str, dict]:
        request, _ = PromptRequest.from_text(text)
        bound = EQUIPPED.replace("family = sd15\n", f"family = sd15\n{native}")
        made = compile_request(request, resolver(bound), CompileOptions("690204"))
        size = next(one for one in made.plan.settings.explained if one.key == "size")
        return f"{size.value}  {size.reason}", dict(made.graph.nodes)

    assert planned("a cat", "")[0] == "512x512  native size of SD1.5"
    told, _ = planned("a cat", "native_size = 128\n")
    assert told == "128x128  native size of the base, as its native_size says"
    told, _ = planned("a cat\nar=3:2", "native_size = 128\n")
    assert told.startswith("160x112  aspect ratio 3:2 at the native area of the base")
    _, nodes = planned(
        "a cat --tiled_upscale\nsuper_resolution=true\nhires_fix=true", "native_size = 144\n"
    )
    assert nodes["hires_fix.tiles"].inputs["tile_size"] == 128
    _, nodes = planned("ohwx man\ninpaint_faces=true", "native_size = 128\n")
    assert 128 in [call.inputs.get("face_size") for call in nodes.values()]


def test_soft_edges_and_overlaps_shrink_with_a_small_native_size() -> None:
    text = "a field\nBREAK\nBREAK Ann\nBREAK Bob --outpaint center --outpaint_width 256"
    text += " --outpaint_height 128\nw=128\nh=128"

    def widths(native: str) -> tuple[int, int]:
        request = PromptRequest.require(text)
        bound = BINDINGS.replace("family = sd15\n", f"family = sd15\n{native}")
        nodes = compile_request(request, resolver(bound), CompileOptions("690204")).graph.nodes
        return (
            nodes["base.regions"].inputs["softness_px"],
            nodes["outpaint.canvas"].inputs["overlap_px"],
        )

    assert widths("") == widths("native_size = 768\n") == (32, 16)
    assert widths("native_size = 128\n") == (8, 4)
