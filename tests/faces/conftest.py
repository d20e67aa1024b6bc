"""A face model pack without weights, loaded by insightface's own code, and the photo whose face it
knows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comfyui_astria.nodes.faces.detector import FaceAnalysis
from comfyui_astria.nodes.faces.insight import load_pack
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack


@pytest.fixture(scope="session")
def face_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_pack(tmp_path_factory.mktemp("insightface") / "models" / "tiny_faces")


@pytest.fixture(scope="session")
def analysis(face_pack: Path) -> FaceAnalysis:
    return load_pack(face_pack).analysis


@pytest.fixture
def photo() -> np.ndarray:
    return astronaut()
