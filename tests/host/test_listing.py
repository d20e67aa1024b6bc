"""One list of files: the command line and the sidebar offer what ComfyUI and its nodes list."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator

import pytest
from comfyui_astria.nodes.graph.model_files import FILE_FOLDERS, OWN_FOLDERS
from comfyui_astria.nodes.graph.sockets import NO_FILE
from comfyui_astria.nodes.tunes.bindings import ROLES, Bindings
from comfyui_astria.nodes.tunes.choices import FIELD_FOLDERS, TAG_FOLDERS, choices
from comfyui_astria.nodes.tunes.local_files import LocalFiles
from comfyui_astria.tests.host.fixtures import LiveHost

FOLDERS = sorted(
    {
        *TAG_FOLDERS,
        *(folder for folders in FIELD_FOLDERS.values() for folder in folders),
        *(folder for role in ROLES.values() for folder in role.folders),
        *(folder.partition("/")[0] for folder in FILE_FOLDERS.values() if folder != "input"),
        *OWN_FOLDERS,
        "embeddings",
    }
)
NAMES = (
    "a.safetensors",
    "B.SafeTensors",
    "c.onnx",
    "d.pth",
    "e.gguf",
    "f.txt",
    "g.pt2",
    "h",
    ".safetensors",
    "below/i.ckpt",
    "below/deep/j.bin",
    "below/k.onnx",
    "below/config.json",
    ".git/l.safetensors",
    "models/pack/m.onnx",
    "models/no_pack/n.txt",
    "models/o.onnx",
)
# Other places of the same folders.
ALSO = ("models/clip", "models/unet", "models/t2i_adapter", "output/clip", "output/loras")
ALSO += ("output/checkpoints", "output/vae", "output/diffusion_models")
# Role -> the node that loads it and the input that names the file.
LOADED_BY = {
    "upscaler": ("UpscaleModelLoader", "model_name"),
    "face_restorer": ("UpscaleModelLoader", "model_name"),
    "controlnet_union": ("ControlNetLoader", "control_net_name"),
    "control_patch": ("ModelPatchLoader", "name"),
    "pose_estimator": ("CheckpointLoaderSimple", "ckpt_name"),
    "depth_estimator": ("LoadDA3Model", "model_name"),
    "face_detector": ("LoadMediaPipeFaceLandmarker", "model_name"),
    "background_removal": ("AstriaLoadSegmenter", "background_removal"),
    "sam3": ("AstriaLoadSegmenter", "sam3"),
    "grounding_dino": ("AstriaLoadSegmenter", "grounding_dino"),
    "sam": ("AstriaLoadSegmenter", "sam"),
    "clipseg": ("AstriaLoadSegmenter", "clipseg"),
    "faceid": ("AstriaLoadFaceID", "faceid_name"),
    "clip_vision": ("CLIPVisionLoader", "clip_name"),
    "eva_clip": ("AstriaLoadFaceID", "eva_clip"),
    "face_parsing": ("AstriaLoadFaceID", "face_parsing"),
    "face_swapper": ("AstriaLoadFaceSwapper", "swapper_name"),
}


@pytest.fixture(scope="module")
def full(host: LiveHost) -> Iterator[LiveHost]:
    """The host with files of many endings in each folder, some of them behind a link."""
    made = [
        host.base / place / name
        for place in (*(f"models/{folder}" for folder in FOLDERS), *ALSO)
        for name in (*NAMES, f"{place.replace('/', '_')}.safetensors")
    ]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    elsewhere = host.base / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "linked.safetensors").touch()
    link = host.loras / "shared"
    link.symlink_to(elsewhere)
    yield host
    link.unlink()
    for path in made:
        path.unlink(missing_ok=True)


def test_each_folder_lists_what_the_host_lists(full: LiveHost) -> None:
    ours = LocalFiles(full.base / "models")
    for folder in FOLDERS:
        listed = full.client.get_json(f"/models/{urllib.parse.quote(folder)}")
        assert ours.list(folder) == listed, folder
    assert "shared/linked.safetensors" in ours.list("loras")
    assert "output_loras.safetensors" in ours.list("loras")
    assert "c.onnx" not in ours.list("upscale_models")


def test_each_role_offers_what_its_node_does(full: LiveHost) -> None:
    ours, info = LocalFiles(full.base / "models"), full.client.object_info()
    for role, (class_type, name) in LOADED_BY.items():
        inputs = info[class_type]["input"]
        kind, *more = {**inputs.get("required", {}), **inputs.get("optional", {})}[name]
        offered = more[0]["options"] if kind == "COMBO" else kind
        theirs = sorted(set(offered) - {NO_FILE})
        found = choices(role, ours, Bindings())
        assert found, role
        assert sorted(set(found)) == theirs, role


def test_the_sidebar_offers_the_same(full: LiveHost) -> None:
    ours = LocalFiles(full.base / "models")
    for key in (*ROLES, "base.1.checkpoint", "base.1.outpaint_model", "1533312"):
        told = json.loads(full.client.get(f"/astria/editor/bindings/choices?key={key}"))
        assert told["choices"] == choices(key, ours, Bindings()), key


def test_a_pack_is_a_folder_that_holds_models(full: LiveHost) -> None:
    ours = LocalFiles(full.base / "models")
    for role in ("face_analysis", "face_analysis_pulid"):
        assert choices(role, ours, Bindings()) == ["pack"]
