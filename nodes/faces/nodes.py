"""Nodes that find faces."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..errors import ImageError, MissingModelError
from ..host.state import fingerprint
from ..host.tensors import as_pictures
from ..host.types import FaceAnalysisType, FacesType, notes_ui, warnings_ui
from .boxes import BoxFaceDetector
from .detector import FaceAnalysis, rgb_pixels
from .drawing import bounding_boxes, face_masks, preview
from .insight import LICENCE, PUBLISHER, find_packs, load_pack, missing_pack
from .limits import Limits, report
from .mediapipe import MediapipeDetector

FOLDER = "insightface"
NO_PACK = "none"
FACEID_PACK = "buffalo_l"

MediapipeType = io.Custom("FACE_DETECTION_MODEL")
BoxDetectorType = io.Custom("BBOX_DETECTOR")


def _packs() -> dict[str, Path]:
    """Return the user's packs, the one that FaceID adapters are made for first.

    It is the default.
    """
    packs = find_packs(folder_paths.get_folder_paths(FOLDER))
    return dict(sorted(packs.items(), key=lambda item: item[0] != FACEID_PACK))


class AstriaLoadFaceAnalysis(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        tooltip = (
            "Model pack of InsightFace, a folder below models/insightface/models: buffalo_l, or"
            " antelopev2 for PuLID. Non-commercial."
        )
        return io.Schema(
            node_id="AstriaLoadFaceAnalysis",
            display_name="Astria Load Face Analysis",
            category="astria/faces",
            description=(
                "What finds faces, and tells one person from another. Model packs of InsightFace"
                " are for non-commercial use."
            ),
            search_aliases=["insightface", "buffalo_l", "antelopev2", "face detector"],
            inputs=[
                io.Combo.Input("pack", options=[*_packs(), NO_PACK], tooltip=tooltip),
                MediapipeType.Input(
                    "mediapipe",
                    optional=True,
                    tooltip="Finds the faces instead of the pack's detector, small ones too.",
                ),
                BoxDetectorType.Input(
                    "bbox_detector",
                    optional=True,
                    tooltip="A face detector of another pack, instead of the pack's own.",
                ),
            ],
            outputs=[
                FaceAnalysisType.Output(display_name="analysis"),
                io.String.Output(
                    display_name="info", tooltip="What there is to tell, empty without anything."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, pack: str | None) -> bool | str:
        packs = _packs()
        if pack is None or pack == NO_PACK or pack in packs:
            return True
        return str(missing_pack(pack, list(packs), folder_paths.get_folder_paths(FOLDER)))

    @classmethod
    def fingerprint_inputs(cls, pack: str | None, **sockets) -> str:
        folder = _packs().get(pack)
        files = sorted(folder.glob("*.onnx")) if folder else []
        stats = [(path.name, path.stat()) for path in files if path.is_file()]
        return fingerprint(*(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats))

    @classmethod
    def execute(cls, pack, mediapipe=None, bbox_detector=None) -> io.NodeOutput:
        if mediapipe is not None and bbox_detector is not None:
            message = "Faces are to be found twice, by mediapipe and by bbox_detector."
            raise ImageError(message, code="two-face-detectors", hint="Connect only one of them.")
        detector, recogniser, notes = None, None, ()
        if pack != NO_PACK:
            packs = _packs()
            if pack not in packs:
                raise missing_pack(pack, list(packs), folder_paths.get_folder_paths(FOLDER))
            loaded = load_pack(packs[pack])
            detector, recogniser, notes = loaded.detector, loaded.recogniser, loaded.notes
        if mediapipe is not None:
            detector = MediapipeDetector(mediapipe)
        if bbox_detector is not None:
            detector = BoxFaceDetector(bbox_detector, detector)
        if detector is None:
            raise MissingModelError(
                "No face model pack is chosen, and no other detector is connected.",
                code="no-face-detector",
                hint=(
                    f"Put a pack such as buffalo_l, from {PUBLISHER}, into"
                    f" {folder_paths.get_folder_paths(FOLDER)[0]}/models and choose it, or connect"
                    f" Load Face Detection Model (MediaPipe). {LICENCE}"
                ),
            )
        analysis = FaceAnalysis(detector, recogniser)
        return io.NodeOutput(analysis, "\n".join(notes), ui=warnings_ui(*notes))


class AstriaDetectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaDetectFaces",
            display_name="Astria Detect Faces",
            category="astria/faces",
            description=(
                "The faces in each picture, from left to right: boxes, five points, and whose they"
                " are. A picture may have none."
            ),
            search_aliases=["face detection", "face mask", "face boxes"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture, or a batch of pictures.",
                ),
                FaceAnalysisType.Input(
                    "analysis",
                    tooltip="Finds faces and tells people apart: Astria Load Face Analysis.",
                ),
                io.Float.Input(
                    "min_confidence",
                    default=0.5,
                    min=0.1,
                    max=1.0,
                    step=0.01,
                    tooltip="Lower finds more faces, and more that are none.",
                ),
                io.Int.Input(
                    "min_size_px",
                    default=0,
                    min=0,
                    max=4096,
                    tooltip="Leaves out faces whose box has a shorter side below this.",
                ),
                io.Int.Input(
                    "max_faces",
                    default=0,
                    min=0,
                    max=100,
                    optional=True,
                    tooltip="The largest so many faces of a picture; 0: all.",
                ),
                io.Float.Input(
                    "min_size",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    optional=True,
                    tooltip=(
                        "Leaves out faces whose shorter side is below this share of the picture's."
                    ),
                ),
            ],
            outputs=[
                FacesType.Output(display_name="faces"),
                io.Mask.Output(
                    display_name="masks", tooltip="One a picture: 1 in the ellipse of each face."
                ),
                io.BoundingBox.Output(display_name="boxes"),
                io.Image.Output(
                    display_name="preview", tooltip="The picture with boxes, points and numbers."
                ),
                io.String.Output(
                    display_name="info", tooltip="How many faces, and what was left out."
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        image,
        analysis: FaceAnalysis,
        min_confidence,
        min_size_px,
        max_faces=0,
        min_size=0.0,
    ) -> io.NodeOutput:
        image = as_pictures(image)
        limits = Limits(min_size_px, min_size, max_faces)
        looks = [analysis.look(one, min_confidence, limits) for one in rgb_pixels(image)]
        faces = tuple(look.faces for look in looks)
        masks = face_masks(faces, image.shape[1], image.shape[2])
        text = report(looks)
        return io.NodeOutput(
            faces, masks, bounding_boxes(faces), preview(image, faces), text, ui=notes_ui(text)
        )


NODES = [AstriaLoadFaceAnalysis, AstriaDetectFaces]
