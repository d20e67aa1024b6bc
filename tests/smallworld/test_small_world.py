"""What a host gets of the small world: bindings, prompts in its sizes and words, templates."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.base import make_base
from comfyui_astria.devtools.console import DevError
from comfyui_astria.devtools.paths import ROOT
from comfyui_astria.devtools.workflows import names
from comfyui_astria.nodes.graph.definitions import Definitions, from_object_info, snapshot
from comfyui_astria.nodes.graph.graph import Link
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.smallworld import model_files
from comfyui_astria.smallworld.prompts import SAID, in_world
from comfyui_astria.smallworld.reader import read
from comfyui_astria.tests.regions.comfy_inprocess import load
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of models with nothing in it."""
    monkeypatch.setattr(model_files, "FOLDER", tmp_path / "models")
    return tmp_path / "models"


def put(files: Path, *names: str) -> None:
    for name in names:
        path = files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


SD15 = ("checkpoints/smallworld/sd15.safetensors", "vae/smallworld/vae4.safetensors")
FLUX = ("checkpoints/smallworld/flux.safetensors", "vae/smallworld/vae16.safetensors")


def definitions() -> Definitions:
    loader = {
        "input": {"required": {"family": ["COMBO", {"options": ["sd15", "flux"]}]}},
        "output": ["MODEL", "CLIP", "VAE"],
        "output_name": ["MODEL", "CLIP", "VAE"],
        "display_name": "Astria Load Small World",
    }
    return {**snapshot(), **from_object_info({small_world.LOADER: loader})}


def test_only_families_whose_files_are_there_are_offered(files: Path) -> None:
    with pytest.raises(DevError, match="The small world has no models"):
        small_world.require_families()
    put(files, *SD15, FLUX[0])
    assert small_world.require_families() == ("sd15",)
    assert list(small_world.bindings("sd15").bases) == ["690204"]
    put(files, FLUX[1])
    assert small_world.require_families() == ("sd15", "flux")


def test_ids_of_prompts_mean_the_trained_people_and_roles_what_is_there(files: Path) -> None:
    put(files, *SD15, *FLUX, "loras/smallworld/sd15_60.safetensors")
    assert small_world.bindings("sd15").roles == {}
    put(files, "loras/smallworld/sd15_61.safetensors", "loras/smallworld/flux_60.safetensors")
    put(files, "insightface/models/smallworld/det.onnx", "upscale_models/smallworld/4x.pth")
    bound = small_world.bindings("sd15")
    assert (bound.tunes["1533312"], bound.tunes["1558021"]) == (
        "smallworld/sd15_60.safetensors",
        "smallworld/sd15_61.safetensors",
    )
    assert bound.roles == {"face_analysis": "smallworld", "upscaler": "smallworld/4x.pth"}
    of_flux = small_world.bindings("flux")
    assert of_flux.tunes["1533312"] == "smallworld/flux_60.safetensors"
    assert "1558021" not in of_flux.tunes
    assert small_world.resolver("sd15").base(None).native_size == "128"


def test_the_inpainting_model_paints_where_a_picture_is_extended(files: Path) -> None:
    put(files, *SD15)
    wider = "beach at day --outpaint center --outpaint_width 192 --outpaint_height 128"
    assert "models.outpaint_model" not in small_world.generate_graph(wider, "sd15").nodes
    put(files, "checkpoints/smallworld/sd15_inpaint.safetensors")
    base = small_world.resolver("sd15").base(None)
    assert base.outpaint_model == "smallworld/sd15_inpaint.safetensors"
    graph = small_world.generate_graph(wider, "sd15")
    painter = graph.nodes["models.outpaint_model"]
    assert painter.class_type == small_world.LOADER
    assert painter.inputs == {"family": "sd15", "saved": base.outpaint_model}
    assert graph.nodes["generate.astria"].inputs["outpaint_model"] == Link(painter.name)
    plain = small_world.generate_graph("beach at day", "sd15")
    assert "models.outpaint_model" not in plain.nodes
    put(files, *FLUX)
    assert small_world.resolver("flux").base(None).outpaint_model is None


