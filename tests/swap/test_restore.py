"""Face restoration: what models are given and give, and what is left alone."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.faces.align import FFHQ_512
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.paste_face import NO_NUMBERS, NO_POINTS
from comfyui_astria.nodes.swap.restore import call, check_restorer, is_face_model, notes, restore
from comfyui_astria.tests.regions.comfy_inprocess import load
from comfyui_astria.tests.swap.swap_support import (
    blob,
    face_at,
    middle_of,
    smooth_picture,
    unchanged_outside,
)
from comfyui_astria.tests.testpack.swap_models import tiny_gfpgan, tiny_restoreformer
from spandrel import SizeRequirements
from spandrel.architectures.GFPGAN import GFPGAN
from torch import Tensor

SIZE = 256


def same(crops: Tensor) -> Tensor:
    return crops


def negative(crops: Tensor) -> Tensor:
    return 1 - crops


class Centred(torch.nn.Module):
    """Gives back what it is given, in the form of GFPGAN and CodeFormer.

    Remembers how it was called.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[int, float, dict[str, Any]]] = []

    def forward(self, image: Tensor, **options: Any) -> tuple[Tensor, None]:
        self.calls.append((len(image), float(image.min()), options))
        return image, None


def restorer(name: str, **attributes: Any) -> Any:
    """Return a descriptor as the host hands it on, of a network that changes nothing."""
    standard = {
        "model": Centred(),
        "purpose": "FaceSR",
        "scale": 1,
        "input_channels": 3,
        "output_channels": 3,
        "size_requirements": SizeRequirements(minimum=512),
        "architecture": SimpleNamespace(id=name),
    }
    return SimpleNamespace(**{**standard, **attributes})


# What goes into a model, and what comes out


@pytest.mark.parametrize("name", ["GFPGAN", "CodeFormer"])
def test_models_of_the_range_around_zero_keep_brightness(name: str) -> None:
    model, image = restorer(name), torch.rand(2, 3, 16, 16)
    assert (call(model, image, 0.5) - image).abs().max() < 1e-6
    assert model.model.calls[0][1] < -0.9


def test_gfpgan_is_run_as_its_authors_run_it() -> None:
    """Normalised by 0.5 and 0.5, and read as -1..1; but with the noise of its own weights."""
    model, image = tiny_gfpgan(), torch.rand(2, 3, 128, 128)
    network: GFPGAN = model.model
    with torch.inference_mode():
        expected = (
            network((image - 0.5) / 0.5, return_rgb=False, randomize_noise=False)[0].clamp(-1, 1)
            / 2
            + 0.5
        )
        found = call(model, image, 0.5)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert 0 <= found.min() < found.max() <= 1


def test_gfpgan_gives_equal_faces_equal_results() -> None:
    model, image = tiny_gfpgan(), torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        first, second = call(model, image, 0.5), call(model, image, 0.5)
        alone, together = call(model, image, 0.5), call(model, torch.cat([image, 1 - image]), 0.5)
    assert torch.equal(first, second)
    torch.testing.assert_close(alone[0], together[0], atol=1e-5, rtol=0)


def test_restoreformer_is_run_by_its_descriptor() -> None:
    model, image = tiny_restoreformer(), torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        assert torch.equal(call(model, image, 0.5), model(image))
    assert is_face_model(model)


def test_fidelity_reaches_codeformer() -> None:
    model = restorer("CodeFormer")
    call(model, torch.rand(1, 3, 8, 8), 0.8)
    assert model.model.calls[0][2] == {"weight": 0.8}


@pytest.mark.parametrize(
    ("name", "fidelity", "said"),
    [
        ("CodeFormer", 0.5, []),
        ("CodeFormer", 0.9, []),
        ("GFPGAN", 0.5, []),
        (
            "GFPGAN",
            0.9,
            ["fidelity 0.9 has no effect: GFPGAN has no such setting, CodeFormer has."],
        ),
    ],
)
def test_a_setting_without_effect_is_said(name: str, fidelity: float, said: list[str]) -> None:
    assert notes(restorer(name), fidelity) == said


