"""The editor of the live host, opened once with LiteGraph nodes and once with Vue nodes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from comfyui_astria.devtools import workflows
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora
from comfyui_astria.tests.testpack.face_models import write_face_pack
from comfyui_astria.tests.web.browser import Editor, editor_on
from PIL import Image


@pytest.fixture(scope="session")
def example_files(host: LiveHost) -> Iterator[None]:
    """The files that the example workflows name: a real picture and LoRA, and empty ones for the models that are never loaded."""
    made = [host.base / "models" / folder / name for folder, names in workflows.FILES.items() for name in names]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for path in (host.base / "models" / "insightface" / "models").iterdir():
        shutil.rmtree(path)  # read as a whole by the tests that come later
        write_face_pack(path)
    write_tiny_lora(host.loras, "flux", workflows.FILES["loras"][0])
    picture = host.base / "input" / workflows.IMAGE
    Image.linear_gradient("L").convert("RGB").save(picture)
    made += (host.base / "models" / "insightface").rglob("*.onnx")
    host.fresh.update(made)  # the browser that all modules here share was opened with them
    yield
    for path in {*made, picture}:
        path.unlink(missing_ok=True)


@pytest.fixture(scope="session")
def _browser(host: LiveHost, example_files: None) -> Iterator[Editor]:
    with editor_on(host.client) as editor:
        yield editor


@pytest.fixture(scope="session", params=["litegraph", "vue"])
def _opened(request: pytest.FixtureRequest, _browser: Editor) -> Editor:
    _browser.open(vue=request.param == "vue")
    return _browser


@pytest.fixture
def editor(_opened: Editor) -> Editor:
    """An empty graph in the editor; every test runs with both ways of drawing nodes."""
    _opened.clear()
    return _opened


@pytest.fixture(params=workflows.names())
def example(request: pytest.FixtureRequest) -> str:
    """The name of each example workflow."""
    return request.param


@pytest.fixture
def ui_file(example: str) -> Path:
    return workflows.WORKFLOWS / f"{example}.json"


@pytest.fixture
def api_file(example: str) -> Path:
    return workflows.API_FORMS / f"{example}.api.json"
