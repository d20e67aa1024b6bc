"""Trains the small Flux.1 by what its text encoders say: `python dev.py learn flux`.

In the second part it learns to paint as with classifier-free guidance in one pass, as the published
one does (Meng et al. 2023), from its own average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..scene import FAR_PX, Scene
from . import layout
from .data import Pictures, Rows, fitting
from .encoders import use_encoders
from .host import open_host, start
from .loop import Learner, asked, on_cpu
from .quick import ATTENTION, CPU, compile_blocks, half, keep_inputs
from .unet import CHUNK, clip_encoder, clip_tokens, weights_of

BATCH = 16
POOL = 4  # batches that are drawn at once, to take one of them
LONGEST = 96  # tokens of T5
DISTILLED = 0.9  # from which part of the training on guidance is learned
MOST_GUIDANCE = 5.0
# How much noise there is in what is learned, in logits: the host's sampler of this family spends
# most of its steps above 0.9, where it is decided who stands where.
NOISE, NOISE_SPREAD = 1.0, 1.3
FROM_MIDDLE_PX = 8  # how far people stand off the middle of their part of a picture
LAYOUT = 0.2  # how much it costs that states behind the double blocks do not tell what stands where
END, PADDING = 1, 0  # T5's tokens


def t5_tokens() -> Callable[[str], list[int]]:
    """Return what gives the host's T5 tokens of a text, to its end."""
    from comfy.text_encoders.flux import T5XXLTokenizer

    tokenizer = T5XXLTokenizer()

    def tokens(text: str) -> list[int]:
        [chunk] = tokenizer.tokenize_with_weights(text)
        found = [int(token[0]) for token in chunk]
        return found[: found.index(END) + 1]

    return tokens


def t5_encoder(rows: int) -> torch.nn.Module:
    """Return the host's T5 with a token table of that many rows."""
    import comfy.ops
    from comfy.text_encoders.t5 import T5

    from ..host import models

    bare = comfy.ops.disable_weight_init
    t5 = T5(models.T5, torch.float32, "cpu", bare)
    t5.shared = bare.Embedding(rows, models.T5["d_model"])
    return t5


def t5_states(model: torch.nn.Module, rows: Tensor) -> Tensor:
    """Return the states [B,T,C] of texts' rows [B,T]."""
    # The kernels that are quicker give T5's biases no gradient.
    with sdpa_kernel(SDPBackend.MATH):
        return model(rows, None)[0]


def first_model(work: Path, clip_rows: int, t5_rows: int) -> torch.nn.ModuleDict:
    """Return the host's Flux with first weights, and its encoders, which have learned."""
    from ..host import models

    config = models.flux()
    config.set_inference_dtype(torch.float32, None)
    flux = config.get_model({}, "").diffusion_model
    model = torch.nn.ModuleDict(
        {"flux": flux, "clip": clip_encoder(clip_rows), "t5": t5_encoder(t5_rows)}
    )
    still = [f"flux.{name}" for name, _ in flux.named_parameters() if "mod" in name]
    start(model, seed=16, zero=("flux.final_layer.", *still))
    use_encoders(model, work, ("clip", "t5"))
    keep_inputs(flux)
    model["layout"] = layout.head(flux.hidden_size)
    return model


def noise_levels(count: int) -> Tensor:
    """Return random sigmas [count], each of its own part of their distribution: logit-normal (Esser
    et al. 2024, SD3).
    """
    at = (torch.arange(count) + torch.rand(count)) / count
    normal = torch.special.ndtri(at.clamp(5e-4, 1 - 5e-4))
    return (NOISE + NOISE_SPREAD * normal).sigmoid()


def is_plain(scene: Scene) -> bool:
    """Say whether everybody stands near, in the middle of their part of the picture.

    Where one person may stand anywhere, this transformer paints that one at two places at once.
    """
    room = scene.width / max(len(scene.figures), 1)
    return all(
        figure.head_px > FAR_PX[1] and abs(figure.x - room * (number + 0.5)) <= FROM_MIDDLE_PX
        for number, figure in enumerate(scene.figures)
    )


