"""What a UNet with regions keeps from step to step.

It must not differ from making it anew, and must not outlive the sampling.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Any
from weakref import ReferenceType, ref

import pytest
import torch
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.regions.comfy_inprocess import load, text
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    difference,
    model_of,
    noise_of,
    sampled,
    soft_people,
    with_regions,
)
from torch import Tensor

FAMILIES = ("sd15", "sdxl")
TEXTS = (1, 5, 6)  # seeds: the scene's and two persons'


def people(family: str, model: Any, run: RegionRun | None = None) -> Any:
    """Return the model with two persons, who have no negative text of their own."""
    return with_regions(
        model, soft_people(), [text(family, seed) for seed in TEXTS], [text(family, 2)], run
    )


def without_keeping(patched: Any) -> Any:
    """Return a clone that never hears of a sampling, and so makes everything anew at every step."""
    regional = load("comfyui_astria.nodes.regions.host.regional")
    clone = patched.clone()
    begins = load("comfy.patcher_extension").CallbacksMP.ON_PRE_RUN
    assert clone.callbacks[begins].pop(regional.REGIONS_KEY)
    return clone


class Projections:
    """Notes what one cross-attention makes keys of, as (region, rows), and which of these keys are
    still alive.
    """

    def __init__(self, model: Any, run: RegionRun) -> None:
        self.rows: list[tuple[int, int]] = []
        self._run = run
        self._keys: list[ReferenceType[Tensor]] = []
        layer = model.get_model_object(
            "diffusion_model.middle_block.1.transformer_blocks.0.attn2"
        ).to_k
        self._hook = layer.register_forward_hook(self._note)

    def _note(self, layer: Any, given: tuple[Tensor], keys: Tensor) -> None:
        self.rows.append((self._run.forward.text_region, given[0].shape[0]))
        self._keys.append(ref(keys))

    @property
    def alive(self) -> int:
        return sum(keys() is not None for keys in self._keys)

    def taken(self) -> Counter[int]:
        counts = Counter(region for region, _ in self.rows)
        self.rows.clear()
        return counts

    def close(self) -> None:
        self._hook.remove()


@pytest.fixture
def run() -> RegionRun:
    return RegionRun()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_persons_keys_are_made_once_for_a_sampling(family: str, run: RegionRun) -> None:
    model = model_of(family)
    patched = people(family, model, run)
    with closing(Projections(model, run)) as seen:
        for _ in range(2):
            sampled(patched, family, text(family, 1), text(family, 2), steps=3)
            assert seen.taken() == {0: 3, 1: 2, 2: 2}, "of the positive and of the negative text"
            assert seen.alive == 0
        sampled(without_keeping(patched), family, text(family, 1), text(family, 2), steps=3)
        assert seen.taken() == {0: 3, 1: 6, 2: 6}


def test_a_sampling_that_is_stopped_keeps_nothing(run: RegionRun) -> None:
    model = model_of("sd15")

    def stop(step: int, *_: Any) -> None:
        raise load("comfy.model_management").InterruptProcessingException

    with closing(Projections(model, run)) as seen:
        with pytest.raises(load("comfy.model_management").InterruptProcessingException):
            sampled(
                people("sd15", model, run), "sd15", text("sd15", 1), text("sd15", 2), callback=stop
            )
        assert seen.taken()[1] == 2
        assert seen.alive == 0


def test_tiles_share_the_keys(run: RegionRun) -> None:
    model = model_of("sd15")
    patched = load("comfyui_astria.nodes.finish.host.tiled").apply_tiles(
        people("sd15", model, run), 64, 16
    )
    noise = torch.randn(1, 4, 26, 34, generator=torch.Generator().manual_seed(4))
    with closing(Projections(model, run)) as seen:
        sample = load("comfy.sample").sample
        sample(
            patched,
            noise,
            2,
            4.0,
            "euler",
            "simple",
            text("sd15", 1),
            text("sd15", 2),
            torch.zeros_like(noise),
            disable_pbar=True,
            seed=0,
        )
        counts = seen.taken()
    assert counts[0] > 4 and (counts[1], counts[2]) == (2, 2)


def test_another_packs_patch_of_the_text_works_at_every_step() -> None:
    patched, factors = people("sd15", model_of("sd15")), []

    def fading(
        normed: Tensor, keys: Tensor, values: Tensor, extra: dict
    ) -> tuple[Tensor, Tensor, Tensor]:
        factors.append(float(extra["sigmas"].max()) / 15)
        return normed, keys * factors[-1], values * factors[-1]

    patched.set_model_attn2_patch(fading)
    kept = sampled(patched, "sd15", text("sd15", 1), text("sd15", 2))
    assert len(set(factors)) == 3
    assert (
        difference(
            kept, sampled(without_keeping(patched), "sd15", text("sd15", 1), text("sd15", 2))
        )
        < 1e-6
    )


def test_equal_rows_of_a_batch_share_their_keys(run: RegionRun) -> None:
    model, noise = model_of("sd15"), noise_of("sd15", 3)
    patched = people("sd15", model, run)
    several = [[torch.cat([text("sd15", seed)[0][0] for seed in (2, 3, 4)]), {}]]

    def batch(model: Any, negative: list) -> Tensor:
        sample, still = load("comfy.sample").sample, torch.zeros_like(noise)
        return sample(
            model,
            noise,
            2,
            4.0,
            "euler",
            "simple",
            text("sd15", 1),
            negative,
            still,
            disable_pbar=True,
            seed=0,
        )

    with closing(Projections(model, run)) as seen:
        for negative, rows in ((text("sd15", 2), {1}), (several, {1, 3})):
            assert (
                difference(batch(patched, negative), batch(without_keeping(patched), negative))
                < 1e-6
            )
            assert {count for region, count in seen.rows if region} == rows
            seen.taken()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conditioning_that_changes_between_steps_is_noticed(family: str) -> None:
    """Persons without a negative text see the scene's of the step that runs."""
    patched, positive = people(family, model_of(family)), text(family, 1)
    changing = [
        [tensor, {**extra, "start_percent": start, "end_percent": start + 0.5}]
        for seed, start in ((2, 0.0), (9, 0.5))
        for tensor, extra in text(family, seed)
    ]
    kept = sampled(patched, family, positive, changing, steps=4)
    assert (
        difference(kept, sampled(without_keeping(patched), family, positive, changing, steps=4))
        < 1e-6
    )
    assert difference(kept, sampled(patched, family, positive, text(family, 2), steps=4)) > 1e-4


