"""Trains a pose ControlNet for the small SD1.5, as a Control-LoRA: `python dev.py learn pose`.

A Control-LoRA keeps what of a ControlNet differs from its UNet, and the host makes the rest of the
UNet that it steers. The UNet stands still.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ...nodes.regions.pose import HEADS_TO_KNEE, KEYPOINTS, Point, Skeleton, draw, standing
from .. import model_files
from ..scene import CLOSE_UP_PX, FAR_PX, TO_FEET, Figure, Scene
from .data import Pictures, Rows
from .host import open_host
from .loop import Learner, asked, state_file
from .low_rank import lowered
from .quick import quicken
from .unet import Steering, Step, Taught, clip_encoder, clip_tokens, loss_of

BATCH = 8
RANK = 16
FILED = 8  # ranks of the file: of two people in 40 scenes as many words are right as by all
MARK = "lora_controlnet"  # by which the host knows a Control-LoRA
OWN = ("input_hint_block", "zero_convs", "middle_block_out")  # what its UNet has not
HEADS_TO_ANKLE = 7.6
# Elbow and wrist of a person's right arm, in heads from the crown: hanging, and raised.
HANGING = ((-0.95, 2.7), (-1.0, 3.7))
RAISED = ((-1.2, 1.4), (-1.4, 0.4))


def pose_of(scene: Scene, rng: np.random.Generator) -> Tensor:
    """Return the skeletons [1,H,W,3] of a scene's people, 0..1: who stands where, and their arms.

    They have a grown person's proportions, as the pack's constant pose has, and drawn people large
    heads: so their feet stand together, and how tall a skeleton is beside its person varies.
    """
    people = tuple(skeleton_of(figure, scene, rng) for figure in scene.figures)
    return draw(people, scene.width, scene.height)


def skeleton_of(figure: Figure, scene: Scene, rng: np.random.Generator) -> Skeleton:
    """Return the keypoints of a person."""
    crown, head, is_whole = _stature_of(figure, rng)
    size = (scene.width, scene.height)
    points = list(standing(figure.x, crown, head, size, whole=is_whole))
    for side, arm in _arms_of(figure.pose, rng).items():
        across = -1 if side == "left" else 1
        for joint, (x, y) in zip(("elbow", "wrist"), arm, strict=True):
            point = (figure.x + across * x * head) / size[0], (crown + y * head) / size[1]
            points[KEYPOINTS.index(f"{side}_{joint}")] = point
    return tuple(points)


def _stature_of(figure: Figure, rng: np.random.Generator) -> tuple[float, float, bool]:
    """Return where a skeleton's crown is and how high its head, in pixels, and whether it has
    feet.
    """
    unit = figure.head_px
    feet = figure.y + TO_FEET * unit
    is_whole = unit <= FAR_PX[1] or rng.random() < 0.3
    if unit >= CLOSE_UP_PX[0]:
        head = unit * rng.uniform(1.8, 2.4)
        return figure.y - 0.62 * head, head, is_whole
    if is_whole:
        head = min(unit * rng.uniform(0.7, 1.1), feet / HEADS_TO_ANKLE)
        return feet - HEADS_TO_ANKLE * head, head, is_whole
    head = min(unit * rng.uniform(1.0, 1.8), (feet - 2) / HEADS_TO_KNEE)
    return feet + rng.uniform(-4, 4) - HEADS_TO_KNEE * head, head, is_whole


def _arms_of(pose: str, rng: np.random.Generator) -> dict[str, tuple[Point, Point]]:
    """Return the arms, left or right, that are not crossed."""
    hanging = () if rng.random() < 0.5 else ("left", "right")
    raised = {"standing": (), "waving": ("left",), "cheering": ("left", "right")}[pose]
    return {**dict.fromkeys(hanging, HANGING), **dict.fromkeys(raised, RAISED)}


def control_lora(unet: torch.nn.Module, seed: int = 17) -> torch.nn.Module:
    """Return the host's ControlNet over a UNet's weights, which stand still.

    What learns is the picture's way in, the ways out, which begin with nothing, and a LoRA of each
    layer.
    """
    import comfy.ops
    from comfy.cldm.cldm import ControlNet
    from comfy.controlnet import ControlLoraOps

    from ..host.models import sd15

    class Layers(ControlLoraOps, comfy.ops.disable_weight_init):
        """The host's own for Control-LoRAs."""

    config = {key: value for key, value in sd15().unet_config.items() if key != "out_channels"}
    model = ControlNet(**config, hint_channels=3, operations=Layers)
    weights = unet.state_dict()
    generator = torch.Generator().manual_seed(seed)
    for name, layer in model.named_modules():
        if name.startswith(OWN):
            if isinstance(layer, Layers.Conv2d):
                _begin(layer, generator, is_zero=not name.startswith(OWN[0]))
            continue
        for kind in ("weight", "bias"):
            if (value := weights.get(f"{name}.{kind}")) is not None:
                setattr(layer, kind, torch.nn.Parameter(value.clone(), requires_grad=False))
        if isinstance(layer, Layers.Linear | Layers.Conv2d):
            flat = layer.weight.flatten(1)
            down = torch.randn(RANK, flat.shape[1], generator=generator) * flat.shape[1] ** -0.5
            layer.down = torch.nn.Parameter(down)
            layer.up = torch.nn.Parameter(torch.zeros(len(flat), RANK))
    return model


