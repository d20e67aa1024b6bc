"""Which inputs of loader nodes name a model file, in which of ComfyUI's folders such files lie, and
where well-known ones are published.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..families.facts import Published
from ..families.family import FAMILIES
from ..prompt.images import placed
from .graph import NodeCall
from .sockets import NO_FILE

# Endings of files that hold weights.
WEIGHT_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin")
# The inputs of loader nodes that name a file or a folder of files -> ComfyUI's model folder (or
# folders) of such files.
FILE_FOLDERS: Mapping[tuple[str, str], str] = {
    ("CheckpointLoaderSimple", "ckpt_name"): "checkpoints",
    ("UNETLoader", "unet_name"): "diffusion_models",
    ("CLIPLoader", "clip_name"): "text_encoders",
    ("DualCLIPLoader", "clip_name1"): "text_encoders",
    ("DualCLIPLoader", "clip_name2"): "text_encoders",
    ("VAELoader", "vae_name"): "vae",
    ("LoraLoader", "lora_name"): "loras",
    ("AstriaLoadLora", "lora_name"): "loras",
    ("AstriaPersonLora", "lora_name"): "loras",
    ("UpscaleModelLoader", "model_name"): "upscale_models",
    ("LoadDA3Model", "model_name"): "geometry_estimation",
    ("LoadMediaPipeFaceLandmarker", "model_name"): "detection",
    ("ControlNetLoader", "control_net_name"): "controlnet",
    ("ModelPatchLoader", "name"): "model_patches",
    ("CLIPVisionLoader", "clip_name"): "clip_vision",
    ("LoadBackgroundRemovalModel", "bg_removal_name"): "background_removal",
    ("AstriaLoadSegmenter", "background_removal"): "background_removal",
    ("AstriaLoadSegmenter", "sam3"): "checkpoints",
    ("AstriaLoadSegmenter", "grounding_dino"): "grounding-dino",
    ("AstriaLoadSegmenter", "sam"): "sams",
    ("AstriaLoadSegmenter", "clipseg"): "clipseg",
    ("AstriaLoadFaceAnalysis", "pack"): "insightface/models",
    ("AstriaLoadFaceSwapper", "swapper_name"): "insightface",
    ("AstriaLoadFaceID", "faceid_name"): "ipadapter",
    ("AstriaLoadFaceID", "eva_clip"): "clip_vision",
    ("AstriaLoadFaceID", "face_parsing"): "facedetection",
    ("AstriaSwapFaces", "face_parsing"): "facedetection",
    ("AstriaRestoreFaces", "face_parsing"): "facedetection",
    ("LoadImage", "image"): "input",
    ("LoadImageMask", "image"): "input",
}

# Model folders that ComfyUI does not know by itself, which users of such models already have: the
# key -> its name below the models folder. ComfyUI lists every file in them.
OWN_FOLDERS: Mapping[str, str] = {
    name: name
    for name in (
        "ipadapter",
        "pulid",
        "insightface",
        "clipseg",
        "grounding-dino",
        "sams",
        "luts",
        "facedetection",
    )
}


def _of_the_hub(
    folder: str, repository: str, *paths: str, licence: str = ""
) -> dict[tuple[str, str], Published]:
    """Return (model folder, file name) -> a repository's file, for each of these paths."""
    names = {path: path.rpartition("/")[2] for path in paths}
    return {
        (folder, name): Published(folder, name, repository, path, licence)
        for path, name in names.items()
    }


