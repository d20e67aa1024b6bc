"""A person is trained on the live host, by the plan's own graph: photos in, `<lora:ID:1>` out."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy
import pytest
from comfyui_astria.devtools.client import RunError
from comfyui_astria.devtools.train import train
from comfyui_astria.nodes.graph.graph import Graph, Link, Value, api_workflow
from comfyui_astria.nodes.net.writing import held_apart
from comfyui_astria.nodes.pipeline.training_cli import PlannedTraining
from comfyui_astria.nodes.pipeline.training_plan import TrainingPlan, training_plan
from comfyui_astria.nodes.training.progress import DONE, FAILED, INTERRUPTED, read_progress
from comfyui_astria.nodes.training.request import TrainingRequest
from comfyui_astria.nodes.tunes.store import Tune, TuneStore
from comfyui_astria.tests.host.api_support import until
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.graphs import generate_graph, pictures
from comfyui_astria.tests.pipeline.support import BINDINGS, resolver
from comfyui_astria.tests.regions.comfy_inprocess import tiny_model
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

BASES = {"sd15": "690204", "sdxl": "690204", "flux": "1504944"}
SIZE = "steps=2\nw=64\nh=64\nscheduler=euler"


def photo(number: int, width: int, height: int, orientation: int = 1) -> bytes:
    """A photo of coloured noise, as a phone saves it."""
    noise = numpy.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=numpy.uint8)
    image = Image.fromarray(noise).resize((width, height))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def tune_of_photos(host: LiveHost, title: str, photos: int = 4) -> Tune:
    store = TuneStore(host.state)
    # The second was taken upright: 96x64 with a turn is 64x96.
    files = [photo(one, 96, 64, 6 if one == 1 else 1) for one in range(photos)]
    return store.create(title=title, photos=files, name="woman", model_type="lora")


def on_tiny_models(plan: TrainingPlan, family: str) -> TrainingPlan:
    """The plan with the test pack's models in place of the loaders."""
    slots = {"models.text_encoders": 1, "models.vae": 2}
    graph = Graph()
    graph.add("model.tiny", "AstriaTestModel", family=family, seed=0)

    def moved(value: Value) -> Value:
        if not isinstance(value, Link) or not value.node.startswith("models."):
            return value
        return Link("model.tiny", slots.get(value.node, value.slot))

    for name, call in plan.graph.nodes.items():
        if call.stage != "models":
            inputs = {key: moved(value) for key, value in call.inputs.items()}
            graph.add(name, call.class_type, **inputs)
    return replace(plan, graph=graph)


def graph_of(
    family: str, tune: Tune, *, shows_samples: bool = False, **asked: Any
) -> dict[str, Any]:
    bindings = BINDINGS.replace("family = sd15", f"family = {family}", family == "sdxl")
    request = TrainingRequest(
        tune_id=tune.id,
        photos=4,
        name="woman",
        base=BASES[family],
        **{"steps": 1, "sizes_px": (64,), "seed": 11, "person_agreed": True, **asked},
    )
    graph = api_workflow(on_tiny_models(training_plan(request, resolver(bindings)), family).graph)
    if not shows_samples:
        for name in ("samples", "vae"):
            del graph["training.lora"]["inputs"][name]
    return graph


@pytest.mark.parametrize("family", ["sd15", "sdxl", "flux"])
def test_from_photos_to_the_picture_with_the_person(host: LiveHost, family: str) -> None:
    tune = tune_of_photos(host, f"Anna {family}")
    text = f"photo of ohwx woman\n{SIZE}"
    before = pictures(host, generate_graph(text, family))
    shows_samples = family == "flux"  # the fastest of the tiny ones
    entry = host.client.run(graph_of(family, tune, shows_samples=shows_samples, steps=6))
    (told,) = entry["outputs"]["output.tune"]["astria_training"]
    assert told["tune_id"] == tune.id
    assert told["file"] == f"astria/tune-{tune.id}.safetensors"
    assert entry["outputs"]["training.lora"]["images"], "the curve"
    trained = TuneStore(host.state).get(tune.id)
    assert trained.file == told["file"]
    assert trained.started_training_at <= trained.trained_at
    assert trained.token == ("sks" if family == "sd15" else "ohwx")
    progress = read_progress(host.state, tune.id)
    assert (progress.state, progress.step, progress.file) == (DONE, 6, told["file"])
    assert len(progress.losses) == 6
    if shows_samples:
        assert progress.samples[:2] == ("step-00000-1.jpg", "step-00002-1.jpg")
        kept = host.state / "training" / str(tune.id) / "samples"
        assert {path.name for path in kept.iterdir()} == set(progress.samples)
    path = host.loras / told["file"]
    with safe_open(path, "pt") as file:
        assert file.metadata() == {
            "base": BASES[family],
            "family": family,
            "token": "sks" if family == "sd15" else "ohwx",
            "modelspec.trigger_phrase": "sks woman" if family == "sd15" else "ohwx woman",
            "preset": family,
            "steps": "6",
            "seed": "11",
        }
    assert {str(one.dtype) for one in load_file(path).values()} == {"torch.float16"}
    # The host draws without the LoRA what it drew before, and with it something else.
    drawn_anew = pictures(host, generate_graph(f"{text}\n", family))
    numpy.testing.assert_array_equal(drawn_anew, before)
    worn = pictures(host, generate_graph(f"<lora:{tune.id}:1> {text}", family))
    assert (worn != before).any()


