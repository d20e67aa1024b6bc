"""Ids and names -> files that the host lists, or what is missing and what to do."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

import pytest
from comfyui_astria.nodes.tunes.bindings import BaseModel, Bindings
from comfyui_astria.nodes.tunes.resolve import Located, Missing, Resolved, Resolver
from comfyui_astria.nodes.tunes.store import TuneStore
from hypothesis import given
from hypothesis import strategies as st

Files = Callable[..., object]
FOLDERS = {
    "loras": [
        "my_wife.safetensors",
        "epi_noiseoffset2.safetensors",
        "SDXLrender_v2.0.safetensors",
        "people/anna.safetensors",
        "x/tom.pt",
        "y/tom.pt",
    ],
    "checkpoints": ["realisticVision.safetensors", "flux/fill.safetensors"],
    "upscale_models": ["4x-UltraSharp.pth"],
    "diffusion_models": ["flux1-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp16.safetensors"],
    "vae": ["ae.safetensors"],
}
FLUX = BaseModel("flux", None, "flux1-dev.safetensors", "clip_l.safetensors", "t5xxl_fp16.safetensors", "ae.safetensors")


@pytest.fixture
def resolver(files: Files, store: TuneStore) -> Callable[[Bindings], Resolver]:
    return lambda bindings: Resolver(bindings, store, files(**FOLDERS))


def missing(result: object) -> Missing:
    assert isinstance(result, Missing)
    return result


@pytest.mark.parametrize(
    ("name", "kind", "file"),
    [
        ("epi_noiseoffset2", "lora", "epi_noiseoffset2.safetensors"),
        ("SDXLrender_v2.0", "lora", "SDXLrender_v2.0.safetensors"),
        ("SDXLrender_v2.0.safetensors", "lora", "SDXLrender_v2.0.safetensors"),
        ("anna", "lora", "people/anna.safetensors"),
        ("people/anna", "lora", "people/anna.safetensors"),
        ("x/tom", "lora", "x/tom.pt"),
        ("realisticVision", "checkpoint", "realisticVision.safetensors"),
    ],
)
def test_a_file_is_found_by_its_name(resolver: Callable, name: str, kind: str, file: str) -> None:
    assert resolver(Bindings()).lora(name) == Resolved(kind, file, None, "file name")


def test_no_database_is_needed_for_files(files: Files) -> None:
    assert Resolver(Bindings(), None, files(**FOLDERS)).lora("anna").file == "people/anna.safetensors"


def test_bindings_come_before_tunes_and_tunes_before_files(resolver: Callable, store: TuneStore) -> None:
    plain = resolver(Bindings())
    assert plain.lora("my_wife").how == "file name"
    tune = store.create(title="my_wife", model_type="lora", file="anna.safetensors", id=1533312)
    expected = Resolved("lora", "people/anna.safetensors", tune, "tune 1533312 of the tunes database")
    assert plain.lora("1533312") == plain.lora("my_wife") == expected
    bound = resolver(Bindings(tunes={"1533312": "realisticVision"}))
    how = "bindings: 1533312 = realisticVision"
    assert bound.lora("1533312") == Resolved("checkpoint", "realisticVision.safetensors", tune, how)


def test_a_photo_set_of_the_same_title_does_not_hide_the_file(resolver: Callable, store: TuneStore, photo: Callable[..., bytes]) -> None:
    tune = store.create(title="anna", model_type="faceid", photos=[photo()])
    assert resolver(Bindings()).lora("anna") == Resolved("lora", "people/anna.safetensors", tune, "file name")


def test_error_an_unknown_id_says_where_it_was_searched_and_how_to_bind_it(resolver: Callable) -> None:
    assert resolver(Bindings()).lora("1558021") == Missing(
        "LoRA",
        "1558021",
        "LoRA '1558021' (not bound, no such tune) was not found. Searched loras (/models/loras), checkpoints (/models/checkpoints).",
        "Put the file into /models/loras, then bind it: python dev.py bind 1558021 FILE",
    )


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("Anna", "Did you mean 'people/anna.safetensors'?"),
        ("epi_noiseofset2", "Did you mean 'epi_noiseoffset2.safetensors'?"),
        ("1533321", "Did you mean '1533312'?"),
        ("77416", "Did you mean '774160'?"),
        ("Mary Jan", "Did you mean 'Mary Jane'?"),
    ],
)
def test_error_an_unknown_name_says_what_comes_close(resolver: Callable, store: TuneStore, name: str, close: str) -> None:
    store.create(title="Mary Jane", model_type="lora", file="anna.safetensors", id=774160)
    assert missing(resolver(Bindings(tunes={"1533312": "my_wife.safetensors"})).lora(name)).message.endswith(close)


def test_error_a_name_of_two_files_lists_both(resolver: Callable) -> None:
    assert resolver(Bindings()).lora("tom") == Missing(
        "LoRA",
        "tom",
        "LoRA 'tom' (not bound, no such tune) is ambiguous in loras (/models/loras): x/tom.pt, y/tom.pt.",
        "Choose one: python dev.py bind tunes.tom x/tom.pt",
    )


def test_error_a_bound_file_that_is_not_there(resolver: Callable) -> None:
    assert resolver(Bindings(tunes={"1533312": "my_wive.safetensors"})).lora("1533312") == Missing(
        "LoRA",
        "1533312",
        "the file 'my_wive.safetensors' that LoRA 1533312 stands for was not found. "
        "Searched loras (/models/loras), checkpoints (/models/checkpoints). Did you mean 'my_wife.safetensors'?",
        "Put the file into /models/loras, or bind another: python dev.py bind 1533312 FILE",
    )


def test_error_tunes_without_a_model_file(resolver: Callable, store: TuneStore, photo: Callable[..., bytes]) -> None:
    store.create(title="John", model_type="faceid", photos=[photo()], id=5)
    store.create(title="Later", model_type="lora", id=6)
    john, later = (missing(resolver(Bindings()).lora(id)) for id in ("5", "6"))
    assert john.message.startswith("LoRA '5' (not bound, tune 5 'John' is a photo set) was not found.")
    assert john.hint.startswith("For the photos of tune 5 write <faceid:5:1>. ")
    assert later.message.startswith("LoRA '6' (not bound, tune 6 'Later' has no model file) was not found.")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "C:\\x", "C:x", "a\\b", "-x", "a\0b", "a\nb", "", "x" * 300])
def test_error_unsafe_names_are_refused_everywhere(resolver: Callable, name: str) -> None:
    plain = resolver(Bindings())
    for result in (plain.lora(name), plain.faceid(name), plain.model_file("vae", name), plain.base(name)):
        assert "is refused: " in missing(result).message
        assert "\n" not in missing(result).message + missing(result).hint
    bound = resolver(Bindings({"1": BaseModel("sd15", checkpoint=name or "/")}, None, {"1": name}, {"upscaler": name}))
    for result in (bound.lora("1"), bound.role("upscaler"), bound.base("1")):
        assert "is refused: " in missing(result).message


@given(st.text(max_size=12))
def test_only_listed_files_are_ever_returned(files: Files, name: str) -> None:
    found = Resolver(Bindings(tunes={"1": name}), None, files(**FOLDERS)).lora("1")
    assert isinstance(found, Missing) or found.file in FOLDERS["loras"] + FOLDERS["checkpoints"]


def test_a_suggested_command_cannot_run_another(resolver: Callable) -> None:
    assert missing(resolver(Bindings()).lora("$(reboot)")).hint.endswith("bind 'tunes.$(reboot)' FILE")


def test_faceid_photos_are_found_by_id_and_title(resolver: Callable, store: TuneStore, photo: Callable[..., bytes]) -> None:
    tune = store.create(title="John Doe", model_type="faceid", photos=[photo()], id=788416)
    trained = store.create(title="Anna", model_type="lora", file="anna.safetensors", photos=[photo()])
    plain = resolver(Bindings())
    expected = Resolved("faceid", None, tune, "tune 788416 of the tunes database")
    assert plain.faceid("788416") == plain.faceid("John Doe") == expected
    assert plain.faceid("Anna").tune == trained  # a LoRA tune may hold photos


def test_error_faceid_without_photos(resolver: Callable, store: TuneStore, photo: Callable[..., bytes]) -> None:
    store.create(title="John", model_type="faceid", photos=[photo("a"), photo("b")], id=5)
    store.create(title="Anna", model_type="lora", file="anna.safetensors", id=6)
    plain = resolver(Bindings(tunes={"7": "my_wife.safetensors"}))
    assert missing(plain.faceid("6")).message == "tune 6 'Anna' holds no photos"
    assert "with Astria Create Tune" in missing(plain.faceid("6")).hint
    bound = missing(plain.faceid("7")).message
    assert bound.startswith(
        "FaceID photo set '7' is not in the tunes database. "
        "The bindings give it 'my_wife.safetensors', which is no tune of it; a model file holds no photos."
    )
    assert missing(plain.faceid("Jon")).message.endswith("Did you mean 'John'?")
    lost = store.photo_paths(5)[1]
    lost.unlink()
    message = missing(plain.faceid("5")).message
    assert message == f"tune 5 'John' has lost photos: 1 of 2, the first is {lost}"


def test_faceid_without_a_database(files: Files) -> None:
    assert "not in the tunes database" in missing(Resolver(Bindings(), None, files()).faceid("5")).message


def test_a_role_gives_the_bound_file(resolver: Callable) -> None:
    assert resolver(Bindings(roles={"upscaler": "4x-UltraSharp"})).role("upscaler") == "4x-UltraSharp.pth"


def test_a_role_bound_for_a_family_wins_over_the_role(files: Files) -> None:
    both = {"controlnet_pose": "any.safetensors", "sdxl.controlnet_pose": "xl.safetensors"}
    bound = Resolver(Bindings(roles=both), None, files(controlnet=["any.safetensors", "xl.safetensors"]))
    assert bound.role("controlnet_pose", "sdxl") == bound.role("sdxl.controlnet_pose") == "xl.safetensors"
    assert bound.role("controlnet_pose", "flux") == bound.role("controlnet_pose") == "any.safetensors"


def test_a_role_may_be_a_folder_of_files(files: Files) -> None:
    packs = ["inswapper_128.onnx", "models/buffalo_l/det_10g.onnx", "models/buffalo_l/w600k_r50.onnx"]
    folders = files(insightface=packs, clipseg=["rd64/model.safetensors"])
    bound = Resolver(Bindings(roles={"face_analysis": "buffalo_l", "clipseg": "rd64", "face_analysis_pulid": "antelope"}), None, folders)
    assert (bound.role("face_analysis"), bound.role("clipseg")) == ("buffalo_l", "rd64")
    lost = missing(bound.role("face_analysis_pulid"))
    assert lost.message.startswith("the folder 'antelope' that face_analysis_pulid stands for was not found. Searched insightface")
    assert lost.hint.endswith("insightface/models, or bind another: python dev.py bind face_analysis_pulid FOLDER")
    assert missing(Resolver(Bindings(), None, folders).role("face_analysis")).hint == "python dev.py bind face_analysis buffalo_l"


def test_of_several_files_none_is_offered_for_a_role(files: Files) -> None:
    """Which one is made for it, and for the model's family, the names do not say."""
    both = files(ipadapter=["ip-adapter-faceid_sd15.bin"], pulid=["pulid_flux_v0.9.1.safetensors"])
    unbound = missing(Resolver(Bindings(), None, both).role("faceid", "sdxl"))
    assert "It holds ip-adapter-faceid_sd15.bin, pulid_flux_v0.9.1.safetensors." in unbound.message
    assert unbound.hint == "python dev.py bind faceid FILE"


