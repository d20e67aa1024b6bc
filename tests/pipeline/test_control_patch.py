"""Z-Image's ControlNet in the plan, which is a patch of the model and not of its conditionings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from comfyui_astria.nodes.errors import MissingModelError
from comfyui_astria.nodes.graph.graph import Link, Socket
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.plan import Plan, draft
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver
from safetensors.torch import save_file

from .support import EQUIPPED, FILES, TestFiles, draft_text, plan_text, sources
from .test_cli import CommandLine

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


def planned_with(patch: Path, text: str, family: str = "zimage", **sockets: bool) -> Plan:
    """Return the plan where the bound file is `patch`."""
    bindings = Bindings.parse(PATCHED.replace("fun_union.safetensors", patch.name), "test")
    files = PatchFiles({**FILES, "model_patches": [patch.name]}, patch.parent)
    return draft(
        PromptRequest.require(text),
        sources(family, **sockets),
        Resolver(bindings, None, files),
        Options(),
    )


class PatchFiles(TestFiles):
    """The files of the tests, and a folder that the one of model patches lies in."""

    def __init__(self, files: dict[str, list[str]], patches: Path) -> None:
        super().__init__(files)
        self._patches = patches

    def roots(self, folder: str) -> list[str]:
        return [str(self._patches)] if folder == "model_patches" else super().roots(folder)


def patch_file(folder: Path, inputs: int = 132) -> Path:
    """Write a Fun ControlNet of which there is only what it embeds of a token."""
    file = folder / "fun_union.safetensors"
    save_file({"control_all_x_embedder.2-1.weight": torch.zeros(1, inputs)}, file)
    return file


OUTPAINT = "a room --outpaint center --outpaint_width 1536 --outpaint_height 1024"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bound_one_that_sees_a_masked_picture_outpaints(tmp_path: Path, family: str) -> None:
    planned = planned_with(patch_file(tmp_path), OUTPAINT, family, image=True)
    nodes = planned.graph.nodes
    shown = nodes["outpaint.inpaint"]
    assert shown.class_type == "AstriaZImageInpaint"
    assert shown.inputs == {
        "model": Socket("model"),
        "model_patch": Link("models.control_patch"),
        "vae": Socket("vae"),
        "pixels": Link("outpaint.canvas", 0),
        "mask": Link("outpaint.canvas", 1),
        "strength": 0.9,
    }
    assert nodes["outpaint.differential"].inputs["model"] == Link("outpaint.inpaint")
    assert nodes["outpaint.noise_mask"].inputs["mask"] == Link("outpaint.canvas", 1)
    canvas = nodes["outpaint.canvas"].inputs
    assert (canvas["fill"], canvas["overlap_px"]) == ("neutral", 8), "as for Flux Fill"
    assert nodes["outpaint.sigmas"].inputs["denoise"] == 1.0
    assert nodes["base.guider"].inputs["model"] == Socket("model"), "the first sampling is plain"
    told = {one.key: (one.value, one.reason) for one in planned.settings.explained}
    assert told["outpaint.strength"] == (1.0, "control_patch is shown the source beside the noise")
    assert told["outpaint.control_patch.weight"][0] == 0.9
    assert not [one for one in planned.problems if "control_patch" in one.message]


def test_a_masked_part_is_painted_by_it_too(tmp_path: Path) -> None:
    text = "a room\nnum_images=2\ndenoising_strength=0.7"
    planned = planned_with(patch_file(tmp_path), text, image=True, mask=True)
    nodes = planned.graph.nodes
    assert nodes["base.inpaint"].inputs["pixels"] == Link("base.repeat")
    assert nodes["base.inpaint"].inputs["mask"] == nodes["base.noise_mask"].inputs["mask"]
    assert nodes["base.differential"].inputs["model"] == Link("base.inpaint")
    assert nodes["base.sigmas"].inputs["denoise"] == 0.7
    assert "base.control_patch.weight" in {one.key for one in planned.settings.explained}
    whole = planned_with(patch_file(tmp_path), "a room", image=True)
    assert "models.control_patch" not in whole.graph.nodes


def test_the_masked_picture_goes_with_the_first_map(tmp_path: Path) -> None:
    text = "a room --controlnets canny hed\ncontrolnet_conditioning_scale=0.6"
    sockets = {"image": True, "mask": True, "control_image": True}
    planned = planned_with(patch_file(tmp_path), text, **sockets)
    nodes = planned.graph.nodes
    canny, hed = (nodes[f"base.control_{kind}"] for kind in ("canny", "hed"))
    assert (canny.class_type, canny.inputs["strength"]) == ("AstriaZImageInpaint", 0.6)
    assert canny.inputs["control_image"] == Link("base.canny")
    assert (hed.class_type, hed.inputs["model"]) == (
        "ZImageFunControlnet",
        Link("base.control_canny"),
    )
    assert "base.inpaint" not in nodes
    assert "base.control_patch.weight" not in {one.key for one in planned.settings.explained}
    plain = planned_with(patch_file(tmp_path), text, image=True, control_image=True).graph.nodes
    assert plain["base.control_canny"].class_type == "ZImageFunControlnet"


@pytest.mark.parametrize(
    ("inputs", "why"),
    [(64, "takes no masked picture, by the sizes of its tensors"), (None, "is not read as a")],
)
def test_one_that_sees_no_masked_picture_is_told_once(
    tmp_path: Path, inputs: int | None, why: str
) -> None:
    """The noise mask then does as it does without one."""
    patch = tmp_path / "none.safetensors" if inputs is None else patch_file(tmp_path, inputs)
    planned = planned_with(patch, OUTPAINT, image=True, mask=True)
    [told] = [one for one in planned.problems if one.code == "patch-takes-no-mask"]
    assert why in told.message and "from 2.0 on" in told.hint
    without = plan_text(OUTPAINT, "zimage", image=True, mask=True)
    assert planned.graph.nodes == without.graph.nodes


TURBO, BASE = "Z-Image-Turbo-Fun-Controlnet-Union-2.1", "Z-Image-Fun-Controlnet-Union-2.1"


@pytest.mark.parametrize(
    ("family", "name", "is_told"),
    [
        ("zimage_turbo", TURBO, False),
        ("zimage", BASE, False),
        ("zimage_turbo", BASE, True),
        ("zimage", TURBO, True),
        ("zimage", "my_own_turbo", False),  # its name says nothing of whom it is made for
    ],
)
@pytest.mark.parametrize("text", [OUTPAINT, "a room\ncontrolnet=canny"])
def test_one_made_for_the_other_variant_is_told_once(
    tmp_path: Path, text: str, family: str, name: str, *, is_told: bool
) -> None:
    patch = patch_file(tmp_path).rename(tmp_path / f"{name}.safetensors")
    planned = planned_with(patch, text, family, image=True)
    told = [one for one in planned.problems if one.code == "patch-of-variant"]
    assert len(told) == is_told
    if told:
        assert f"'{name}.safetensors' is made for" in told[0].message
        assert told[0].hint.endswith("as zimage.control_patch.")


def test_nothing_is_told_of_it_where_it_has_no_part(tmp_path: Path) -> None:
    patch = patch_file(tmp_path, 64)
    for family, text, told in (
        ("flux", OUTPAINT, ["outpaint-prompt-own"]),
        ("zimage", "a room", []),
    ):
        planned = planned_with(patch, text, family, image=True)
        assert [one.code for one in planned.problems] == told


def test_one_that_is_bound_and_not_there_is_missing() -> None:
    bindings = PATCHED.replace("fun_union", "lost")
    [lost] = draft_text(OUTPAINT, "zimage", image=True, bindings=bindings).missing
    assert "lost.safetensors" in lost.message
    skip = Options(missing_models="skip")
    skipped = draft_text(OUTPAINT, "zimage", skip, image=True, bindings=bindings)
    [told] = [one for one in skipped.problems if one.code == "part-skipped"]
    assert told.message.startswith("Inpainting by control_patch is left out")
    assert skipped.graph.nodes["outpaint.canvas"].inputs["fill"] == "edge"


def test_it_is_explained_and_compiled_in_both_forms(tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    names = ("diffusion_models/z_image_bf16", "text_encoders/qwen_3_4b", "vae/ae")
    for name in names:
        line.add(f"{name}.safetensors")
    (line.root / "models" / "model_patches").mkdir()
    patch_file(line.root / "models" / "model_patches")
    model, encoder, vae = (f"{name.split('/')[1]}.safetensors" for name in names)
    (line.state / "bindings.ini").write_text(
        f"[base zimage]\nfamily = zimage\ndiffusion_model = {model}\ntext_encoder = {encoder}\n"
        f"vae = {vae}\n[roles]\ncontrol_patch = fun_union.safetensors\n"
    )
    line.prompt.write_text(f"{OUTPAINT}\ndenoising_strength=0")
    asked = (str(line.prompt), "--image", "photo.png")
    assert line.run("explain", *asked) == 0
    assert "control_patch is shown the source beside the noise" in line.said
    assert "model_patches/fun_union.safetensors" in line.said
    assert line.run("compile", *asked, "--form", "api") == 0
    shown = json.loads(line.said)["outpaint.inpaint"]
    assert shown["class_type"] == "AstriaZImageInpaint"
    assert shown["inputs"]["model_patch"] == ["models.control_patch", 0]
    assert line.run("compile", *asked, "--form", "ui") == 0
    assert '"AstriaZImageInpaint"' in line.said
