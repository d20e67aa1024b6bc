"""Face swapping: held against insightface's own, and what it leaves alone."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError, MissingModelError
from comfyui_astria.nodes.faces.align import arcface_template, similarity, warp
from comfyui_astria.nodes.faces.face import Face
from comfyui_astria.nodes.faces.identity import Identity
from comfyui_astria.nodes.faces.match import BY_LIKENESS, BY_PLACE, BY_REGION
from comfyui_astria.nodes.faces.paste_face import NO_NUMBERS, NO_POINTS
from comfyui_astria.nodes.regions.layout import columns
from comfyui_astria.nodes.swap.faces import Source, known_people, report, sources, swap
from comfyui_astria.nodes.swap.inswapper import Swapper, gpu_provider, load_swapper
from comfyui_astria.tests.swap.swap_support import (
    face_at,
    identity,
    smooth_picture,
    unchanged_outside,
)
from comfyui_astria.tests.testpack.face_models import FACE_BOX, FACE_POINTS, astronaut
from comfyui_astria.tests.testpack.swap_models import colour_of, matrix, write_swapper
from insightface.model_zoo.inswapper import INSwapper

# insightface still calls a function that scikit-image is going to take away.
THEIRS = pytest.mark.filterwarnings("ignore:`estimate` is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def swapper(tmp_path_factory: pytest.TempPathFactory) -> Swapper:
    return load_swapper(write_swapper(tmp_path_factory.mktemp("swapper") / "inswapper_test.onnx"))


@pytest.fixture(scope="module")
def published(swapper: Swapper) -> INSwapper:
    """insightface's own code on the same file, whose matrix is its last weight."""
    session = onnxruntime.InferenceSession(str(swapper.path), providers=["CPUExecutionProvider"])
    return INSwapper(str(swapper.path), session)


def swapped(
    swapper: Swapper,
    images: torch.Tensor,
    faces: tuple[tuple[Face, ...], ...],
    *latents: list,
    feather: float = 0.1,
):
    with swapper.opened([]) as network:
        return swap(images, faces, latents, network, feather, lambda: None)


def photo() -> torch.Tensor:
    return torch.from_numpy(astronaut()).float()[None] / 255


def photo_face(embedding: np.ndarray | None = None) -> Face:
    return Face(FACE_BOX, FACE_POINTS, 0.9, embedding)


@THEIRS
def test_the_painted_crop_is_the_published_one(swapper: Swapper, published: INSwapper) -> None:
    source = identity(5).photos[0].face.embedding
    bgr, _ = published.get(
        astronaut()[..., ::-1],
        SimpleNamespace(kps=FACE_POINTS),
        SimpleNamespace(normed_embedding=source / np.linalg.norm(source)),
        paste_back=False,
    )
    crop = warp(photo()[0], similarity(FACE_POINTS, arcface_template(128)), 128)
    with swapper.opened([]) as network:
        painted = network(crop, swapper.latent(identity(5)))
    difference = np.abs(painted.numpy() * 255 - bgr[..., ::-1])
    # Theirs is cut to whole numbers twice.
    assert difference.max() <= 2.5 and difference.mean() < 0.8


@THEIRS
def test_the_picture_is_the_published_one(swapper: Swapper, published: INSwapper) -> None:
    source = identity(5).photos[0].face.embedding
    bgr = published.get(
        astronaut()[..., ::-1].copy(),
        SimpleNamespace(kps=FACE_POINTS),
        SimpleNamespace(normed_embedding=source / np.linalg.norm(source)),
    )
    result = swapped(swapper, photo(), ((photo_face(),),), [swapper.latent(identity(5))])
    difference = np.abs(result.images[0].numpy() * 255 - bgr[..., ::-1])
    # The borders differ a little: theirs is blurred by whole pixels of the picture, and everything
    # is cut to whole numbers.
    assert difference.mean() < 0.5 and np.quantile(difference, 0.999) < 8
    assert np.abs(result.images[0].numpy() * 255 - astronaut()).max() > 40