def test_a_model_that_is_not_for_faces_is_said() -> None:
    assert (
        "ESRGAN is a model for whole pictures (SR), not for faces"
        in notes(restorer("ESRGAN", purpose="SR"), 0.5)[0]
    )


@pytest.mark.parametrize(
    ("name", "needs", "size", "wanted"),
    [
        ("GFPGAN", {"minimum": 512}, 1024, "512"),
        ("CodeFormer", {"multiple_of": 512, "square": True}, 1024, "512"),
        ("CodeFormer", {"multiple_of": 512, "square": True}, 256, "512"),
        ("RestoreFormer", {"multiple_of": 64}, 480, "a multiple of 64, 0 or more"),
    ],
)
def test_a_size_that_the_model_cannot_take_is_refused(
    name: str, needs: dict[str, Any], size: int, wanted: str
) -> None:
    model = restorer(name, size_requirements=SizeRequirements(**needs))
    with pytest.raises(
        ImageError, match=rf"The restorer \({name}\) is given faces of {size} px; expected {wanted}"
    ):
        check_restorer(model, size)
    check_restorer(model, 512)


def test_a_model_for_grey_pictures_is_refused() -> None:
    with pytest.raises(ImageError, match=r"\(DnCNN\) turns 1 channels into 1; expected 3 into 3"):
        check_restorer(restorer("DnCNN", input_channels=1, output_channels=1), 512)


# Pictures


def test_every_face_of_every_picture_is_painted_in_its_place() -> None:
    images = smooth_picture(300, 200, batch=3, channels=4)
    faces = ((face_at(90, 100, 60, 0.4), face_at(210, 100, 50)), (), (face_at(100, 100, 70),))
    calls: list[int] = []

    def run(crops: Tensor) -> Tensor:
        calls.append(len(crops))
        return negative(crops)

    result = restore(images, faces, run, SIZE, 1.0)
    assert calls == [3]  # all of them in one call
    assert unchanged_outside(images, result.images, result.masks)
    assert torch.equal(result.images[1], images[1]) and torch.equal(
        result.images[..., 3], images[..., 3]
    )
    for picture, x, y in ((0, 90, 100), (0, 210, 100), (2, 100, 100)):
        assert (
            result.images[picture, y, x, :3] - (1 - images[picture, y, x, :3])
        ).abs().max() < 0.01
    assert (
        result.report
        == "Image 1: 2 face(s) restored.\nImage 2: no face, unchanged.\nImage 3: 1 face(s)"
        " restored."
    )