def test_a_prompt_is_asked_for_in_the_world_s_sizes_words_and_pictures() -> None:
    text = "woman trekking in the alps --outpaint center --outpaint_width 1792 --outpaint_height"
    text += " 1024 --mask_dilate -20\nw=1024\nh=576\ninput_image_url=https://a.b/c.png"
    found = small_world.small(text)
    assert (found.w, found.h, found.outpaint_width, found.outpaint_height) == (128, 72, 224, 128)
    assert found.mask_dilate.value == -2.5
    assert found.input_image.value == small_world.PICTURE
    assert found.base.text.startswith("snow at day, one person, woman")


def test_what_prompts_say_is_said_in_words_that_the_models_learn() -> None:
    vocabulary = load("comfyui_astria.smallworld.learning.texts").vocabulary()
    known = set(vocabulary.replace(",", " ").split())
    for words in SAID.values():
        assert set(words.replace(",", " ").replace('"', "").split()) <= known, words
    # Each is said by a prompt of ours; none is dead.
    folders = (small_world.PROMPTS, ROOT / "tests" / "seeds")
    paths = [path for folder in folders for path in folder.glob("*.txt")]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    texts += [small_world.starters.FLUX_PROMPT, small_world.starters.SD_PROMPT]
    one_node = {**small_world.FEATURE_STARTERS, **small_world.FAMILY_STARTERS}
    starters = [make().graph for make in one_node.values()]
    texts += [str(graph.nodes["generate.astria"].inputs["text"]) for graph in starters]
    for said in SAID:
        assert any(said in text for text in texts), said
    assert in_world("BREAK ohwx man, dark vest <lora:1:1>") == (
        "BREAK ohwx man, with brown hair, black suit, standing <lora:1:1>"
    )


def test_every_template_is_offered_or_says_what_it_lacks(files: Path) -> None:
    put(files, *SD15)
    few = small_world.templates(definitions())
    assert {*few.offered, *few.lacking} == set(names())
    assert {"start_stable_diffusion", "train_person"} <= set(few.offered)
    assert few.lacking["start_flux"] == "base 1504944 (Flux1.dev, flux) is not bound to a model"
    assert few.lacking["start_tune_from_photos"].startswith("no face_analysis is bound")
    assert few.lacking["multi_person"].startswith("LoRA '1533312'")
    assert few.lacking["outpaint_sdxl"] == "base sdxl is not bound to a model"
    assert few.lacking["multi_person_background"].startswith("LoRA '749152'")
    put(files, "insightface/models/smallworld/det.onnx")
    put(files, *(f"loras/smallworld/sd15_{number}.safetensors" for number in (60, 61)))
    on_sd15 = small_world.templates(definitions()).offered["multi_person"]
    assert [
        node["widgets_values"] for node in on_sd15["nodes"] if node["type"] == small_world.LOADER
    ] == [["sd15"]]
    put(files, *FLUX, *(f"loras/smallworld/flux_{number}.safetensors" for number in (60, 61)))
    more = small_world.templates(definitions())
    assert {"multi_person", "outpaint_second_person", "start_flux"} <= set(more.offered)
    assert {"start_tune_from_photos", "train_person_flux"} <= set(more.offered)
    assert more.lacking["face_inpainting"].startswith("no upscaler is bound")
    put(files, "upscale_models/smallworld/x4.safetensors")
    graph, _ = small_world.template("face_inpainting")
    [painted] = [one for one in graph.nodes.values() if one.class_type == "AstriaInpaintFaces"]
    assert painted.inputs["context"] == small_world.FACE_CONTEXT
    put(files, "ipadapter/smallworld/sd15_faceid.safetensors")
    by_face = small_world.templates(definitions()).offered["start_faceid"]
    kinds = {node["type"] for node in by_face["nodes"]}
    assert "AstriaLoadFaceID" in kinds
    assert "CLIPVisionLoader" not in kinds, "the world's goes by the face alone"
    kinds = {node["type"] for node in more.offered["multi_person"]["nodes"]}
    assert small_world.LOADER in kinds
    assert not {"CheckpointLoaderSimple", "UNETLoader"} & kinds
    [loader] = [
        node for node in more.offered["multi_person"]["nodes"] if node["type"] == small_world.LOADER
    ]
    assert loader["widgets_values"] == ["flux"]


