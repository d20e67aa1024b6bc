"""A training -> one graph of nodes: loaders, photos, latents and captions, training, tune."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MissingModelError
from ..families.family import Family, family
from ..families.few_steps import few_steps_of
from ..graph.graph import Graph, Link, Value
from ..graph.outputs import TrainLoraNode, TunePhotosNode, add_node
from ..training.errors import TrainingError
from ..training.request import TrainingRequest, TrainingSettings, settle_training
from ..tunes.bindings import BaseModel
from ..tunes.resolve import Missing, Resolver
from .build.model_loaders import ModelLoaders
from .build.text import Models
from .compiling import load_base

TRAINED_GUIDANCE = 1.0  # Flux is distilled: it learns as if guidance did nothing
CLASS_STEPS, CLASS_CFG = 25, 7.0
_CLASS_SEED = 1  # behind the training's own
_FOREIGN = (".gguf",)


@dataclass(frozen=True)
class TrainingPlan:
    """A training as a graph of public nodes, with the numbers and what its owner should know."""

    graph: Graph
    family: Family
    settings: TrainingSettings
    notes: tuple[str, ...]


def training_plan(request: TrainingRequest, resolver: Resolver) -> TrainingPlan:
    """Return the plan of a training.

    Raises: MissingModelError for a base, or a model that the request asks for, that is not bound;
    TrainingError for what cannot be trained.
    """
    base = _base(request, resolver)
    of = family(base.family)
    settings = settle_training(request, of.branch)
    graph = Graph()
    models = load_base(graph, base)
    notes = list(settings.notes)
    photos = _photos(request, settings, ModelLoaders(graph, resolver, {}, of), models, notes)
    trained = _train(request, settings, graph, of, models, photos)
    beside = (
        {"model": models.model, "clip": models.clip, "vae": models.vae}
        if settings.kind == "checkpoint"
        else {}
    )
    graph.add(
        "output.tune",
        "AstriaSaveTune",
        lora=trained.lora,
        training=trained.training,
        tune_id=request.tune_id,
        title="",
        base=request.base or "",
        model_type=settings.kind,
        **beside,
    )
    return TrainingPlan(graph, of, settings, tuple(notes))


def _base(request: TrainingRequest, resolver: Resolver) -> BaseModel:
    base = resolver.base(request.base)
    if isinstance(base, Missing):
        raise MissingModelError(base.message, code="missing-base", hint=base.hint)
    file = base.checkpoint or base.diffusion_model or ""
    if file.lower().endswith(_FOREIGN):
        raise TrainingError(
            f"The base is {file}: GGUF files are loaded by another pack, and training on them was"
            " never tried.",
            code="training-model",
            hint="Bind a .safetensors file of the same model, fp8 to save memory.",
        )
    if base.family == "flux_schnell" or few_steps_of(file):
        raise TrainingError(
            f"The base {file} is distilled to few steps; a person learned on it does not hold.",
            code="training-model",
            hint="Train on the full model: Flux.1 dev, or the checkpoint it was made of.",
        )
    return base


def _photos(
    request: TrainingRequest,
    settings: TrainingSettings,
    loaders: ModelLoaders,
    models: Models,
    notes: list[str],
) -> TunePhotosNode:
    """Write the photos' node, with the models that it needs."""
    beside: dict[str, Value] = {}
    needs_faces = (
        bool(request.face_crop) or request.training_face_correct or request.face_weight != 1
    )
    if needs_faces or loaders.is_bound("face_analysis"):
        beside["analysis"] = _required(loaders.model("face_analysis"))
    face_crop = settings.face_crop and "analysis" in beside
    if settings.face_crop and not face_crop:
        notes.append(
            "The preset crops faces, and no face_analysis is bound: the photos are learned without"
            " crops."
        )
    if "analysis" not in beside:
        notes.append(
            "No face_analysis is bound: photos are not checked for faces, and likeness is not"
            " measured."
        )
    if request.training_face_correct:
        beside["face_restorer"] = _required(loaders.model("face_restorer"))
    if request.masks:
        beside["segmenter"] = _required(loaders.segmenter())
    if request.class_pictures:
        beside["class_images"] = _class_pictures(request, settings, loaders, models)
    return add_node(
        loaders.graph,
        TunePhotosNode,
        "training.photos",
        tune=str(request.tune_id),
        token=settings.token,
        name=request.name,
        sizes=settings.sizes,
        face_crop=face_crop,
        face_weight=request.face_weight,
        **beside,
    )


def _required(found: Value | Missing) -> Value:
    if isinstance(found, Missing):
        raise MissingModelError(found.message, code="missing-model", hint=found.hint)
    return found


def _class_pictures(
    request: TrainingRequest, settings: TrainingSettings, loaders: ModelLoaders, models: Models
) -> Link:
    """Draw other people of the kind with the base itself, one after another."""
    graph, of = loaders.graph, loaders.family
    side = settings.sizes_px[0]
    latent = graph.add(
        "class.latent",
        of.latent.empty,
        width=side,
        height=side,
        batch_size=request.class_pictures,
    )
    single = graph.add("class.single", "RebatchLatents", latents=latent, batch_size=1)
    positive = graph.add(
        "class.positive", "CLIPTextEncode", clip=models.clip, text=f"photo of {request.name}"
    )
    if of.is_distilled:
        positive = graph.add(
            "class.guidance", "FluxGuidance", conditioning=positive, guidance=of.cfg
        )
    sampled = graph.add(
        "class.sampler",
        "KSampler",
        model=models.model,
        seed=(request.seed + _CLASS_SEED) % 2**64,
        steps=CLASS_STEPS,
        cfg=of.true_cfg(CLASS_CFG),
        sampler_name="euler",
        scheduler=of.schedule or "normal",
        positive=positive,
        negative=graph.add("class.negative", "CLIPTextEncode", clip=models.clip, text=""),
        latent_image=single,
        denoise=1.0,
    )
    return graph.add("class.pictures", "VAEDecode", samples=sampled, vae=models.vae)


def _train(
    request: TrainingRequest,
    settings: TrainingSettings,
    graph: Graph,
    of: Family,
    models: Models,
    photos: TunePhotosNode,
) -> TrainLoraNode:
    """Write the texts, the latents and the training itself."""
    latents = graph.add("training.latents", "VAEEncode", pixels=photos.pictures, vae=models.vae)
    texts = {
        "positive": (photos.captions, TRAINED_GUIDANCE),
        "without_caption": ("", TRAINED_GUIDANCE),
        "samples": (photos.samples, of.cfg),
    }
    encoded: dict[str, Link] = {}
    for name, (text, guidance) in texts.items():
        link = graph.add(f"training.{name}", "CLIPTextEncode", clip=models.clip, text=text)
        if of.is_distilled:
            link = graph.add(
                f"training.{name}_guidance", "FluxGuidance", conditioning=link, guidance=guidance
            )
        encoded[name] = link
    return add_node(
        graph,
        TrainLoraNode,
        "training.lora",
        model=models.model,
        latents=latents,
        photos=photos.photos,
        preset=settings.preset.name,
        steps=settings.steps,
        learning_rate=0.0,
        rank=0,
        seed=request.seed,
        person_agreed=request.person_agreed,
        tune_id=request.tune_id,
        checkpointing="auto",
        accumulation=1,
        min_snr_gamma=0.0,
        prior_weight=1.0,
        vae=models.vae,
        **encoded,
    )
