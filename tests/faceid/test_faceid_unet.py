"""FaceID on a tiny SD1.5.

Steps, masks, batches, other nodes before and behind it, and what it leaves behind.
"""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_astria.tests.faceid.adapters import somebody
from comfyui_astria.tests.faceid.faceid_support import (
    applied,
    calls_of,
    clip_vision,
    difference,
    face,
    loaded,
    model_of,
    text,
    use,
)
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model
from comfyui_astria.tests.regions.regional_support import sampled
from torch import Tensor

NEAR = 1e-5


def plain_out(call: Any) -> Tensor:
    """What the bare UNet makes of a recorded call."""
    with torch.no_grad():
        return model_of("sd15").model.diffusion_model(
            call.x, call.timesteps, context=call.context, transformer_options={}
        )


@pytest.mark.parametrize(
    ("start", "end", "acting"),
    [
        (0.0, 1.0, [True] * 4),
        (0.25, 0.75, [False, True, True, False]),
        (0.0, 0.5, [True, True, False, False]),
        (0.9, 1.0, [False] * 4),
    ],
)
def test_start_and_end_are_parts_of_the_steps(start: float, end: float, acting: list[bool]) -> None:
    """Four steps stand at 0, 1/4, 1/2 and 3/4."""
    model = applied(model_of("sd15"), (face(start=start, end=end), None))
    assert [
        difference(call.out, plain_out(call)) > 1e-3 for call in calls_of(model, "sd15", steps=4)
    ] == acting


def test_steps_are_counted_by_the_sampling_of_a_node_behind() -> None:
    model = applied(model_of("sd15"), (face(end=0.5), None)).clone()
    other = copy.deepcopy(model.get_model_object("model_sampling"))
    other.percent_to_sigma = lambda part: 1e9  # noise levels at which half of the steps never come
    model.add_object_patch("model_sampling", other)
    assert [
        difference(call.out, plain_out(call)) > 1e-3 for call in calls_of(model, "sd15", steps=2)
    ] == [False, False]


def test_people_act_at_their_own_steps() -> None:
    early, late = face(person=1, end=0.5), face(person=2, start=0.5)
    both = calls_of(applied(model_of("sd15"), (early, None), (late, None)), "sd15", steps=2)
    first = calls_of(applied(model_of("sd15"), (face(person=1), None)), "sd15", steps=2)
    assert torch.equal(both[0].out, first[0].out)
    assert difference(both[1].out, first[1].out) > 1e-3


@pytest.mark.parametrize("face_outside", [True, False])
def test_the_hosts_cache_reuses_steps_with_the_face_in_them(face_outside: bool) -> None:
    """EasyCache leaves out steps in which the model's answer would change little, here all that it
    may, or none at a threshold of 0.
    """

    def drawn(threshold: float, *uses: tuple[Any, Any], begin: float = 0.0) -> Tensor:
        def with_cache(one: Any) -> Any:
            return (
                load("comfy_extras.nodes_easycache")
                .EasyCacheNode.execute(one, threshold, begin, 1.0, False)
                .result[0]
            )

        model = model_of("sd15")
        patched = (
            with_cache(applied(model, *uses)) if face_outside else applied(with_cache(model), *uses)
        )
        return sampled(patched, "sd15", text("sd15", 1), text("sd15", 2), steps=6)

    early, late = (face(), None), (face(start=0.5), None)
    exact = sampled(
        applied(model_of("sd15"), early), "sd15", text("sd15", 1), text("sd15", 2), steps=6
    )
    assert torch.equal(drawn(0.0, early), exact)
    kept, without = drawn(9.0, early), drawn(9.0)
    assert difference(kept, exact) > 1e-3, "steps were left out"
    assert difference(kept, without) > 1e-3, "the face is in what stands in for them"
    assert torch.equal(drawn(9.0, late), without), (
        "all steps after the face begins stood in for by one from before it"
    )
    assert difference(drawn(9.0, late, begin=0.6), drawn(9.0, begin=0.6)) > 1e-3, (
        "a cache that begins after the face has seen it"
    )


