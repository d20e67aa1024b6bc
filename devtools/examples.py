"""The example workflows: which base model each prompt is compiled for, and the files and tunes that
its reader needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..nodes.families.family import FAMILIES, Family
from ..nodes.pipeline.build.controls import controls_of
from ..nodes.pipeline.stages.control import KINDS
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.tune import Tune

# Comes with ComfyUI, so the workflow opens without a complaint about its picture.
IMAGE = "example.png"
FLUX, SD15, SDXL = "1504944", "690204", "sdxl"
# Families with one text encoder that are published as single files, in the variant most used: each
# has an example of two people, and is its own base.
PUBLISHED = tuple(
    one
    for one in FAMILIES.values()
    if one.files and not one.named and one.text.files == ("text_encoder",)
)
# The base tune of the examples that are not for Flux.
BASES = {
    **dict.fromkeys(
        (
            "masked_portrait",
            "multi_person_background",
            "product_background",
            "room_redesign",
            "tiled_upscale",
            "hires_fix",
        ),
        SD15,
    ),
    **dict.fromkeys(
        (
            "controlnet",
            "controlnet_two",
            "controlnet_drawn_map",
            "style",
            "image_to_image",
            "masked_area",
        ),
        SD15,
    ),
    **dict.fromkeys(
        (
            "controlnet_tile",
            "controlnet_qr",
            "controlnet_hed",
            "controlnet_mlsd",
            "controlnet_segroom",
        ),
        SD15,
    ),
    **dict.fromkeys(
        ("faceid", "faceid_two_people", "faceid_swap_correct", "faceid_portrait"), SD15
    ),
    **dict.fromkeys(
        (
            "multi_person_checkpoint",
            "multi_person_negative",
            "outpaint_sd15",
            "tiled_upscale_from_text",
            "upscale_v4",
        ),
        SD15,
    ),
    **{f"multi_person_{one.name}": one.name for one in PUBLISHED},
    **dict.fromkeys(("sdxl_weights_and_style", "outpaint_sdxl", "faceid_sdxl"), SDXL),
}
# What those bases are called where people read it.
BASE_TITLES = {
    FLUX: "Flux.1 dev",
    SD15: "SD1.5",
    SDXL: "SDXL",
    **{one.name: one.title for one in PUBLISHED},
}
# Names under which the files are published, or that say whose they are.
FILES = {
    "checkpoints": [
        "v1-5-pruned-emaonly-fp16.safetensors",
        "sd_xl_base_1.0.safetensors",
        "my_person_checkpoint.safetensors",
        "sam3.1_multiplex_fp16.safetensors",
        "sdpose_wholebody_fp16.safetensors",
    ],
    "diffusion_models": ["flux1-dev.safetensors", "flux1-fill-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl_fp16.safetensors"],
    "vae": ["ae.safetensors"],
    "loras": ["my_person.safetensors", "second_person.safetensors"],
    "upscale_models": ["4x-UltraSharp.pth", "GFPGANv1.4.pth"],
    "controlnet": [
        "control_v11p_sd15_openpose_fp16.safetensors",
        "control_v11p_sd15_canny_fp16.safetensors",
        "control_v11p_sd15_lineart_fp16.safetensors",
        "control_v11f1p_sd15_depth_fp16.safetensors",
        "control_v11f1e_sd15_tile_fp16.safetensors",
        "control_v11p_sd15_softedge_fp16.safetensors",
        "control_v11p_sd15_mlsd_fp16.safetensors",
        "control_v11p_sd15_seg_fp16.safetensors",
        "control_v1p_sd15_qrcode_monster.safetensors",
        "flux_controlnet_union_pro.safetensors",
    ],
    "background_removal": ["birefnet.safetensors"],
    "geometry_estimation": ["depth_anything_3_mono_large.safetensors"],
    "insightface": [
        "inswapper_128.onnx",
        "models/buffalo_l/w600k_r50.onnx",
        "models/antelopev2/glintr100.onnx",
    ],
    "ipadapter": [
        "ip-adapter-faceid-plusv2_sd15.bin",
        "ip-adapter-faceid-portrait_sd15.bin",
        "ip-adapter-faceid_sdxl.bin",
    ],
    "pulid": ["pulid_flux_v0.9.1.safetensors"],
    "clip_vision": ["CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "EVA02_CLIP_L_336_psz14_s6B.pt"],
    "facedetection": ["parsing_bisenet.pth"],
    "embeddings": ["EasyNegative.safetensors"],
}
for _file in (file for one in PUBLISHED for file in one.files):
    if _file.name not in FILES[_file.folder]:
        FILES[_file.folder].append(_file.name)


def _base(of: Family) -> str:
    lines = [f"{field} = {file.name}" for field, file in of.published.items()]
    return "\n".join([f"[base {of.name}]", f"family = {of.name}", *lines])


_BASES = "\n".join(map(_base, PUBLISHED))
BINDINGS = f"""\
[base {FLUX}]
family = flux
diffusion_model = flux1-dev.safetensors
clip_l = clip_l.safetensors
t5xxl = t5xxl_fp16.safetensors
vae = ae.safetensors
outpaint_model = flux1-fill-dev.safetensors
[base {SD15}]
family = sd15
checkpoint = v1-5-pruned-emaonly-fp16.safetensors
[base {SDXL}]
family = sdxl
checkpoint = sd_xl_base_1.0.safetensors
{_BASES}
[tunes]
1533312 = my_person.safetensors
1558021 = second_person.safetensors
1795721 = my_person.safetensors
749152 = my_person.safetensors
749183 = second_person.safetensors
775459 = my_person_checkpoint.safetensors
[roles]
upscaler = 4x-UltraSharp.pth
sd15.controlnet_pose = control_v11p_sd15_openpose_fp16.safetensors
sd15.controlnet_canny = control_v11p_sd15_canny_fp16.safetensors
sd15.controlnet_lineart = control_v11p_sd15_lineart_fp16.safetensors
sd15.controlnet_depth = control_v11f1p_sd15_depth_fp16.safetensors
sd15.controlnet_tile = control_v11f1e_sd15_tile_fp16.safetensors
sd15.controlnet_hed = control_v11p_sd15_softedge_fp16.safetensors
sd15.controlnet_mlsd = control_v11p_sd15_mlsd_fp16.safetensors
sd15.controlnet_segroom = control_v11p_sd15_seg_fp16.safetensors
sd15.controlnet_qr = control_v1p_sd15_qrcode_monster.safetensors
flux.controlnet_union = flux_controlnet_union_pro.safetensors
depth_estimator = depth_anything_3_mono_large.safetensors
pose_estimator = sdpose_wholebody_fp16.safetensors
background_removal = birefnet.safetensors
sam3 = sam3.1_multiplex_fp16.safetensors
face_analysis = buffalo_l
face_analysis_pulid = antelopev2
sd15.faceid = ip-adapter-faceid-plusv2_sd15.bin
sd15.faceid_portrait = ip-adapter-faceid-portrait_sd15.bin
sdxl.faceid = ip-adapter-faceid_sdxl.bin
flux.faceid = pulid_flux_v0.9.1.safetensors
sd15.clip_vision = CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors
eva_clip = EVA02_CLIP_L_336_psz14_s6B.pt
face_parsing = parsing_bisenet.pth
face_restorer = GFPGANv1.4.pth
face_swapper = inswapper_128.onnx
"""
# Tunes with photos: two people by FaceID, two LoRAs with the photos that they were made from.
PHOTO_SETS = (788416, 788417, 749152, 749183)


def base_of(name: str) -> str:
    """Return the base tune that an example is compiled for."""
    return BASES.get(name, FLUX)


def takes_drawn_map(request: PromptRequest) -> bool:
    """Say whether a ControlNet of the request reads a map that its reader has drawn."""
    return any(KINDS[control.kind] == "given" for control in controls_of(request))


@dataclass(frozen=True)
class ExampleTunes:
    """The tunes of the examples' prompts, as a tunes database would give them.

    Their photos are the reader's own.
    """

    ids: Sequence[int] = PHOTO_SETS

    def get(self, id: int) -> Tune | None:
        """Return the tune of this id, None when it is none of the examples'."""
        return (
            Tune(title=f"person {id}", model_type="faceid", id=id, orig_images=("photo.jpg",))
            if id in self.ids
            else None
        )

    def find_by_title(self, title: str) -> Tune | None:
        return None

    def list(self, *, limit: int = 20, offset: int = 0) -> Sequence[Tune]:
        return ()

    def photo_paths(self, id: int) -> Sequence[Path]:
        return ()