@pytest.mark.parametrize("size", [SIZE, 2 * SIZE])
def test_a_face_that_the_model_spoils_stays_and_the_others_do_not_notice(size: int) -> None:
    images = smooth_picture(300, 200, batch=2)
    faces = ((face_at(90, 100, 60), face_at(210, 100, 50)), (face_at(100, 100, 70),))

    def spoils_the_second(crops: Tensor) -> Tensor:
        painted = (
            negative(crops).repeat_interleave(size // SIZE, 1).repeat_interleave(size // SIZE, 2)
        )
        painted[1, 40, 50, 0] = torch.nan
        return painted

    result = restore(images, faces, spoils_the_second, SIZE, 1.0)
    alone = restore(images, (faces[0][:1], faces[1]), negative, SIZE, 1.0)
    assert (result.images - alone.images).abs().max() < 0.01 and torch.equal(
        result.masks, alone.masks
    )
    assert result.report.splitlines()[0] == f"Image 1: 1 face(s) restored, 1 {NO_NUMBERS}."


@pytest.mark.parametrize("enlarges", [1, 2, 4])
def test_a_model_that_changes_nothing_shifts_neither_place_nor_brightness(enlarges: int) -> None:
    def run(crops: Tensor) -> Tensor:
        return crops.repeat_interleave(enlarges, 1).repeat_interleave(enlarges, 2)

    faces = ((face_at(151, 99, 80, 0.3),),)
    spot = blob(300, 200, 150.4, 100.2)
    result = restore(spot, faces, run, SIZE, 1.0)
    assert (
        torch.tensor(middle_of(result.images[0])).sub(torch.tensor(middle_of(spot[0]))).abs().max()
        < 0.1
    )
    waves = smooth_picture(300, 200)
    result = restore(waves, faces, run, SIZE, 1.0)
    inside = result.masks > 0
    assert not torch.equal(result.images, waves)
    assert (result.images[inside].mean() - waves[inside].mean()).abs() < 2e-4


def test_the_crop_is_that_of_the_ffhq_photos() -> None:
    """Eyes, nose and mouth corners of a face stand where restorers look for them, and the picture
    ends in their grey.
    """
    face = face_at(150, 100, 60, 0.5)
    picture = torch.zeros(1, 200, 300, 3)
    for x, y in face.points.round().astype(int):
        picture[0, y - 1 : y + 2, x - 1 : x + 2] = 1
    seen: list[Tensor] = []
    restore(picture, ((face,),), lambda crops: seen.append(crops) or crops, 512, 1.0)
    for x, y in ((193, 240), (319, 240), (257, 314), (201, 371), (313, 371)):  # facexlib's template
        assert seen[0][0, y - 12 : y + 13, x - 12 : x + 13].max() > 0.9
    edge = restore(
        torch.ones(1, 60, 60, 3),
        ((face_at(5, 30, 60),),),
        lambda crops: seen.append(crops) or crops,
        512,
        1.0,
    )
    assert (
        seen[1][0, 256, 3].tolist() == pytest.approx([132 / 255, 133 / 255, 135 / 255], abs=1e-5)
        and edge.images.min() > 0.99
    )


def test_the_crop_is_the_one_that_facexlib_cuts_where_a_point_is_off() -> None:
    """Its own call: OpenCV's least median of squares onto the template, and warpAffine."""
    face = face_at(150, 100, 90, 0.2)
    points = face.points.copy()
    points[4] += (9, -7)
    picture = smooth_picture(300, 200)
    seen: list[Tensor] = []
    restore(
        picture, ((Face(face.box, points),),), lambda crops: seen.append(crops) or crops, 512, 1.0
    )
    matrix = cv2.estimateAffinePartial2D(points, FFHQ_512, method=cv2.LMEDS)[0]
    expected = cv2.warpAffine(picture[0].numpy(), matrix, (512, 512))
    inside = cv2.warpAffine(np.ones((200, 300)), matrix, (512, 512)) == 1
    assert np.abs(seen[0][0].numpy() - expected)[inside].max() < 0.01


def test_faces_found_before_an_upscaling_are_restored_where_they_are_behind_it() -> None:
    images = smooth_picture(400, 300)
    face = face_at(201, 141, 120, 0.3)
    early = Face(
        tuple(edge / 2 for edge in face.box), (face.points + 0.5) / 2 - 0.5, picture=(200, 150)
    )
    expected = restore(images, ((face,),), negative, SIZE, 1.0)
    found = restore(images, ((early,),), negative, SIZE, 1.0)
    torch.testing.assert_close(found.images, expected.images, atol=1e-4, rtol=0)
    assert found.masks[0, 141, 201] == 1


def test_a_face_without_points_stays_and_the_others_are_restored() -> None:
    images = smooth_picture(300, 200)
    sound, bare = face_at(90, 100, 60), Face((200.0, 80.0, 240.0, 130.0))
    found = restore(images, ((sound, bare),), negative, SIZE, 1.0)
    assert found.masks[0, 100, 90] == 1 and not found.masks[0, 80:130, 200:240].any()
    assert found.report == f"Image 1: 1 face(s) restored, 1 {NO_POINTS}."
    none = restore(images, ((bare,),), never, SIZE, 1.0)
    assert torch.equal(none.images, images)
    assert none.report == f"Image 1: 0 face(s) restored, 1 {NO_POINTS}."


def test_strength_blends_with_the_picture() -> None:
    images, faces = smooth_picture(200, 150), ((face_at(100, 75, 60),),)
    whole, half = (restore(images, faces, negative, SIZE, strength) for strength in (1.0, 0.5))
    torch.testing.assert_close(half.images, (whole.images + images) / 2, atol=1e-5, rtol=0)
    assert half.masks.max() == pytest.approx(0.5, abs=1e-4)


def never(crops: Tensor) -> Tensor:
    raise AssertionError("no face is to be painted")


def test_strength_0_and_pictures_without_faces_run_no_model() -> None:
    images = smooth_picture(200, 150)
    result = restore(images, ((face_at(100, 75, 60),),), never, SIZE, 0.0)
    assert (
        torch.equal(result.images, images)
        and not result.masks.any()
        and "strength is 0" in result.report
    )
    result = restore(images, ((),), never, SIZE, 1.0)
    assert torch.equal(result.images, images) and result.report == "Image 1: no face, unchanged."


def test_half_precision_images_stay_so() -> None:
    images = smooth_picture(200, 150).half()
    result = restore(images, ((face_at(100, 75, 60),),), negative, SIZE, 1.0)
    assert result.images.dtype == torch.float16 and unchanged_outside(
        images, result.images, result.masks
    )


# The host's memory


@pytest.fixture
def host() -> ModuleType:
    return load("comfyui_astria.nodes.swap.host.models")


@pytest.fixture
def patched(host: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The host's management, with memory for two faces of 32 px and a list of what it was asked to
    load.
    """
    management = load("comfy.model_management")
    loaded: list[Any] = []
    monkeypatch.setattr(
        host,
        "load_whole",
        lambda patcher, memory_required: loaded.append((patcher, memory_required)),
    )
    monkeypatch.setattr(management, "get_free_memory", lambda device: 2 * loaded[-1][1])
    return SimpleNamespace(management=management, loaded=loaded)


def in_host(name: str, **attributes: Any) -> Any:
    return restorer(name, patcher=SimpleNamespace(load_device=torch.device("cpu")), **attributes)


def test_faces_are_painted_in_chunks_that_fit(host: ModuleType, patched: Any) -> None:
    model, crops = in_host("GFPGAN"), torch.rand(5, 32, 32, 3)
    painted = host.painter(model, 0.5)(crops)
    assert [count for count, _, _ in model.model.calls] == [2, 2, 1]
    assert patched.loaded[0][0] == model.patcher and patched.loaded[0][1] > crops[0].numel() * 4
    torch.testing.assert_close(painted, crops, atol=1e-6, rtol=0)


def test_a_model_for_pictures_gets_one_at_a_time(host: ModuleType, patched: Any) -> None:
    model = in_host("CodeFormer", purpose="SR")
    host.painter(model, 0.5)(torch.rand(3, 32, 32, 3))
    assert [count for count, _, _ in model.model.calls] == [1, 1, 1]


def test_chunks_get_smaller_where_memory_runs_out(
    host: ModuleType, patched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, crops = in_host("GFPGAN"), torch.rand(4, 32, 32, 3)
    forward = model.model.forward

    def scarce(image: Tensor, **options: Any) -> tuple[Tensor, None]:
        if len(image) > 1:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return forward(image, **options)

    monkeypatch.setattr(model.model, "forward", scarce)
    torch.testing.assert_close(host.painter(model, 0.5)(crops), crops, atol=1e-6, rtol=0)
    monkeypatch.setattr(
        model.model,
        "forward",
        lambda image, **options: (_ for _ in ()).throw(
            torch.cuda.OutOfMemoryError("out of memory")
        ),
    )
    with pytest.raises(torch.cuda.OutOfMemoryError):
        host.painter(model, 0.5)(crops)


def test_the_host_can_stop_between_chunks(host: ModuleType, patched: Any) -> None:
    model = in_host("GFPGAN")
    patched.management.interrupt_current_processing()
    with pytest.raises(patched.management.InterruptProcessingException):
        host.painter(model, 0.5)(torch.rand(3, 32, 32, 3))
    assert model.model.calls == []
