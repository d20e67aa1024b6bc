"""Plans of the families that are published as single files: loaders, texts, guidance, and what such
a family does not have.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import pytest
from comfyui_astria.nodes.api.guess import guessed
from comfyui_astria.nodes.errors import MissingModelError, PlanError
from comfyui_astria.nodes.families.family import FAMILIES, Family
from comfyui_astria.nodes.graph.model_files import ModelFile
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.pipeline.explain import explain
from comfyui_astria.nodes.pipeline.plan import draft
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.presets import preset_of
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.tests.pipeline.support import (
    TestFiles,
    draft_text,
    equipped,
    plan_text,
    sources,
    store_with_photos,
)
from comfyui_astria.tests.regions.comfy_inprocess import load

PUBLISHED = [one for one in FAMILIES.values() if one.files and one.text.width]
every = pytest.mark.parametrize("of", PUBLISHED, ids=[one.name for one in PUBLISHED])


def folders_of(*families: Family) -> dict[str, list[str]]:
    """Return model folders with the published files of these families."""
    found: dict[str, list[str]] = {}
    for one in families:
        for file in one.files:
            if file.name not in found.setdefault(file.folder, []):
                found[file.folder].append(file.name)
    return found


def bound(of: Family, more: str = "") -> Resolver:
    """Return a resolver to which the family's files are bound as its base."""
    fields = guessed(of.name, lambda folder: folders_of(of).get(folder, []))
    lines = [f"{field} = {file}" for field, file in fields.items()]
    text = "\n".join(
        [
            f"[base {of.name}]",
            f"family = {of.name}",
            *lines,
            "[defaults]",
            f"base = {of.name}",
            more,
        ]
    )
    return Resolver(Bindings.parse(text, "test"), None, TestFiles(folders_of(of)))


@every
def test_files_are_known_by_their_published_names_beside_those_of_the_others(of: Family) -> None:
    found = guessed(of.name, lambda folder: folders_of(*PUBLISHED).get(folder, []))
    assert set(found) == {"diffusion_model", *of.text.files, "vae"}
    assert found["diffusion_model"] == of.files[0].name
    others = [one for one in PUBLISHED if one.files[0].name != of.files[0].name]
    without = folders_of(*others)
    assert guessed(of.name, lambda folder: without.get(folder, [])) == {}


@every
def test_a_base_is_loaded_as_its_publishers_do(of: Family) -> None:
    request = PromptRequest.require("a cat\nseed=1")
    compiled = compile_request(request, bound(of), CompileOptions())
    nodes = compiled.graph.nodes
    assert nodes["models.diffusion_model"].inputs["unet_name"] == of.files[0].name
    encoder = nodes["models.text_encoders"]
    assert (encoder.class_type, encoder.inputs["type"]) == (of.text.loader, of.text.type)
    assert nodes["base.latent"].class_type == of.latent.empty
    assert nodes["base.sigmas"].inputs["steps"] == of.steps
    assert (nodes["base.guider"].class_type == "CFGGuider") == of.takes_negative
    for file in of.files:
        shown = ModelFile(file.folder, file.name)
        own = f"https://huggingface.co/{file.repository}/resolve/main/{file.path}"
        assert shown.address == own
        assert f"({file.licence}" in shown.describe()


@every
def test_explain_says_which_variant_whose_numbers_and_under_which_licence(of: Family) -> None:
    told = explain(PromptRequest.require("a cat"), bound(of), CompileOptions())
    assert told.runs
    assert f"default of {of.title}, by {of.source}" in told.text
    assert f"{of.files[0].name} ({of.files[0].licence})" in told.text
    several = sum(one.host == of.host for one in FAMILIES.values()) > 1
    assert (f"family = {of.name} in the bindings" in told.text) == several


