"""Nodes that train a person: photos -> pictures with captions -> LoRA -> file and tune."""

from __future__ import annotations

from collections.abc import Sequence

from comfy_api.latest import io, ui

from ..host.models import family_of
from ..host.state import fingerprint, state_folder
from ..host.types import MAX_SEED, FaceAnalysisType, SegmenterType, notes_ui, only_values
from ..tunes.store import TuneStore
from ..tunes.tune import MAX_ID
from .curve import curve_picture
from .errors import TrainingError
from .host.photos import prepared, tune_state
from .host.save import Base, binding_note, save_tune, tune_for
from .host.start import Given, numbers_for, train
from .photos import parse_sizes, sample_captions
from .prepare import Wanted
from .presets import MAX_STEPS, PRESETS, SIZE_MULTIPLE
from .request import MAX_FACE_WEIGHT

# Photos as they are learned, with what the training and its judge need to know of them.
TunePhotosType = io.Custom("ASTRIA_TUNE_PHOTOS")
# How a training went: numbers, curves, and what to write into the file.
TrainingType = io.Custom("ASTRIA_TRAINING")
# The host's own: tensors by `diffusion_model...lora_up.weight`, taken by Load LoRA Model.
LoraModelType = io.Custom("LORA_MODEL")
RestorerType = io.Custom("UPSCALE_MODEL")

FAMILY_PRESET = "family"  # the base's own preset


