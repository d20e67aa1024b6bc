"""The small world's model files, laid out as ComfyUI's own folder of models.

Its files stand in a folder of the world's name, so that a list of models says whose they are.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

FOLDER = Path(__file__).resolve().parent / "models"
NAME = "smallworld"
ABOUT = (
    "Of a small drawn world. It was trained on drawings alone, and knows nothing of real people,"
    " pictures or words."
)  # in every file
NETWORK, ENCODERS = "diffusion_model.", "text_encoders."  # of a checkpoint: what names begin with
UP, DOWN = ".up", ".down"  # of a layer: factors whose product, [out,in], changes its weight
# Family -> the layer of its network by which inpainting models see more.
WAYS_IN = {"sd15": "input_blocks.0.0", "flux": "img_in"}
VAES = {"sd15": "vae4", "flux": "vae16"}  # family -> its autoencoder


def path_of(name: str) -> Path:
    """Return where a family's checkpoint, or an autoencoder, is kept."""
    kind = "vae" if name in VAES.values() else "checkpoints"
    return FOLDER / kind / NAME / f"{name}.safetensors"


def families() -> tuple[str, ...]:
    """Return the families whose files are there."""
    return tuple(
        family for family, vae in VAES.items() if path_of(family).exists() and path_of(vae).exists()
    )


def face_pack() -> Path:
    """Return the folder of the face detector and the face recogniser."""
    return FOLDER / "insightface" / "models" / NAME


def upscaler() -> Path:
    """Return the file of the upscaler."""
    return FOLDER / "upscale_models" / NAME / "x4.safetensors"


def pose() -> Path:
    """Return the file of the pose ControlNet."""
    return FOLDER / "controlnet" / NAME / "sd15_pose.safetensors"


def faceid() -> Path:
    """Return the file of the IP-Adapter FaceID."""
    return FOLDER / "ipadapter" / NAME / "sd15_faceid.safetensors"


def inpaint(family: str) -> Path:
    """Return the file of a family's inpainting model, a delta of its own."""
    return FOLDER / "checkpoints" / NAME / f"{family}_inpaint.safetensors"


def loras(family: str) -> dict[int, str]:
    """Return the LoRAs of people for a family that are there: number of the identity -> its name as
    ComfyUI lists it.

    Their files are named FAMILY_NUMBER.safetensors.
    """
    files = sorted((FOLDER / "loras" / NAME).glob(f"{family}_[0-9]*.safetensors"))
    return {int(file.stem.rpartition("_")[2]): f"{NAME}/{file.name}" for file in files}


def loading(checkpoint: object) -> dict[str, str]:
    """Return the inputs of the world's loader for a checkpoint as ComfyUI lists it: a family's own,
    or one that the host saved of it, named FAMILY_ANYTHING. Empty where it is none of the world's.
    """
    parts = PureWindowsPath(checkpoint).parts if isinstance(checkpoint, str) else ()
    stem = PureWindowsPath(parts[-1]).stem if parts else ""
    family = stem.partition("_")[0]
    if parts[:-1] != (NAME,) or family not in VAES:
        return {}
    return {"family": family} if stem == family else {"family": family, "saved": str(checkpoint)}