def test_strength_0_is_the_model_itself_and_strengths_differ() -> None:
    (plain,) = calls_of(model_of("sd15"), "sd15")
    assert torch.equal(
        calls_of(applied(model_of("sd15"), (face("faceid", 0.0), None)), "sd15")[0].out, plain.out
    )
    outs = [
        calls_of(applied(model_of("sd15"), (face(strength=strength), None)), "sd15")[0].out
        for strength in (0.3, 1.0, 3.0)
    ]
    assert (
        difference(outs[0], plain.out)
        < difference(outs[1], plain.out)
        < difference(outs[2], plain.out)
    )


def test_negative_rows_see_nobody_in_whatever_order_rows_come() -> None:
    model = applied(model_of("sd15"), (face("faceid"), None))
    orders = []

    def reversed_rows(apply: Callable, arguments: dict) -> Tensor:
        def flip(value: Any) -> Any:
            return torch.cat(value.chunk(2)[::-1]) if isinstance(value, Tensor) else value

        options = {
            **arguments["c"]["transformer_options"],
            "cond_or_uncond": arguments["cond_or_uncond"][::-1],
        }
        orders.append(options["cond_or_uncond"])
        named = {
            key: flip(value)
            for key, value in arguments["c"].items()
            if key != "transformer_options"
        }
        return flip(
            apply(
                flip(arguments["input"]),
                flip(arguments["timestep"]),
                **named,
                transformer_options=options,
            )
        )

    turned = model.clone()
    turned.set_model_unet_function_wrapper(reversed_rows)
    (one,), (other,) = (calls_of(each, "sd15", cfg=4.0, batch=2) for each in (model, turned))
    assert one.kinds == other.kinds[::-1] == orders[0][::-1]
    assert difference(torch.cat(other.out.chunk(2)[::-1]), one.out) < NEAR
    (alone,) = calls_of(model, "sd15", cfg=1.0, batch=2)
    positive = one.out.chunk(2)[one.kinds.index(0)]
    assert difference(positive, alone.out) < NEAR


def test_a_batch_is_its_single_images_each_with_its_own_mask() -> None:
    masks = torch.zeros(2, 64, 96)
    masks[0, :, :48] = 1
    masks[1, 32:] = 0.5
    (batch,) = calls_of(applied(model_of("sd15"), (face(), masks)), "sd15", cfg=3.0, batch=2)
    for image in range(2):
        (single,) = calls_of(
            applied(model_of("sd15"), (face(), masks[image])), "sd15", cfg=3.0, batch=2
        )
        rows = [image, 2 + image]
        assert difference(batch.out[rows], single.out[rows]) < NEAR
        assert (
            difference(batch.out[[1 - image, 3 - image]], single.out[[1 - image, 3 - image]]) > 1e-3
        )


def test_a_face_under_a_mask_leaves_the_first_attention_alone_outside() -> None:
    seen: list[Tensor] = []

    def keep(out: Tensor, extra: dict) -> Tensor:
        seen.append(out[0].unflatten(0, extra["activations_shape"][2:]))
        return out

    mask = torch.zeros(64, 96)
    mask[:, :48] = 1
    for gate in (mask, None):
        model = (
            model_of("sd15").clone() if gate is None else applied(model_of("sd15"), (face(), gate))
        )
        model.set_model_attn2_output_patch(keep)
        calls_of(model, "sd15")
    one, plain = seen[0], seen[16]
    assert torch.equal(one[:, 6:], plain[:, 6:])
    assert ((one[:, :6] - plain[:, :6]).abs().amax(2) > 1e-4).all()


def test_the_model_before_stays_as_it_was() -> None:
    """Also where a face is applied on a model that has one already."""
    model = model_of("sd15")
    before = {key: value.clone() for key, value in model.model.state_dict().items()}
    (plain,) = calls_of(model, "sd15")
    once = applied(model, (face("faceid"), None))
    (first,) = calls_of(once, "sd15")
    twice = applied(once, (use(loaded("plusv2"), somebody(2)), None))
    assert difference(calls_of(twice, "sd15")[0].out, first.out) > 1e-2
    assert torch.equal(calls_of(once, "sd15")[0].out, first.out)
    assert torch.equal(calls_of(model, "sd15")[0].out, plain.out)
    assert (
        model.patches == {}
        and not model.wrappers
        and not model.attachments
        and not model.additional_models
    )
    assert all(torch.equal(value, before[key]) for key, value in model.model.state_dict().items())