class AstriaTunePhotos(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTunePhotos",
            display_name="Astria Tune Photos",
            category="astria/training",
            description=(
                "Photos of one person as a training takes them: checked, turned, cropped to faces,"
                " scaled, each with its caption."
            ),
            search_aliases=["training data", "dataset", "captions", "face crop"],
            inputs=[
                io.String.Input(
                    "tune",
                    default="",
                    tooltip="Id or title of the tune whose photos are learned; or connect images.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Photos of one person, a batch or a list, instead of a tune's.",
                ),
                io.String.Input(
                    "token",
                    default="ohwx",
                    tooltip="The word that will stand for the person; sks is usual on SD1.5.",
                ),
                io.String.Input(
                    "name", default="person", tooltip="What they are: woman, man, person ..."
                ),
                io.String.Input(
                    "sizes",
                    default="512",
                    tooltip=(
                        "Every picture is learned at each of these, about this many pixels squared:"
                        f" 512, 768. Multiples of {SIZE_MULTIPLE}."
                    ),
                ),
                io.Boolean.Input(
                    "face_crop",
                    default=False,
                    tooltip="Adds the face of each photo as a picture of its own; needs analysis.",
                ),
                FaceAnalysisType.Input(
                    "analysis", optional=True, tooltip="Finds faces, and judges likeness."
                ),
                RestorerType.Input(
                    "face_restorer",
                    optional=True,
                    tooltip="Corrects the faces of the photos first (training_face_correct).",
                ),
                SegmenterType.Input(
                    "segmenter",
                    optional=True,
                    tooltip="Finds the person: the background then counts for a tenth.",
                ),
                io.Image.Input(
                    "class_images",
                    optional=True,
                    tooltip="Other people of this kind, a batch or a list, so that it stays wide.",
                ),
                io.Float.Input(
                    "face_weight",
                    optional=True,  # which workflows saved before it lack
                    default=1.0,
                    min=1.0,
                    max=MAX_FACE_WEIGHT,
                    step=0.5,
                    tooltip="How often each photo's face counts; above 1 it needs analysis.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="pictures", is_output_list=True),
                io.String.Output(display_name="captions", is_output_list=True),
                TunePhotosType.Output(display_name="photos"),
                io.String.Output(
                    display_name="samples",
                    is_output_list=True,
                    tooltip="Texts of the pictures that are drawn while it learns.",
                ),
                io.String.Output(display_name="report"),
            ],
            is_input_list=True,  # photos of several sizes are no batch
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, tune: Sequence[str | None], **inputs) -> str:
        return fingerprint(tune_state(tune[0] if tune else None))

    @classmethod
    def execute(cls, images=(), class_images=(), **lists) -> io.NodeOutput:
        given = only_values(lists)
        wanted = Wanted(
            given.pop("token"),
            given.pop("name"),
            parse_sizes(given.pop("sizes")),
            given.pop("face_crop"),
            given.pop("face_weight", 1.0),
        )
        photos = prepared(given.pop("tune"), images, wanted, class_images=class_images, **given)
        report = "\n".join(
            [f"{photos.photos} photos, {len(photos.pictures)} pictures to learn.", *photos.notes]
        )
        return io.NodeOutput(
            [one.pixels for one in photos.pictures],
            [one.caption for one in photos.pictures],
            photos,
            sample_captions(photos.token, photos.name),
            report,
            ui=notes_ui(report, warnings=photos.notes),
        )


class AstriaTrainLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaTrainLora",
            display_name="Astria Train LoRA",
            category="astria/training",
            description=(
                "Learns a person as a LoRA of the model, on the weights as they are loaded. Goes on"
                " where it was interrupted."
            ),
            search_aliases=["train lora", "dreambooth", "fine-tune"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that the person is learned on.",
                ),
                io.Latent.Input("latents", tooltip="Of the pictures, by VAE Encode."),
                io.Conditioning.Input("positive", tooltip="Of the captions, one for each picture."),
                TunePhotosType.Input(
                    "photos",
                    tooltip="From Astria Tune Photos.",
                ),
                io.Combo.Input(
                    "preset",
                    options=[FAMILY_PRESET, *PRESETS],
                    default=FAMILY_PRESET,
                    tooltip="Sets the numbers below that are 0.",
                ),
                io.Int.Input(
                    "steps", default=0, min=0, max=MAX_STEPS, tooltip="0: by preset and photos."
                ),
                io.Float.Input(
                    "learning_rate",
                    default=0.0,
                    min=0.0,
                    max=0.1,
                    step=0.000001,
                    round=False,
                    tooltip="How far each step goes: too much spoils, too little learns nothing.",
                ),
                io.Int.Input(
                    "rank",
                    default=0,
                    min=0,
                    max=128,
                    tooltip="Size of the LoRA: more holds more detail and makes a larger file.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=False,
                    tooltip="Start of the random numbers of the training.",
                ),
                io.Boolean.Input(
                    "person_agreed",
                    default=False,
                    tooltip="The person agreed to be trained. Asked once; no minors.",
                ),
                io.Int.Input(
                    "tune_id",
                    default=0,
                    min=0,
                    max=MAX_ID,
                    tooltip="The tune that is trained: its training can go on. 0: none, no resume.",
                ),
                io.Combo.Input(
                    "checkpointing",
                    options=["auto", "on", "off"],
                    default="auto",
                    tooltip="Saves memory for half more time; auto: where it would not fit.",
                ),
                io.Int.Input(
                    "accumulation",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="Pictures for each step.",
                ),
                io.Float.Input(
                    "min_snr_gamma",
                    default=0.0,
                    min=0.0,
                    max=20.0,
                    step=0.5,
                    tooltip="SD1.5 and SDXL: 5 weakens the clean timesteps; 0: off.",
                ),
                io.Float.Input(
                    "prior_weight",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.1,
                    tooltip="Of class_images, where there are any.",
                ),
                io.Conditioning.Input(
                    "without_caption",
                    optional=True,
                    tooltip="Of an empty text: one caption in twenty is left out.",
                ),
                io.Vae.Input("vae", optional=True, tooltip="Shows samples while it learns."),
                io.Conditioning.Input(
                    "samples", optional=True, tooltip="Of the texts of Astria Tune Photos."
                ),
            ],
            outputs=[
                LoraModelType.Output(display_name="lora"),
                TrainingType.Output(display_name="training"),
                io.Image.Output(display_name="curve", tooltip="Loss and likeness by step."),
                io.String.Output(display_name="report"),
            ],
            is_input_list=True,  # a latent and a conditioning for each picture
            has_intermediate_output=True,
        )

    @classmethod
    def execute(cls, latents, positive, samples=(), **lists) -> io.NodeOutput:
        inputs = only_values(lists)
        agreed = inputs.pop("person_agreed")
        preset = inputs.pop("preset")
        given = Given(
            model=inputs.pop("model"),
            photos=inputs.pop("photos"),
            latents=latents,
            captions=positive,
            without_caption=inputs.pop("without_caption", None),
            vae=inputs.pop("vae", None),
            samples=samples,
        )
        of = family_of(given.model)
        named = None if preset == FAMILY_PRESET else preset
        numbers = numbers_for(given, of, preset=named, **inputs)
        lora, outcome = train(given, numbers, agreed)
        curve = curve_picture(outcome.losses, outcome.likeness, numbers.steps)
        # Without the node itself: the host would write the workflow into the picture.
        return io.NodeOutput(
            lora, outcome, curve, outcome.report(), ui=ui.PreviewImage(curve, cls=None)
        )


