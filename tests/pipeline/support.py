"""A resolver over files that exist only in the test, and short ways to a plan."""

from __future__ import annotations

from pathlib import Path

from comfyui_astria.nodes.pipeline.encode import Models
from comfyui_astria.nodes.pipeline.family import FAMILIES
from comfyui_astria.nodes.pipeline.graph import Socket
from comfyui_astria.nodes.pipeline.plan import Options, Plan, Sources, draft, plan
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "loras": ["my_wife.safetensors", "my_husband.safetensors", "detail.safetensors"],
    "checkpoints": ["rv51.safetensors", "sd15_inpaint.safetensors"],
    "diffusion_models": ["flux1-dev.safetensors", "flux1-fill-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl.safetensors"],
    "vae": ["ae.safetensors"],
    "upscale_models": ["4x.pth"],
    "controlnet": ["pose.safetensors"],
    "embeddings": ["easynegative.safetensors", "styles/ink.pt"],
}

BINDINGS = """\
[base 690204]
family = sd15
checkpoint = rv51.safetensors
[base 1504944]
family = flux
diffusion_model = flux1-dev.safetensors
clip_l = clip_l.safetensors
t5xxl = t5xxl.safetensors
vae = ae.safetensors
[tunes]
1533312 = my_wife.safetensors
1795721 = detail.safetensors
1558021 = my_husband.safetensors
[roles]
upscaler = 4x.pth
[defaults]
base = 1504944
"""


class TestFiles:
    __test__ = False

    def __init__(self, files: dict[str, list[str]]) -> None:
        self._files = files

    def list(self, folder: str) -> list[str]:
        return self._files.get(folder, [])

    def roots(self, folder: str) -> list[str]:
        return [f"models/{folder}"]


def resolver(bindings: str = BINDINGS) -> Resolver:
    return Resolver(Bindings.parse(bindings, "test"), None, TestFiles(FILES))


def sources(family: str, **sockets: bool) -> Sources:
    """Everything connected that is named: `image=True`, `mask=True`, `upscale_model=True`."""
    given = {name: Socket(name) for name, connected in sockets.items() if connected}
    return Sources(Models(Socket("model"), Socket("clip"), Socket("vae")), FAMILIES[family], **given)


def seed_prompt(name: str) -> str:
    [path] = [folder / f"{name}.txt" for folder in (ROOT / "workflows/prompts", ROOT / "tests/seeds") if (folder / f"{name}.txt").exists()]
    return path.read_text(encoding="utf-8")


def plan_text(text: str, family: str = "sd15", options: Options | None = None, bindings: str = BINDINGS, **sockets: bool) -> Plan:
    return plan(PromptRequest.require(text), sources(family, **sockets), resolver(bindings), options or Options())


def draft_text(text: str, family: str = "sd15", options: Options | None = None, bindings: str = BINDINGS, **sockets: bool) -> Plan:
    return draft(PromptRequest.require(text), sources(family, **sockets), resolver(bindings), options or Options())
