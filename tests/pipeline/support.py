"""A resolver over files that exist only in the test, and short ways to a plan."""

from __future__ import annotations

from pathlib import Path

from comfyui_astria.nodes.families.family import FAMILIES
from comfyui_astria.nodes.graph.graph import Link, Socket, Value
from comfyui_astria.nodes.graph.sockets import MODEL_SOCKETS
from comfyui_astria.nodes.pipeline.build.sources import Options, Sources
from comfyui_astria.nodes.pipeline.build.text import Models
from comfyui_astria.nodes.pipeline.plan import Plan, draft, plan
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.bindings import Bindings
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.nodes.tunes.store import TuneStore

ROOT = Path(__file__).resolve().parents[2]

FILES = {
    "loras": ["my_wife.safetensors", "my_husband.safetensors", "detail.safetensors"],
    "checkpoints": [
        "rv51.safetensors",
        "sd15_inpaint.safetensors",
        "sam3.safetensors",
        "sdpose.safetensors",
    ],
    "diffusion_models": ["flux1-dev.safetensors", "flux1-fill-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl.safetensors"],
    "vae": ["ae.safetensors"],
    "upscale_models": ["4x.pth", "GFPGANv1.4.pth"],
    "controlnet": [
        "pose.safetensors",
        "canny.safetensors",
        "tile.safetensors",
        "union.safetensors",
    ],
    "model_patches": ["fun_union.safetensors"],
    "geometry_estimation": ["da3_mono_large.safetensors"],
    "background_removal": ["birefnet.safetensors"],
    "insightface": [
        "inswapper_128.onnx",
        "models/buffalo_l/det_10g.onnx",
        "models/antelopev2/glintr100.onnx",
    ],
    "ipadapter": ["ip-adapter-faceid-plusv2_sd15.bin", "ip-adapter-faceid-portrait_sd15.bin"],
    "pulid": ["pulid_flux_v0.9.1.safetensors"],
    "clip_vision": ["vit_h.safetensors", "eva.pt"],
    "detection": ["mediapipe_face_fp32.safetensors"],
    "facedetection": ["parsing_bisenet.pth"],
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


# A file bound to every role.
EQUIPPED = BINDINGS.replace(
    "[defaults]",
    """\
controlnet_pose = pose.safetensors
controlnet_canny = canny.safetensors
controlnet_tile = tile.safetensors
pose_estimator = sdpose.safetensors
depth_estimator = da3_mono_large.safetensors
background_removal = birefnet.safetensors
sam3 = sam3.safetensors
face_analysis = buffalo_l
face_analysis_pulid = antelopev2
sd15.faceid = ip-adapter-faceid-plusv2_sd15.bin
flux.faceid = pulid_flux_v0.9.1.safetensors
faceid_portrait = ip-adapter-faceid-portrait_sd15.bin
clip_vision = vit_h.safetensors
eva_clip = eva.pt
face_parsing = parsing_bisenet.pth
face_restorer = GFPGANv1.4.pth
face_swapper = inswapper_128.onnx
[defaults]""",
)


def resolver(bindings: str = BINDINGS, store: TuneStore | None = None) -> Resolver:
    return Resolver(Bindings.parse(bindings, "test"), store, TestFiles(FILES))


def store_with_photos(folder: Path, *ids: int, file: str | None = None) -> TuneStore:
    """A tunes database with a photo set under each id.

    With `file`, LoRA tunes that hold photos too.
    """
    store = TuneStore(folder)
    for id in ids:
        kind = "lora" if file else "faceid"
        store.create(
            title=f"person {id}", model_type=kind, file=file, photos=[b"\xff\xd8\xff photo"], id=id
        )
    return store


def sources(family: str, **sockets: bool) -> Sources:
    """Everything connected that is named: `image=True`, `mask=True`, `upscale_model=True`."""
    given: dict = {
        name: Socket(name)
        for name, is_there in sockets.items()
        if is_there and name not in MODEL_SOCKETS
    }
    given["connected"] = {
        name: Socket(name)
        for name, is_there in sockets.items()
        if is_there and name in MODEL_SOCKETS
    }
    return Sources(
        Models(Socket("model"), Socket("clip"), Socket("vae")), FAMILIES[family], **given
    )


def seed_prompt(name: str) -> str:
    """Return a prompt of the service's documentation; a template's own where it is the same."""
    paths = [
        folder / f"{name}.txt"
        for folder in (ROOT / "tests/seeds", ROOT / "workflows/prompts")
        if (folder / f"{name}.txt").exists()
    ]
    return paths[0].read_text(encoding="utf-8")


def plan_text(
    text: str,
    family: str = "sd15",
    options: Options | None = None,
    bindings: str = BINDINGS,
    **sockets: bool,
) -> Plan:
    return plan(
        PromptRequest.require(text),
        sources(family, **sockets),
        resolver(bindings),
        options or Options(),
    )


def equipped(
    text: str,
    family: str = "sd15",
    store: TuneStore | None = None,
    options: Options | None = None,
    **sockets: bool,
) -> Plan:
    """The plan of someone who has bound a model to every role."""
    return plan(
        PromptRequest.require(text),
        sources(family, **sockets),
        resolver(EQUIPPED, store),
        options or Options(),
    )


def draft_text(
    text: str,
    family: str = "sd15",
    options: Options | None = None,
    bindings: str = BINDINGS,
    **sockets: bool,
) -> Plan:
    return draft(
        PromptRequest.require(text),
        sources(family, **sockets),
        resolver(bindings),
        options or Options(),
    )


def controlnet_of(planned: Plan, node: str, kind: str) -> Value:
    """The ControlNet that a node steers by, which is told on its way that its map is of `kind`."""
    told = planned.graph.nodes[node].inputs["control_net"]
    assert told == Link(f"models.{kind}_mode")
    mode = planned.graph.nodes[told.node]
    assert (mode.class_type, mode.inputs["kind"]) == ("AstriaControlNetMode", kind)
    return mode.inputs["control_net"]
