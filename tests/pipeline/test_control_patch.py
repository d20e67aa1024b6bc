"""Z-Image's ControlNet in the plan, which is a patch of the model and not of its conditionings."""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.graph.graph import Link

from .support import EQUIPPED, draft_text, plan_text

PATCHED = EQUIPPED.replace("[defaults]", "control_patch = fun_union.safetensors\n[defaults]")
FAMILIES = ("zimage", "zimage_turbo")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_kind_patches_the_model_of_the_first_sampling_alone(family: str) -> None:
    text = "a room --controlnets canny pose\ncontrolnet_conditioning_scale=0.6\nhires_fix=true"
    planned = plan_text(text, family, image=True, upscale_model=True, bindings=PATCHED)
    nodes = planned.graph.nodes
    assert nodes["models.control_patch"].inputs == {"name": "fun_union.safetensors"}
    canny, pose = (nodes[f"base.control_{kind}"] for kind in ("canny", "pose"))
    assert (canny.class_type, canny.inputs["strength"]) == ("ZImageFunControlnet", 0.6)
    assert canny.inputs["image"] == Link("base.canny")
    assert canny.inputs["vae"] == nodes["base.decode"].inputs["vae"]
    assert pose.inputs["model"] == Link("base.control_canny")
    assert pose.inputs["model_patch"] == canny.inputs["model_patch"] == Link("models.control_patch")
    assert nodes["base.guider"].inputs["model"] == Link("base.control_pose")
    assert nodes["hires_fix.guider"].inputs["model"] == canny.inputs["model"]


def test_people_without_an_input_image_are_posed_by_it_too() -> None:
    text = "a street BREAK BREAK a man BREAK a woman"
    nodes = plan_text(text, "zimage_turbo", bindings=PATCHED).graph.nodes
    assert nodes["base.pose"].class_type == "ZImageFunControlnet"
    assert nodes["base.pose"].inputs["image"] == Link("base.regions", 3)
    assert nodes["base.guider"].inputs["model"] == Link("base.pose")


def test_what_it_cannot_is_said() -> None:
    text = "a room --control_guidance_end 0.5\ncontrolnet=canny"
    planned = plan_text(text, "zimage", image=True, bindings=PATCHED)
    [told] = [one for one in planned.problems if "control_guidance_end" in one.message]
    assert told.code == "no-effect"
    assert "control_guidance_end" not in {one.key for one in planned.settings.explained}
    with pytest.raises(MissingModelError, match="no ControlNet of Z-Image knows tile") as lost:
        plan_text("a room\ncontrolnet=tile", "zimage", image=True, bindings=PATCHED)
    assert "canny, hed, depth, pose, mlsd" in str(lost.value)
    connected = {"image": True, "controlnet": True, "bindings": PATCHED}
    with pytest.raises(MissingModelError, match="controlnet is connected, and on Z-Image"):
        plan_text("a room\ncontrolnet=canny", "zimage", **connected)
    [hed] = draft_text("a room\ncontrolnet=hed", "zimage", image=True).errors
    assert hed.hint.endswith("or use canny, depth or pose.")
    [unbound] = draft_text("a room\ncontrolnet=canny", "zimage", image=True).missing
    assert "control_patch" in unbound.message


@pytest.mark.parametrize("family", [*FAMILIES, "flux"])
def test_that_it_does_not_outpaint_is_told(family: str) -> None:
    text = "a room --outpaint center --outpaint_width 1536 --outpaint_height 1024"
    for bindings, is_told in ((PATCHED, family != "flux"), (EQUIPPED, False)):
        planned = plan_text(text, family, image=True, bindings=bindings)
        told = [one for one in planned.problems if one.code == "patch-not-used"]
        assert len(told) == is_told
        patched = [call for call in planned.graph.nodes.values() if "ZImage" in call.class_type]
        assert not patched