def test_several_photos_give_their_mean(swapper: Swapper) -> None:
    someone = identity(7, photos=3)
    directions = [
        photo.face.embedding / np.linalg.norm(photo.face.embedding) for photo in someone.photos
    ]
    mean = np.mean(directions, axis=0)
    expected = mean / np.linalg.norm(mean) @ matrix()
    np.testing.assert_allclose(
        swapper.latent(someone), expected / np.linalg.norm(expected), atol=1e-6
    )


@pytest.mark.parametrize("pack", ["antelopev2", "buffalo_s"])
def test_embeddings_of_another_recogniser_are_refused(swapper: Swapper, pack: str) -> None:
    with pytest.raises(
        ImageError,
        match=(
            f"The identity 'person 1' was read with the face model pack {pack}; face swap models"
            " know"
        ),
    ) as caught:
        swapper.latent(identity(1, recogniser=pack))
    assert "buffalo_l" in caught.value.hint


def test_each_face_becomes_its_person_and_the_rest_stays(swapper: Swapper) -> None:
    """Two pictures, three faces, one of them left alone; alpha too."""
    images = smooth_picture(300, 200, batch=2, channels=4)
    faces = ((face_at(80, 100, 90, 0.3), face_at(220, 90, 90)), (face_at(150, 100, 100),))
    one, two = (swapper.latent(identity(seed)) for seed in (1, 2))
    result = swapped(swapper, images, faces, [one, None], [two])
    assert unchanged_outside(images, result.images, result.masks)
    assert torch.equal(result.images[..., 3], images[..., 3])
    for picture, x, y, latent in ((0, 80, 100, one), (1, 150, 100, two)):
        expected = (images[picture, y, x, :3] + torch.from_numpy(colour_of(latent))) / 2
        assert (result.images[picture, y, x, :3] - expected).abs().max() < 0.01
        assert result.masks[picture, y, x] > 0.999
    assert result.masks[0, 90, 220] == 0 and result.masks.shape == (2, 200, 300)


def test_a_face_that_the_model_spoils_stays_and_is_said() -> None:
    images, faces = smooth_picture(300, 200), ((face_at(80, 100, 60), face_at(220, 90, 60)),)
    painted = iter([torch.nan, 1.0])

    class Spoiling:
        size = 128

        def __call__(self, crop: torch.Tensor, latent: np.ndarray) -> torch.Tensor:
            return torch.full_like(crop, next(painted))

    result = swap(images, faces, [[np.ones(512), np.ones(512)]], Spoiling(), 0.1, lambda: None)
    assert result.left == {(0, 0): NO_NUMBERS} and bool(result.images.isfinite().all())
    assert (
        torch.equal(result.images[0, :, :150], images[0, :, :150])
        and result.masks[0, 90, 220] > 0.9
    )
    source = Source(identity(1), BY_PLACE)
    assert (
        report([[source, source]], result.left)
        == f"Image 1: face 1 {NO_NUMBERS}; face 2 becomes person 1, {BY_PLACE}."
    )


def test_each_picture_of_a_batch_is_what_it_is_alone(swapper: Swapper) -> None:
    images = smooth_picture(160, 150, batch=2)
    faces, latent = (face_at(80, 70, 80),), swapper.latent(identity(3))
    together = swapped(swapper, images, (faces, faces), [latent], [latent])
    for number in (0, 1):
        alone = swapped(swapper, images[number : number + 1], (faces,), [latent])
        assert torch.equal(together.images[number], alone.images[0])


def test_a_neighbour_who_stays_is_not_painted_over(swapper: Swapper) -> None:
    """The square crop of the one reaches over the middle of the other."""
    images = smooth_picture(260, 200)
    faces = (face_at(100, 100, 120), face_at(155, 100, 60))
    result = swapped(swapper, images, (faces,), [swapper.latent(identity(1)), None])
    assert torch.equal(result.images[0, 95:106, 150:161], images[0, 95:106, 150:161])
    assert (
        swapped(swapper, images, (faces[:1],), [swapper.latent(identity(1))]).masks[0, 100, 155] > 0
    )


