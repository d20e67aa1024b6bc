"""PuLID among what else a Flux model of the host has.

Other packs' patches, memory, half precision, EasyCache, and what does not fit.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import AstriaError, PlanError
from comfyui_astria.nodes.faceid.pulid import Influence
from comfyui_astria.nodes.regions.run import RegionRun
from comfyui_astria.tests.faceid.held import held_bytes
from comfyui_astria.tests.faceid.pulid_flux_support import (
    SIZE,
    Adapter,
    adapter_of,
    apply,
    sampled,
    use,
)
from comfyui_astria.tests.faceid.pulid_support import worst
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model
from comfyui_astria.tests.regions.regional_support import halves, model_of, with_regions
from torch import Tensor


@pytest.fixture(scope="module", autouse=True)
def _unload() -> Iterator[None]:
    yield
    load("comfy.model_management").unload_all_models()


@pytest.mark.parametrize("theirs_first", [True, False])
def test_patches_of_others_at_the_same_block_act_too(theirs_first: bool) -> None:
    model, calls = model_of("flux"), []

    def patch(previous: Any) -> Callable:
        def replace(args: dict, extra: dict) -> dict:
            calls.append(args["transformer_options"]["block_index"])
            out = previous(args, extra) if previous else extra["original_block"](args)
            return {**out, "img": out["img"] * 1.1}

        return replace

    def theirs(one: Any) -> Any:
        one = one.clone()
        taken = one.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})
        for kind in ("double_block", "single_block"):
            one.set_model_patch_replace(patch(taken.get((kind, 0))), "dit", kind, 0)
        return one

    plain, face = sampled(theirs(model)), sampled(apply(model, (use(), None)))
    both = sampled(
        apply(theirs(model), (use(), None)) if theirs_first else theirs(apply(model, (use(), None)))
    )
    assert len(calls) == 8
    assert worst(both, plain) > 1e-3
    assert worst(both, face) > 1e-3


class OthersPatch:
    """A patch with a model of its own, which is told where to run."""

    def __init__(self, model: Any, device: Any = None) -> None:
        self.model = model
        self.device = device

    def models(self) -> list:
        return [self.model]

    def to(self, device: Any) -> OthersPatch:
        return OthersPatch(self.model, device)

    def __call__(self, args: dict, extra: dict) -> dict:
        assert self.device == torch.device("cpu")
        return extra["original_block"](args)


def test_the_models_of_others_patches_are_still_loaded_and_moved() -> None:
    model, other = model_of("flux").clone(), Adapter().blocks
    model.set_model_patch_replace(OthersPatch(other), "dit", "double_block", 0)
    patched = apply(model, (use(), None))
    assert patched.model_patches_models()[:2] == [other, adapter_of().blocks]
    patched.model_patches_to(torch.device("cpu"))
    assert torch.equal(sampled(patched), sampled(apply(model_of("flux"), (use(), None))))


def test_the_host_loads_the_adapter_with_the_model_and_unloads_both() -> None:
    management, adapter = load("comfy.model_management"), Adapter()
    management.unload_all_models()
    model = tiny_model("flux")
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    chained = apply(
        apply(model, (use(adapter=adapter_of()), None)), (use(2, adapter=adapter), None)
    )
    sampled(chained)
    assert {id(adapter.blocks), id(adapter_of().blocks)} < {
        id(one.model) for one in management.current_loaded_models
    }
    management.unload_all_models()
    assert management.current_loaded_models == []
    assert all(
        torch.equal(tensor, before[name]) for name, tensor in model.model.state_dict().items()
    )
    assert model.model_options["transformer_options"] == {}
    assert not model.get_wrappers(
        load("comfy.patcher_extension").WrappersMP.DIFFUSION_MODEL, "by_hand"
    )
    assert torch.equal(sampled(model), sampled(tiny_model("flux")))


def test_a_dropped_application_leaves_nothing_behind() -> None:
    """Neither tensors nor the adapter's weights, whether the host was asked to unload or not."""
    management, model = load("comfy.model_management"), tiny_model("flux")
    sampled(model)
    before = held_bytes()

    def run(unload: bool) -> list[weakref.ref]:
        adapter = Adapter()
        patched = apply(
            model, (use(adapter=adapter), torch.ones(1, 8, 12)), (use(2, adapter=adapter), None)
        )
        sampled(patched, cfg=3.0)
        assert held_bytes() > before
        if unload:
            management.unload_model_and_clones(patched)
        kinds = load("comfyui_astria.nodes.faceid.host.flux")
        ours = [
            one
            for one in gc.get_objects()
            if type(one) in (kinds.Application, kinds.BlockPatch, kinds.PulidPerson)
        ]
        return [weakref.ref(one) for one in (*ours, *adapter.blocks.model.parameters())]

    for unload in (False, True):
        kept = run(unload)
        assert len(kept) > 15
        assert held_bytes() <= before
        assert [one for one in kept if one() is not None] == []


