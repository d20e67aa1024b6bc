"""Roles and bases of the bindings -> files that the host lists."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.model_files import ModelFile
from comfyui_astria.nodes.tunes.bindings import (
    ROLES,
    BaseModel,
    Bindings,
    BindingsError,
    address,
)
from comfyui_astria.nodes.tunes.file_search import Located, Missing
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.tests.tunes.resolve_support import Files, missing

FLUX = BaseModel(
    "flux",
    diffusion_model="flux1-dev.safetensors",
    clip_l="clip_l.safetensors",
    t5xxl="t5xxl_fp16.safetensors",
    vae="ae.safetensors",
)


def test_a_role_gives_the_bound_file(resolver: Callable) -> None:
    assert (
        resolver(Bindings(roles={"upscaler": "4x-UltraSharp"})).role("upscaler")
        == "4x-UltraSharp.pth"
    )


def test_a_role_bound_for_a_family_wins_over_the_role(files: Files) -> None:
    both = {"controlnet_pose": "any.safetensors", "sdxl.controlnet_pose": "xl.safetensors"}
    bound = Resolver(
        Bindings(roles=both), None, files(controlnet=["any.safetensors", "xl.safetensors"])
    )
    assert (
        bound.role("controlnet_pose", "sdxl")
        == bound.role("sdxl.controlnet_pose")
        == "xl.safetensors"
    )
    assert (
        bound.role("controlnet_pose", "flux") == bound.role("controlnet_pose") == "any.safetensors"
    )


def test_a_role_may_be_a_folder_of_files(files: Files) -> None:
    packs = [
        "inswapper_128.onnx",
        "models/buffalo_l/det_10g.onnx",
        "models/buffalo_l/w600k_r50.onnx",
    ]
    folders = files(insightface=packs, clipseg=["rd64/config.json"])
    bound = Resolver(
        Bindings(
            roles={
                "face_analysis": "buffalo_l",
                "clipseg": "rd64",
                "face_analysis_pulid": "antelope",
            }
        ),
        None,
        folders,
    )
    assert (bound.role("face_analysis"), bound.role("clipseg")) == ("buffalo_l", "rd64")
    lost = missing(bound.role("face_analysis_pulid"))
    assert lost.message.startswith(
        "the folder 'antelope' that face_analysis_pulid stands for was not found. Searched"
        " insightface"
    )
    assert lost.hint.endswith(
        "insightface/models, or bind another: python dev.py bind face_analysis_pulid FOLDER"
    )
    assert (
        missing(Resolver(Bindings(), None, folders).role("face_analysis")).hint
        == "python dev.py bind face_analysis buffalo_l"
    )


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
        "no upscaler is bound (super-resolution and hires fix). Its model folder is upscale_models"
        " (/models/upscale_models). It holds 4x-UltraSharp.pth.",
        "python dev.py bind upscaler 4x-UltraSharp.pth",
    )
    pose = missing(plain.role("controlnet_pose"))
    assert pose.message.endswith(
        "Its model folder is controlnet (no such model folder). It is empty."
    )
    assert (
        pose.hint == "Put the model into the model folder controlnet, then run: python dev.py bind"
        " controlnet_pose FILE"
    )
    assert (
        missing(plain.role("face_swapper")).message
        == "the file 'inswapper.onnx' that face_swapper stands for was not found. Searched"
        " insightface (no such model folder)."
    )


def test_an_unbound_role_names_the_published_file(files: Files) -> None:
    nothing = missing(Resolver(Bindings(), None, files()).role("sam3"))
    sam3 = "sam3.1_multiplex_fp16.safetensors"
    address = f"https://huggingface.co/Comfy-Org/sam3.1/resolve/main/checkpoints/{sam3}"
    put, where = nothing.hint.splitlines()
    assert put.endswith(f"then run: python dev.py bind sam3 {sam3}")
    assert where == f"{sam3} is published at {address}"
    beside = files(checkpoints=["a.safetensors", "b.safetensors"])
    others = missing(Resolver(Bindings(), None, beside).role("sam3"))
    assert others.hint.splitlines() == [f"python dev.py bind sam3 {sam3}", where]
    there = files(checkpoints=["a.safetensors", f"sam/{sam3}"])
    found = missing(Resolver(Bindings(), None, there).role("sam3"))
    assert found.hint == f"python dev.py bind sam3 sam/{sam3}"


@pytest.mark.parametrize("role", [role for role, one in ROLES.items() if one.published])
def test_published_files_of_roles_are_known_with_their_address(role: str) -> None:
    about = ROLES[role]
    assert ModelFile(about.folders[0], about.published).address
    assert about.takes(about.published)


@pytest.mark.parametrize(
    ("id", "field"),
    [("1504944", "diffusion_model"), ("zimage_turbo", "diffusion_model"), ("690204", "checkpoint")],
)
def test_a_base_is_bound_by_the_field_that_its_model_is_published_for(
    resolver: Callable, id: str, field: str
) -> None:
    assert missing(resolver(Bindings()).base(id)).bind_key == f"base.{id}.{field}"
    with pytest.raises(BindingsError, match=f"Use the key base.{id}.{field}"):
        address(id)


def test_a_base_gives_its_files_as_listed(resolver: Callable) -> None:
    rv = BaseModel("sd15", checkpoint="realisticVision")
    bases = resolver(Bindings({"690204": rv, "1504944": FLUX}, "1504944"))
    assert bases.base("690204") == BaseModel("sd15", checkpoint="realisticVision.safetensors")
    assert bases.base("1504944") == bases.base(None) == FLUX
    # The only one is the default.
    assert resolver(Bindings({"690204": rv})).base(None).family == "sd15"


@pytest.mark.parametrize(
    ("name", "located"),
    [
        ("fill", Located("checkpoints", "flux/fill.safetensors")),
        ("flux1-dev", Located("diffusion_models", "flux1-dev.safetensors")),
    ],
)
def test_an_outpaint_model_may_be_a_diffusion_model_or_a_checkpoint(
    resolver: Callable, name: str, located: Located
) -> None:
    found = resolver(
        Bindings({"1": BaseModel("flux", checkpoint="fill", outpaint_model=name)})
    ).base("1")
    assert found.outpaint_model == located.file
    assert (
        resolver(Bindings()).locate("outpaint model", name, ("diffusion_models", "checkpoints"))
        == located
    )


@pytest.mark.parametrize(
    ("bindings", "id", "message", "hint"),
    [
        (
            Bindings(),
            None,
            "no default base is set. Bound bases: none.",
            (
                "python dev.py bind base.690204.checkpoint FILE\nOr name a base whose files are"
                " told: 1504944, flux_schnell, flux2, flux2_klein_4b, flux2_klein_4b_base,"
                " flux2_klein_9b, flux2_klein_9b_base, zimage_turbo, zimage, krea2_turbo, krea2."
            ),
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
            (
                "python dev.py bind base.69024.family FAMILY\npython dev.py bind"
                " base.69024.checkpoint FILE"
            ),
        ),
        (
            Bindings({"1": BaseModel("flux", diffusion_model="flux1-dev", clip_l="clip_l")}),
            "1",
            "base 1: its diffusion_model needs t5xxl, vae as well",
            "Edit [base 1] in the bindings file, or use: python dev.py bind base.1.FIELD FILE",
        ),
        (
            Bindings({"1": BaseModel("flux")}),
            "1",
            "base 1: it names neither a checkpoint nor a diffusion_model",
            "Edit [base 1] in the bindings file, or use: python dev.py bind base.1.FIELD FILE",
        ),
        (
            Bindings({"1": BaseModel("sd15", checkpoint="a", vae="b")}),
            "1",
            "base 1: a checkpoint brings its own text encoders and VAE; remove vae",
            "Edit [base 1] in the bindings file, or use: python dev.py bind base.1.FIELD FILE",
        ),
        (
            Bindings(
                {"690204": BaseModel("sd15", checkpoint="rv.pt", outpaint_model="inpaint.pt")}
            ),
            "690204",
            (
                "the file 'rv.pt' that checkpoint of base 690204 (Realistic Vision v5.1, sd15)"
                " stands for was not found. Searched checkpoints (/models/checkpoints).\nthe file"
                " 'inpaint.pt' that outpaint_model of base 690204 (Realistic Vision v5.1, sd15)"
                " stands for was not found. Searched diffusion_models (/models/diffusion_models),"
                " checkpoints (/models/checkpoints)."
            ),
            (
                "Put the file into /models/checkpoints, or bind another: python dev.py bind"
                " base.690204.checkpoint FILE\nPut the file into /models/diffusion_models, or bind"
                " another: python dev.py bind base.690204.outpaint_model FILE"
            ),
        ),
    ],
)
def test_error_bases(
    resolver: Callable, bindings: Bindings, id: str | None, message: str, hint: str
) -> None:
    result = missing(resolver(bindings).base(id))
    assert (result.message, result.hint) == (message, hint)


def test_model_files_by_folder(resolver: Callable) -> None:
    plain = resolver(Bindings())
    assert plain.model_file("vae", "ae") == "ae.safetensors"
    absent = missing(plain.model_file("vae", "clip_l"))
    assert absent.message == "model file 'clip_l' was not found. Searched vae (/models/vae)."
    assert absent.hint == "Put the file into /models/vae."
    assert missing(plain.model_file("loras", "tom")).hint == "Write the whole name."


ZIMAGE = (FAMILIES["zimage_turbo"], FAMILIES["zimage"])


def _of_base(family: str, file: str) -> Bindings:
    base = BaseModel(
        family, diffusion_model=file, text_encoder="q.safetensors", vae="v.safetensors"
    )
    return Bindings(bases={"7": base, "8": FLUX}, default_base="7")


def test_a_base_that_names_a_model_s_file_says_its_family(files: Files) -> None:
    folders = files(diffusion_models=["mine\\merge.safetensors", "other/merge_2.safetensors"])
    bound = Resolver(_of_base("zimage", "merge"), None, folders)
    found = bound.variant_of(ZIMAGE, "/models/diffusion_models/mine/merge.safetensors")
    assert found == (FAMILIES["zimage"], "family = zimage of base 7 in the bindings")
    windows = bound.variant_of(ZIMAGE, "C:\\models\\diffusion_models\\mine\\merge.safetensors")
    assert windows == found
    other, why = bound.variant_of(ZIMAGE, "/models/diffusion_models/other/merge_2.safetensors")
    assert other.name == "zimage_turbo"
    assert why.startswith("assumed")


def test_the_bindings_win_over_the_name_of_the_file(files: Files) -> None:
    name = "z_image_turbo_untuned.safetensors"
    bound = Resolver(_of_base("zimage", name), None, files(diffusion_models=[name]))
    assert bound.variant_of(ZIMAGE, f"/m/diffusion_models/{name}")[0].name == "zimage"


def test_a_model_of_no_known_file_is_of_the_default_base_s_family(files: Files) -> None:
    bound = Resolver(_of_base("zimage", "absent.safetensors"), None, files())
    assert bound.variant_of(ZIMAGE, "")[0].name == "zimage"
    klein = (FAMILIES["flux2_klein_4b"], FAMILIES["flux2_klein_4b_base"])
    assert bound.variant_of(klein, "")[0].name == "flux2_klein_4b", "a base of another kind"
    assert Resolver(Bindings(), None, files()).variant_of(ZIMAGE, "")[0].name == "zimage_turbo"
    assert bound.variant_of((FAMILIES["flux"],), "") == (FAMILIES["flux"], "")


def test_a_base_s_native_size_counts_for_its_model(files: Files) -> None:
    own = BaseModel("sd15", checkpoint="large", native_size="768")
    folders = files(checkpoints=["large.safetensors", "other.safetensors"])
    sd15, flux = (FAMILIES["sd15"],), (FAMILIES["flux"],)
    bound = Resolver(Bindings(bases={"7": own, "8": FLUX}, default_base="7"), None, folders)
    found, why = bound.variant_of(sd15, "/models/checkpoints/large.safetensors")
    assert (found.name, found.native_size, why) == ("sd15", 768, "")
    assert bound.variant_of(sd15, "")[0].native_size == 768, "that of the default base"
    assert bound.variant_of(sd15, "/models/checkpoints/other.safetensors")[0].native_size == 512
    assert bound.variant_of(flux, "")[0].native_size == 1024, "a default base of another kind"