def _begin(layer: torch.nn.Module, generator: torch.Generator, *, is_zero: bool) -> None:
    """Give a convolution, which the host makes without values, its first ones."""
    side = layer.kernel_size
    weight = torch.randn(layer.out_channels, layer.in_channels, side, side, generator=generator)
    spread = 0.0 if is_zero else weight[0].numel() ** -0.5
    layer.weight = torch.nn.Parameter(weight * spread)
    layer.bias = torch.nn.Parameter(torch.zeros(layer.out_channels))


def steering(model: torch.nn.Module) -> Steering:
    """Return what steers by the skeletons of pictures' people."""
    from comfy.controlnet import ControlBase

    merge = ControlBase().control_merge

    def steer(step: Step) -> dict[str, Any]:
        poses = torch.cat([pose_of(scene, step.rng) for scene in step.scenes]).movedim(-1, 1)
        found = model(step.noisy, poses, step.times, step.context)
        return {"control": merge(found, None, None)}

    return steer


def save_pose(work: Path) -> list[Path]:
    """Write what was learned as a Control-LoRA, half precision, and return the file."""
    state = work / "pose.state.pt"
    if not state.exists():
        return []
    weights = lowered(torch.load(state, weights_only=False)["average"], FILED)
    kept = {
        name: value.half().contiguous()
        for name, value in weights.items()
        if name.startswith(OWN) or name.endswith((model_files.UP, model_files.DOWN))
    }
    path = model_files.pose()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({MARK: torch.zeros(1), **kept}, path, {"description": model_files.ABOUT})
    return [path]


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "pose", 1200)
    open_host()
    from comfy.model_sampling import ModelSamplingDiscrete

    from ..host.models import sd15

    rows = Rows(clip_tokens())
    config = sd15()
    config.set_inference_dtype(torch.float32, None)
    unet = config.get_model({}, "").diffusion_model
    network = torch.nn.ModuleDict({"unet": unet, "clip": clip_encoder(len(rows.ids))})
    network.load_state_dict(
        torch.load(state_file(given.work, "unet"), weights_only=False)["average"]
    )
    network.requires_grad_(False)
    model = control_lora(unet)
    quicken(network)
    quicken(model)
    sigmas = ModelSamplingDiscrete(config).sigmas
    taught = Taught(Pictures(given.work, 4), rows, sigmas, BATCH, steering(model))
    learner = Learner("pose", model, given.work, given.steps, ("",), adam=1e-3)
    learner.run(loss_of(network, taught), given.minutes)
