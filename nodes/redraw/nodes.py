"""Face inpainting as a node."""

from __future__ import annotations

from comfy_api.latest import io

from ..faces.face import scale_notes
from ..host.models import family_of
from ..host.tensors import as_pictures
from ..host.types import FacesType, LorasType, PersonsType, RegionsType, notes_ui
from ..regions.lora_fit import LoraFit, lines_of
from .crop import CropOptions
from .host.sampling import FaceDrawing, draw_faces
from .plan import UNMATCHED, finish, person_names, plan_faces, report
from .preview import matches_preview


class AstriaInpaintFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        size = {"default": 512, "min": 64, "max": 4096, "step": 8}
        share = {"default": 0.25, "min": 0.0, "max": 4.0, "step": 0.05}
        return io.Schema(
            node_id="AstriaInpaintFaces",
            display_name="Astria Inpaint Faces",
            category="astria/faces",
            description=(
                "Draws every face of every picture anew at full size, each with its own person's"
                " text, LoRAs and FaceID, many in one pass."
            ),
            search_aliases=[
                "face detailer",
                "adetailer",
                "face fix",
                "inpaint_faces",
                "face restore",
            ],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                FacesType.Input("faces", tooltip="Of Astria Detect Faces on this very picture."),
                io.Model.Input("model", tooltip="From before Astria Regional Prompt."),
                io.Vae.Input(
                    "vae",
                    tooltip="What turns latents into pixels and back; it belongs to the model.",
                ),
                io.Conditioning.Input(
                    "positive",
                    tooltip=(
                        "The scene's: what a face that is nobody's gets. Its ControlNets are cut to"
                        " each face."
                    ),
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="What the picture should not show, as conditioning.",
                ),
                io.Noise.Input(
                    "noise",
                    tooltip=(
                        "Astria Noise. Each face has noise of its own, from the seed, its picture"
                        " and its number."
                    ),
                ),
                io.Sampler.Input(
                    "sampler", tooltip="Astria Sampler, so that no face depends on the others."
                ),
                io.Sigmas.Input(
                    "sigmas",
                    tooltip=(
                        "Their denoise says how much of a face is new; 0.4 to 0.6 keeps the pose."
                    ),
                ),
                io.Float.Input(
                    "cfg",
                    default=7.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="Without effect on Flux, where true CFG stays 1.",
                ),
                io.Int.Input(
                    "face_size",
                    **size,
                    tooltip=(
                        "Longest side a crop is drawn at: 512 for SD1.5, 1024 for SDXL and Flux."
                    ),
                ),
                io.Float.Input(
                    "context",
                    default=2.0,
                    min=1.0,
                    max=8.0,
                    step=0.1,
                    tooltip="Side of the crop / side of the face.",
                ),
                io.Float.Input(
                    "feather",
                    **share,
                    tooltip="How far a new face fades into the picture, as a share of the face.",
                ),
                io.Combo.Input(
                    "unmatched",
                    options=list(UNMATCHED),
                    tooltip="Faces that are nobody's: drawn with the scene's text, or left alone.",
                ),
                io.Int.Input(
                    "max_batch",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="Faces in one sampler call; 0: as many as the free memory holds.",
                ),
                PersonsType.Input(
                    "persons",
                    optional=True,
                    tooltip="Whose texts, LoRAs and faces are drawn, from left to right.",
                ),
                RegionsType.Input(
                    "regions",
                    optional=True,
                    tooltip=(
                        "Where the persons stand, at any scale. Without: by FaceID, else left to"
                        " right."
                    ),
                ),
                LorasType.Input(
                    "scene_loras", optional=True, tooltip="LoRAs of faces that are nobody's."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image"),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="Where faces were painted; everything else is untouched.",
                ),
                io.Image.Output(
                    display_name="matches",
                    tooltip="Each face's box and crop, and whose it was taken for.",
                ),
                io.String.Output(display_name="info"),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image,
        faces,
        model,
        vae,
        positive,
        negative,
        noise,
        sampler,
        sigmas,
        cfg,
        face_size,
        context,
        feather,
        unmatched,
        max_batch,
        persons=(),
        regions=None,
        scene_loras=(),
    ) -> io.NodeOutput:
        image = as_pictures(image)
        options = CropOptions(face_size, context, feather, family_of(model).multiple)
        planned = plan_faces(image, faces, persons, regions, options, unmatched)
        fits: list[LoraFit] = []
        drawing = FaceDrawing(
            model,
            vae,
            positive,
            negative,
            noise,
            sampler,
            sigmas,
            cfg,
            persons,
            max_batch,
            tuple(scene_loras),
            fits.append,
        )
        drawn, calls = draw_faces(image, planned, drawing)
        result, mask, planned = finish(image, planned, drawn)
        names = person_names(persons, regions)
        scaled = scale_notes(faces, image.shape[2], image.shape[1])
        worn, warnings = lines_of(fits, names)  # a file is read for each model that wears it
        text = "\n".join([report(planned, names, len(image), calls), *scaled, *worn])
        matches = matches_preview(image, planned, names)
        return io.NodeOutput(result, mask, matches, text, ui=notes_ui(text, warnings=warnings))


NODES = [AstriaInpaintFaces]
