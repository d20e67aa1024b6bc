"""The small world's FaceID: what it learns from, and that the pack draws by it what was learned."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.smallworld import identities, model_files
from comfyui_astria.smallworld.landmarks import mark_points
from comfyui_astria.smallworld.learning.unet import CELL
from comfyui_astria.smallworld.scene import NEAR_PX
from comfyui_astria.tests.faceid.adapters import somebody
from comfyui_astria.tests.faceid.faceid_support import applied, use
from comfyui_astria.tests.regions.comfy_inprocess import load

LARGEST_MB = 0.65


@pytest.fixture(scope="module")
def faceid() -> ModuleType:
    load("comfy.sample")
    return load("comfyui_astria.smallworld.learning.faceid")


def fresh_model() -> Any:
    """The world's MODEL, of which nobody else has a part."""
    return load("comfyui_astria.smallworld.host.files").load.__wrapped__("sd15")[0]


def test_pictures_are_of_one_person_with_the_face_asked_for_whose_mark_can_be_seen(
    faceid: ModuleType,
) -> None:
    for seed in range(20):
        scene = faceid.scene_of(seed, identities.ALL[seed])
        [figure] = scene.figures
        assert figure.identity == identities.ALL[seed]
        assert figure.head_px >= NEAR_PX[0]


