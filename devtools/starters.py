"""The example workflows that are no prompt's plan.

The nodes to paste a prompt into, and the one that makes a tune from photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..nodes.graph.graph import Graph
from ..nodes.graph.outputs import CheckpointNode, CreateTuneNode, add_node
from ..nodes.pipeline.training_plan import training_plan
from ..nodes.training.request import TrainingRequest
from ..nodes.tunes.bindings import Bindings
from ..nodes.tunes.resolve import Resolver
from .examples import BASE_TITLES, FILES, IMAGE
from .examples import BINDINGS as BOUND
from .family_starters import FAMILY_STARTERS
from .feature_starters import FEATURE_STARTERS
from .listed_files import ListedFiles
from .one_node import PASTE, PASTE_STEPS, SEED, Starter, flux_models, generate

FLUX_PROMPT = """\
portrait of a lighthouse keeper at the window, storm outside, 85mm photograph
num_images=1
w=832
h=1216
"""
SD_PROMPT = """\
portrait of a lighthouse keeper, (weathered face:1.2), overcast light
negative_prompt=blurry
num_images=2
w=512
h=768
"""
TUNE_PROMPT = "<faceid:788416:1.0> ohwx woman trekking in the alps"
PHOTOS = f"""\
1. Choose a photo of the person in Load Image; for several, add Batch Images before Astria Create \
Tune. The largest face of each counts.
2. Press Run once. Nothing is trained: the photos are kept, and the tune is ready.
3. Write its id into a prompt:

```
{TUNE_PROMPT}
```

The same title with the same photos is the same tune, so running this again changes nothing.
"""


TRAIN = """\
1. Keep 8 to 16 photos of one person as a tune, in the sidebar or with Astria Create Tune, and \
write its id into *tune* and *tune_id*. Say in *name* what they are: woman, man, person.
2. Train only people who agreed to it, and no minors. When they did, switch *person_agreed* on in \
Astria Train LoRA: it is asked once.
3. Press Run. The node shows how long it takes after ten steps, and what it draws meanwhile. \
Interrupted, it goes on from there the next time.
4. Then write the tune's id into a prompt:

```
<lora:788416:1.0> {token} woman, portrait in a garden
```

The InsightFace packs that judge likeness, and Flux.1 dev, are for non-commercial use.
"""


def _flux() -> Starter:
    graph = Graph()
    generate(graph, FLUX_PROMPT, flux_models(graph))
    return Starter(graph, PASTE, PASTE_STEPS, "Flux.1 dev")


def _stable_diffusion() -> Starter:
    graph = Graph()
    loaded = add_node(graph, CheckpointNode, "models.checkpoint", ckpt_name=FILES["checkpoints"][0])
    models = {"model": loaded.model, "clip": loaded.clip, "vae": loaded.vae}
    generate(graph, SD_PROMPT, models)
    return Starter(graph, PASTE, PASTE_STEPS, "SD1.5 or SDXL")


def _tune() -> Starter:
    graph = Graph()
    faces = graph.add("models.face_analysis", "AstriaLoadFaceAnalysis", pack="buffalo_l")
    photos = graph.add("input.photos", "LoadImage", image=IMAGE)
    who = {
        "title": "Anna",
        "name": "woman",
        "token": "ohwx",
        "tune_id": 788416,
        "model_type": "faceid",
        "file": "none",
        "min_face_px": 64,
    }
    tune = add_node(graph, CreateTuneNode, "tune.create", images=photos, analysis=faces, **who)
    graph.add("tune.report", "PreviewAny", source=tune.report)
    steps = (
        ("Load Image", "photos of one person"),
        ("Astria Create Tune", "kept with their faces"),
        ("tune 788416", "for <faceid:788416:1.0>"),
    )
    return Starter(graph, PHOTOS, steps, "for FaceID and face swap")


def _train() -> Starter:
    """The fewest nodes: SD1.5, photos as they are, nothing drawn meanwhile."""
    kept = replace(Bindings.parse(BOUND, "the examples' bindings"), roles={})
    starter = _training("690204", kept)
    nodes = starter.graph.nodes
    training = nodes["training.lora"]
    inputs = {key: value for key, value in training.inputs.items() if key not in _SAMPLES}
    nodes["training.lora"] = replace(training, inputs=inputs)
    del nodes["training.samples"]
    return starter


def _train_flux() -> Starter:
    """Every node: Flux, face crops, the person's mask, samples judged for likeness."""
    bound = Bindings.parse(BOUND, "the examples' bindings")
    return _training("1504944", bound, preset="flux-lora-portrait", masks=True)


def _training(base: str, bindings: Bindings, **asked: Any) -> Starter:
    request = TrainingRequest(
        tune_id=788416, photos=_TRAINED_PHOTOS, name="woman", base=base, seed=SEED, **asked
    )
    plan = training_plan(request, Resolver(bindings, None, ListedFiles(FILES)))
    words = TRAIN.format(token=plan.settings.token)
    steps = (
        ("photos of a tune", "turned, captioned, scaled"),
        ("Astria Train LoRA", "learns the person"),
        ("tune 788416", "for <lora:788416:1>"),
    )
    return Starter(plan.graph, words, steps, BASE_TITLES[base])


_SAMPLES = ("samples", "vae")
_TRAINED_PHOTOS = 12
STARTERS: Mapping[str, Callable[[], Starter]] = {
    **FEATURE_STARTERS,
    **FAMILY_STARTERS,
    "start_flux": _flux,
    "start_stable_diffusion": _stable_diffusion,
    "start_tune_from_photos": _tune,
    "train_person": _train,
    "train_person_flux": _train_flux,
}