def test_error_roles_without_a_file(resolver: Callable) -> None:
    plain = resolver(Bindings(roles={"face_swapper": "inswapper.onnx"}))
    assert plain.role("upscaler") == Missing(
        "upscaler",
        "upscaler",
        "no upscaler is bound (super-resolution and hires fix). Its model folder is upscale_models (/models/upscale_models). "
        "It holds 4x-UltraSharp.pth.",
        "python dev.py bind upscaler 4x-UltraSharp.pth",
    )
    pose = missing(plain.role("controlnet_pose"))
    assert pose.message.endswith("Its model folder is controlnet (no such model folder). It is empty.")
    assert pose.hint == ("Put the model into the model folder controlnet, then run: python dev.py bind controlnet_pose FILE")
    assert missing(plain.role("face_swapper")).message == (
        "the file 'inswapper.onnx' that face_swapper stands for was not found. Searched insightface (no such model folder)."
    )


def test_a_base_gives_its_files_as_listed(resolver: Callable) -> None:
    rv = BaseModel("sd15", checkpoint="realisticVision")
    bases = resolver(Bindings({"690204": rv, "1504944": FLUX}, "1504944"))
    assert bases.base("690204") == BaseModel("sd15", checkpoint="realisticVision.safetensors")
    assert bases.base("1504944") == bases.base(None) == FLUX
    assert resolver(Bindings({"690204": rv})).base(None).family == "sd15"  # the only one is the default


