"""Faces drawn by tiny models in this process, and each face drawn alone with the host's own
means.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from comfyui_astria.nodes.base.noise import ImageSeeds
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.redraw.blend import levelled
from comfyui_astria.nodes.redraw.crop import CropOptions, cut, window_mask
from comfyui_astria.nodes.redraw.plan import PlannedFace, plan_faces
from comfyui_astria.nodes.regions.person import Person
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import base_of, one_thread
from safetensors.torch import save_file
from torch import Tensor

SEED = 90
OPTIONS = CropOptions(face_size_px=64, context=2.0, feather=0.25, multiple=16)
# Two pictures: two faces that overlap and a tiny one, then one at the border.
FACES = (
    (Face((20, 20, 50, 56)), Face((46, 24, 74, 60)), Face((120, 60, 128, 68))),
    (Face((-6, 30, 30, 70)),),
)

model_of = functools.cache(tiny_model)
# A MODEL of the host cleans up after itself, which it cannot once the interpreter is being torn
# down.
atexit.register(model_of.cache_clear)


@functools.cache
def vae_of(family: str) -> Any:
    return load("comfyui_astria.tests.testpack.vae").faithful_vae(
        model_of(family).model.latent_format
    )


atexit.register(vae_of.cache_clear)


def pictures(batch: int = 2) -> Tensor:
    """Return pictures [B,96,160,3] that are no two alike, image i the same in every batch."""
    return torch.stack(
        [
            torch.rand(96, 160, 3, generator=torch.Generator().manual_seed(image))
            for image in range(batch)
        ]
    )


def planned(
    persons: Sequence[Person], faces: Sequence[Sequence[Face]] = FACES
) -> list[PlannedFace]:
    return plan_faces(pictures(len(faces)), faces, persons, None, OPTIONS, "scene")


def people(family: str, loras: Sequence[str] = ()) -> list[Person]:
    """Return three persons with texts of different lengths, in joint sequences of equal ones, the
    first ones with a LoRA each.
    """
    base = base_of(family)
    lengths = (8, 8, 8) if base in ("flux", "zimage") else (8, 12, 4)
    files = [((name, 0.7),) for name in loras] + [()] * 3
    return [
        Person(
            text(base, 10 + place, lengths[place]),
            text(base, 20 + place) if place else None,
            files[place],
        )
        for place in range(3)
    ]


def write_lora(folder: Path, family: str, seed: int) -> str:
    """Write a LoRA of all layers into a folder that the host lists; return its name."""
    load("folder_paths").add_model_folder_path("loras", str(folder))
    name = f"face_{family}_{seed}_{folder.name}.safetensors"
    save_file(
        {key: tensor.contiguous() for key, tensor in whole_file(model_of(family), seed).items()},
        folder / name,
    )
    return name


def sigmas_of(family: str, steps: int = 2, share: float = 0.6) -> Tensor:
    samplers = load("comfy.samplers")
    sampling = model_of(family).get_model_object("model_sampling")
    return samplers.calculate_sigmas(sampling, "simple", round(steps / share))[-steps - 1 :]


def drawing(family: str, persons: Sequence[Person] = (), **changes: Any) -> Any:
    """Return what faces are drawn with: a tiny model, its scene, euler ancestral, cfg 3."""
    faces = load("comfyui_astria.nodes.redraw.host.sampling")
    sampling = load("comfyui_astria.nodes.base.host.sampling")
    base = base_of(family)
    values = {
        "model": model_of(family),
        "vae": vae_of(family),
        "positive": text(base, 1),
        "negative": text(base, 2),
        "noise": sampling.ImageNoise(SEED),
        "sampler": sampling.make_sampler("euler_ancestral"),
        "sigmas": sigmas_of(family),
        "cfg": 3.0,
    }
    return faces.FaceDrawing(**{**values, "persons": persons, **changes})


def draw(
    faces: Sequence[PlannedFace], how: Any, image: Tensor | None = None
) -> tuple[list[Tensor], int]:
    with one_thread(), torch.inference_mode():  # as the host runs nodes
        return load("comfyui_astria.nodes.redraw.host.sampling").draw_faces(
            pictures() if image is None else image, faces, how
        )


def drawn_alone(face: PlannedFace, how: Any, lora: dict[str, Tensor] | None = None) -> Tensor:
    """Return one face drawn by the host's own sampling, with its person's text, and its LoRA merged
    into the model.
    """
    person = None if face.person is None else how.persons[face.person]
    positive = how.positive if person is None else person.positive
    negative = how.negative if person is None or person.negative is None else person.negative
    crop = face.crop
    pixels = cut(pictures()[crop.image], crop)[None]
    mask = window_mask(crop, crop.target_width, crop.target_height)[None]
    model = how.model
    if lora is not None:
        model = load("comfy.sd").load_lora_for_models(model, None, lora, 0.7, 0)[0]
    model = (
        load("comfy_extras.nodes_differential_diffusion")
        .DifferentialDiffusion.execute(model)
        .result[0]
    )
    family = load("comfyui_astria.nodes.host.models").family_of(model)
    latent = how.vae.encode(pixels)
    if family.inpaint:
        positive, negative, _ = (
            load("nodes")
            .InpaintModelConditioning()
            .encode(positive, negative, pixels, how.vae, mask)
        )
    seed = load("comfyui_astria.nodes.redraw.host.sampling").face_seed(
        SEED, crop.image, crop.number
    )
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
    cfg = how.cfg if how.guided else 1.0
    with one_thread():
        samples = load("comfy.sample").sample_custom(
            model,
            noise,
            cfg,
            how.sampler,
            how.sigmas,
            positive,
            negative,
            latent,
            noise_mask=mask,
            disable_pbar=True,
            seed=ImageSeeds(seed, [seed]),
        )
        return levelled(how.vae.decode(samples)[0], pixels[0], mask[0])


def difference(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()