def test_an_adapter_brings_its_lora_once_whoever_uses_it_and_however_often_it_is_loaded() -> None:
    model = applied(
        model_of("sd15"), (face("faceid", person=1), None), (face("faceid", person=2), None)
    )
    again = applied(model, (use(loaded("faceid"), somebody(3)), None))
    assert {len(patches) for patches in again.patches.values()} == {1}
    assert len(again.patches) == 4 * 32
    both = applied(
        model_of("sd15"), (face("faceid", person=1), None), (face("faceid", person=2), None)
    )
    chained = applied(
        applied(model_of("sd15"), (face("faceid", person=1), None)),
        (face("faceid", person=2), None),
    )
    assert difference(calls_of(chained, "sd15")[0].out, calls_of(both, "sd15")[0].out) < NEAR


@pytest.mark.parametrize("index", [None, 0])
def test_another_packs_cross_attention_is_kept_before_and_behind(index: int | None) -> None:
    def other(q: Tensor, k: Tensor, v: Tensor, extra: dict) -> Tensor:
        return (
            load("comfy.ldm.modules.attention").optimized_attention(q, k, v, extra["n_heads"]) * 0.5
        )

    def halved(model: Any) -> Any:
        patched = model.clone()
        for name, number in [
            *(("input", number) for number in range(12)),
            ("middle", 0),
            *(("output", number) for number in range(12)),
        ]:
            patched.set_model_attn2_replace(other, name, number, index)
        return patched

    model = model_of("sd15")
    outs = [
        calls_of(each, "sd15")[0].out
        for each in (halved(applied(model, (face(), None))), applied(halved(model), (face(), None)))
    ]
    assert difference(*outs) < NEAR
    assert difference(outs[0], calls_of(halved(model), "sd15")[0].out) > 1e-3
    assert difference(outs[0], calls_of(applied(model, (face(), None)), "sd15")[0].out) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models(dtype: torch.dtype) -> None:
    model = applied(tiny_model("sd15", dtype=dtype), (face("faceid", 0.5), torch.ones(64, 96)))
    (call,) = calls_of(model, "sd15", cfg=3.0)
    (whole,) = calls_of(applied(model_of("sd15"), (face("faceid", 0.5), None)), "sd15", cfg=3.0)
    assert call.out.dtype == dtype
    assert difference(call.out.float(), whole.out) < 0.05


def test_the_tokens_are_the_hosts_to_load_and_to_unload_and_the_adapter_is_dropped() -> None:
    management = load("comfy.model_management")
    model = tiny_model("sd15")
    adapter = loaded("portrait")
    patched = applied(model, (use(adapter, somebody(1)), None))
    (tokens,) = patched.get_additional_models()
    weights = [
        weakref.ref(weight)
        for weight in (*adapter.adapter.projection.values(), *sum(adapter.adapter.keys_values, ()))
    ]
    made = [weakref.ref(parameter) for parameter in tokens.model.parameters()]
    assert len(made) == 32
    del adapter
    gc.collect()
    assert [weight for weight in weights if weight() is not None] == []
    calls_of(patched, "sd15")
    assert any(entry.model is tokens.model for entry in management.loaded_models())
    management.unload_model_and_clones(patched, unload_additional_models=True)
    assert not any(entry.model is tokens.model for entry in management.loaded_models())
    del tokens, patched
    gc.collect()
    assert [weight for weight in made if weight() is not None] == []


def test_a_persons_tokens_are_made_once() -> None:
    adapter, identity = loaded("plusv2"), somebody(1)
    assert adapter.keys_values(identity) is adapter.keys_values(identity)
    assert adapter.keys_values(identity) is not adapter.keys_values(somebody(1))


def test_nobody_is_what_clip_sees_as_zeros() -> None:
    """As in the reference; the host rounds pictures to 8 bits first."""
    clip = clip_vision()
    nothing = clip.encode_image(torch.tensor(clip.image_mean).expand(1, 224, 224, 3))[
        "penultimate_hidden_states"
    ]
    black = clip.encode_image(torch.zeros(1, 224, 224, 3))["penultimate_hidden_states"]
    zeros = clip.model(pixel_values=torch.zeros(1, 3, 28, 28), intermediate_output=-2)[1]
    assert difference(nothing, zeros) < 0.02 < difference(black, zeros)