@every
def test_weights_are_left_out_where_the_encoder_takes_none_and_that_is_said_once(
    of: Family,
) -> None:
    text = "a (red:1.2) cat, [small] \\(tabby\\), ((old)) BREAK BREAK (left:1.3) man BREAK woman"
    planned = plan_text(f"{text}\nnegative_prompt=(bad:1.4)", of.name)
    told = [one for one in planned.problems if one.code == "weights-without-effect"]
    texts = {
        name: call.inputs["text"]
        for name, call in planned.graph.nodes.items()
        if call.class_type == "CLIPTextEncode"
    }
    if of.text.weights:
        assert not told
        return
    assert len(told) == 1
    assert texts["base.positive"] == "a red cat, small (tabby), old, left man, woman"
    assert not any(":1." in one for one in texts.values())
    assert ("bad" in texts["base.negative"]) == of.takes_negative
    assert not [
        one
        for one in plan_text("a red cat", of.name).problems
        if one.code == "weights-without-effect"
    ]


@every
def test_a_face_from_photos_comes_by_a_lora_or_a_swap(of: Family, tmp_path: Path) -> None:
    store = store_with_photos(tmp_path, 749152)
    text = "<faceid:749152:1.0> a man"
    if of.identity:
        return
    with pytest.raises(PlanError) as caught:
        equipped(text, of.name, store)
    assert f"No adapter draws <faceid:...> on {of.title}" in caught.value.message
    assert "LoRA of the person" in str(caught.value)
    assert "face_swap=true" in str(caught.value)
    swapped = equipped(f"{text}\nface_swap=true", of.name, store)
    assert "AstriaSwapFaces" in {call.class_type for call in swapped.graph.nodes.values()}
    assert "AstriaApplyFaceID" not in {call.class_type for call in swapped.graph.nodes.values()}
    assert [one.severity for one in swapped.problems if one.code == "no-faceid-adapter"] == ["info"]


@every
@pytest.mark.parametrize(
    "text",
    [
        "a cat\nnum_images=3",
        "a cat --mask_prompt cat\nnum_images=3",
        "a cat\nhires_fix=true\nnum_images=2",
        "a cat --outpaint center --outpaint_width 1536 --outpaint_height 1024",
    ],
)
def test_pictures_of_a_batch_are_no_frames_to_any_vae(of: Family, text: str) -> None:
    planned = equipped(text, of.name, image=True, upscale_model=True)
    kinds = {call.class_type for call in planned.graph.nodes.values()}
    assert ("AstriaEncodeImages" in kinds) == of.latent.is_video
    assert ("VAEEncode" in kinds) != of.latent.is_video
    if of.latent.is_video:
        assert "SetLatentNoiseMask" not in kinds
        masked = [
            "mask" in call.inputs
            for call in planned.graph.nodes.values()
            if call.class_type == "AstriaEncodeImages"
        ]
        assert any(masked) == ("mask" in text or "outpaint" in text)


@every
def test_a_size_that_the_model_pads_is_told_where_there_are_people(of: Family) -> None:
    people = "a street BREAK BREAK a man BREAK a woman\nw={}\nh={}"
    told = {
        size: [
            one.message
            for one in plan_text(people.format(*size), of.name).problems
            if one.code == "padded-size"
        ]
        for size in ((1024, 1024), (832, 1216))
    }
    assert told[1024, 1024] == []
    assert bool(told[832, 1216]) == (of.latent.padded > 1)
    assert not told[832, 1216] or "with 16 tokens" in told[832, 1216][0]


@every
def test_it_is_not_trained_here(of: Family) -> None:
    if of.is_trained:
        return
    with pytest.raises(TrainingError, match=f"{FAMILIES[of.branch].title} cannot be trained here"):
        preset_of(of.branch, None)


@every
def test_what_needs_a_control_net_says_that_there_is_none(of: Family) -> None:
    if of.controls or of.patched_controls:
        return
    with pytest.raises(MissingModelError, match=f"no ControlNet is used on {of.title} yet"):
        plan_text("a cat\ncontrolnet=canny", of.name, image=True)
    for kind in ("depth", "lineart", "pose"):  # whose map is not asked for, nor what would draw it
        alone = draft_text(f"a cat\ncontrolnet={kind}", of.name, image=True)
        assert alone.errors == ()
        assert [one.key for one in alone.missing] == [f"controlnet_{kind}"]
    left_out = draft_text(
        "a cat\ncontrolnet=hed", of.name, Options(missing_models="skip"), image=True
    )
    assert [one.code for one in left_out.problems if "hed" in one.message] == ["part-skipped"]
    people = plan_text("a street BREAK BREAK a man BREAK a woman", of.name)
    assert not [name for name in people.graph.nodes if "control" in name]
    big = plan_text("a cat --tiled_upscale_v2\nhires_fix=true", of.name, upscale_model=True)
    assert [one.severity for one in big.problems if one.code == "part-skipped"] == ["info"]


