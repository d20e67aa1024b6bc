"""`dev.py train`: a folder of photos becomes a tune with a plan, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.errors import AstriaError
from comfyui_astria.nodes.pipeline.training_cli import PlannedTraining, planned_training
from comfyui_astria.nodes.tunes.bindings import BINDINGS_FILE
from comfyui_astria.nodes.tunes.store import TuneStore

JPEG = b"\xff\xd8\xff"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A ComfyUI with an SD1.5 base that is bound, and five photos of Anna."""
    state, checkpoints = tmp_path / "state", tmp_path / "models" / "checkpoints"
    state.mkdir()
    checkpoints.mkdir(parents=True)
    (checkpoints / "rv51.safetensors").write_bytes(b"")
    base = "[base 690204]\nfamily = sd15\ncheckpoint = rv51.safetensors\n"
    (state / BINDINGS_FILE).write_text(base)
    photos = tmp_path / "anna"
    photos.mkdir()
    for number in range(5):
        (photos / f"{number}.jpg").write_bytes(JPEG + bytes([number]))
    (photos / "notes.txt").write_text("no photo")
    return tmp_path


def planned(place: Path, *more: str) -> PlannedTraining:
    argv = [str(place / "anna"), "--name", "woman", "--base", "690204", *more]
    return planned_training(argv, folder=place / "state", models=[place / "models"])


def test_the_photos_of_a_folder_become_a_tune_and_its_plan(place: Path) -> None:
    found = planned(place, "--person-agreed", "--steps", "40", "--size", "512", "--size", "640")
    assert (found.tune.title, found.tune.name, len(found.tune.orig_images)) == ("anna", "woman", 5)
    training = found.plan.graph.nodes["training.lora"]
    assert training.inputs["steps"] == 40
    assert training.inputs["tune_id"] == found.tune.id
    assert found.plan.graph.nodes["training.photos"].inputs["sizes"] == "512, 640"
    assert not found.is_done


def test_the_same_folder_is_the_same_tune_and_agreement_is_asked_once(place: Path) -> None:
    first = planned(place, "--person-agreed").tune
    assert planned(place).tune.id == first.id
    (place / "anna" / "9.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert planned(place).tune.id != first.id


def test_what_is_trained_is_not_trained_twice_unless_asked(place: Path) -> None:
    store = TuneStore(place / "state")
    tune = planned(place, "--person-agreed").tune
    store.trained(tune.id, f"astria/tune-{tune.id}.safetensors", "lora")
    assert planned(place).is_done
    assert not planned(place, "--again").is_done


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "agreed"),
        (("--person-agreed", "--preset", "flux-lora-fast"), "is for Flux"),
        (("--person-agreed", "--base", "1504944"), "1504944"),
        (("--person-agreed", "--steps", "0"), "steps 0"),
        (("--person-agreed", "--masks"), "segmenter|sam3"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_kept(
    place: Path, more: tuple[str, ...], said: str
) -> None:
    with pytest.raises(AstriaError, match=said):
        planned(place, *more)
    assert not (place / "state" / "tunes.sqlite3").exists()


def test_a_folder_with_too_few_photos_is_refused(place: Path) -> None:
    for number in (0, 1):
        (place / "anna" / f"{number}.jpg").unlink()
    with pytest.raises(AstriaError, match="There are 3 photos; expected 4 to 20"):
        planned(place, "--person-agreed")