def test_who_did_not_agree_is_not_trained(host: LiveHost) -> None:
    tune = tune_of_photos(host, "Nobody")
    agreed = host.state / "training" / "agreed.json"
    agreed.unlink(missing_ok=True)
    with pytest.raises(RunError, match="agreed to being trained"):
        host.client.run(graph_of("sd15", tune, person_agreed=False))
    host.client.run(graph_of("sd15", tune))
    assert json.loads(agreed.read_text())["by"] == "Astria Train LoRA"
    again = tune_of_photos(host, "Asked once")
    host.client.run(graph_of("sd15", again, person_agreed=False))


def test_a_plan_that_is_queued_twice_trains_once(host: LiveHost) -> None:
    tune = tune_of_photos(host, "Twice")
    first = host.client.run(graph_of("flux", tune))["outputs"]["output.tune"]["astria_training"]
    trained = TuneStore(host.state).get(tune.id)
    entry = host.client.run(graph_of("flux", tune))
    assert entry["outputs"]["output.tune"]["astria_training"] == first
    assert TuneStore(host.state).get(tune.id) == trained


def test_a_tune_that_another_comfyui_trains_is_left_to_it(host: LiveHost) -> None:
    """Two of them on one folder; the other is this process."""
    tune = tune_of_photos(host, "Shared")
    with held_apart(host.state / "training" / "training.lock", tune.id) as is_held:
        assert is_held
        with pytest.raises(RunError, match=f"Another ComfyUI .* trains tune {tune.id} now"):
            host.client.run(graph_of("flux", tune))
        assert read_progress(host.state, tune.id) is None, "the other one's to tell"
    host.client.run(graph_of("flux", tune))
    assert read_progress(host.state, tune.id).state == DONE


def test_an_interrupt_leaves_nothing_but_what_goes_on(host: LiveHost) -> None:
    """ComfyUI's own, while it trains: the same plan then goes on where it was interrupted."""
    text = f"photo of ohwx woman\n{SIZE}"
    before = pictures(host, generate_graph(text, "flux"))
    tune = tune_of_photos(host, "Interrupted")
    steps = 60
    number = host.client.queue(graph_of("flux", tune, steps=steps))
    until(lambda: (told := read_progress(host.state, tune.id)) and told.step >= 10)
    host.client.interrupt()
    with pytest.raises(RunError, match="interrupted"):
        host.client.wait(number)
    told = read_progress(host.state, tune.id)
    assert (told.state, told.eta_s, told.user_error) == (INTERRUPTED, None, None)
    assert TuneStore(host.state).get(tune.id).file is None
    folder = host.state / "training" / str(tune.id)
    left = {"progress.json", "resume.safetensors"}
    assert {one.name for one in folder.iterdir()} == left
    assert not list((host.loras / "astria").glob(f"tune-{tune.id}*"))
    drawn_anew = pictures(host, generate_graph(f"{text}\n", "flux"))
    numpy.testing.assert_array_equal(drawn_anew, before)
    host.client.run(graph_of("flux", tune, steps=steps))
    said = f"the training of tune {tune.id} goes on at step "
    (line,) = (one for one in host.log_text().splitlines() if said in one)
    assert 10 <= int(line.rpartition(" ")[2]) < steps
    assert read_progress(host.state, tune.id).state == DONE
    assert {one.name for one in folder.iterdir()} == {"progress.json"}


def test_a_file_that_cannot_be_written_is_told_and_the_training_is_not_lost(
    host: LiveHost,
) -> None:
    tune = tune_of_photos(host, "Full disk")
    in_the_way = host.loras / "astria" / f"tune-{tune.id}.safetensors.partial"
    in_the_way.mkdir(parents=True)
    with pytest.raises(RunError, match="cannot be written"):
        host.client.run(graph_of("flux", tune))
    progress = read_progress(host.state, tune.id)
    assert (progress.state, progress.code) == (FAILED, "training-disk")
    assert "run again" in progress.user_error
    assert str(host.base) not in progress.user_error
    started = progress.started_at
    in_the_way.rmdir()
    host.client.run(graph_of("flux", tune))
    progress = read_progress(host.state, tune.id)
    assert (progress.state, progress.code, progress.started_at) == (DONE, None, started)
    assert [one.name for one in in_the_way.parent.glob(f"tune-{tune.id}.*")] == [
        f"tune-{tune.id}.safetensors"
    ]


