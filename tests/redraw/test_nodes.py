"""Astria Inpaint Faces as its execute is called by the host: pictures in, pictures out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_astria.nodes.faces.align import ARCFACE_112
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.tests.redraw.drawing_support import FACES, SEED, drawing, people, pictures
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.regions.regional_support import one_thread
from torch import Tensor

CLEAR = {"face_size": 64, "context": 2.0, "feather": 0.25, "unmatched": "scene", "max_batch": 0}


def inpaint(
    image: Tensor, faces: tuple, family: str = "sd15", **changes: Any
) -> tuple[Tensor, Tensor, Tensor, str]:
    how = drawing(family)
    inputs = {
        name: getattr(how, name)
        for name in ("model", "vae", "positive", "negative", "noise", "sampler", "sigmas", "cfg")
    }
    node = load("comfyui_astria.nodes.redraw.nodes").AstriaInpaintFaces
    with one_thread(), torch.inference_mode():  # as the host runs nodes
        return node.execute(image=image, faces=faces, **{**CLEAR, **inputs, **changes}).result


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux", "flux_fill"])
def test_faces_change_and_nothing_else_does(family: str) -> None:
    image = pictures()
    before = image.clone()
    result, mask, matches, info = inpaint(image, FACES, family, persons=people(family))
    assert torch.equal(image, before)
    assert torch.equal(result[mask == 0], image[mask == 0])
    for number, face in ((0, (20, 20, 50, 56)), (0, (120, 60, 128, 68)), (1, (0, 30, 30, 70))):
        left, top, right, bottom = face
        assert (mask[number, top:bottom, left:right] > 0.999).all()
        assert (
            result[number, top:bottom, left:right] - image[number, top:bottom, left:right]
        ).abs().mean() > 0.02
    assert result.min() >= 0
    assert result.max() <= 1
    assert matches.shape == image.shape
    assert info.startswith("4 of 4 face(s) in 2 image(s) drawn anew in 1 sampler call(s).")


def test_an_image_of_a_batch_is_the_one_made_alone_with_the_seed_behind_it() -> None:
    noise = load("comfyui_astria.nodes.base.host.sampling").ImageNoise
    both, _, _, _ = inpaint(pictures(), FACES)
    alone, _, _, _ = inpaint(pictures()[1:], FACES[1:], noise=noise(SEED + 1))
    assert (both[1:] - alone).abs().max() < 1e-4
    other, _, _, _ = inpaint(pictures()[1:], FACES[1:], noise=noise(SEED))
    assert (other - alone).abs().max() > 0.02


@pytest.mark.parametrize("family", ["sd15", "flux_fill"])
def test_a_lying_head_is_drawn_with_the_others_and_put_back_as_it_lay(family: str) -> None:
    image = pictures()
    # By a quarter turn against the clock.
    lying = Face((84, 60, 124, 90), ARCFACE_112[:, ::-1] * 0.25 * (1, -1) + (86, 89))
    faces = ((*FACES[0][:2], lying), FACES[1])
    result, mask, _, info = inpaint(image, faces, family, persons=people(family))
    assert info.startswith("4 of 4 face(s) in 2 image(s) drawn anew in 1 sampler call(s).")
    assert (
        "image 1, face 3: person 3, left to right, window 80x80 px turned by 90 degrees, drawn at"
        " 64x64" in info
    )
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert (mask[0, 65:85, 88:120] > 0.999).all()
    assert (result[0, 65:85, 88:120] - image[0, 65:85, 88:120]).abs().mean() > 0.02
    # What is drawn upright is the head: its colours follow the turned crop and not the straight
    # one.
    straight, _, _, _ = inpaint(
        image, ((*FACES[0][:2], Face(lying.box)), FACES[1]), family, persons=people(family)
    )
    assert torch.equal(straight[1], result[1])
    assert (straight[0, 65:85, 88:120] - result[0, 65:85, 88:120]).abs().mean() > 0.02


def test_pictures_without_a_face_come_back_as_they_are_and_no_model_runs() -> None:
    image = pictures()
    result, mask, _, info = inpaint(image, ((), ()), sampler=None, vae=None)
    assert torch.equal(result, image)
    assert not mask.any()
    assert info.splitlines() == [
        "0 of 0 face(s) in 2 image(s) drawn anew in 0 sampler call(s).",
        "image 1: no face",
        "image 2: no face",
    ]


def test_faces_of_another_size_of_the_picture_are_scaled_and_that_is_said() -> None:
    image = pictures()
    half = tuple(
        tuple(Face(tuple(edge / 2 for edge in face.box), picture=(80, 48)) for face in found)
        for found in FACES
    )
    result, mask, _, info = inpaint(image, half)
    expected, own_mask, _, _ = inpaint(image, FACES)
    assert torch.equal(mask, own_mask) and torch.equal(result, expected)
    assert info.endswith("Faces that were found at 80x48 px are scaled to the picture's 160x96 px.")


def test_bystanders_may_be_left_alone() -> None:
    image = pictures()
    result, mask, _, info = inpaint(image, FACES, persons=people("sd15")[:1], unmatched="skip")
    assert "2 of 4 face(s)" in info
    assert mask[0, 40, 30] == 1  # the larger of the two
    assert mask[0, 40, 70] == 0
    assert torch.equal(result[0, :, 80:], image[0, :, 80:])


def test_alpha_and_half_precision_go_through() -> None:
    image = torch.cat([pictures(), torch.rand(2, 96, 160, 1)], -1).half()
    result, mask, matches, _ = inpaint(image, FACES)
    assert (result.dtype, result.shape, matches.shape) == (
        torch.float16,
        image.shape,
        (2, 96, 160, 3),
    )
    assert torch.equal(result[mask == 0], image[mask == 0])
    assert torch.equal(result[..., 3], image[..., 3])
    plain, _, _, _ = inpaint(image[..., :3].float(), FACES)
    assert (result[..., :3] - plain).abs().max() < 2e-3


def test_a_vae_that_shifts_colours_shifts_no_face() -> None:
    """The mean of a picture that is drawn as it was stays, to far less than a step of 8 bits."""

    class Shifting:
        def __init__(self, vae: Any) -> None:
            self.encode, self._decode = vae.encode, vae.decode

        def decode(self, samples: Tensor) -> Tensor:
            return self._decode(samples) - 0.02

    how = drawing("sd15")
    image = torch.full((1, 96, 160, 3), 0.5)
    image += torch.linspace(-0.2, 0.2, 160)[None, None, :, None]
    still = torch.tensor([1e-4, 0.0])  # the model changes next to nothing
    result, mask, _, _ = inpaint(
        image,
        (FACES[0][:1],),
        vae=Shifting(how.vae),
        sigmas=still,
        sampler=load("comfy.samplers").sampler_object("euler"),
    )
    change = (result - image)[mask == 1]
    assert change.mean(0).abs().max() < 1e-3


def test_a_face_that_the_model_spoils_stays_and_the_others_do_not_notice() -> None:
    class Spoiling:
        def __init__(self, vae: Any) -> None:
            self.encode, self._decode = vae.encode, vae.decode

        def decode(self, samples: Tensor) -> Tensor:
            decoded = self._decode(samples)
            decoded[0, 3, 3] = float("nan")
            return decoded

    image = pictures()
    sound, _, _, _ = inpaint(image, FACES)
    result, mask, _, info = inpaint(image, FACES, vae=Spoiling(drawing("sd15").vae))
    assert result.isfinite().all()
    assert torch.equal(result[1], sound[1])
    assert torch.equal(result[0, 20:56, 20:36], image[0, 20:56, 20:36])
    assert mask[0, 40, 30] == 0
    assert (
        "image 1, face 1: skipped, left as it was: the model gave values that are no numbers"
        in info
    )
