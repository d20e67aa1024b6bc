"""ControlNet parameters in the plan: whose map steers what, how strongly and for how long."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.pipeline.build.controls import controls_of
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.stages.control import KINDS, steering
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.prompt.catalog import CONTROLNETS

from .support import EQUIPPED, controlnet_of, draft_text, equipped, plan_text


def test_canny_is_drawn_from_the_fitted_picture() -> None:
    planned = equipped("a room\ncontrolnet=canny\ncontrolnet_conditioning_scale=0.6", image=True)
    nodes = planned.graph.nodes
    assert nodes["base.canny"].inputs["image"] == Link("base.fit")
    control = nodes["base.control_canny"].inputs
    assert control["image"] == Link("base.canny")
    bound = controlnet_of(planned, "base.control_canny", "canny")
    assert bound == Link("models.controlnet_canny")
    assert (control["strength"], control["start_percent"], control["end_percent"]) == (
        0.6,
        0.0,
        1.0,
    )
    assert nodes["base.guider"].inputs["positive"] == Link("base.control_canny")
    assert nodes["base.guider"].inputs["negative"] == Link("base.control_canny", 1)
    assert nodes["base.encode"].inputs["pixels"] == Link("base.fit"), "img2img as well"


def test_pose_is_estimated_for_everybody_that_the_segmenter_finds() -> None:
    nodes = equipped("a dancer\ncontrolnet=pose", image=True).graph.nodes
    assert nodes["models.pose_estimator"].inputs == {"ckpt_name": "sdpose.safetensors"}
    points = nodes["base.pose_points"].inputs
    assert (points["model"], points["vae"]) == (
        Link("models.pose_estimator"),
        Link("models.pose_estimator", 2),
    )
    assert points["bboxes"] == Link("base.pose_people", 1)
    assert nodes["base.control_pose"].inputs["image"] == Link("base.pose_map")


def test_depth_is_estimated_by_the_host_with_near_as_white() -> None:
    nodes = equipped("a room\ncontrolnet=depth", image=True, controlnet=True).graph.nodes
    assert nodes["models.depth_estimator"].inputs == {
        "model_name": "da3_mono_large.safetensors",
        "weight_dtype": "default",
    }
    assert nodes["base.depth_geometry"].inputs["image"] == Link("base.fit")
    depth_map = nodes["base.depth_map"]
    assert depth_map.class_type == "AstriaDepthMap", "the host's is linear in the distance"
    assert depth_map.inputs == {"da3_geometry": Link("base.depth_geometry")}
    assert nodes["base.control_depth"].inputs["image"] == Link("base.depth_map")
    [lost] = draft_text("a room\ncontrolnet=depth", image=True, controlnet=True).missing
    assert lost.hint.endswith("Or connect a prepared depth map to control_image.")


def test_a_prepared_map_needs_no_preprocessor() -> None:
    nodes = plan_text(
        "a dancer\ncontrolnet=pose", image=True, control_image=True, pose_controlnet=True
    ).graph.nodes
    assert nodes["base.fit_control"].inputs["image"] == Socket("control_image")
    assert nodes["base.control_pose"].inputs["image"] == Link("base.fit_control")
    assert "base.pose_points" not in nodes


def test_a_prepared_map_steers_a_picture_without_an_input_image() -> None:
    planned = plan_text(
        "a dancer\ncontrolnet=depth\nw=640\nh=512", control_image=True, controlnet=True
    )
    assert controlnet_of(planned, "base.control_depth", "depth") == Socket("controlnet")
    nodes = planned.graph.nodes
    assert nodes["base.latent"].inputs["width"] == 640


def test_controlnet_txt2img_makes_a_new_picture_of_the_input_images_size() -> None:
    planned = equipped(
        "a room\ncontrolnet=canny\ncontrolnet_txt2img=true", "flux", image=True, controlnet=True
    )
    nodes = planned.graph.nodes
    assert planned.stages[0].kind == "txt2img"
    assert nodes["base.latent"].inputs["width"] == Link("base.size")
    assert nodes["base.latent"].inputs["height"] == Link("base.size", 1)
    assert nodes["base.size"].inputs["image"] == Link("base.fit")
    assert nodes["base.sigmas"].inputs["denoise"] == 1.0
    assert planned.output == Link("base.restore_size")
    assert "base.encode" not in nodes


def test_a_strength_that_the_stage_does_not_use_is_told() -> None:
    text = "a room\ncontrolnet=canny\ncontrolnet_txt2img={}\ndenoising_strength=0.5"
    told = [
        one.message for one in equipped(text.format("true"), image=True, controlnet=True).problems
    ]
    assert told and told[0].startswith(
        "denoising_strength has no effect: with controlnet_txt2img=true"
    )
    assert not equipped(text.format("false"), image=True, controlnet=True).problems
    assert not [
        one
        for one in equipped(text.format("true"), image=True, mask=True, controlnet=True).problems
        if "strength" in one.message
    ]


def test_several_controlnets_chain_each_with_its_weight_and_all_with_their_end() -> None:
    text = "a room --controlnets canny tile --controlnet_weights 1 0.8 --control_guidance_end 0.7"
    nodes = equipped(text, image=True).graph.nodes
    first, second = nodes["base.control_canny"].inputs, nodes["base.control_tile"].inputs
    assert (first["strength"], second["strength"]) == (1.0, 0.8)
    assert (first["end_percent"], second["end_percent"]) == (0.7, 0.7)
    assert second["positive"] == Link("base.control_canny")
    assert second["image"] == Link("base.fit"), "the tile ControlNet looks at the picture itself"


def test_a_controlnet_without_a_weight_of_its_own_has_that_of_all() -> None:
    text = "a room --controlnets canny tile {}\ncontrolnet_conditioning_scale=0.5"
    nodes = equipped(text.format(""), image=True).graph.nodes
    assert (
        nodes["base.control_canny"].inputs["strength"],
        nodes["base.control_tile"].inputs["strength"],
    ) == (0.5, 0.5)
    nodes = equipped(text.format("--controlnet_weights 0.9"), image=True).graph.nodes
    assert (
        nodes["base.control_canny"].inputs["strength"],
        nodes["base.control_tile"].inputs["strength"],
    ) == (0.9, 0.5)


def test_people_without_an_input_image_take_their_constant_pose_for_controlnet_pose() -> None:
    text = "a street BREAK BREAK ohwx woman BREAK ohwx man\ncontrolnet=pose"
    planned = plan_text(text, pose_controlnet=True)
    assert planned.problems == ()
    assert planned.graph.nodes["base.pose"].inputs["image"] == Link("base.regions", 3)
    assert "base.control_pose" not in planned.graph.nodes
    [error] = draft_text("a dancer\ncontrolnet=pose").errors
    assert error.message == "controlnet=pose needs an input image, and there is none."
    [error] = draft_text(f"{text.replace('controlnet=pose', '')} --controlnets pose canny").errors
    assert error.message.startswith("--controlnets canny needs an input image"), (
        "an edge has no constant form"
    )


def test_how_the_constant_pose_steers() -> None:
    people = "a street BREAK BREAK ohwx woman BREAK ohwx man"
    asked = {
        "": (1.0, 1.0),
        "\ncontrolnet_conditioning_scale=0.6": (0.6, 1.0),
        " --control_guidance_end 0.7\ncontrolnet=pose\ncontrolnet_conditioning_scale=0.6": (
            0.6,
            0.7,
        ),
        " --controlnets canny pose --controlnet_weights 1 0.3\ncontrolnet_conditioning_scale=0.6": (
            0.3,
            1.0,
        ),
    }

    def weight_of_pose(request: PromptRequest) -> tuple[float, float]:
        return steering(request, controls_of(request), "pose", None)

    assert {text: weight_of_pose(PromptRequest.require(people + text)) for text in asked} == asked
    pose = (
        plan_text(
            f"{people} --control_guidance_end 0.7\ncontrolnet_conditioning_scale=0.6",
            pose_controlnet=True,
        )
        .graph.nodes["base.pose"]
        .inputs
    )
    assert (pose["strength"], pose["end_percent"]) == (0.6, 0.7)
    assert not plan_text(
        f"{people} --control_guidance_end 0.7\ncontrolnet_conditioning_scale=0.6",
        pose_controlnet=True,
    ).problems
    assert (
        len(
            plan_text(
                f"{people} --control_guidance_end 0.7\ncontrolnet_conditioning_scale=0.6",
                image=True,
                segmenter=True,
            ).problems
        )
        == 2
    )


def test_a_prepared_map_is_for_one_kind_and_the_others_need_a_picture() -> None:
    text = "a room --controlnets depth canny"
    [error] = draft_text(text, control_image=True).errors
    assert (
        error.render()
        == "--controlnets canny needs an input image, and there is none. Connect an image, or set"
        " input_image."
    )
    nodes = equipped(text, image=True, control_image=True, controlnet=True).graph.nodes
    assert nodes["base.control_depth"].inputs["image"] == Link("base.fit_control")
    assert nodes["base.control_canny"].inputs["image"] == Link("base.canny")


NO_CONTROL = "".join(
    line for line in EQUIPPED.splitlines(True) if not line.startswith("controlnet_")
)
UNION = NO_CONTROL.replace("[roles]\n", "[roles]\ncontrolnet_union = union.safetensors\n")


@pytest.mark.parametrize("kind", KINDS)
def test_every_controlnet_is_told_which_kind_is_meant(kind: str) -> None:
    text, node = f"a room\ncontrolnet={kind}", f"base.control_{kind}"
    given = {"image": True, "control_image": True}
    bound = UNION.replace("_union = union", f"_{kind} = canny")
    own = plan_text(text, bindings=bound, **given)
    assert controlnet_of(own, node, kind) == Link(f"models.controlnet_{kind}")
    socket = "pose_controlnet" if kind == "pose" else "controlnet"
    connected = plan_text(text, **given, **{socket: True})
    assert controlnet_of(connected, node, kind) == Socket(socket)
    if kind == "qr":  # no union knows QR codes
        assert draft_text(text, "flux", bindings=UNION, **given).missing
    else:
        union = plan_text(text, "flux", bindings=UNION, **given)
        assert controlnet_of(union, node, kind) == Link("models.controlnet_union")


def test_a_union_of_flux_steers_as_its_authors_advise_unless_set() -> None:
    advised = {"canny": (0.7, 0.8), "depth": (0.8, 0.8), "pose": (0.9, 0.65), "hed": (0.7, 0.8)}

    def steers(text: str, kind: str, family: str = "flux", bindings: str = UNION) -> tuple:
        planned = plan_text(text, family, bindings=bindings, image=True, control_image=True)
        inputs = planned.graph.nodes[f"base.control_{kind}"].inputs
        return inputs["strength"], inputs["end_percent"]

    text = "a room\ncontrolnet={}"
    assert {kind: steers(text.format(kind), kind) for kind in advised} == advised
    scaled = f"{text}\ncontrolnet_conditioning_scale=1"
    assert {kind: steers(scaled.format(kind), kind)[0] for kind in advised} == dict.fromkeys(
        advised, 1.0
    )
    ended = "a room --control_guidance_end 1\ncontrolnet=pose"
    assert steers(ended, "pose") == (0.9, 1.0)
    weighed = "a room --controlnets canny pose --controlnet_weights 0.2"
    assert (steers(weighed, "canny"), steers(weighed, "pose")) == ((0.2, 0.8), (0.9, 0.65))
    for family, bindings in (("sdxl", UNION), ("flux", EQUIPPED)):
        assert steers(text.format("pose"), "pose", family, bindings) == (1.0, 1.0)
    people = plan_text("a street BREAK BREAK ohwx woman BREAK ohwx man", "flux", bindings=UNION)
    pose = people.graph.nodes["base.pose"].inputs
    assert (pose["strength"], pose["end_percent"]) == (0.9, 0.65)


def test_one_connected_controlnet_is_for_the_first_kind_and_the_others_are_bound() -> None:
    text = "a room --controlnets pose canny depth"
    bindings = EQUIPPED.replace("controlnet_canny = canny", "controlnet_depth = canny")
    planned = plan_text(text, bindings=bindings, image=True, controlnet=True)
    used = {
        kind: controlnet_of(planned, f"base.control_{kind}", kind)
        for kind in ("pose", "canny", "depth")
    }
    assert used == {
        "pose": Link("models.controlnet_pose"),
        "canny": Socket("controlnet"),
        "depth": Link("models.controlnet_depth"),
    }
    [lost] = draft_text(text, bindings=EQUIPPED, image=True, controlnet=True).missing
    assert lost.key == "controlnet_depth"
    assert lost.hint.endswith("The connected ControlNet is for canny.")
    union = plan_text(
        text,
        bindings=EQUIPPED.replace("controlnet_tile", "controlnet_union"),
        image=True,
        controlnet=True,
    )
    assert controlnet_of(union, "base.control_depth", "depth") == Link("models.controlnet_union")


def test_a_connected_controlnet_steers_tiles_only_where_it_can_be_none_else() -> None:
    text = "a cat --tiled_upscale_v2{}"

    def tiles(more: str, bindings: str = EQUIPPED) -> object:
        planned = plan_text(text.format(more), bindings=bindings, image=True, controlnet=True)
        return controlnet_of(planned, "hires_fix.control_tile", "tile")

    assert tiles("\ncontrolnet=canny") == tiles("") == Link("models.controlnet_tile")
    assert tiles("\ncontrolnet=tile") == Socket("controlnet"), "both mean a tile ControlNet"
    unbound = EQUIPPED.replace("controlnet_tile = tile.safetensors\n", "")
    assert tiles("", unbound) == Socket("controlnet")
    lost = draft_text(
        text.format("\ncontrolnet=canny"), bindings=unbound, image=True, controlnet=True
    ).missing
    assert [one.key for one in lost] == ["controlnet_tile"]
    union = EQUIPPED.replace("controlnet_tile", "controlnet_union")
    assert tiles("", union) == Link("models.controlnet_union")


def test_people_stand_where_the_prepared_pose_shows_them() -> None:
    text = "a street BREAK BREAK ohwx woman BREAK ohwx man\ncontrolnet=pose"
    nodes = plan_text(text, image=True, control_image=True, pose_controlnet=True).graph.nodes
    assert nodes["base.regions"].inputs["pose_image"] == Link("base.fit_control")
    assert nodes["base.control_pose"].inputs["positive"] == Link("base.regional", 1), (
        "it steers the scene, and so the whole picture"
    )
    new = plan_text(text, control_image=True, pose_controlnet=True).graph.nodes
    assert new["base.regions"].inputs["pose_image"] == Link("base.fit_control")
    assert "base.pose" not in new, "the constant pose gives way"


@pytest.mark.parametrize("kind", ["reference", "ipadapter", "composition"])
def test_what_is_no_controlnet_is_an_error_with_a_way_out(kind: str) -> None:
    [problem] = draft_text(f"a cat\ncontrolnet={kind}", image=True).errors
    assert problem.message.startswith(f"controlnet={kind}: this is no ControlNet")


def test_what_is_no_controlnet_is_left_out_where_the_artist_skips_what_is_missing() -> None:
    planned = equipped(
        "a dancer --controlnets pose reference", image=True, options=Options(missing_models="skip")
    )
    [problem] = planned.problems
    assert (problem.code, problem.severity) == ("part-skipped", "warning")
    assert problem.message.startswith(
        "--controlnets reference is left out: this is no ControlNet but an image that attention"
        " reads"
    )
    assert planned.graph.nodes["base.guider"].inputs["positive"] == Link("base.control_pose")


@pytest.mark.parametrize("kind", ["hed", "mlsd", "segroom", "lineart"])
def test_kinds_without_a_preprocessor_ask_for_a_prepared_map(kind: str) -> None:
    [problem] = draft_text(f"a cat\ncontrolnet={kind}", image=True).errors
    assert problem.code == "map-not-given"
    assert "control_image" in problem.hint
    bindings = EQUIPPED.replace("controlnet_canny = canny", f"controlnet_{kind} = canny")
    nodes = plan_text(
        f"a cat\ncontrolnet={kind}", bindings=bindings, image=True, control_image=True
    ).graph.nodes
    assert nodes[f"base.control_{kind}"].inputs["image"] == Link("base.fit_control")


def test_every_kind_of_the_language_is_known() -> None:
    assert set(KINDS) | {"reference", "ipadapter", "composition"} == set(CONTROLNETS)


@pytest.mark.parametrize(
    ("text", "sockets", "code"),
    [
        ("a cat\ncontrolnet=canny", {}, "no-input-image"),
        ("a --controlnets hed mlsd", {"image": True, "control_image": True}, "one-map-only"),
    ],
)
def test_controls_that_cannot_be_planned(text: str, sockets: dict[str, bool], code: str) -> None:
    assert [one.code for one in draft_text(text, **sockets).errors] == [code]


def test_a_missing_controlnet_is_an_error_or_left_out_as_the_artist_chose() -> None:
    assert [one.key for one in draft_text("a\ncontrolnet=canny", image=True).missing] == [
        "controlnet_canny"
    ]
    skipped = plan_text("a\ncontrolnet=canny", image=True, options=Options(missing_models="skip"))
    assert [one.code for one in skipped.problems] == ["part-skipped"]
    assert "base.control_canny" not in skipped.graph.nodes
    assert "base.sampler" in skipped.graph.nodes


def test_the_tables_error_names_the_way_to_bind() -> None:
    with pytest.raises(PlanError, match="no node that draws this map"):
        plan_text("a\ncontrolnet=hed", image=True)
