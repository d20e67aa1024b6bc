"""A tiny adapter for tiny Flux models, short runs with it, and the reference's forward pass by
hand.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...nodes.faceid.pulid import cross_attentions_of
from ...nodes.regions.run import RegionRun
from ..regions.comfy_inprocess import load, text
from ..regions.regional_support import one_thread
from .pulid_oracle import Oracle
from .pulid_support import PulidSize, make_identity, pulid_shapes, random_weights, weights

SIZE = PulidSize(attentions=2, width=128, inner=256, out=48, queries=6)

# Number, strength, and mask over the picture's tokens.
People = Sequence[tuple[int, float, Tensor | float]]


class Adapter:
    """An adapter whose people have random tokens; its attentions are the real ones."""

    def __init__(self, attentions: int = 2) -> None:
        shapes = pulid_shapes(SIZE._replace(attentions=attentions))
        tensors = random_weights(
            {key: shape for key, shape in shapes.items() if key.startswith("pulid_ca.")}
        )
        blocks = cross_attentions_of(weights(tensors), load("comfy.ops").manual_cast)
        cpu = torch.device("cpu")
        self.name = "pulid_tiny.safetensors"
        self.oracle = Oracle(tensors)
        self.blocks = load("comfy.model_patcher").CoreModelPatcher(
            blocks, load_device=cpu, offload_device=cpu
        )

    def tokens(self, identity: Any) -> Tensor:
        """[2,T,C]: the person's, by the number in their title, and nobody's."""
        return torch.stack(
            [
                torch.randn(SIZE.queries, SIZE.out, generator=torch.Generator().manual_seed(seed))
                for seed in (100 + int(identity.title.split()[1]), 99)
            ]
        )


adapter_of = functools.cache(Adapter)
atexit.register(adapter_of.cache_clear)  # as regional_support does with its models


def use(
    person: int = 1,
    strength: float = 1.0,
    start: float = 0.0,
    end: float = 1.0,
    adapter: Any = None,
) -> Any:
    return load("comfyui_astria.nodes.faceid.use").FaceIDUse(
        adapter or adapter_of(), make_identity(seed=person), strength, start, end
    )


def apply(model: Any, *uses: tuple[Any, Any], run: RegionRun | None = None) -> Any:
    return load("comfyui_astria.nodes.faceid.host.flux").apply_pulid(model, uses, run)


def sampled(
    model: Any,
    *,
    size: tuple[int, int] = (8, 12),
    cfg: float = 1.0,
    steps: int = 2,
    seeds: Sequence[int] = (3,),
    positive: Any = None,
    negative: Any = None,
) -> Tensor:
    noise = torch.cat(
        [torch.randn(1, 16, *size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    positive, negative = positive or text("flux", 1), negative or text("flux", 2)
    with one_thread():
        return load("comfy.sample").sample(
            model,
            noise,
            steps,
            cfg,
            "euler",
            "simple",
            positive,
            negative,
            torch.zeros_like(noise),
            disable_pbar=True,
            seed=0,
        )


def deep_model() -> Any:
    """A Flux with every kind of place: five double blocks and nine single ones."""
    families = load("comfyui_astria.tests.testpack.families")
    plain = families.FAMILIES["flux"]().unet_config
    config = load("comfy.supported_models").Flux({**plain, "depth": 5, "depth_single_blocks": 9})
    config.set_inference_dtype(torch.float32, None)
    cpu = torch.device("cpu")
    model = config.get_model({}, "", device=cpu)
    load("comfyui_astria.tests.testpack.weights").fill(model.diffusion_model, seed=0)
    return load("comfy.model_patcher").CoreModelPatcher(model, load_device=cpu, offload_device=cpu)


class ByHand:
    """Flux' blocks run one after another as the reference does.

    flux/model.py of github.com/ToTheBeginning/PuLID. Negative rows see nobody's face.
    """

    def __init__(self, people: People, steps: Callable[[int], bool], adapter: Any) -> None:
        self._people = people
        self._steps = steps
        self._adapter = adapter
        self._sigmas: list[float] = []
        self._attention = 0

    def __call__(
        self, executor: Any, x: Tensor, timestep: Tensor, context: Tensor, *rest: Any, **named: Any
    ) -> Tensor:
        y, guidance, references, _, options = rest
        sigma = float(options["sigmas"][0])
        if sigma not in self._sigmas:
            self._sigmas.append(sigma)
        self._attention = 0
        net = executor.class_obj
        rows = torch.tensor(options["cond_or_uncond"]).repeat_interleave(
            len(x) // len(options["cond_or_uncond"])
        )
        img, ids = net.process_img(x)
        count = img.shape[1]
        for reference in references or ():
            more, more_ids = net.process_img(reference, index=1)
            img, ids = torch.cat([img, more], 1), torch.cat([ids, more_ids], 1)
        img, txt = net.img_in(img), net.txt_in(context)
        embedding = load("comfy.ldm.flux.layers").timestep_embedding
        vec = (
            net.time_in(embedding(timestep, 256))
            + net.guidance_in(embedding(guidance, 256))
            + net.vector_in(y)
        )
        pe = net.pe_embedder(torch.cat([torch.zeros(len(x), txt.shape[1], 3), ids], 1))
        img = self._blocks(
            net, img, txt, {"vec": vec, "pe": pe}, lambda picture: self._seen(picture, rows, count)
        )
        out = net.final_layer(img, vec)[:, :count]
        height, width = -(-x.shape[2] // 2), -(-x.shape[3] // 2)
        out = (
            out.reshape(len(x), height, width, 16, 2, 2)
            .permute(0, 3, 1, 4, 2, 5)
            .reshape(len(x), 16, 2 * height, 2 * width)
        )
        return out[:, :, : x.shape[2], : x.shape[3]]

    @staticmethod
    def _blocks(
        net: Any,
        img: Tensor,
        txt: Tensor,
        vectors: dict[str, Tensor],
        seen: Callable[[Tensor], Tensor],
    ) -> Tensor:
        for number, block in enumerate(net.double_blocks):
            img, txt = block(img=img, txt=txt, **vectors)
            if number % 2 == 0:
                img = img + seen(img)
        joint = torch.cat([txt, img], 1)
        for number, block in enumerate(net.single_blocks):
            joint = block(joint, **vectors)
            txt, img = joint[:, : txt.shape[1]], joint[:, txt.shape[1] :]
            if number % 4 == 0:
                img = img + seen(img)
            joint = torch.cat([txt, img], 1)
        return img

    def _seen(self, picture: Tensor, rows: Tensor, count: int) -> Tensor:
        total = torch.zeros_like(picture)
        if self._steps(len(self._sigmas) - 1):
            for person, strength, mask in self._people:
                tokens = self._adapter.tokens(make_identity(seed=person))[rows]
                total[:, :count] += (
                    strength
                    * mask
                    * self._adapter.oracle.cross_attention(
                        self._attention, tokens, picture[:, :count]
                    )
                )
        self._attention += 1
        return total


def by_hand(
    model: Any,
    people: People,
    steps: Callable[[int], bool] = lambda step: True,
    adapter: Any = None,
) -> Any:
    """Return a clone that runs as ByHand says; `steps` tells in which the people act."""
    patched = model.clone()
    wrapper = ByHand(people, steps, adapter or adapter_of())
    patched.add_wrapper_with_key(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "by_hand", wrapper
    )
    return patched
