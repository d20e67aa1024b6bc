"""Models beside MODEL, CLIP and VAE.

Which one a stage gets of those that are connected and bound.
"""

from __future__ import annotations

import pytest
from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.graph import Graph, Link, Socket
from comfyui_astria.nodes.pipeline.build.model_loaders import ModelLoaders
from comfyui_astria.nodes.tunes.file_search import Missing

from .support import resolver

DETECTOR = "face_detector = mediapipe_face_fp32.safetensors\n"
PACK = "face_analysis = buffalo_l\n"


def loaders(roles: str, **connected: Socket) -> ModelLoaders:
    return ModelLoaders(Graph(), resolver(f"[roles]\n{roles}"), connected, FAMILIES["sd15"])


@pytest.mark.parametrize(("roles", "pack"), [(DETECTOR, "none"), (DETECTOR + PACK, "buffalo_l")])
def test_a_bound_detector_finds_the_faces_with_or_without_what_tells_them_apart(
    roles: str, pack: str
) -> None:
    at_hand = loaders(roles)
    assert at_hand.face_detection() == at_hand.face_detection() == Link("models.face_detection")
    nodes = at_hand.graph.nodes
    assert nodes["models.face_detector"].class_type == "LoadMediaPipeFaceLandmarker"
    assert nodes["models.face_detector"].inputs == {"model_name": "mediapipe_face_fp32.safetensors"}
    assert nodes["models.face_detection"].inputs == {
        "pack": pack,
        "mediapipe": Link("models.face_detector"),
    }


def test_what_tells_faces_apart_finds_them_where_no_detector_is_bound_or_it_is_connected() -> None:
    assert loaders(PACK).face_detection() == Link("models.face_analysis")
    assert loaders(DETECTOR, face_analysis=Socket("face_analysis")).face_detection() == Socket(
        "face_analysis"
    )
    lost = loaders("").face_detection()
    assert (
        isinstance(lost, Missing)
        and lost.key == "face_analysis"
        and "Or bind face_detector to MediaPipe's model" in lost.hint
        and "cannot tell whose they are" in lost.hint
    )


def test_a_detector_alone_tells_nobody_apart() -> None:
    lost = loaders(DETECTOR).face_analysis(for_pulid=False)
    assert isinstance(lost, Missing) and lost.key == "face_analysis"
    assert loaders(DETECTOR + PACK).face_analysis(for_pulid=False) == Link(
        "models.face_analysis"
    ), "photos are read by the pack itself"


@pytest.mark.parametrize(
    "roles", [DETECTOR.replace("_fp32", "_lost") + PACK, DETECTOR + PACK.replace("_l", "_xl")]
)
def test_a_bound_file_that_is_not_there_is_never_passed_over(roles: str) -> None:
    lost = loaders(roles).face_detection()
    assert isinstance(lost, Missing) and lost.key == (
        "face_detector" if "_lost" in roles else "face_analysis"
    )
