"""The camera of the gallery: the editor with a few tunes and bindings, photographed."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import skimage.data
from comfyui_astria.nodes.tunes.store import TuneStore
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.web.browser import Editor
from comfyui_astria.tests.web.prompt_box import PromptBox
from comfyui_astria.tests.web.sidebar_support import jpeg
from PIL import Image
from playwright.sync_api import Locator

MAX_WIDTH, MAX_BYTES, QUALITY = 1400, 150_000, 85
MARGIN = 14
SCREENS: set[str] = set()
BINDINGS = """\
[base 690204]
family = sd15
checkpoint = realisticVision_v51.safetensors

[base 1504944]
family = flux
diffusion_model = flux1-dev.safetensors
clip_l = clip_l.safetensors
t5xxl = t5xxl_fp8_e4m3fn.safetensors
vae = ae.safetensors

[tunes]
1533312 = my_wife.safetensors
1558021 = people/my_husband.safetensors

[roles]
upscaler = 4x-UltraSharp.pth

[defaults]
base = 1504944
"""
FILES = {
    "checkpoints": ["realisticVision_v51.safetensors"],
    "diffusion_models": ["flux1-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp8_e4m3fn.safetensors"],
    "vae": ["ae.safetensors"],
    "loras": ["my_wife.safetensors", "film_grain.safetensors", "people/anna.safetensors"],
    "upscale_models": ["4x-UltraSharp.pth"],
}
CLUTTER = ("Comfy.Minimap.Visible", "Comfy.Graph.CanvasInfo")


class Gallery:
    """The editor with a few tunes and bindings, and a camera."""

    def __init__(self, editor: Editor, folder: Path, eileen: int) -> None:
        self.editor = editor
        self.page = editor.page
        self.folder = folder
        self.eileen = eileen

    def node(self, number: int) -> Locator:
        return self.page.locator(f"[data-node-id='{number}']")

    def place(self, number: int, x: int, y: int, width: int, height: int) -> None:
        script = (
            "([id, x, y, w, h]) => { const n = app.graph.getNodeById(id); n.pos = [x, y];"
            " n.setSize([w, h]); }"
        )
        self.page.evaluate(script, [number, x, y, width, height])
        self.editor.frames(4)

    def prompt(self, text: str) -> PromptBox:
        box = PromptBox(self.editor)
        self.place(box.number, 120, 220, 720, 460)
        box.set(text)
        return box

    def take(self, name: str, *around: Locator) -> None:
        """Photograph what lies around these elements, or the whole screen, and check that the
        picture is fit for the page.
        """
        if os.environ.get("ASTRIA_GALLERY"):
            self.page.wait_for_timeout(400)  # transitions of menus and dialogs
        with Image.open(
            io.BytesIO(self.page.screenshot(clip=self._clip(around) if around else None))
        ) as shot:
            picture = shot.convert("RGB")
        picture.thumbnail((MAX_WIDTH, MAX_WIDTH), Image.Resampling.LANCZOS)
        path = self.folder / f"{name}.jpg"
        picture.save(path, "JPEG", quality=QUALITY, optimize=True)
        assert path.stat().st_size < MAX_BYTES
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50, "there is something to see"
        assert self.editor.complaints == []
        SCREENS.add(name)

    def _clip(self, around: tuple[Locator, ...]) -> dict[str, float]:
        boxes = [box for one in around if (box := one.bounding_box())]
        left, top = (max(0.0, min(box[axis] for box in boxes) - MARGIN) for axis in "xy")
        size = self.page.viewport_size
        assert size is not None
        right = min(size["width"], max(box["x"] + box["width"] for box in boxes) + MARGIN)
        bottom = min(size["height"], max(box["y"] + box["height"] for box in boxes) + MARGIN)
        return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def furnish(host: LiveHost) -> int:
    """Put files, bindings and tunes where the screens show them.

    Return the id of the tune of Eileen.
    """
    for path in [
        host.base / "models" / folder / name for folder, names in FILES.items() for name in names
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    host.state.mkdir(parents=True, exist_ok=True)
    (host.state / "bindings.ini").write_text(BINDINGS, encoding="utf-8")
    Image.fromarray(skimage.data.astronaut()).save(host.base / "input" / "eileen.png")
    store = TuneStore(host.state)
    store.create(
        title="Film grain",
        model_type="lora",
        file="film_grain.safetensors",
        name="style",
        token="grain",
    )
    cat = skimage.data.cat()
    store.create(
        title="Chelsea",
        model_type="faceid",
        photos=[jpeg(cat), jpeg(cat[:, ::-1]), jpeg(cat[40:])],
        name="cat",
    )
    return store.create(
        title="Eileen", model_type="faceid", photos=[jpeg(skimage.data.astronaut())], name="woman"
    ).id