@every
def test_what_has_no_effect_is_told_and_no_default_says_otherwise(of: Family) -> None:
    text = "a (red:1.2) cat --tiled_upscale_v2 --hires_cfg_scale 6\nhires_fix=true"
    planned = plan_text(text, of.name, upscale_model=True)
    told = [one.message for one in planned.problems if "--hires_cfg_scale has no" in one.message]
    assert len(told) == (0 if of.takes_guidance else 1)
    reasons = {one.key: one.reason for one in planned.settings.explained}
    assert ("are left out" in reasons["use_lpw"]) != of.text.weights
    assert ("resemblance" in reasons) == bool(of.controls)


@every
def test_people_without_a_pose_control_net_are_told_what_places_them(of: Family) -> None:
    planned = plan_text("a street BREAK BREAK a man BREAK a woman", of.name)
    [told] = [one for one in planned.problems if one.code == "no-pose-controlnet"]
    why = "is connected or bound" if of.patched_controls else f"is used on {of.title} yet"
    assert f"No pose ControlNet {why}" in told.message
    assert ("control_patch" if of.patched_controls else "give a mask for each") in told.hint


def _embedding(path: Path, width: int) -> None:
    header = {"emb_params": {"dtype": "F32", "shape": [2, width], "data_offsets": [0, 8 * width]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8 * width))


class _Embeddings(TestFiles):
    def __init__(self, folder: Path) -> None:
        super().__init__({"embeddings": [one.name for one in folder.iterdir()]})
        self._folder = folder

    def roots(self, folder: str) -> list[str]:
        return [str(self._folder)]


@every
def test_an_embedding_of_another_text_encoder_is_told(of: Family, tmp_path: Path) -> None:
    _embedding(tmp_path / "old.safetensors", 768)
    _embedding(tmp_path / "own.safetensors", of.text.width)
    (tmp_path / "pickled.pt").write_bytes(b"PK")
    request = PromptRequest.require("<own> cat, <old>, <pickled>\nnegative_prompt=<old>, <pickled>")
    files = Resolver(Bindings(), None, _Embeddings(tmp_path))
    planned = draft(request, sources(of.name), files, Options())
    told = [one.message for one in planned.problems if one.code == "embedding-family"]
    assert len(told) == 2, "each once"
    assert "<old.safetensors>" in told[0]
    assert "its vectors have 768 numbers" in told[0]
    assert "<pickled.pt>" in told[1]
    assert "its file does not tell" in told[1]


def test_the_width_of_token_vectors_is_the_hosts() -> None:
    flux = load("comfy.text_encoders.flux")
    tokenizers = {
        "zimage": load("comfy.text_encoders.z_image").Qwen3Tokenizer,
        "flux2": flux.Mistral3Tokenizer,
        "flux2_klein_4b": flux.Qwen3Tokenizer,
        "flux2_klein_9b": flux.Qwen3Tokenizer8B,
    }
    for name, tokenizer in tokenizers.items():
        source = inspect.getsource(tokenizer.__init__)
        [width] = re.findall(r"embedding_size=(\d+)", source)
        assert FAMILIES[name].text.width == int(width)


@every
def test_a_file_behind_a_licence_to_accept_is_told_with_its_page(of: Family) -> None:
    for file in of.files:
        told = ModelFile(file.folder, file.name).describe()
        assert ("to be accepted" in told) == file.is_gated
        assert not file.is_gated or f"(https://huggingface.co/{file.repository})" in told
    assert any(file.is_gated for file in of.files) == ("klein_9b" in of.name)