@pytest.mark.parametrize(
    ("name", "located"),
    [
        ("fill", Located("checkpoints", "flux/fill.safetensors")),
        ("flux1-dev", Located("diffusion_models", "flux1-dev.safetensors")),
    ],
)
def test_an_outpaint_model_may_be_a_diffusion_model_or_a_checkpoint(resolver: Callable, name: str, located: Located) -> None:
    found = resolver(Bindings({"1": BaseModel("flux", checkpoint="fill", outpaint_model=name)})).base("1")
    assert found.outpaint_model == located.file
    assert resolver(Bindings()).locate("outpaint model", name, ("diffusion_models", "checkpoints")) == located


@pytest.mark.parametrize(
    ("bindings", "id", "message", "hint"),
    [
        (
            Bindings(),
            None,
            "no default base is set. Bound bases: none.",
            "python dev.py bind base.690204.checkpoint FILE",
        ),
        (
            Bindings({"1": FLUX, "2": BaseModel("sdxl", "a")}),
            None,
            "no default base is set. Bound bases: 1 (flux), 2 (sdxl).",
            "Name one: python dev.py bind defaults.base 1",
        ),
        (
            Bindings(default_base="690204"),
            None,
            "base 690204 (Realistic Vision v5.1, sd15) is not bound to a model.",
            "python dev.py bind base.690204.checkpoint FILE",
        ),
        (
            Bindings({"690204": FLUX}),
            "69024",
            "base 69024 is not bound to a model. Did you mean '690204'?",
            "python dev.py bind base.69024.family FAMILY\npython dev.py bind base.69024.checkpoint FILE",
        ),
        (
            Bindings({"1": BaseModel("flux", diffusion_model="flux1-dev", clip_l="clip_l")}),
            "1",
            "base 1: its diffusion_model needs t5xxl, vae as well",
            "Edit [base 1] in the bindings file, or use python dev.py bind base.1.FIELD FILE.",
        ),
        (
            Bindings({"1": BaseModel("flux")}),
            "1",
            "base 1: it names neither a checkpoint nor a diffusion_model",
            "Edit [base 1] in the bindings file, or use python dev.py bind base.1.FIELD FILE.",
        ),
        (
            Bindings({"1": BaseModel("sd15", checkpoint="a", vae="b")}),
            "1",
            "base 1: a checkpoint brings its own text encoders and VAE; remove vae",
            "Edit [base 1] in the bindings file, or use python dev.py bind base.1.FIELD FILE.",
        ),
        (
            Bindings({"690204": BaseModel("sd15", checkpoint="rv.pt", outpaint_model="inpaint.pt")}),
            "690204",
            "the file 'rv.pt' that checkpoint of base 690204 (Realistic Vision v5.1, sd15) stands for was not found. "
            "Searched checkpoints (/models/checkpoints).\n"
            "the file 'inpaint.pt' that outpaint_model of base 690204 (Realistic Vision v5.1, sd15) stands for "
            "was not found. Searched diffusion_models (/models/diffusion_models), checkpoints (/models/checkpoints).",
            "Put the file into /models/checkpoints, or bind another: python dev.py bind base.690204.checkpoint FILE\n"
            "Put the file into /models/diffusion_models, or bind another: "
            "python dev.py bind base.690204.outpaint_model FILE",
        ),
    ],
)
def test_error_bases(resolver: Callable, bindings: Bindings, id: str | None, message: str, hint: str) -> None:
    result = missing(resolver(bindings).base(id))
    assert (result.message, result.hint) == (message, hint)