class AstriaSaveTune(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaSaveTune",
            display_name="Astria Save Tune",
            category="astria/training",
            description=(
                "Saves what was trained as loras/astria/tune-ID.safetensors and makes it the file"
                " of the tune, so that <lora:ID:1> means it."
            ),
            search_aliases=["save lora", "save checkpoint"],
            inputs=[
                LoraModelType.Input(
                    "lora",
                    tooltip="From Astria Train LoRA.",
                ),
                TrainingType.Input(
                    "training",
                    tooltip="From Astria Train LoRA: how the training went.",
                ),
                io.Int.Input(
                    "tune_id",
                    default=0,
                    min=0,
                    max=MAX_ID,
                    tooltip="The tune that gets the file; 0: a new one.",
                ),
                io.String.Input("title", default="", tooltip="Of a new tune."),
                io.String.Input(
                    "base", default="", tooltip="Base id, for the file's metadata: 690204 ..."
                ),
                io.Combo.Input(
                    "model_type",
                    options=["lora", "checkpoint"],
                    default="lora",
                    tooltip="checkpoint: merged into a copy of the base; needs all three models.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that was trained on, needed where a checkpoint is saved.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Its text encoder, needed where a checkpoint is saved.",
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Its VAE, needed where a checkpoint is saved.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="tune_id"),
                io.String.Output(display_name="file"),
                io.String.Output(display_name="report"),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, lora, training, tune_id, title, base, model_type, model=None, clip=None, vae=None
    ) -> io.NodeOutput:
        merged_into = None
        if model_type == "checkpoint":
            if model is None or clip is None or vae is None:
                raise TrainingError(
                    "A checkpoint is the base with the LoRA merged into it; model, clip and vae are"
                    " not all connected.",
                    code="training-model",
                    hint="Connect all three from the loader of the base, or choose lora.",
                )
            merged_into = Base(model, clip, vae)
        tune, is_new = tune_for(tune_id, title, training)
        try:
            file = save_tune(lora, training, tune, base, merged_into)
        except BaseException:
            if is_new:
                TuneStore(state_folder()).delete(tune.id)
            raise
        told = [
            f"Tune {tune.id} is trained: {file}. Write <lora:{tune.id}:1> {training.token}"
            f" {training.name} in a prompt.",
            training.report(),
            binding_note(tune.id),
        ]
        report = "\n".join(filter(None, told))
        outcome = {
            "tune_id": tune.id,
            "file": file,
            "model_type": model_type,
            "steps": training.numbers.steps,
            "best_step": training.best_step,
            "likeness": [list(point) for point in training.likeness],
            "notes": list(training.notes),
        }
        shown = {**ui.PreviewText(report).as_dict(), "astria_training": [outcome]}
        return io.NodeOutput(str(tune.id), file, report, ui=shown)


NODES = [AstriaTunePhotos, AstriaTrainLora, AstriaSaveTune]