def test_weights_that_hooks_change_between_steps_are_noticed() -> None:
    hooks, model = load("comfy.hooks"), model_of("sd15")
    patched, [(tensor, extra)] = people("sd15", model), text("sd15", 1)
    group = hooks.create_hook_lora(whole_file(model, only="attn2.to_"), 1.0, 0.0)
    keyframes = hooks.HookKeyframeGroup()
    for strength, start in ((1.0, 0.0), (0.2, 0.4), (-0.5, 0.7)):
        keyframes.add(hooks.HookKeyframe(strength=strength, start_percent=start))
    group.set_keyframes_on_hooks(keyframes)
    hooked = [[tensor, {**extra, "hooks": group}]]
    kept = sampled(patched, "sd15", hooked, text("sd15", 2), steps=4)
    assert (
        difference(
            kept, sampled(without_keeping(patched), "sd15", hooked, text("sd15", 2), steps=4)
        )
        < 1e-6
    )
    assert (
        difference(kept, sampled(patched, "sd15", text("sd15", 1), text("sd15", 2), steps=4)) > 1e-3
    )


def test_a_lora_put_on_later_is_in_the_next_sampling() -> None:
    model, positive, negative = model_of("sd15"), text("sd15", 1), text("sd15", 2)
    patched = people("sd15", model)

    def with_lora(strength: float) -> Any:
        return load("comfy.sd").load_lora_for_models(
            patched, None, whole_file(model, only="attn2.to_"), strength, 0
        )[0]

    found: list[Tensor] = []
    for strength in (0.2, 1.0):
        found.append(sampled(with_lora(strength), "sd15", positive, negative))
        assert (
            difference(
                found[-1], sampled(without_keeping(with_lora(strength)), "sd15", positive, negative)
            )
            < 1e-6
        )
    assert difference(*found) > 1e-3