def test_model_files_by_folder(resolver: Callable) -> None:
    plain = resolver(Bindings())
    assert plain.model_file("vae", "ae") == "ae.safetensors"
    absent = missing(plain.model_file("vae", "clip_l"))
    assert absent.message == "model file 'clip_l' was not found. Searched vae (/models/vae)."
    assert absent.hint == "Put the file into /models/vae."
    assert missing(plain.model_file("loras", "tom")).hint == "Write the whole name."


def test_files_of_a_windows_host(files: Files) -> None:
    windows = Resolver(Bindings(), None, files(loras=["people\\anna.pt", "a\\tom.pt", "b\\tom.pt"]))
    assert windows.lora("people/anna").file == "people\\anna.pt"
    assert "'people/anna.pt'" in missing(windows.lora("ANNA")).message
    assert missing(windows.lora("tom")).hint.endswith("bind tunes.tom a/tom.pt")


def test_names_given_by_hints_are_accepted_again(resolver: Callable) -> None:
    command = missing(resolver(Bindings()).lora("tom")).hint.split()
    key, file = command[-2:]
    assert posixpath.basename(file) == "tom.pt"
    bound = resolver(Bindings(tunes={key.removeprefix("tunes."): file}))
    assert bound.lora("tom").file == "x/tom.pt"
