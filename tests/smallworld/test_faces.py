"""Faces of the small world: where they are drawn, and models that find them and tell them apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.face import Face, overlap
from comfyui_astria.nodes.faces.insight import load_pack
from comfyui_astria.nodes.faces.match import STRANGERS
from comfyui_astria.smallworld import identities, learning, model_files, words
from comfyui_astria.smallworld.drawing import drawn
from comfyui_astria.smallworld.landmarks import face_box, face_points
from comfyui_astria.smallworld.learning import (
    detector,
    face_files,
    face_nets,
    face_pictures,
    loop,
    recogniser,
)
from comfyui_astria.smallworld.palette import lab, nearest
from comfyui_astria.smallworld.scene import Scene, random_scene

HEAD_PX = 36.0


def portrait(
    identity: identities.Identity | None = None, seed: int = 0, x: float = 64.0, y: float = 58.0
) -> Scene:
    """Return a close-up without hat or glasses."""
    scene = random_scene(seed, people=1, size=(128, 128))
    looks = {"x": x, "y": y, "head_px": HEAD_PX, "hat": "", "glasses": False}
    return replace(scene, figures=(replace(scene.figures[0], identity=identity, **looks),))


@pytest.mark.parametrize("face", identities.FACES)
def test_points_and_box_lie_where_the_face_is_drawn(face: str) -> None:
    scene = portrait(identities.Identity("chin", "cyan", face))
    [figure] = scene.figures
    pixels = np.asarray(drawn(scene))
    colours = {"ink": words.INK, "skin": words.SKINS[figure.skin]}
    right, left, nose, *mouth = face_points(figure)
    edge, _, _, low = face_box(figure)
    sides = [[nose[0] + 8, low - 2.5], [edge + 1, figure.y + 4]]
    within = np.array(mouth) + np.array([[1, 0], [-1, 0]])
    seen = [
        nearest(lab(pixels[y, x]), colours)
        for x, y in np.array([right, left, *within, *sides, nose]).round().astype(int)
    ]
    assert seen == [*["ink"] * 6, "skin"]


def test_what_the_detector_is_told_is_what_insightface_reads_off_its_outputs() -> None:
    """By insightface's own decoding of boxes and points."""
    from insightface.model_zoo.scrfd import distance2bbox, distance2kps

    seen = face_pictures.on_canvas(face_pictures.seen(portrait()), 640)
    read = []
    for stride, level in zip(face_nets.ANCHORS, detector.targets(seen, 640), strict=True):
        centres = np.stack(np.mgrid[: 640 // stride, : 640 // stride][::-1], -1) * stride
        cells, anchors = level.shape[:2], level.shape[2]
        centres = np.broadcast_to(centres[:, :, None], (*cells, anchors, 2)).reshape(-1, 2)
        rows = level.reshape(-1, level.shape[-1]).numpy()
        there = rows[:, 0] == 1
        boxes = distance2bbox(centres[there], rows[there, 1:5] * stride)
        points = distance2kps(centres[there], rows[there, 5:15] * stride)
        read += list(zip(boxes, points.reshape(-1, 5, 2), strict=True))
        far = np.abs(centres - seen.points[0, 2]).max(1) > 3 * stride
        assert not rows[far, 0].any()
    assert read
    for box, points in read:
        np.testing.assert_allclose(box, seen.boxes[0], atol=1e-3)
        np.testing.assert_allclose(points, seen.points[0], atol=1e-3)


def test_faces_that_differ_in_one_part_are_strangers() -> None:
    """Held-out people too: what is learned of a part holds for every combination."""
    parts = face_nets.directions()
    every = parts[face_nets.values_of(identities.ALL)]
    place, colour, face = every.unbind(1)
    whole = torch.einsum("np,nc,nf->npcf", place, colour, face).flatten(1)
    cosines = whole @ whole.T
    torch.testing.assert_close(cosines.diag(), torch.ones(len(whole)))
    cosines.fill_diagonal_(0)
    assert cosines.max() < 1 - STRANGERS


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder, and trainings that see a few pictures again and again."""
    known = identities.learned[:2]
    scenes = [portrait(one, seed, y=60 + 4 * seed) for seed, one in enumerate(known)]
    pictures = [face_pictures.seen(one) for one in scenes]
    monkeypatch.setattr(detector, "SIDES", ((160, 1.0, 2),))
    chosen = iter(range(10_000))
    monkeypatch.setattr(detector, "random_picture", lambda _: pictures[next(chosen) % 2])
    monkeypatch.setattr(recogniser, "BATCH", 8)
    monkeypatch.setattr(loop, "WARM_UP", 5)
    monkeypatch.setattr(
        face_pictures, "random_scene", lambda seed, size=None: scenes[seed % len(scenes)]
    )
    monkeypatch.setattr(model_files, "FOLDER", tmp_path / "models")
    return tmp_path


def train(name: str, work: Path, steps: int) -> None:
    learning.run([name, "--work", str(work), "--steps", str(steps), "--threads", "1"])


def test_what_is_learned_is_a_pack_of_insightface(quick: Path) -> None:
    train("detector", quick, 80)
    train("recogniser", quick, 30)
    learning.run(["export", "--work", str(quick)])
    pack = load_pack(model_files.face_pack())
    assert pack.notes == () and pack.recogniser.name == "smallworld"
    vectors = []
    for number, identity in enumerate(identities.learned[:2]):
        scene = portrait(identity, number, y=60 + 4 * number)
        seen = face_pictures.seen(scene)
        found = pack.detector._seen(np.ascontiguousarray(seen.pixels[..., ::-1]), 160, 0.3)
        best = max(found, key=lambda one: one.score)
        assert overlap(best, Face(tuple(seen.boxes[0]))) > 0.6
        assert np.abs(best.points - seen.points[0]).mean() < 0.25 * HEAD_PX
        vectors.append(pack.recogniser.embed(seen.pixels, [face_points(scene.figures[0])])[0])
    assert all(one.shape == (512,) for one in vectors)
    assert float(vectors[0] @ vectors[1]) < 0.6


def test_files_hold_bytes_and_say_nearly_what_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "FOLDER", tmp_path / "models")
    torch.manual_seed(0)
    model = face_nets.FaceRecogniser().eval()
    torch.save({"average": model.state_dict()}, tmp_path / "recogniser.state.pt")
    [path] = face_files.save_faces(tmp_path)
    numbers = sum(value.numel() for value in model.parameters())
    assert path.stat().st_size < 1.2 * numbers
    written = onnx.load(path)
    face_files.pack(written)
    assert written == onnx.load(path), "what is packed stays as it is"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    pixels = torch.randn(1, 3, face_nets.CROP, face_nets.CROP)
    [found] = session.run(None, {"input": pixels.numpy()})
    expected = model(pixels).detach().numpy()
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_the_learned_pack_finds_people_and_tells_them_apart() -> None:
    """The files of the repository, by the nodes' own code; people whom the recogniser never saw."""
    pack = load_pack(model_files.face_pack()).analysis
    people = identities.held_out[:4]
    known = np.stack([embedding(pack, one, seed) for seed, one in enumerate(people)])
    others = np.stack([embedding(pack, one, 10 + seed) for seed, one in enumerate(people)])
    alike = known @ others.T
    same = np.eye(len(people), dtype=bool)
    assert alike[same].min() > 0.8 and alike[~same].max() < 0.6
    strays = 0
    for seed in range(7_000_000, 7_000_006):
        scene = random_scene(seed)
        found = pack.faces(np.array(drawn(scene)))
        for figure in scene.figures:
            assert any(overlap(face, Face(tuple(face_box(figure)))) > 0.6 for face in found)
        strays += len(found) - len(scene.figures)
    assert strays <= 1


def embedding(pack: FaceAnalysis, person: identities.Identity, seed: int) -> np.ndarray:
    """Return the embedding of a portrait, of length 1."""
    [face] = pack.faces(np.array(drawn(portrait(person, seed))))
    return face.embedding / np.linalg.norm(face.embedding)