def test_faces_that_overlap_do_not_depend_on_their_order(swapper: Swapper) -> None:
    images = smooth_picture(260, 200)
    left, right = face_at(100, 100, 100), face_at(150, 100, 100)
    one, two = (swapper.latent(identity(seed)) for seed in (1, 2))
    forward = swapped(swapper, images, ((left, right),), [one, two])
    backward = swapped(swapper, images, ((right, left),), [two, one])
    assert (forward.images - backward.images).abs().max() < 0.1  # in the soft border between them
    for x, latent in ((100, one), (150, two)):
        expected = (images[0, 100, x] + torch.from_numpy(colour_of(latent))) / 2
        assert (forward.images[0, 100, x] - expected).abs().max() < 0.01


def test_half_precision_images_stay_so(swapper: Swapper) -> None:
    images = smooth_picture(160, 150).half()
    result = swapped(swapper, images, ((face_at(80, 70, 80),),), [swapper.latent(identity(3))])
    assert result.images.dtype == torch.float16 and unchanged_outside(
        images, result.images, result.masks
    )


def test_without_faces_the_picture_is_the_same(swapper: Swapper) -> None:
    images = smooth_picture(60, 50, batch=2)
    result = swapped(swapper, images, ((), ()), [], [])
    assert torch.equal(result.images, images) and not result.masks.any()


def test_a_larger_model_gets_larger_crops(tmp_path: Path) -> None:
    with load_swapper(write_swapper(tmp_path / "swapper_256.onnx", size=256)).opened([]) as network:
        assert network.size == 256
        assert network(torch.rand(256, 256, 3), np.zeros(512, np.float32)).shape == (256, 256, 3)


def test_nothing_of_the_network_outlives_the_run(swapper: Swapper) -> None:
    with swapper.opened([]) as network:
        session = weakref.ref(network.session)
    del network
    assert session() is None


@pytest.mark.parametrize("size", ["side", 100])
def test_a_model_without_a_usable_size_is_refused(tmp_path: Path, size: int | str) -> None:
    swapper = load_swapper(write_swapper(tmp_path / "swapper.onnx", size=size))
    wanted = r"expected a picture \[1, 3, size, size\]|An aligned face of 100 px"
    with pytest.raises((MissingModelError, ImageError), match=wanted), swapper.opened([]):
        pass


def test_a_network_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    path = write_swapper(tmp_path / "swapper.onnx")
    swapper = load_swapper(path)
    path.write_bytes(b"nothing")
    with (
        pytest.raises(MissingModelError, match="cannot be loaded: InvalidProtobuf") as caught,
        swapper.opened([]),
    ):
        pass
    assert str(path) in caught.value.message