@pytest.mark.parametrize(
    ("stored", "compute"),
    [
        (torch.bfloat16, torch.bfloat16),
        (torch.float8_e4m3fn, torch.bfloat16),
        (torch.float16, torch.float32),
    ],
)
def test_half_and_fp8_models_are_near_the_whole_one(
    stored: torch.dtype, compute: torch.dtype
) -> None:
    model = tiny_model("flux", dtype=stored, compute=compute)
    plain, actual = sampled(model), sampled(apply(model, (use(), None)))
    exact = sampled(apply(model_of("flux"), (use(), None))) - sampled(model_of("flux"))
    assert (
        torch.nn.functional.cosine_similarity((actual - plain).flatten(), exact.flatten(), dim=0)
        > 0.9
    )


def test_weights_may_stay_offloaded() -> None:
    """Where the adapter does not fit beside the model, the host leaves layers out and brings each
    for its turn.
    """
    adapter = Adapter()
    picture = torch.randn(1, 24, 128)
    influence = Influence(torch.randn(1, SIZE.queries, SIZE.out), torch.ones(1, 1, 1))
    expected = adapter.blocks.model[1](picture, [influence])
    adapter.blocks.load(torch.device("cpu"), lowvram_model_memory=1)
    assert adapter.blocks.model.model_lowvram
    layers = [
        module
        for module in adapter.blocks.model.modules()
        if list(module.parameters(recurse=False))
    ]
    assert all(hasattr(module, "prev_comfy_cast_weights") for module in layers)
    assert worst(adapter.blocks.model[1](picture, [influence]), expected) < 1e-6


@pytest.mark.parametrize("face_outside", [True, False])
def test_the_hosts_cache_reuses_steps_with_the_face_in_them(face_outside: bool) -> None:
    """EasyCache leaves out steps in which the model's answer would change little, here all that it
    may, or none at a threshold of 0.
    """

    def cached(threshold: float, *uses: tuple[Any, Any], begin: float = 0.0) -> Tensor:
        def with_cache(one: Any) -> Any:
            return (
                load("comfy_extras.nodes_easycache")
                .EasyCacheNode.execute(one, threshold, begin, 1.0, False)
                .result[0]
            )

        model = model_of("flux")
        patched = (
            with_cache(apply(model, *uses)) if face_outside else apply(with_cache(model), *uses)
        )
        return sampled(patched, steps=6, cfg=3.0)

    face, late = (use(), None), (use(start=0.5), None)
    exact, plain = sampled(apply(model_of("flux"), face), steps=6, cfg=3.0), cached(3.0)
    assert torch.equal(cached(0.0, face), exact)
    assert worst(cached(3.0, face), exact) > 1e-3, "steps were left out"
    assert worst(cached(3.0, face), plain) > 1e-3, "the face is in what stands in for them"
    assert worst(cached(3.0, late), plain) > 1e-3, (
        "a face that begins later is seen from the next step that is run"
    )


def test_models_and_adapters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        AstriaError,
        match="has 3 cross-attentions of width 128; this Flux model takes 2 of width 128",
    ):
        apply(model_of("flux"), (use(adapter=Adapter(3)), None))
    with pytest.raises(AstriaError, match="The connected MODEL is a UNetModel") as raised:
        apply(model_of("sd15"), (use(), None))
    assert raised.value.code == "faceid-family"


def test_a_person_without_a_region_and_a_foreign_guider_are_refused() -> None:
    run = RegionRun()
    patched = with_regions(
        apply(model_of("flux"), (use(), 3), run=run),
        halves(),
        [text("flux", 1)] * 3,
        [text("flux", 2)],
        run,
    )
    with pytest.raises(
        AstriaError, match="'person 1' is meant for person 3, but the picture has regions for 2"
    ):
        sampled(patched)
    patched = apply(model_of("flux"), (use(), None))
    guider = load("comfy_extras.nodes_custom_sampler").Guider_DualCFG(patched)
    guider.set_conds(text("flux", 1), text("flux", 2), text("flux", 3))
    guider.set_cfg(3.0, 2.0, False)
    noise = torch.randn(1, 16, 8, 12, generator=torch.Generator().manual_seed(3))
    sampler = load("comfy.samplers").sampler_object("euler")
    with pytest.raises(PlanError, match="more than a positive and a negative conditioning"):
        guider.sample(
            noise,
            torch.zeros_like(noise),
            sampler,
            torch.tensor([1.0, 0.0]),
            disable_pbar=True,
            seed=0,
        )


def test_a_mask_over_a_model_that_runs_on_parts_is_refused() -> None:
    positive = text("flux", 1)
    positive[0][1] |= {"area": (8, 6, 0, 0)}
    both = [*positive, *text("flux", 4)]
    sampled(apply(model_of("flux"), (use(), None)), positive=both)
    with pytest.raises(
        PlanError,
        match="a part of the picture, 6 x 8 of 12 x 8 latent pixels; the mask of 'person 1'",
    ):
        sampled(apply(model_of("flux"), (use(), torch.ones(1, 8, 12))), positive=both)


def test_tokens_that_another_pack_dropped_are_noticed() -> None:
    patched = apply(model_of("flux"), (use(), None))
    patched.set_model_patch(
        lambda args: {**args, "img": args["img"][:, ::2], "img_ids": args["img_ids"][:, ::2]},
        "post_input",
    )
    with pytest.raises(AstriaError, match="works on 12 image tokens; PuLID expected 24"):
        sampled(patched)