def test_a_queued_workflow_that_names_a_checkpoint_of_the_world_gets_its_loader() -> None:
    load("comfy.sample")
    nodes = load("comfyui_astria.smallworld.nodes")
    own = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "rv51.safetensors"}}
    small = {
        **own,
        "inputs": {"ckpt_name": "smallworld\\sd15.safetensors"},
        "_meta": {"title": "a"},
    }
    save = {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}
    body = {"client_id": "x", "prompt": {"1": own, "2": small, "3": save}}
    found = nodes.with_loader(body)
    assert found["client_id"] == "x"
    assert found["prompt"]["1"] is own
    assert found["prompt"]["3"] is save
    assert found["prompt"]["2"] == {
        "class_type": "AstriaLoadSmallWorld",
        "inputs": {"family": "sd15"},
        "_meta": {"title": "a"},
    }
    assert nodes.with_loader({"client_id": "x"})["prompt"] == {}
    saved = {"ckpt_name": "smallworld/sd15_person60_00001_.safetensors"}
    person = nodes.with_loader({"prompt": {"1": {**own, "inputs": saved}}})["prompt"]["1"]
    assert person["inputs"] == {"family": "sd15", "saved": saved["ckpt_name"]}


def test_a_checkpoint_that_the_host_saved_of_a_person_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sd, files = load("comfy.sd"), load("comfyui_astria.smallworld.host.files")
    model, clip, vae = files.load("sd15")
    [first, *_] = model_files.loras("sd15").values()
    lora = model_files.FOLDER / "loras" / first
    merged = sd.load_lora_for_models(model, None, load_file(lora), 1.0, 0)[0]
    key = next(iter(merged.patches))
    plain = model.model.state_dict()[key].clone()
    wanted = merged.patch_weight_to_device(key, return_weight=True)
    sd.save_checkpoint(str(tmp_path / "sd15_person60.safetensors"), merged, clip, vae)
    folders = load("folder_paths")
    found = ([str(tmp_path)], {".safetensors"})
    monkeypatch.setitem(folders.folder_names_and_paths, "checkpoints", found)
    person, its_clip, _ = files.load.__wrapped__("sd15", "sd15_person60.safetensors")
    assert person.cached_patcher_init[1] == (str(tmp_path / "sd15_person60.safetensors"), "sd15")
    weight = person.model.state_dict()[key]
    assert torch.equal(weight, wanted)
    assert not torch.equal(weight, plain)
    text = "forest at day, one person"
    encoded = [one.encode_from_tokens(one.tokenize(text)) for one in (clip, its_clip)]
    assert torch.equal(*encoded)


def test_the_small_world_is_a_pack_of_its_own_where_it_was_asked_for(tmp_path: Path) -> None:
    assert make_base(tmp_path) == ("comfyui_astria",)
    assert make_base(tmp_path, small_world=True) == ("comfyui_astria", "astria_smallworld")
    pack = tmp_path / "custom_nodes" / "astria_smallworld"
    assert (pack / "smallworld" / "nodes.py").is_file()
    assert (pack / "example_workflows").is_dir()


def test_the_mask_of_the_drawn_picture_leaves_the_heads_out(tmp_path: Path) -> None:
    small_world.draw_pictures(tmp_path)
    with (
        Image.open(tmp_path / small_world.PICTURE) as picture,
        Image.open(tmp_path / small_world.MASK) as mask,
    ):
        people = read(picture).people
        assert len(people) == 2
        levels = mask.convert("L")
        for person in people:
            assert levels.getpixel((round(person.x), round(person.y))) == 0
            assert levels.getpixel((round(person.x), round(person.y + 2.5 * person.unit))) == 255
        assert levels.getpixel((64, 60)) == 255, "between them"


def test_an_unknown_word_of_a_prompt_stays() -> None:
    assert PromptRequest.require(in_world("a cat")).base.text == "a cat"


def test_the_registry_s_archive_leaves_the_models_out() -> None:
    ignored = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert f"{model_files.FOLDER.relative_to(ROOT).as_posix()}/" in ignored


def test_every_model_file_says_what_it_is() -> None:
    kinds = ("checkpoints", "vae", "upscale_models", "insightface/models")
    folders = [model_files.FOLDER / kind / model_files.NAME for kind in kinds]
    files = [file for folder in folders for file in folder.iterdir()]
    assert len(files) >= len(kinds)
    for file in files:
        assert "knows nothing of real people" in _about(file), file.name


def _about(file: Path) -> str:
    if file.suffix == ".onnx":
        return onnx.load(file).doc_string
    with safe_open(file, "pt") as opened:
        return opened.metadata()["description"]
