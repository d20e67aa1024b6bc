"""The small world's models learn as they should; on the host's classes, for a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from comfyui_astria.devtools.console import DevError
from comfyui_astria.smallworld import learning, packing, words
from comfyui_astria.smallworld.scene import random_scene
from comfyui_astria.tests.regions.comfy_inprocess import load
from PIL import Image


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few latents, and small batches."""
    load("comfy.sample")
    monkeypatch.setattr(load("comfy.model_management"), "in_training", True)
    for name in ("autoencoder", "encoders", "unet", "pose", "flux"):
        module = load(f"comfyui_astria.smallworld.learning.{name}")
        monkeypatch.setattr(module, "open_host", lambda: None)
        monkeypatch.setattr(module, "BATCH", 2, raising=False)
        monkeypatch.setattr(module, "PIXELS", 96 * 96, raising=False)
    data = load("comfyui_astria.smallworld.learning.data")
    scenes = load("comfyui_astria.smallworld.scene")
    for channels in (4, 16):
        seeds = list(range(data.FIRST_SEED, data.FIRST_SEED + 40))
        by_size: dict[tuple[int, int], list[int]] = {}
        for seed in seeds:
            scene = scenes.random_scene(seed)
            by_size.setdefault((scene.width, scene.height), []).append(seed)
        found = {
            (width, height): (some, torch.randn(len(some), channels, height // 8, width // 8))
            for (width, height), some in by_size.items()
        }
        torch.save(found, tmp_path / f"latents{channels}_000000.pt")
    learned(tmp_path, "encoders", "clip.state.pt", "--steps", "1")
    return tmp_path


@pytest.fixture
def t5(work: Path) -> None:
    """A T5 that has learned, beside CLIP."""
    learned(work, "encoders", "t5.state.pt", "--encoder", "t5", "--steps", "1")


def learned(work: Path, name: str, file: str, *arguments: str) -> dict[str, torch.Tensor]:
    learning.run([name, "--work", str(work), "--threads", "1", *arguments])
    return torch.load(work / file, weights_only=False)["model"]


class Stopped(Exception):
    pass


@pytest.mark.usefixtures("t5")
@pytest.mark.parametrize("name", ["unet", pytest.param("flux", marks=pytest.mark.long)])
def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(
    work: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = f"{name}.state.pt"
    whole = learned(work, name, state, "--steps", "2")
    (work / state).unlink()
    pictures = load("comfyui_astria.smallworld.learning.data").Pictures
    some = pictures.some
    calls = iter(range(2))

    def stops_at_the_second(self: object, *about: object) -> object:
        if next(calls):
            raise Stopped
        return some(self, *about)

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "some", stops_at_the_second)
        patch.setattr(load("comfyui_astria.smallworld.learning.loop"), "EVERY", 1)
        with pytest.raises(Stopped):
            learned(work, name, state, "--steps", "2")
    assert torch.load(work / state, weights_only=False)["step"] == 1
    parts = learned(work, name, state, "--steps", "2")
    assert all(torch.equal(parts[key], value) for key, value in whole.items())


@pytest.mark.usefixtures("t5")
@pytest.mark.parametrize("name", ["unet", "flux"])
def test_every_layer_learns_but_those_of_text_encoders(work: Path, name: str) -> None:
    state = f"{name}.state.pt"
    first = learned(work, name, state, "--steps", "1")
    (work / state).unlink()
    # The last layer begins with 0, and so do Flux's gates: what is behind them moves later.
    later = learned(work, name, state, "--steps", "5")
    for key, value in first.items():
        if value.ndim >= 2:
            is_taught = key.startswith((f"{name}.", "layout."))
            assert torch.equal(value, later[key]) != is_taught, key
    encoders = load("comfyui_astria.smallworld.learning.encoders")
    for part in {key.split(".")[0] for key in first} - {name, "layout"}:
        for key, value in encoders.learned(work, part).items():
            assert torch.equal(first[f"{part}.{key}"], value), key


def test_a_device_that_is_not_there_is_told(work: Path) -> None:
    with pytest.raises(DevError, match="cannot use the device 'gpu'") as told:
        learned(work, "unet", "unet.state.pt", "--steps", "1", "--device", "gpu")
    assert "Leave --device out" in str(told.value)
    assert not (work / "unet.state.pt").exists()


@pytest.mark.parametrize(
    ("name", "all_of_it_learns"), [("clip", "text_projection"), ("t5", "nothing")]
)
def test_text_encoders_learn_first(work: Path, name: str, all_of_it_learns: str) -> None:
    state, about = f"{name}.state.pt", ("--encoder", name, "--steps")
    (work / state).unlink(missing_ok=True)
    first = learned(work, "encoders", state, *about, "1")
    (work / state).unlink()
    later = learned(work, "encoders", state, *about, "3")
    still = [key for key, value in first.items() if torch.equal(value, later[key])]
    # What no head reads.
    assert all(all_of_it_learns in key for key in still)


def test_a_network_without_text_encoders_says_how_to_train_them(work: Path) -> None:
    (work / "clip.state.pt").unlink()
    with pytest.raises(DevError, match="learn encoders --encoder clip"):
        learning.run(["unet", "--work", str(work), "--steps", "1"])


def test_tokens_know_what_was_said_of_their_person() -> None:
    encoders = load("comfyui_astria.smallworld.learning.encoders")
    text = "beach at night, two people, ohwx woman, with grey hair, red hat, man, no hat, glasses"
    words, said = zip(*encoders.said_at(text), strict=True)
    at = {word: said[place] for place, word in enumerate(words)}
    scene = {"place": "beach", "time": "night", "count": "two"}
    assert at["people"] == scene
    assert at["hair"] == {**scene, "person": "1", "kind": "woman", "hair": "grey"}
    assert said[words.index("hat")] == {**at["hair"], "hat": "red"}
    assert at["man"] == {**scene, "person": "2", "kind": "man"}
    assert at["glasses"] == {**at["man"], "hat": "no", "glasses": "glasses"}


@pytest.mark.parametrize("name", ["clip", "t5"])
def test_labels_stand_at_their_tokens(work: Path, name: str) -> None:
    encoders = load("comfyui_astria.smallworld.learning.encoders")
    data = load("comfyui_astria.smallworld.learning.data")
    encoder = encoders.ENCODERS[name]()
    rows = data.Rows(encoder.tokens_of(), encoder.more)
    tokens, labels = encoders.lessons(encoder, rows, 3)
    own = {word: rows.of(word)[encoder.first] for word in ("woman", "man", "hair", "skin")}
    kinds = labels[..., 2 + list(encoders.FACTS).index("kind")]
    for number, kind in enumerate(("woman", "man")):
        assert (tokens == own[kind]).any()
        assert (kinds[tokens == own[kind]] == number).all()
    for fact in ("hair", "skin"):
        there = labels[..., 2 + list(encoders.FACTS).index(fact)]
        assert (there[tokens == own[fact]] != encoders.PADDED).all()
    known = labels[..., 0] != encoders.PADDED
    assert (labels[..., 0][known] == tokens[known]).all()


def test_people_count_more_and_their_heads_most() -> None:
    unet = load("comfyui_astria.smallworld.learning.unet")
    scenes = load("comfyui_astria.smallworld.scene")
    scene = scenes.random_scene(5, 1, (192, 128))
    [figure] = scene.figures
    found = unet.weights_of(scene)
    assert found.shape == (16, 24)
    assert found[int(figure.y) // 8, int(figure.x) // 8] == unet.HEAD
    garment = int(figure.y + 2.5 * figure.head_px) // 8
    assert garment >= 16 or found[garment, int(figure.x) // 8] == unet.PERSON
    assert (found == 1).any()


def test_the_decoder_learns_alone_at_the_end(work: Path) -> None:
    state = learned(work, "autoencoder", "vae4.state.pt", "--steps", "5", "--channels", "4")
    encoder = torch.load(work / "vae4.encoder.pt")
    assert any(name.startswith("quant_conv.") for name in encoder)
    assert all(torch.equal(state[name], value) for name, value in encoder.items())
    learning.run(["latents", "--work", str(work), "--count", "1"])


def test_group_norm_by_layer_norm_is_group_norm() -> None:
    quick = load("comfyui_astria.smallworld.learning.quick")
    norm = torch.nn.GroupNorm(4, 16)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 16, 5, 7, requires_grad=True)
    found, expected = quick.group_norm(norm, x), norm(x)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(x)
    gradients = [torch.autograd.grad((one * weight).sum(), x)[0] for one in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_muon_steps_like_pytorch_s_own() -> None:
    quick = load("comfyui_astria.smallworld.learning.quick")
    start = torch.randn(24, 40)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    both = (
        quick.Muon([ours], 0.02),
        torch.optim.Muon([theirs], 0.02, weight_decay=0.0, momentum=0.95),
    )
    for _ in range(3):
        gradient = torch.randn(24, 40)
        for parameter, one in zip((ours, theirs), both, strict=True):
            parameter.grad = gradient.clone()
            one.step()
    # PyTorch's own works in bfloat16.
    assert (ours - theirs).norm() < 0.02 * (theirs - start).norm()


def test_short_token_tables_are_made_long_again() -> None:
    models = load("comfyui_astria.smallworld.host.models")
    name = "clip_l.transformer.text_model.embeddings.token_embedding.weight"
    table = torch.randn(2, 3)
    short = models.shortened({name: table, "a.bias": torch.ones(1)}, {name: torch.tensor([1, 4])})
    whole = models.lengthened(short, {name: torch.empty(6, 3), "a.bias": torch.empty(1)})
    assert set(whole) == {name, "a.bias"}
    assert torch.equal(whole[name][[1, 4]], table)
    assert not whole[name][[0, 2, 3, 5]].any()


def test_exported_latents_have_the_host_s_scale_and_decode_as_before() -> None:
    export = load("comfyui_astria.smallworld.learning.export")
    autoencoder = load("comfyui_astria.smallworld.learning.autoencoder")
    model = autoencoder.first_model(4)
    x = torch.rand(2, 3, 64, 64) * 2 - 1

    def latents_and_picture() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            moments = model.quant_conv(model.encoder(x))
            z = moments.chunk(2, 1)[0]
            return moments, model.decoder(model.post_quant_conv(z))

    before, picture = latents_and_picture()
    mean, factor = torch.tensor([0.1, -1.0, 0.0, 2.0]), torch.tensor([2.0, 0.5, 1.0, 3.0])
    model.load_state_dict(export.scaled(model.state_dict(), factor, 0.25, mean))
    after, same = latents_and_picture()
    torch.testing.assert_close(same, picture, atol=1e-4, rtol=1e-4)
    by_channel = factor.view(1, 4, 1, 1)
    expected = (before[:, :4] - mean.view(1, 4, 1, 1)) * by_channel + 0.25
    torch.testing.assert_close(after[:, :4], expected)
    torch.testing.assert_close((after[:, 4:] / 2).exp(), (before[:, 4:] / 2).exp() * by_channel)


def test_an_autoencoder_of_more_channels_begins_where_one_of_fewer_stands(work: Path) -> None:
    learned(work, "autoencoder", "vae4.state.pt", "--steps", "1", "--channels", "4")
    few = torch.load(work / "vae4.state.pt", weights_only=False)["average"]
    found = learned(work, "autoencoder", "vae16.state.pt", "--steps", "0", "--channels", "16")
    first = load("comfyui_astria.smallworld.learning.autoencoder").first_model(16).state_dict()
    begun = {key for key, value in few.items() if value.shape == first[key].shape}
    assert len(begun) < len(few)
    for key, value in found.items():
        assert torch.equal(value, few[key] if key in begun else first[key])


def test_a_layout_says_where_the_head_is_and_what_is_said_of_whom() -> None:
    layout = load("comfyui_astria.smallworld.learning.layout")
    scenes = [random_scene(seed, 2, (192, 128)) for seed in range(9)]
    scene = next(one for one in scenes if one.figures[0].hat)
    found = layout.layout_of(scene)
    across = scene.width // layout.PATCH
    assert found.shape == (across * scene.height // layout.PATCH, layout.WIDTH)
    for figure in scene.figures:
        patch = int(figure.y // layout.PATCH) * across + int(figure.x // layout.PATCH)
        body, head, right, down = found[patch, 1:5]
        assert body == head == 1
        assert abs(right) < 0.5
        assert abs(down) < 0.5
        said = found[patch, 8:-11]
        assert said.sum() == 5 + bool(figure.hat), "kind, hair, skin, clothes, pose, a hat"
    first, second = (
        found[int(one.y // layout.PATCH) * across + int(one.x // layout.PATCH)]
        for one in scene.figures
    )
    assert not torch.equal(first[8:-11], second[8:-11])
    assert torch.equal(first[-11:], second[-11:]), "place and time"
    figure = replace(scene.figures[0], hat="")
    shown = [
        layout.layout_of(replace(scene, figures=(replace(figure, hat=hat),)))
        for hat in ("", *words.HATS)
    ]
    assert len({one.numpy().tobytes() for one in shown}) == len(shown), "each hat is told"
    assert layout.layout_of(random_scene(3, 0)).shape[1] == layout.WIDTH


def test_weights_take_a_quarter_of_their_room_and_stay_within_half_a_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.logspace(-4, 4, 64)
    weights = {
        "kernel": torch.randn(64, 32, 3, 3, generator=generator) * rows.view(-1, 1, 1, 1),
        "nothing": torch.zeros(32, 32),
        "bias": torch.randn(5000, generator=generator),
        "few": torch.randn(4, 4, generator=generator),
        "ids": torch.arange(7),
    }
    packed = packing.packed(weights)
    assert packed["kernel"].dtype == packed["nothing"].dtype == torch.int8
    assert packed["bias"].dtype == packed["few"].dtype == torch.float16
    found = packing.unpacked(packed)
    assert found.keys() == weights.keys()
    scale = weights["kernel"].flatten(1).abs().amax(1) / 127
    off = (found["kernel"] - weights["kernel"]).flatten(1).abs().amax(1)
    assert (off < 0.501 * scale).all()
    assert torch.equal(found["nothing"], weights["nothing"])
    assert torch.equal(found["ids"], weights["ids"])
    assert torch.equal(found["bias"], weights["bias"].half())


@pytest.mark.usefixtures("t5")
@pytest.mark.parametrize("family", ["sd15", pytest.param("flux", marks=pytest.mark.long)])
def test_what_is_learned_paints_on_the_host_and_learns_on_from_its_files(
    work: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("export", "look", "restore"):
        module = load(f"comfyui_astria.smallworld.learning.{name}")
        monkeypatch.setattr(module, "open_host", lambda: None)
    name, channels = {"sd15": ("unet", "4"), "flux": ("flux", "16")}[family]
    learned(work, "autoencoder", f"vae{channels}.state.pt", "--steps", "1", "--channels", channels)
    learned(work, name, f"{name}.state.pt", "--steps", "1")
    files = load("comfyui_astria.smallworld.host.files")
    places = load("comfyui_astria.smallworld.model_files")
    monkeypatch.setattr(places, "FOLDER", work / "models")
    files.load.cache_clear()
    monkeypatch.setattr(load("comfyui_astria.smallworld.learning.look"), "STEPS", 1)
    learning.run(["export", "--work", str(work)])
    learning.run(["look", "--work", str(work), "--family", family, "--count", "1"])
    files.load.cache_clear()
    with Image.open(work / f"look_{family}.png") as sheet:
        assert sheet.size == (128, 256)
    before = torch.load(work / f"{name}.state.pt", weights_only=False)["average"]
    encoders = {"sd15": ("clip",), "flux": ("clip", "t5")}[family]
    for state in (name, *encoders, f"vae{channels}"):
        (work / f"{state}.state.pt").unlink()
    (work / f"vae{channels}.encoder.pt").unlink(missing_ok=True)
    learning.run(["restore", "--work", str(work)])
    written = {path: path.read_bytes() for path in (work / "models").rglob("*.safetensors")}
    learning.run(["export", "--work", str(work)])
    assert written
    assert all(path.read_bytes() == was for path, was in written.items()), "nothing new was learned"
    again = torch.load(work / f"{name}.state.pt", weights_only=False)
    kept = {key: value.float() for key, value in packing.unpacked(packing.packed(before)).items()}
    for key, value in kept.items():  # what only learns along is in no file
        assert key.startswith("layout.") or torch.equal(again["average"][key], value)
    for encoder in encoders:
        spoken = load("comfyui_astria.smallworld.learning.encoders").learned(work, encoder)
        assert spoken
        for key, value in spoken.items():
            assert torch.equal(value, kept[f"{encoder}.{key}"])
        learned(work, "encoders", f"{encoder}.state.pt", "--encoder", encoder, "--steps", "1")
    learned(work, name, f"{name}.state.pt", "--steps", "1")
    encoder = torch.load(work / f"vae{channels}.encoder.pt")
    state = learned(
        work, "autoencoder", f"vae{channels}.state.pt", "--steps", "1", "--channels", channels
    )
    assert encoder
    assert all(torch.equal(state[key], value) for key, value in encoder.items())
