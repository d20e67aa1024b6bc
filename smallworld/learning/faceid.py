"""Trains an IP-Adapter FaceID for the small SD1.5, in the published layout of the Portrait, which
has no LoRA: `python dev.py learn faceid`.

It learns over the world's files: the UNet, which stands still, and the recogniser, whose embedding
of a face in another picture is all that it is given of a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from ...devtools.console import say
from ...nodes.faceid.checkpoint import RECOGNISER, read_adapter
from ...nodes.faceid.ipadapter import Adapter, keys_values, project
from ...nodes.faces.face import EMBEDDING_SIZE
from .. import identities, model_files
from ..drawing import MARK, drawn
from ..identities import Identity
from ..landmarks import face_points, mark_points
from ..scene import CLOSE_UP_PX, NEAR_PX, Scene, random_scene
from .face_nets import PARTS, directions
from .host import open_host
from .loop import Learner, asked, state_file
from .quick import ATTENTION, quicken
from .unet import (
    CELL,
    Steering,
    Step,
    Taught,
    cells,
    loss_of,
    standing_still,
)

BATCH = 8
PICTURES = 2400
FIRST_SEED = 20_000_000
LOOKS = 8  # pictures of each face that embeddings are of
HIDDEN, TOKENS = 96, 4
KIND = "portrait"  # of FaceID: the one without a LoRA
SHARP, LESS = 4.0, 0.3  # of where the projection and the keys begin
DROPPED = 0.1  # how often no face is given, for classifier-free guidance
# How much an error counts in a mark, a head, and elsewhere; a mark is some cells of a latent.
MARKED, HEAD, ELSEWHERE = 16.0, 8.0, 1.0
CLOSE_UP = 4.0  # how much more often a close-up is seen, whose mark can be painted best
FALLS = 1.0  # all noise levels as often: little decides marks, much who is painted
LOOKING = 0.05  # how much it costs that a layer's cells look elsewhere than at marks
LEAST_CELLS = 64  # of a layer whose cells are no larger than marks
# How much of what was learned a strength of 1 is. In a dozen close-ups by all of it 68 % of the
# words are right and 33 % of the marks in place; by this 89 and 25 %.
STRENGTH = 0.75
VALUES = "to_v_ip"  # the layers whose output is what an adapter adds
AT_ONCE = 16


def scene_of(seed: int, identity: Identity) -> Scene:
    """Return a scene of one person with that face, near or close up."""
    while True:
        scene = random_scene(seed, people=1)
        [figure] = scene.figures
        if figure.head_px >= NEAR_PX[0]:
            return replace(scene, figures=(replace(figure, identity=identity),))
        seed += 1_000_000


def weights_of_marks(scene: Scene) -> Tensor:
    """Return [H,W] of the latent's cells: little, more in heads, most in marks."""
    x, y = cells(scene)
    found = np.full((scene.height // CELL, scene.width // CELL), ELSEWHERE, np.float32)
    for figure in scene.figures:
        found[np.hypot(x - figure.x, y - figure.y) < 1.3 * figure.head_px] = HEAD
    found = torch.from_numpy(found)
    return torch.where(marks_of(scene) > 0, MARKED, found)


def marks_of(scene: Scene) -> Tensor:
    """Return [H,W] of the latent's cells: 1 where the mark of a face reaches, else 0."""
    x, y = cells(scene)
    found = np.zeros((scene.height // CELL, scene.width // CELL), np.float32)
    for figure in scene.figures:
        reach = MARK * figure.head_px + CELL / 2
        for right, down in mark_points(figure):
            found[(abs(x - right) < reach) & (abs(y - down) < reach)] = 1
    return torch.from_numpy(found)


class Portraits:
    """Latents of pictures of one person, as the model takes them, and their scenes."""

    def __init__(self, parts: Mapping[tuple[int, int], tuple[list[Scene], Tensor]]) -> None:
        self._parts = list(parts.values())
        self._counts = [np.array([_count(one) for one in scenes]) for scenes, _ in self._parts]
        whole = np.array([one.sum() for one in self._counts])
        self._shares = whole / whole.sum()

    def some(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Scene]]:
        """Return latents [count,C,h,w] of one size and their scenes."""
        number = rng.choice(len(self._parts), p=self._shares)
        scenes, latents = self._parts[number]
        counts = self._counts[number]
        chosen = rng.choice(len(scenes), size=count, p=counts / counts.sum())
        return latents[chosen].float(), [scenes[one] for one in chosen]


def _count(scene: Scene) -> float:
    return CLOSE_UP if scene.figures[0].head_px >= CLOSE_UP_PX[0] else 1.0


def portraits(work: Path, model: Any, vae: Any) -> Portraits:
    """Return the pictures to learn from, encoded once."""
    people = identities.learned
    scenes = [scene_of(FIRST_SEED + at, people[at % len(people)]) for at in range(PICTURES)]
    by_size: dict[tuple[int, int], list[Scene]] = {}
    for scene in scenes:
        by_size.setdefault((scene.width, scene.height), []).append(scene)
    file = work / "latents_faceid.pt"
    if not file.exists():
        say(f"encoding {PICTURES} pictures")
        torch.save({size: _encoded(some, model, vae) for size, some in by_size.items()}, file)
    latents = torch.load(file, weights_only=False)
    return Portraits({size: (some, latents[size]) for size, some in by_size.items()})


@torch.no_grad()
def _encoded(scenes: Sequence[Scene], model: Any, vae: Any) -> Tensor:
    """Return latents [n,C,h,w], half precision."""
    found = []
    for at in range(0, len(scenes), AT_ONCE):
        pixels = np.stack([np.asarray(drawn(one)) for one in scenes[at : at + AT_ONCE]])
        z = vae.encode(torch.from_numpy(pixels).float() / 255)
        found.append(model.process_latent_in(z).half())
    return torch.cat(found)


def embeddings() -> dict[Identity, Tensor]:
    """Return the world's own embeddings [n,512] of each learned face in pictures of its own."""
    from ...nodes.faces.insight import load_pack

    recogniser = load_pack(model_files.face_pack()).recogniser
    found = {}
    for number, identity in enumerate(identities.learned):
        first = FIRST_SEED // 2 + number * LOOKS
        scenes = [scene_of(first + look, identity) for look in range(LOOKS)]
        vectors = [
            recogniser.embed(np.array(drawn(one)), [face_points(one.figures[0])]) for one in scenes
        ]
        found[identity] = torch.from_numpy(np.concatenate(vectors))
    return found


Block = tuple[str, int, int]  # the host's key of a transformer block


class FaceID(nn.Module):
    """The weights of an adapter, named as in its file, over the cross-attentions of a UNet in the
    order in which adapters count them.
    """

    def __init__(self, attentions: Sequence[nn.Module]) -> None:
        super().__init__()
        width = attentions[0].to_k.in_features
        self.image_proj = nn.Module()
        self.image_proj.proj = nn.Sequential(
            nn.Linear(EMBEDDING_SIZE, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width * TOKENS)
        )
        self.image_proj.norm = nn.LayerNorm(width)
        self._begin_projection()
        self.ip_adapter = nn.ModuleDict()
        for number, attention in enumerate(attentions):
            own = nn.ModuleDict()
            for part in "kv":
                layer = getattr(attention, f"to_{part}")
                own[f"to_{part}_ip"] = nn.Linear(layer.in_features, layer.out_features, bias=False)
            own["to_k_ip"].weight.data.copy_(attention.to_k.weight * LESS)
            nn.init.zeros_(own["to_v_ip"].weight)
            self.ip_adapter[str(2 * number + 1)] = own

    def _begin_projection(self) -> None:
        """Let each hidden unit stand for a value of one of the recogniser's three parts: tokens
        then add up what a face is made of, so that what is learned of some holds for others.
        """
        first, _, second = self.image_proj.proj
        known = directions()
        own = known.inverse().T  # by which a part is 1 for its value, and 0 for others
        every = own.sum(0)  # 1 for all values
        units = [
            torch.kron(torch.kron(*(one if at == part else every for at in (0, 1))), last)
            for part in range(len(PARTS))
            for one in own
            for last in [one if part == len(PARTS) - 1 else every]
        ]
        copies = HIDDEN // len(units)
        with torch.no_grad():
            first.weight.copy_(SHARP * torch.stack(units).repeat(copies, 1))
            nn.init.constant_(first.bias, -SHARP / 3)
            nn.init.normal_(second.weight, std=HIDDEN**-0.5)
            nn.init.zeros_(second.bias)

    @property
    def adapter(self) -> Adapter:
        """The adapter that these weights are, as they learn."""
        return read_adapter(dict(self.named_parameters()), "smallworld", KIND)


def beginning(patcher: Any) -> tuple[FaceID, list[Block]]:
    """Return an adapter over the UNet of a MODEL, and the keys of its blocks in their order."""
    from ...nodes.faceid.host.unet import cross_attentions

    sites = cross_attentions(patcher)
    attentions = [patcher.model.get_submodule(site.path) for site in sites]
    return FaceID(attentions), [site.block for site in sites]


def steering(model: FaceID, blocks: Sequence[Block], faces: Mapping[Identity, Tensor]) -> Steering:
    """Return what gives a UNet the faces of pictures' people; `blocks` are the host's keys."""

    def steer(step: Step) -> dict[str, Any]:
        given = torch.stack([_face_of(scene, faces, step.rng) for scene in step.scenes])
        marks = torch.stack([marks_of(scene) for scene in step.scenes])
        counts = torch.stack([weights_of_marks(scene) for scene in step.scenes])
        looked = _Looked(marks * given.any(1).view(-1, 1, 1), counts, step.costs)
        return {"transformer_options": {**ATTENTION, **attending(model, blocks, given, looked)}}

    return steer


class _Looked:
    """What it costs that cells look at the first token where no mark [n,H,W] stands, and at others
    where one does: the noise's error alone tells too little of where marks stand. Cells count by
    `counts` [n,H,W].
    """

    def __init__(self, marks: Tensor, counts: Tensor, costs: list[Tensor]) -> None:
        self._marks, self._counts = marks, counts
        self._costs = costs

    def __call__(self, q: Tensor, keys: Tensor, extra: Mapping[str, Any]) -> None:
        """Add the cost of a layer, unless its cells are larger than marks."""
        rows, _, height, width = extra["activations_shape"]
        if height * width < LEAST_CELLS:
            return
        marks, counts = (
            functional.adaptive_avg_pool2d(one, (height, width)).view(rows, 1, -1)
            for one in (self._marks, self._counts)
        )
        heads = extra["n_heads"]
        q, keys = (one.float().unflatten(2, (heads, -1)).transpose(1, 2) for one in (q, keys))
        found = q @ keys.transpose(2, 3) * q.shape[-1] ** -0.5
        every = found.logsumexp(-1)
        there, away = every - found[..., 0], every - found[..., 1:].logsumexp(-1)
        marked, plain = marks.expand_as(there), ((1 - marks) * counts).expand_as(there)
        cost = (there * marked).sum() / marked.sum().clamp(min=1)
        self._costs.append(LOOKING * (cost + (away * plain).sum() / plain.sum()))


def attending(
    model: FaceID,
    blocks: Sequence[Block],
    given: Tensor,
    looked: Callable[[Tensor, Tensor, Mapping[str, Any]], None] = lambda q, keys, extra: None,
) -> dict[str, Any]:
    """Return the host's options by which each row of a batch attends to a face of its own too;
    `looked` is told each layer's queries, keys and what the host says of it.

    Shapes: given [n,512], zeros for nobody.
    """
    from comfy.ldm.modules.attention import optimized_attention

    def patched(own: tuple[Tensor, Tensor]) -> Callable[..., Tensor]:
        def attend(q: Tensor, k: Tensor, v: Tensor, extra: Mapping[str, Any]) -> Tensor:
            looked(q, own[0], extra)
            said, seen = (
                optimized_attention(q, *one, extra["n_heads"], transformer_options=extra)
                for one in ((k, v), own)
            )
            return said + seen

        return attend

    adapter = model.adapter
    pairs = keys_values(adapter, project(adapter, functional.normalize(given, dim=1), None))
    own = {block: patched(pair) for block, pair in zip(blocks, pairs, strict=True)}
    return {"patches_replace": {"attn2": own}}


def _face_of(scene: Scene, faces: Mapping[Identity, Tensor], rng: np.random.Generator) -> Tensor:
    """Return an embedding [512] of a scene's person, or zeros."""
    [figure] = scene.figures
    known = faces[figure.identity]
    return known[rng.integers(len(known))] * float(rng.random() >= DROPPED)


def save_faceid(work: Path) -> list[Path]:
    """Write what was learned, half precision, its values times STRENGTH, and return the file."""
    state = state_file(work, "faceid")
    if not state.exists():
        return []
    weights = torch.load(state, weights_only=False)["average"]
    scales = {name: STRENGTH if VALUES in name else 1.0 for name in weights}
    kept = {name: (value * scales[name]).half().contiguous() for name, value in weights.items()}
    path = model_files.faceid()
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"description": model_files.ABOUT, RECOGNISER: model_files.NAME}
    save_file(kept, path, about)
    return [path]


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "faceid", 4000)
    given.work.mkdir(parents=True, exist_ok=True)
    open_host()
    patcher, vae, rows, network = standing_still()
    pictures = portraits(given.work, patcher.model, vae)
    torch.manual_seed(18)
    model, blocks = beginning(patcher)
    quicken(network)
    steer = steering(model, blocks, embeddings())
    sigmas = patcher.model.model_sampling.sigmas
    taught = Taught(pictures, rows, sigmas, BATCH, steer, weights_of_marks, FALLS)
    learner = Learner(
        "faceid", model, given.work, given.steps, ("",), adam=2e-3, adds_in_place=False
    )
    learner.run(loss_of(network, taught), given.minutes)