def test_the_gpu_is_used_only_where_host_and_runtime_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert gpu_provider(torch.device("cpu")) == []
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert gpu_provider(torch.device("cuda", 1)) == []
    monkeypatch.setattr(
        onnxruntime,
        "get_available_providers",
        lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    assert gpu_provider(torch.device("cuda", 1)) == [("CUDAExecutionProvider", {"device_id": "1"})]


# Who becomes whom


def test_people_are_matched_by_where_they_stand() -> None:
    images, (one, two) = torch.zeros(1, 100, 200, 3), (identity(1), identity(2))
    faces = ((face_at(150, 50, 40), face_at(50, 50, 40)),)
    assert sources(images, faces, (one, two), columns(2, 200, 100, softness_px=0), "skip") == [
        [Source(two, BY_REGION), Source(one, BY_REGION)]
    ]
    assert sources(images, faces, (one, two), None, "skip") == [
        [Source(two, BY_PLACE), Source(one, BY_PLACE)]
    ]


def test_people_are_matched_by_likeness_where_no_region_says_more() -> None:
    one, two = identity(1), identity(2)
    draw = np.random.default_rng(3)
    seen = {
        150: one.photos[0].face.embedding + draw.standard_normal(512),
        50: two.photos[0].face.embedding + draw.standard_normal(512),
    }
    images = torch.zeros(1, 100, 200, 3)
    faces = [
        replace(face_at(x, 50, 40), embedding=seen[x], recogniser="buffalo_l") for x in (50, 150)
    ]
    assert sources(images, (faces,), (one, two), None, "skip") == [
        [Source(two, BY_LIKENESS), Source(one, BY_LIKENESS)]
    ]
    foreign = [replace(face, recogniser="antelopev2") for face in faces]
    ((first, second),) = sources(images, (foreign,), (one, two), None, "skip")
    assert (first.identity, second.identity) == (one, two)
    assert (
        "face 1 becomes person 1, left to right (the face was read by antelopev2, the photos by"
        " buffalo_l" in report([[first, second]])
    )


def test_a_face_that_is_nobodys_stays_or_becomes_the_first_with_photos() -> None:
    images, someone = torch.zeros(2, 100, 300, 3), identity(1)
    faces = (tuple(face_at(x, 50, side) for x, side in ((50, 40), (150, 60), (250, 40))), ())
    assert sources(images, faces, (someone,), None, "skip") == [
        [Source(None), Source(someone, BY_PLACE), Source(None)],
        [],
    ]
    rest = Source(someone, "unmatched")
    assert sources(images, faces, (someone,), None, "first") == [
        [rest, Source(someone, BY_PLACE), rest],
        [],
    ]
    nobody = Source(None, BY_PLACE)
    assert sources(images, faces, (None, someone), None, "skip") == [
        [nobody, Source(someone, BY_PLACE), Source(None)],
        [],
    ]
    assert sources(images, faces, (None, someone), None, "first") == [
        [nobody, Source(someone, BY_PLACE), rest],
        [],
    ]


def test_a_face_without_points_stays_and_that_is_said() -> None:
    images, someone = torch.zeros(1, 100, 300, 3), identity(1)
    bare = Face((130.0, 20.0, 180.0, 90.0))
    chosen = sources(images, ((bare,),), (someone,), None, "skip")
    assert chosen == [[Source(None, NO_POINTS)]]
    assert report(chosen) == f"Image 1: face 1 {NO_POINTS}."


def test_faces_found_before_an_upscaling_are_swapped_where_they_are_behind_it(
    swapper: Swapper,
) -> None:
    images, face = smooth_picture(400, 300), face_at(201, 141, 120, 0.3)
    early = Face(
        tuple(edge / 2 for edge in face.box), (face.points + 0.5) / 2 - 0.5, picture=(200, 150)
    )
    latent = swapper.latent(identity(1))
    expected = swapped(swapper, images, ((face,),), [latent])
    found = swapped(swapper, images, ((early,),), [latent])
    torch.testing.assert_close(found.images, expected.images, atol=1e-4, rtol=0)
    assert found.masks[0, 141, 201] > 0.999
    layout = columns(2, 400, 300, softness_px=0)
    people = (None, identity(1))
    assert sources(images, ((early,),), people, layout, "skip")[0][0].how == BY_REGION


def test_what_happened_is_said() -> None:
    said = report([[Source(identity(1), BY_REGION), Source(None)], []])
    assert (
        said == "Image 1: face 1 becomes person 1, by region; face 2 stays.\nImage 2: no face,"
        " unchanged."
    )


def test_one_identity_is_the_only_person() -> None:
    someone = identity(1)
    assert known_people(someone) == (someone,) and known_people((None, someone)) == (None, someone)


def test_a_person_without_a_usable_photo_keeps_their_face() -> None:
    nobody, images = Identity((), "buffalo_l", "Anna"), torch.zeros(1, 100, 200, 3)
    assert known_people((nobody, None)) == (None, None), "left out on purpose: no error"
    faces = ((face_at(50, 50, 40), face_at(150, 50, 40)),)
    for unmatched in ("skip", "first"):
        (chosen,) = sources(images, faces, known_people(nobody), None, unmatched)
        assert [one.identity for one in chosen] == [None, None]


@pytest.mark.parametrize("people", [(), (None, None)])
def test_nobody_to_swap_to_is_an_error(people: tuple) -> None:
    with pytest.raises(ImageError, match=f"No identity to swap faces to: {len(people)} person"):
        known_people(people)


def test_regions_for_other_people_are_refused() -> None:
    with pytest.raises(ImageError, match=r"1 person\(s\) are described and 2 region"):
        sources(
            torch.zeros(1, 100, 200, 3),
            ((face_at(50, 50, 40),),),
            (identity(1),),
            columns(2, 200, 100, softness_px=0),
            "skip",
        )