@every
def test_files_that_are_not_there_are_told_with_their_address_and_terms(of: Family) -> None:
    """Where the base is not bound, and where it is and its files are missing."""
    request, options = PromptRequest.require("a cat"), CompileOptions(of.name)
    nowhere = TestFiles({})
    unbound = Resolver(Bindings(), None, nowhere)
    bindings = bound(of)._bindings
    for resolver in (unbound, Resolver(bindings, None, nowhere)):
        told = explain(request, resolver, options)
        assert not told.runs
        for file in of.files:
            shown = ModelFile(file.folder, file.name)
            terms = f" ({shown.licence}" if shown.licence else ""
            assert f"published at {shown.address}{terms}" in told.text
            gate = f"accepted by your account on https://huggingface.co/{file.repository} first"
            assert (gate in told.text) == file.is_gated
        if resolver is unbound:
            assert f"base.{of.name}.diffusion_model {of.files[0].name}\n" in told.text


@pytest.mark.parametrize("base", ["1504944", "flux_schnell"])
def test_flux_1_is_told_with_its_files_their_addresses_and_licences(base: str) -> None:
    nowhere = Resolver(Bindings(), None, TestFiles({}))
    told = explain(PromptRequest.require("a cat"), nowhere, CompileOptions(base)).text.splitlines()
    of = FAMILIES["flux" if base == "1504944" else base]
    assert len(of.files) == 4
    for field, file in of.published.items():
        at = told.index(f"  python dev.py bind base.{base}.{field} {file.name}")
        place = f"https://huggingface.co/{file.repository}/resolve/main/{file.path}"
        where = f"{file.folder}/{file.name}, published at {place} ({file.licence})"
        assert told[at + 1].strip() == where
    assert any("Non-Commercial" in line for line in told) == (base == "1504944")


def test_every_file_of_a_family_names_its_licence() -> None:
    files = [file for one in FAMILIES.values() for file in one.files]
    assert len({one.name for one in FAMILIES.values() if one.files}) == 12
    assert not [file for file in files if not file.licence]
    for folder, name in (
        ("checkpoints", "v1-5-pruned-emaonly-fp16.safetensors"),
        ("checkpoints", "sd_xl_base_1.0.safetensors"),
        ("diffusion_models", "flux1-fill-dev.safetensors"),
        ("model_patches", "Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"),
    ):
        assert ModelFile(folder, name).licence in ModelFile(folder, name).offer() != ""


def test_an_embedding_that_is_not_there_is_not_said_to_hide_what_it_is(tmp_path: Path) -> None:
    request = PromptRequest.require("<old> cat")
    files = Resolver(Bindings(), None, _Embeddings(tmp_path))
    planned = draft(request, sources("zimage"), files, Options())
    [told] = [one.message for one in planned.problems if one.code == "embedding-family"]
    assert told.endswith("whose vectors have 2560 numbers.")
    assert len(planned.missing) == 1


@every
def test_what_a_size_and_a_schedule_become_is_told(of: Family) -> None:
    text = "a cat\nw={}\nh=776\nscheduler={}"
    told = {
        (w, scheduler): {
            one.key: one.reason
            for one in plan_text(text.format(w, scheduler), of.name).settings.explained
        }
        for w, scheduler in ((1000, "dpm++2m_karras"), (1008, "euler"))
    }
    odd, even = told.values()
    assert "; drawn at 1008x784 and cropped, since" in odd["size"]
    assert "Karras spacing is left out" in odd["sampler"]
    assert "Karras" not in even["sampler"]
    native = plan_text("a cat", of.name).settings.explained
    assert "drawn at" not in next(one.reason for one in native if one.key == "size")


@every
def test_resemblance_without_a_tile_control_net_is_told(of: Family) -> None:
    text = "a cat --tiled_upscale_v2{}\nhires_fix=true"
    for given in ("", " --resemblance 0.4"):
        planned = plan_text(text.format(given), of.name, upscale_model=True)
        [told] = [one.message for one in planned.problems if "tile ControlNet" in one.message]
        assert ("--resemblance has no effect" in told) == bool(given)


@every
def test_the_sidebar_tells_where_a_missing_file_is_published(of: Family) -> None:
    hint_of = load("comfyui_astria.nodes.editor.host.bindings")._hint
    file = of.files[0]
    hint = hint_of(f"base.{of.name}.diffusion_model", file.name)
    assert ModelFile(file.folder, file.name).offer() in hint
    assert file.licence in hint
    assert ("accepted by your account" in hint) == file.is_gated
    assert "published" not in hint_of(f"base.{of.name}.diffusion_model", "my_own.safetensors")