# Only files whose authors, or ComfyUI's own templates, publish them under this very name: a file of
# this name from elsewhere may be another one.
_PUBLISHED: Mapping[tuple[str, str], Published] = {
    **_of_the_hub(
        "checkpoints",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "sd_xl_base_1.0.safetensors",
        licence="CreativeML Open RAIL++-M",
    ),
    **_of_the_hub(
        "checkpoints",
        "Comfy-Org/stable-diffusion-v1-5-archive",
        "v1-5-pruned-emaonly-fp16.safetensors",
        licence="CreativeML Open RAIL-M",
    ),
    **_of_the_hub(
        "checkpoints", "Comfy-Org/sam3.1", "checkpoints/sam3.1_multiplex_fp16.safetensors"
    ),
    **_of_the_hub(
        "checkpoints", "Comfy-Org/SDPose", "checkpoints/sdpose_wholebody_fp16.safetensors"
    ),
    **_of_the_hub("upscale_models", "Kim2091/UltraSharp", "4x-UltraSharp.pth"),
    **_of_the_hub(
        "upscale_models", "Comfy-Org/Real-ESRGAN_repackaged", "RealESRGAN_x4plus.safetensors"
    ),
    **_of_the_hub(
        "controlnet",
        "comfyanonymous/ControlNet-v1-1_fp16_safetensors",
        "control_v11p_sd15_openpose_fp16.safetensors",
        "control_v11p_sd15_canny_fp16.safetensors",
        "control_v11p_sd15_lineart_fp16.safetensors",
        "control_v11f1p_sd15_depth_fp16.safetensors",
        "control_v11f1e_sd15_tile_fp16.safetensors",
        "control_v11p_sd15_softedge_fp16.safetensors",
        "control_v11p_sd15_mlsd_fp16.safetensors",
        "control_v11p_sd15_seg_fp16.safetensors",
    ),
    **_of_the_hub(
        "controlnet",
        "monster-labs/control_v1p_sd15_qrcode_monster",
        "control_v1p_sd15_qrcode_monster.safetensors",
    ),
    **_of_the_hub(
        "model_patches",
        "alibaba-pai/Z-Image-Turbo-Fun-Controlnet-Union-2.1",
        "Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors",
        licence="Apache-2.0",
    ),
    **_of_the_hub("embeddings", "datasets/gsdf/EasyNegative", "EasyNegative.safetensors"),
    **_of_the_hub("detection", "Comfy-Org/mediapipe", "detection/mediapipe_face_fp32.safetensors"),
    **_of_the_hub(
        "background_removal", "Comfy-Org/BiRefNet", "background_removal/birefnet.safetensors"
    ),
    **_of_the_hub(
        "geometry_estimation",
        "Comfy-Org/Depth-Anything-3",
        "geometry_estimation/depth_anything_3_mono_large.safetensors",
    ),
    **_of_the_hub(
        "ipadapter",
        "h94/IP-Adapter-FaceID",
        "ip-adapter-faceid-plusv2_sd15.bin",
        "ip-adapter-faceid-portrait_sd15.bin",
        "ip-adapter-faceid_sdxl.bin",
    ),
    **_of_the_hub("pulid", "guozinan/PuLID", "pulid_flux_v0.9.1.safetensors"),
    **_of_the_hub("clip_vision", "QuanSun/EVA-CLIP", "EVA02_CLIP_L_336_psz14_s6B.pt"),
    **{(file.folder, file.name): file for one in FAMILIES.values() for file in one.files},
}
# Those that are published elsewhere than on the hub.
_ELSEWHERE: Mapping[tuple[str, str], str] = {
    (
        "upscale_models",
        "GFPGANv1.4.pth",
    ): "https://github.com/TencentARC/GFPGAN/releases/download/v1.3.0/GFPGANv1.4.pth",
    (
        "facedetection",
        "parsing_bisenet.pth",
    ): "https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth",
}

# An embedding in the words of the host, also where a weight follows: (embedding:name.pt:1.2). Found
# ones stand there as the host lists them.
_EMBEDDING = re.compile(r"(?<![^\s(])embedding:([^\s:()]+\.(?:safetensors|pt|bin))\b")


class ModelFile(NamedTuple):
    """A file that a node names: ComfyUI's folder of such files, and its name there."""

    folder: str
    name: str

    @property
    def address(self) -> str | None:
        """Where the file is published; None where nobody can be sure."""
        place = self.folder, self.name
        return _PUBLISHED[place].address if place in _PUBLISHED else _ELSEWHERE.get(place)

    @property
    def licence(self) -> str:
        """The licence of a published file, "" where it is not known."""
        file = _PUBLISHED.get((self.folder, self.name))
        return file.licence if file is not None else ""

    def describe(self) -> str:
        """Return in Markdown where the file belongs, and where a picture of the reader's own
        does.
        """
        if self.folder == "input":
            name, folder = placed(self.name)
            return f"{folder}/{name}: your own picture, to be chosen in its Load Image node"
        place = f"models/{self.folder}/{self.name}"
        licence = f" ({self.licence}{self._gate})" if self.licence else ""
        return f"[{place}]({self.address}){licence}" if self.address else place

    def offer(self) -> str:
        """Return in plain words where the file is published and on what terms, "" where nobody can
        be sure.
        """
        if self.address is None:
            return ""
        gate = f", to be accepted by your account on {self._page} first" if self._page else ""
        return f"published at {self.address}{f' ({self.licence}{gate})' if self.licence else ''}"

    @property
    def _gate(self) -> str:
        """What stands before the download, "" where nothing does."""
        if not self._page:
            return ""
        return f", to be accepted by your account on [its page]({self._page}) before the download"

    @property
    def _page(self) -> str:
        """The page on which the licence has to be accepted, "" where none has."""
        file = _PUBLISHED.get((self.folder, self.name))
        gated = file is not None and file.is_gated
        return f"https://huggingface.co/{file.repository}" if gated else ""


def files_of(call: NodeCall) -> tuple[ModelFile, ...]:
    """Return the files that a loader node names, in the order of its inputs, and the embeddings in
    the text of a text encoder.
    """
    loaded = (
        ModelFile(_folder(call.class_type, key, value), value)
        for key, value in call.inputs.items()
        if (call.class_type, key) in FILE_FOLDERS and isinstance(value, str) and value != NO_FILE
    )
    text = call.inputs.get("text") if call.class_type == "CLIPTextEncode" else None
    said = _EMBEDDING.findall(text) if isinstance(text, str) else ()
    return (*loaded, *(ModelFile("embeddings", name) for name in said))


def _folder(class_type: str, key: str, file: str) -> str:
    """Return the folder of a file.

    PuLID and the IP-Adapters have one loader here, and a folder each.
    """
    folder = FILE_FOLDERS[class_type, key]
    return "pulid" if folder == "ipadapter" and "pulid" in file.lower() else folder