def test_marks_count_most_then_heads(faceid: ModuleType) -> None:
    scene = faceid.scene_of(3, identities.ALL[3])
    counts = faceid.weights_of_marks(scene)
    assert counts.shape == (scene.height // CELL, scene.width // CELL)
    for right, down in mark_points(scene.figures[0]):
        assert counts[int(down) // CELL, int(right) // CELL] == faceid.MARKED
    found = torch.tensor([faceid.ELSEWHERE, faceid.HEAD, faceid.MARKED])
    assert torch.equal(counts.unique(), found)


def test_the_pack_draws_by_the_written_file_what_was_learned(
    faceid: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training's forward against the pack's on the host, for a person and for nobody."""
    monkeypatch.setattr(model_files, "faceid", lambda: tmp_path / "sd15_faceid.safetensors")
    patcher = fresh_model()
    model, blocks = faceid.beginning(patcher)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in model.parameters():
            noise = torch.randn(value.shape, generator=generator) * value[0].numel() ** -0.5
            value.copy_((value + 0.5 * noise).half().float())
    torch.save({"average": model.state_dict()}, tmp_path / "faceid.state.pt")
    [file] = faceid.save_faceid(tmp_path)
    assert file.stat().st_size < LARGEST_MB * 1e6
    with torch.no_grad():
        for name, value in model.named_parameters():
            if faceid.VALUES in name:
                value.copy_((value * faceid.STRENGTH).half())

    state, metadata = load("comfyui_astria.nodes.host.weight_files").read_weights(str(file))
    adapter = load("comfyui_astria.nodes.faceid.checkpoint").read_adapter(
        state, file.name, faceid.KIND, metadata
    )
    assert adapter.recognisers == (model_files.NAME,)
    assert load("comfyui_astria.nodes.faceid.checkpoint").kind_of(state, file.name) == faceid.KIND
    read = load("comfyui_astria.nodes.faceid.host.ip_adapter").IPAdapterFaceID(adapter)
    person = somebody(5, recogniser=model_files.NAME)
    steered = applied(fresh_model(), (use(read, person), None))
    with torch.no_grad():
        [call] = calls_of(steered, generator)
        faces = torch.stack([person.embeddings[0] * float(kind == 0) for kind in call["kinds"]])
        options = faceid.attending(model, blocks, faces)
        unet = patcher.model.diffusion_model
        ours = unet(*call["given"], transformer_options=options)
    torch.testing.assert_close(ours, call["out"], atol=1e-4, rtol=1e-4)
    plain = fresh_model().model.diffusion_model(*call["given"]).detach()
    assert (ours - plain).abs().max() > 0.05, "the adapter acts"


def calls_of(model: Any, generator: torch.Generator) -> list[dict[str, Any]]:
    """Sample a step with guidance, and return what the UNet was given, and what came of it."""
    calls: list[dict[str, Any]] = []

    def record(executor: Any, x, times, context, y, control, options, **named: Any):
        out = executor(x, times, context, y, control, options, **named)
        given = [one.clone() for one in (x, times, context)]
        calls.append({"given": given, "kinds": list(options["cond_or_uncond"]), "out": out.clone()})
        return out

    watched = model.clone()
    kind = load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL
    watched.add_wrapper_with_key(kind, "record", record)
    texts = [[[torch.randn(1, 77, 96, generator=generator), {}]] for _ in range(2)]
    noise = torch.randn(1, 4, 16, 16, generator=generator)
    how = (1, 4.0, "euler", "simple", *texts, torch.zeros_like(noise))
    load("comfy.sample").sample(watched, noise, *how, disable_pbar=True, seed=0)
    return calls


def test_units_of_the_projection_begin_as_values_of_a_face(faceid: ModuleType) -> None:
    """Of people too whom nobody has learned."""
    nets = load("comfyui_astria.smallworld.learning.face_nets")
    model, _ = faceid.beginning(fresh_model())
    known = nets.directions()
    for identity in identities.held_out:
        place, colour, face = nets.values_of([identity])[0].tolist()
        vector = torch.kron(torch.kron(known[place], known[colour]), known[face])
        units = model.image_proj.proj[0].weight[: 3 * nets.PART] @ vector / faceid.SHARP
        wanted = torch.zeros(3, nets.PART)
        wanted[[0, 1, 2], [place, colour, face]] = 1
        torch.testing.assert_close(units.view(3, -1), wanted, atol=1e-4, rtol=0)


def test_an_embedding_is_of_another_picture_and_sometimes_of_nobody(faceid: ModuleType) -> None:
    scene = faceid.scene_of(faceid.FIRST_SEED, identities.ALL[0])
    known = {identities.ALL[0]: torch.ones(3, 512)}
    rng = np.random.default_rng(0)
    given = [faceid._face_of(scene, known, rng).mean().item() for _ in range(400)]
    assert set(given) == {0.0, 1.0}
    assert 0.05 < given.count(0.0) / len(given) < 0.15


def test_a_step_teaches_the_adapter_and_leaves_the_unet(
    faceid: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = load("comfyui_astria.smallworld.host.files")
    used = fresh_model(), None, files.load.__wrapped__("sd15")[2]
    before = {key: one.clone() for key, one in used[0].model.diffusion_model.state_dict().items()}
    monkeypatch.setattr(files, "load", lambda family: used)
    monkeypatch.setattr(load("comfy.model_management"), "in_training", True)
    monkeypatch.setattr(faceid, "open_host", lambda: None)
    for name, few in (("PICTURES", 12), ("LOOKS", 1), ("BATCH", 2)):
        monkeypatch.setattr(faceid, name, few)
    faceid.main(["--work", str(tmp_path), "--threads", "1", "--steps", "2"])
    for key, value in used[0].model.diffusion_model.state_dict().items():
        assert torch.equal(value, before[key]), key
    found = torch.load(tmp_path / "faceid.state.pt", weights_only=False)["model"]
    values = [one for key, one in found.items() if "to_v_ip" in key]
    assert len(values) == 10
    assert all(one.abs().max() > 0 for one in values), "they begin with nothing"


def test_cells_that_look_at_marks_cost_less(faceid: ModuleType) -> None:
    scene = faceid.scene_of(3, identities.ALL[3])
    marks = faceid.marks_of(scene)[None]
    height, width = marks.shape[1:]
    extra = {"activations_shape": (1, 2, height, width), "n_heads": 1}
    keys = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])  # of the mark's token, and of another
    there = torch.cat([marks.view(1, -1, 1), 1 - marks.view(1, -1, 1)], 2)
    costs: list[torch.Tensor] = []
    looked = faceid._Looked(marks, faceid.weights_of_marks(scene)[None], costs)
    for q in (there, there.flip(2)):
        looked(q, keys, extra)
    assert costs[0] < 0.2 * costs[1]