class Texts:
    """What the transformer is told, as rows of both encoders' short token tables."""

    def __init__(self) -> None:
        self.clip = Rows(clip_tokens())
        self.t5 = Rows(t5_tokens(), more=(PADDING,))

    def of(self, scenes: Sequence[Scene], rng: np.random.Generator) -> tuple[list[int], list[str]]:
        """Return a part of the scenes, by their places, and texts of about one length: padding
        would be learned from, and takes time.
        """
        said = [fitting(scene, rng, self._length, LONGEST) for scene in scenes]
        by_length = np.argsort([self._length(text) for text in said], kind="stable")
        count = len(scenes) // POOL
        first = rng.integers(POOL) * count
        chosen = by_length[first : first + count].tolist()
        return chosen, [said[one] for one in chosen]

    def _length(self, text: str) -> int:
        # What is too long for CLIP is too long.
        return len(self.t5.of(text)) if len(self.clip.of(text)) == CHUNK else LONGEST + 1

    @torch.no_grad()
    def states(self, model: torch.nn.ModuleDict, said: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return what a model's `t5` and `clip` say: states [B,T,C] and pooled ones [B,C]."""
        device = next(model.parameters()).device
        rows = [self.t5.of(text) for text in said]
        # A text of one token has no gradient that PyTorch finds.
        longest = max(2, *(len(one) for one in rows))
        padding = self.t5[PADDING]
        filled = torch.tensor([one + [padding] * (longest - len(one)) for one in rows])
        ends = [min(self._ends(text), CHUNK) for text in said]
        tokens = torch.tensor([self.clip.of(text) for text in said], device=device)
        context = t5_states(model["t5"], filled.to(device))
        return context, model["clip"](tokens, num_tokens=ends)[3]

    def _ends(self, text: str) -> int:
        """Return how many tokens CLIP's text has to its end; the end's state is the pooled one."""
        rows = self.clip.of(text)
        return rows.index(self.clip[49407]) + 1


def flow(
    flux: torch.nn.Module,
    x: Tensor,
    sigma: Tensor,
    said: tuple[Tensor, Tensor],
    guidance: Tensor,
    **more: Tensor,
) -> Tensor:
    """Return the flow's direction [B,C,h,w] that a transformer finds at noise levels [B], by texts'
    states and pooled ones; `more` is what its forward takes beside them.
    """
    context, pooled = said
    options = dict(ATTENTION)
    with half(x.device):
        found = flux(x, sigma, context, pooled, guidance, transformer_options=options, **more)
    return found.float()


class Loss:
    """What a step costs: the error of the flow's direction, later of the guided one, weighted by
    what is there; `first` gives a model as it began, to hold the average that teaches guidance.
    """

    def __init__(
        self,
        learner: Learner,
        pictures: Pictures,
        texts: Texts,
        first: Callable[[], torch.nn.ModuleDict],
    ) -> None:
        self._learner = learner
        self._pictures = pictures
        self._texts = texts
        self._first = first
        self._teacher: torch.nn.ModuleDict | None = None
        self._taught_by = learner.work / "flux.teacher.pt"
        if learner.part < DISTILLED:
            self._taught_by.unlink(missing_ok=True)  # of a shorter training
        self._states: Tensor | None = None  # of the image's patches, behind the double blocks
        learner.model["flux"].double_blocks[-1].register_forward_hook(self._keep)

    def _keep(self, block: torch.nn.Module, given: object, found: tuple[Tensor, Tensor]) -> None:
        self._states = found[0]

    def __call__(self, step: int) -> Tensor:
        rng = np.random.default_rng(step)
        x, scenes = self._pictures.some(rng, POOL * BATCH)
        chosen, spoken = self._texts.of(scenes, rng)
        x, scenes = x[chosen], [scenes[one] for one in chosen]
        sigma = noise_levels(BATCH)
        # Drawn on the CPU: the same numbers on every device.
        noise = torch.randn_like(x)
        guidance = 1 + (MOST_GUIDANCE - 1) * torch.rand(BATCH)
        x, sigma, noise, guidance = (
            one.to(self._learner.device) for one in (x, sigma, noise, guidance)
        )
        plain = torch.ones_like(guidance)
        noisy = x.lerp(noise, sigma.view(-1, 1, 1, 1))
        model = self._learner.model
        said = self._texts.states(model, spoken)
        counts = torch.stack([weights_of(scene) for scene in scenes])[:, None].to(x.device)
        if self._learner.part < DISTILLED:
            found = flow(model["flux"], noisy, sigma, said, plain)
            wanted = torch.stack([layout.layout_of(scene) for scene in scenes]).to(x.device)
            off = (model["layout"](self._states.float()) - wanted).square().sum(2).mean()
            return ((found - (noise - x)).square() * counts).mean() + LAYOUT * off
        with torch.no_grad():
            teacher = self._teach()
            taught = flow(teacher["flux"], noisy, sigma, said, plain)
            nothing = self._texts.states(model, [""] * BATCH)
            empty = flow(teacher["flux"], noisy, sigma, nothing, plain)
        guided = empty + guidance.view(-1, 1, 1, 1) * (taught - empty)
        found = flow(model["flux"], noisy, sigma, said, guidance)
        return ((found - guided).square() * counts).mean()

    def _teach(self) -> torch.nn.ModuleDict:
        if self._teacher is None:
            self._teacher = self._first().to(self._learner.device).requires_grad_(False)
            if not self._taught_by.exists():
                torch.save(on_cpu(self._learner.average), self._taught_by)
            self._teacher.load_state_dict(torch.load(self._taught_by, map_location=CPU))
        return self._teacher


def main(argv: Sequence[str]) -> None:
    """Train, or go on."""
    given = asked(argv, "flux", 16500, device="cpu", compiled=0)
    open_host()
    texts = Texts()
    pictures = Pictures(given.work, 16, is_plain)
    first = partial(first_model, given.work, len(texts.clip.ids), len(texts.t5.ids))
    model = first()
    plain = ("img_in", "txt_in", "vector_in", "time_in", "guidance_in", "final_layer", "layout")
    about = {
        "clip_tokens": texts.clip.ids,
        "t5_tokens": texts.t5.ids,
        "mean": pictures.mean,
        "spread": pictures.spread,
    }
    learner = Learner(
        "flux",
        model,
        given.work,
        given.steps,
        plain,
        adds_in_place=False,
        about=about,
        device=given.device,
    )
    use_encoders(model, given.work, ("clip", "t5"))  # a state may hold others
    if given.compiled:
        compile_blocks([*model["flux"].double_blocks, *model["flux"].single_blocks])
    learner.run(Loss(learner, pictures, texts, first), given.minutes)