def test_photos_and_file_of_another_tune_are_refused(host: LiveHost) -> None:
    tune, other = tune_of_photos(host, "One"), tune_of_photos(host, "Other")
    graph = graph_of("flux", tune)
    graph["training.lora"]["inputs"]["tune_id"] = other.id
    with pytest.raises(RunError, match=f"those of tune {tune.id}, and tune {other.id}"):
        host.client.run(graph)
    assert read_progress(host.state, other.id) is None
    graph = graph_of("flux", tune)
    graph["output.tune"]["inputs"]["tune_id"] = other.id
    with pytest.raises(RunError, match=f"saved as tune {other.id}"):
        host.client.run(graph)
    assert TuneStore(host.state).get(other.id).file is None
    assert read_progress(host.state, tune.id).code == "training-tune"
    graph["output.tune"]["inputs"] |= {"tune_id": 0, "title": "New"}
    with pytest.raises(RunError, match="saved as a new one"):
        host.client.run(graph)
    graph["output.tune"]["inputs"] |= {
        "tune_id": tune.id,
        "model_type": "checkpoint",
        **{name: ["model.tiny", slot] for slot, name in enumerate(("model", "clip", "vae"))},
    }
    with pytest.raises(RunError, match=r"made of SD1\.5 only"):
        host.client.run(graph)
    assert TuneStore(host.state).get(tune.id).file is None
    graph["training.lora"]["inputs"]["tune_id"] = graph["output.tune"]["inputs"]["tune_id"] = 0
    with pytest.raises(RunError, match=r"made of SD1\.5 only"):
        host.client.run(graph)
    assert TuneStore(host.state).find_by_title("New") is None, "nothing is left of it"
    graph["output.tune"]["inputs"]["model_type"] = "lora"
    host.client.run(graph)
    assert TuneStore(host.state).find_by_title("New").file


def test_a_training_that_fails_says_why_where_programs_look(host: LiveHost) -> None:
    tune = tune_of_photos(host, "Eve")
    graph = graph_of("sd15", tune)
    graph["training.lora"]["inputs"]["preset"] = "flux-lora-fast"
    with pytest.raises(RunError, match="is for Flux"):
        host.client.run(graph)
    graph["training.lora"]["inputs"]["preset"] = "sd15"
    graph["training.lora"]["inputs"]["learning_rate"] = 0.1
    graph["training.lora"]["inputs"]["min_snr_gamma"] = 0.0
    del graph["training.lora"]["inputs"]["positive"]
    graph["training.lora"]["inputs"]["positive"] = ["training.without_caption", 0]
    with pytest.raises(RunError, match="1 captions"):
        host.client.run(graph)
    progress = read_progress(host.state, tune.id)
    assert (progress.state, progress.code) == (FAILED, "training-material")
    assert "1 captions" in progress.user_error


def test_a_checkpoint_is_the_base_with_the_lora_merged_in(host: LiveHost) -> None:
    tune = tune_of_photos(host, "Whole")
    graph = graph_of("sd15", tune, model_type="checkpoint", steps=4)
    graph["sampling"] = {
        "class_type": "ModelSamplingDiscrete",
        "inputs": {"model": ["model.tiny", 0], "sampling": "v_prediction", "zsnr": False},
    }
    graph["output.tune"]["inputs"]["model"] = ["sampling", 0]
    with pytest.raises(RunError, match="sets the model's sampling"):
        host.client.run(graph)
    graph["output.tune"]["inputs"]["model"] = ["model.tiny", 0]
    entry = host.client.run(graph)
    (told,) = entry["outputs"]["output.tune"]["astria_training"]
    path = host.base / "models" / "checkpoints" / told["file"]
    merged = load_file(path)
    assert told["model_type"] == "checkpoint"
    assert any(name.startswith("first_stage_model.") for name in merged)
    changed = host.client.run(graph_of("sd15", tune_of_photos(host, "Part"), steps=4))
    (lora_told,) = changed["outputs"]["output.tune"]["astria_training"]
    lora = load_file(host.loras / lora_told["file"])
    stem = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    pair = (lora[f"{stem}.lora_up.weight"].float(), lora[f"{stem}.lora_down.weight"].float())
    key = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
    plain = tiny_model("sd15").model.state_dict()[key.removeprefix("model.")]
    difference = merged[key].float() - plain
    numpy.testing.assert_allclose(difference, pair[0] @ pair[1], atol=2e-3)
    assert difference.abs().max() > 1e-4


def test_the_command_line_trains_and_names_the_tag(
    host: LiveHost, capsys: pytest.CaptureFixture[str]
) -> None:
    tune = tune_of_photos(host, "Command")
    request = TrainingRequest(
        tune_id=tune.id, photos=4, name="woman", base="1504944", steps=2, sizes_px=(64,)
    )
    plan = on_tiny_models(training_plan(request, resolver()), "flux")
    plan.graph.nodes["training.lora"].inputs["person_agreed"] = True
    train(host.client, PlannedTraining(tune, plan, False), host.state)
    assert f"Write <lora:{tune.id}:1> ohwx" in capsys.readouterr().out
    assert TuneStore(host.state).get(tune.id).file
