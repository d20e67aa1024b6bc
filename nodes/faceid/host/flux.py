"""FaceID on Flux: PuLID's cross-attentions beside the model's blocks, each identity in its own part
of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import comfy.utils
import torch
from comfy.ldm.flux.model import Flux
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from ...errors import PlanError
from ...families.family import FAMILIES
from ...regions.host.flux import FluxArguments
from ...regions.host.sampling_cache import SamplingCache
from ...regions.run import Forward, RegionRun, averaged
from ...rounding import ceil_div
from ..errors import FaceIDError
from ..pulid import Influence, places
from .pulid_loader import PulidModel

if TYPE_CHECKING:
    from ..use import FaceIDUse

PULID_KEY = "astria_pulid"
_PATCH = FAMILIES["flux"].latent.patch
# Schedules and parts of the steps are rounded apart; a step where a range begins belongs to it, one
# where it ends does not.
SIGMA_SLACK = 1e-4

# Where an identity acts: a region's number, a mask [M,H,W] (one for all images or one each),
# everywhere.
Gate: TypeAlias = int | Tensor | None


def apply_pulid(
    model: ModelPatcher, uses: Sequence[tuple[FaceIDUse, Gate]], run: RegionRun | None = None
) -> ModelPatcher:
    """Return a clone of the Flux model that draws these identities, each where its gate says, all
    in one pass.

    A region's number as gate acts while `run.forward` is set, and nowhere otherwise. Positive rows
    get the identity's tokens, negative rows the unconditional ones. Applied twice, both act;
    patches of others at the same blocks run first.
    Shapes: mask gates [M,H,W] of any size, float 0..1.
    Raises: FaceIDError for a model or adapter that do not fit, or an identity of another
    recogniser.
    """
    patched = model.clone()
    for adapter in dict.fromkeys(use.faceid for use, _ in uses):
        _check(model.model.diffusion_model, adapter)
        people = [_person(use, gate, run) for use, gate in uses if use.faceid is adapter]
        application = Application(adapter, people, run, model.get_model_object("model_sampling"))
        _patch(patched, application)
        application.kept.attach(patched, application.key)
        patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, application.key, application.sample)
        patched.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, application.key, application.run)
    return patched


def _patch(patched: ModelPatcher, application: Application) -> None:
    network = patched.model.diffusion_model
    taken = patched.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
    for number, (kind, block) in enumerate(
        places(len(network.double_blocks), len(network.single_blocks))
    ):
        before = taken.get((kind, block))
        if isinstance(before, BlockPatch):
            patch = BlockPatch(number, (*before.applications, application), before.previous)
        else:
            patch = BlockPatch(number, (application,), before)
        patched.set_model_patch_replace(patch, "dit", kind, block)


def _check(network: torch.nn.Module, adapter: PulidModel) -> None:
    if not isinstance(network, Flux):
        message = (
            f"The connected MODEL is a {type(network).__name__}; the adapter {adapter.name} is"
            " PuLID, which is made for Flux.1."
        )
        raise FaceIDError(
            message,
            code="faceid-family",
            hint="Connect a Flux.1 model, or use a FaceID adapter of this model's family.",
        )
    blocks = adapter.blocks.model
    wanted = len(places(len(network.double_blocks), len(network.single_blocks)))
    width = blocks[0].to_out.out_features
    if (len(blocks), width) != (wanted, network.hidden_size):
        message = (
            f"The adapter {adapter.name} has {len(blocks)} cross-attentions of width {width}; "
            f"this Flux model takes {wanted} of width {network.hidden_size}."
        )
        raise FaceIDError(
            message,
            code="pulid-fit",
            hint="Use a model with the blocks of Flux.1 dev: some Flux models leave blocks out.",
        )


@dataclass(frozen=True, eq=False)
class PulidPerson:
    """One identity in use.

    `tokens` [2,T,C] on the CPU: the person's and the unconditional ones; it acts from `start` to
    `end`, parts 0..1 of the steps.
    """

    title: str
    tokens: Tensor
    strength: float
    start: float
    end: float
    gate: Gate

    def acts_at(self, sigma: float, sampling: Any) -> bool:
        # Noise falls from step to step: it acts between the noise of its start and of its end.
        slack = 1 + SIGMA_SLACK
        has_begun = self.start == 0 or sigma <= sampling.percent_to_sigma(self.start) * slack
        return has_begun and (self.end == 1 or sigma > sampling.percent_to_sigma(self.end) * slack)


def _person(use: FaceIDUse, gate: Gate, run: RegionRun | None) -> PulidPerson:
    assert run is not None or not isinstance(gate, int), (
        "a FaceID gated by a region needs the RegionRun of these regions"
    )
    mask = (
        gate.detach().float().cpu().reshape(-1, *gate.shape[-2:])
        if isinstance(gate, Tensor)
        else gate
    )
    return PulidPerson(
        use.identity.title, use.faceid.tokens(use.identity), use.strength, use.start, use.end, mask
    )


@dataclass(eq=False)
class Step:
    """One call of the diffusion model.

    Who acts in it, and height and width of its latent and of the whole picture's. Equal calls of a
    sampling find in `kept` what the first made.
    """

    people: list[PulidPerson]
    latent: tuple[int, int]
    picture: tuple[int, int] | None
    run: RegionRun | None
    kept: SamplingCache

    @property
    def grid(self) -> tuple[int, int]:
        """The rows and columns of the picture's tokens; odd sides are padded."""
        height, width = self.latent
        return ceil_div(height, _PATCH), ceil_div(width, _PATCH)

    def influences(self, kinds: Sequence[int], picture: Tensor) -> list[Influence]:
        """Return each person's influence on the picture's tokens [rows,L,C], made once for all
        blocks of one pass.
        """
        key = (*self.people, self.latent, *kinds, picture.shape[0], picture.dtype, picture.device)
        make = partial(self._influences, kinds, picture)
        forward = self._forward
        if forward is None:
            return self.kept.get(key, make)
        if key not in forward.derived:
            forward.derived[key] = make()
        return forward.derived[key]

    @property
    def _forward(self) -> Forward | None:
        return None if self.run is None else self.run.forward

    def _influences(self, kinds: Sequence[int], picture: Tensor) -> list[Influence]:
        made = [self._influence(person, kinds, picture) for person in self.people]
        return [one for one in made if one is not None]

    def _influence(
        self, person: PulidPerson, kinds: Sequence[int], picture: Tensor
    ) -> Influence | None:
        """Return None for a person who has no part in these rows."""
        rows = picture.shape[0]
        weight = self._weight(person, rows, rows // len(kinds))
        if weight is None:
            return None
        acts = weight.flatten(1).any(1).expand(rows).nonzero()[:, 0].cpu()
        if len(acts) == 0:
            return None
        of_kinds = torch.tensor(kinds).clamp(max=1).repeat_interleave(rows // len(kinds))
        tokens = person.tokens[of_kinds[acts]].to(picture)
        own = weight if weight.shape[0] == 1 else weight[acts]
        return Influence(
            tokens,
            (own * person.strength).to(picture),
            None if len(acts) == rows else acts.to(picture.device),
        )

    def _weight(self, person: PulidPerson, rows: int, images: int) -> Tensor | None:
        """Return the person's share of each token, [1 or rows, 1 or L, 1]."""
        if person.gate is None:
            return torch.ones(1, 1, 1)
        if isinstance(person.gate, Tensor):
            self._require_whole(person)
            on_grid = averaged(averaged(person.gate, *self.latent), *self.grid).flatten(1)
            if on_grid.shape[0] > 1:
                on_grid = comfy.utils.repeat_to_batch_size(on_grid, images).repeat(
                    rows // images, 1
                )
            return on_grid[..., None]
        if self._forward is None:
            return None
        if self._forward.row_gate is not None and self._forward.row_gate.shape[1] != rows:
            message = (
                f"Flux runs {rows} items of a batch; the FaceIDs of its faces expected"
                f" {self._forward.row_gate.shape[1]}, one for each face."
            )
            raise FaceIDError(
                message,
                code="faceid-items",
                hint="Remove the patch of this MODEL that splits or joins batches.",
            )
        return _of_region(self._forward, person, self.grid)

    def _require_whole(self, person: PulidPerson) -> None:
        if self.picture not in (None, self.latent):
            part, whole = (f"{width} x {height}" for height, width in (self.latent, self.picture))
            message = (
                f"The model runs on a part of the picture, {part} of {whole} latent pixels; the"
                f" mask of '{person.title}' is that of the whole."
            )
            hint = (
                "Take areas and tiles out of this model's chain, or give the person a region"
                " instead of a mask."
            )
            raise PlanError(message, code="faceid-part", hint=hint)


def _of_region(forward: Forward, person: PulidPerson, grid: tuple[int, int]) -> Tensor:
    if person.gate >= forward.regions:
        message = (
            f"The FaceID of '{person.title}' is meant for person {person.gate}, but the picture has"
            f" regions for {forward.regions - 1}."
        )
        raise FaceIDError(
            message, code="faceid-region", hint="Give every person with a FaceID a region."
        )
    if forward.row_gate is not None:
        return forward.row_gate[person.gate][:, None, None]
    return forward.on_grid(*grid)[person.gate][None, :, None]


class Application:
    """Identities applied to a model at once.

    `sampling` says which noise level a part of the steps ends at; a node behind this one may give
    the model another, so each run brings its own.
    """

    def __init__(
        self, adapter: PulidModel, people: list[PulidPerson], run: RegionRun | None, sampling: Any
    ) -> None:
        self.adapter = adapter
        self.key = f"{PULID_KEY}_{uuid4().hex}"
        self._people = people
        self._run = run
        self._sampling = sampling
        self._picture: tuple[int, int] | None = None
        self.kept = SamplingCache()

    def sample(self, executor: Any, noise: Tensor, *args: Any, **named: Any) -> Any:
        """Wrap a whole sampling."""
        before = self._sampling, self._picture
        self._sampling = executor.class_obj.model_patcher.get_model_object("model_sampling")
        self._picture = (noise.shape[-2], noise.shape[-1])
        try:
            return executor(noise, *args, **named)
        finally:
            self._sampling, self._picture = before

    def _acting(self, sigmas: Tensor) -> list[PulidPerson]:
        """Return who acts at this noise level.

        To know it Python waits for the GPU, as the host does for a ControlNet with such a range.
        """
        if all((person.start, person.end) == (0, 1) for person in self._people):
            return self._people
        sigma = float(sigmas[0])
        return [person for person in self._people if person.acts_at(sigma, self._sampling)]

    def run(
        self,
        executor: Callable,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        *rest: Any,
        **named: Any,
    ) -> Tensor:
        """Wrap one call of the diffusion model: its options carry the persons who act in it."""
        given = FluxArguments(*rest)
        options = given.transformer_options
        if any(kind > 1 for kind in options["cond_or_uncond"]):
            message = (
                "The guider runs more than a positive and a negative conditioning; a FaceID on Flux"
                " knows only these two."
            )
            raise PlanError(
                message, code="faceid-guider", hint="Use CFGGuider, BasicGuider or KSampler."
            )
        people = self._acting(options["sigmas"])
        step = Step(people, (x.shape[2], x.shape[3]), self._picture, self._run, self.kept)
        given = given._replace(transformer_options={**options, self.key: step})
        return executor(x, timestep, context, *given, **named)


class BlockPatch:
    """The host's patch of one block of Flux: adds PuLID's cross-attention to the block's image
    tokens.

    Identities of several applications see the same picture, so their order does not matter.
    `previous` is another pack's patch, which runs first. The host loads what `models` returns
    together with the model.
    """

    def __init__(
        self, number: int, applications: tuple[Application, ...], previous: Callable | None
    ) -> None:
        self.applications = applications
        self.previous = previous
        self._number = number

    def models(self) -> list[ModelPatcher]:
        before = self.previous.models() if hasattr(self.previous, "models") else []
        return [*before, *dict.fromkeys(one.adapter.blocks for one in self.applications)]

    def to(self, device_or_dtype: Any) -> BlockPatch:
        if not hasattr(self.previous, "to"):
            return self
        return BlockPatch(self._number, self.applications, self.previous.to(device_or_dtype))

    def __call__(self, args: dict, extra: dict) -> dict:
        out = extra["original_block"](args) if self.previous is None else self.previous(args, extra)
        options, image = args["transformer_options"], out["img"]
        acting: dict[PulidModel, list[Influence]] = {}
        for one in self.applications:
            if found := options[one.key].influences(options["cond_or_uncond"], image):
                acting.setdefault(one.adapter, []).extend(found)
        if not acting:
            return out
        # Text stands before the picture in single blocks; reference pictures stand behind it and
        # keep their own faces.
        first = 0 if "txt" in args else options["img_slice"][0]
        height, width = options[self.applications[0].key].grid
        last = first + height * width
        if last > image.shape[1]:
            message = (
                f"A block of this Flux model works on {image.shape[1] - first} image tokens; PuLID"
                f" expected {last - first}."
            )
            raise FaceIDError(
                message,
                code="faceid-tokens",
                hint="Remove the patch of this MODEL that merges or drops tokens.",
            )
        picture = image[:, first:last]
        added = torch.zeros_like(picture)
        for adapter, influences in acting.items():
            cross_attention = adapter.blocks.model[self._number]
            added = added + cross_attention(picture, influences)
        return {**out, "img": torch.cat([image[:, :first], picture + added, image[:, last:]], 1)}
