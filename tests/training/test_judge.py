"""The judge: what it draws, whose likeness it sees, and which LoRA is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from .models import latents, load, run_of, text, tiny_model
from .test_photos import Finder

BASE_SCORE = 0.1


class Scores:
    """A judge whose scores are given; it draws grey squares."""

    def __init__(self, *scores: float) -> None:
        self._scores = iter(scores)

    def pictures(self, model: Any, seed: int) -> list[torch.Tensor]:
        return [torch.full((8, 8, 3), 0.5)]

    def likeness(self, pictures: Any) -> float:
        return next(self._scores)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    load("comfyui_astria.nodes.tunes.store").TuneStore(tmp_path).create(title="Anna", id=7)
    return tmp_path


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_lora_of_the_best_step_is_kept(kept: Path, on_disk: bool) -> None:
    model = tiny_model("flux")
    folder = kept / "training" / "7" if on_disk else None
    judge = Scores(BASE_SCORE, 0.2, 0.6, 0.4, 0.3)  # base, steps 2, 4, 6, 8
    run = run_of(model, "flux", 8, kept, tune_id=7 if on_disk else 0)
    best, outcome = run.run(judge, folder)
    assert outcome.best_step == 4
    assert [step for step, _ in outcome.likeness] == [2, 4, 6, 8]
    assert [value for _, value in outcome.likeness] == pytest.approx([0.1, 0.5, 0.3, 0.2])
    assert any("fell from +0.50 at step 4" in note for note in outcome.notes)
    last, _ = run_of(model, "flux", 8).run(None, None)
    assert any(not torch.equal(best[name], last[name]) for name in last)
    # A run of the whole length whose judge likes the end keeps the end.
    same, outcome = run_of(model, "flux", 8).run(Scores(BASE_SCORE, 0.2, 0.3, 0.4, 0.5), None)
    assert outcome.best_step == 8
    assert all(torch.equal(same[name], last[name]) for name in last)


def test_a_training_that_is_interrupted_while_it_is_judged_is_judged_as_it_goes_on(
    kept: Path,
) -> None:
    model = tiny_model("flux")
    interrupted = load("comfy.model_management").InterruptProcessingException

    class Stopped(Scores):
        def likeness(self, pictures: Any) -> float:
            try:
                return next(self._scores)
            except StopIteration:
                raise interrupted from None

    folder = kept / "training" / "7"
    for scores in ((BASE_SCORE,), (0.6,), (0.3, 0.5)):  # steps 0; 1; 2, 3
        with pytest.raises(interrupted):
            run_of(model, "flux", 4, kept, tune_id=7).run(Stopped(*scores), folder)
    _, outcome = run_of(model, "flux", 4, kept, tune_id=7).run(Stopped(0.4), folder)
    assert [step for step, _ in outcome.likeness] == [1, 2, 3, 4]
    assert [value for _, value in outcome.likeness] == pytest.approx([0.5, 0.2, 0.4, 0.3])
    assert outcome.best_step == 1


def test_judging_changes_nothing_of_what_is_learned(kept: Path) -> None:
    judges = load("comfyui_astria.nodes.training.host.judge")
    family = load("comfyui_astria.nodes.families.family").FAMILIES["flux"]
    model = tiny_model("flux")

    class Grey:
        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return torch.full((1, 8, 8, 3), latent.std().item())

    run = run_of(model, "flux", 4, kept, tune_id=7)
    photos = run._material.photos
    (square,) = latents("flux", (8, 8))
    texts = [text("flux", 1), text("flux", 2)]
    judge = judges.Judge(family, Grey(), texts, None, photos, square)
    judged, outcome = run.run(judge, kept / "training" / "7")
    alone, _ = run_of(model, "flux", 4).run(None, None)
    assert all(torch.equal(judged[name], alone[name]) for name in alone)
    assert outcome.likeness == ()
    samples = kept / "training" / "7" / "samples"
    drawn = sorted(path.name for path in samples.iterdir())
    assert drawn == [f"step-{step:05d}-1.jpg" for step in range(5)]


@pytest.mark.parametrize(
    ("family", "negative", "cfg"),
    [("sd15", True, 7.0), ("sdxl", True, 7.0), ("sdxl", False, 1.0), ("flux", True, 1.0)],
)
def test_samples_are_drawn_with_the_familys_guidance(
    family: str, negative: bool, cfg: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flux has its guidance in the text; without an empty text there is nothing to guide from."""
    judges = load("comfyui_astria.nodes.training.host.judge")
    photos = load("comfyui_astria.nodes.training.photos")
    of = load("comfyui_astria.nodes.families.family").FAMILIES[family]
    asked = []

    def sample(*given: Any, seed: int, **_: Any) -> torch.Tensor:
        asked.append((*given[3:4], *given[6:8], seed))
        return given[8]

    class Grey:
        def decode(self, latent: torch.Tensor) -> torch.Tensor:
            return torch.zeros(1, 8, 8, 3)

    monkeypatch.setattr(judges.comfy.sample, "sample", sample)
    (latent,) = latents(family, (8, 8))
    texts, empty = [text(family, 1), text(family, 2)], text(family, 9) if negative else None
    for embeddings, drawn in ((None, 1), (torch.ones(1, 512), 2)):
        asked.clear()
        known = photos.TunePhotos((), 4, "ohwx", "woman", embeddings=embeddings)
        pictures = judges.Judge(of, Grey(), texts, empty, known, latent).pictures(None, 5)
        assert len(pictures) == len(asked) == drawn
        for number, (used, positive, other, seed) in enumerate(asked):
            assert (used, seed) == (cfg, 5 + number)
            assert positive is texts[number]
            assert other is (empty or texts[number])


def test_likeness_is_the_cosine_with_the_photos_and_no_face_counts_nothing() -> None:
    judges = load("comfyui_astria.nodes.training.host.judge")
    module = load("comfyui_astria.nodes.training.photos")
    detector = load("comfyui_astria.nodes.faces.detector")
    family = load("comfyui_astria.nodes.families.family").FAMILIES["flux"]
    finder = Finder(box=(10, 10, 90, 90), darkest=40)
    known = torch.zeros(2, 512)
    known[0, 0] = 3.0
    known[1, :2] = 1.0
    analysis = detector.FaceAnalysis(finder, finder)
    photos = module.TunePhotos((), 2, "ohwx", "woman", analysis, known)
    judge = judges.Judge(family, None, [], None, photos, torch.zeros(1, 16, 8, 8))
    shown = torch.full((100, 100, 3), 0.5)
    expected = (1 + 0.5**0.5) / 2
    assert judge.likeness([shown]) == pytest.approx(expected)
    assert judge.likeness([shown, torch.zeros(100, 100, 3)]) == pytest.approx(expected / 2)
