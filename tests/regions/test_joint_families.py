"""Laws of regions that hold for every family whose text and image stand in one sequence, on tiny
models with random weights. A family joins with a row of `CASES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.errors import PlanError
from comfyui_astria.nodes.regions.attention import Joint
from comfyui_astria.nodes.regions.lora import RegionLora
from comfyui_astria.nodes.regions.lora_gates import Rows
from comfyui_astria.nodes.regions.lora_layer import GatedChange
from comfyui_astria.nodes.regions.run import RegionRun, normalised
from comfyui_astria.tests.regions.comfy_inprocess import load, text, tiny_model
from comfyui_astria.tests.regions.gated_lora_files import whole_file
from comfyui_astria.tests.regions.regional_support import (
    base_of,
    denoised,
    difference,
    model_of,
    noise_of,
    soft_people,
    with_regions,
)
from torch import Tensor

EQUAL = 2e-5
PADDING = 64  # tokens behind the image, more than any family has


@dataclass(frozen=True)
class Case:
    """A family: lengths that its texts may have, a latent size whose tokens need no padding and one
    that does, a layer whose input is the first joint attention's output, and the least error
    without places that begin anew for each text, 0 where texts have none.
    """

    family: str
    lengths: tuple[int, int, int]
    size: tuple[int, int]
    odd: tuple[int, int]
    attended: str
    without_restart: float = 0.0

    @property
    def model(self) -> Any:
        return model_of(self.family)

    def text(self, seed: int, number: int = 0) -> list:
        return self.text_of(seed, self.lengths[number])

    def text_of(self, seed: int, tokens: int) -> list:
        """Return a random text; the pooled one, which counts for the whole picture, is always the
        same.
        """
        [[_, of_one]] = text(base_of(self.family), 1, 1)
        [[embedding, about]] = text(base_of(self.family), seed, tokens)
        return [[embedding, {**about, "pooled_output": of_one["pooled_output"]}]]

    def texts(self, *seeds: int) -> list:
        return [self.text(seed, number) for number, seed in enumerate(seeds)]

    def noise(self, batch: int = 1, size: tuple[int, int] | None = None) -> Tensor:
        shape = noise_of(self.family).shape[1:-2]
        generator = torch.Generator().manual_seed(5)
        return torch.randn(batch, *shape, *(size or self.size), generator=generator)

    def denoised(
        self, model: Any, positive: list, negative: list | None = None, **how: Any
    ) -> Tensor:
        how = {"noise": self.noise(), **how}
        return denoised(model, self.family, positive, negative, **how)


CASES = (
    Case("flux", (8, 5, 11), (8, 12), (9, 7), "double_blocks.0.img_attn.proj"),
    Case("flux2", (14, 600, 70), (8, 12), (9, 7), "double_blocks.0.img_attn.proj", 0.01),
    Case("zimage_turbo", (40, 70, 101), (16, 16), (18, 13), "layers.0.attention.out", 0.01),
    Case("krea2_turbo", (8, 5, 11), (8, 12), (9, 7), "blocks.0.attn.wo"),
)
PLACED = [case for case in CASES if case.without_restart]
every = pytest.mark.parametrize("case", CASES, ids=[case.family for case in CASES])


def thirds(height: int, width: int) -> Tensor:
    """Return masks [3,H,W] with hard edges on whole tokens: scene above, two persons below."""
    masks = torch.zeros(3, height, width)
    half, middle = height // 4 * 2, width // 4 * 2
    masks[0, :half], masks[1, half:, :middle], masks[2, half:, middle:] = 1, 1, 1
    return masks


def hooks_of(case: Case) -> Any:
    return load("comfyui_astria.nodes.regions.host.table").hooks_of(case.model)


def first_attention(case: Case, model: Any, positive: list) -> Tensor:
    """Return the image's rows [L,C] of the first joint attention, where the image has not seen a
    text yet.
    """
    seen: list[Tensor] = []
    module = model.model.diffusion_model.get_submodule(case.attended)
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    try:
        case.denoised(model, positive)
    finally:
        handle.remove()
    rows = seen[0][0]
    pixels = len(labels_of(case))
    return rows[len(rows) - pixels - hooks_of(case).image_padding(pixels) :][:pixels]


def labels_of(case: Case) -> Tensor:
    """Return the region of each image token under the masks of `thirds`."""
    patch = hooks_of(case).patch
    return thirds(*case.size)[:, ::patch, ::patch].flatten(1).argmax(0)


@every
@pytest.mark.parametrize(
    ("people", "cfg", "is_odd"), [(2, 1.0, False), (1, 4.0, True), (2, 4.0, True)]
)
def test_equal_texts_are_one_text(case: Case, people: int, cfg: float, is_odd: bool) -> None:
    positive, negative = case.text(1), case.text(2, 1)  # of another length
    masks = soft_people() if people == 2 else normalised(soft_people()[1:2])
    noise = case.noise(size=case.odd if is_odd else None)
    masks = torch.nn.functional.interpolate(masks[None], noise.shape[-2:], mode="bilinear")[0]
    patched = with_regions(case.model, masks, [positive] * (people + 1), [negative])
    plain = case.denoised(case.model, positive, negative, cfg=cfg, noise=noise)
    actual = case.denoised(patched, positive, negative, cfg=cfg, noise=noise)
    assert difference(actual, plain) < EQUAL


@pytest.mark.parametrize("case", PLACED, ids=[case.family for case in PLACED])
def test_without_places_that_begin_anew_equal_texts_are_another_picture(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = load("comfyui_astria.nodes.regions.host.joint").JointModel
    hooks = type(load("comfyui_astria.nodes.regions.host.table").hooks_of(case.model))
    for name in ("run", "options", "places_texts"):
        monkeypatch.setattr(hooks, name, getattr(joint, name))
    positive = case.text_of(1, 64)  # of a length that no family pads
    patched = with_regions(case.model, thirds(*case.size), [positive] * 3, [case.text(2)])
    actual = case.denoised(patched, positive)
    assert difference(actual, case.denoised(case.model, positive)) > case.without_restart


@pytest.mark.parametrize("case", PLACED, ids=[case.family for case in PLACED])
def test_a_model_that_another_pack_runs_without_these_places_is_refused(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint = load("comfyui_astria.nodes.regions.host.joint").JointModel
    hooks = type(load("comfyui_astria.nodes.regions.host.table").hooks_of(case.model))
    for name in ("run", "options"):
        monkeypatch.setattr(hooks, name, getattr(joint, name))
    positive = case.text_of(1, 64)
    patched = with_regions(case.model, thirds(*case.size), [positive] * 3, [case.text(2)])
    with pytest.raises(PlanError, match="wrong places"):
        case.denoised(patched, positive)


@every
@pytest.mark.parametrize("method", ["forward", "optimized attention"])
def test_a_model_that_another_pack_runs_by_its_own_code_is_refused(
    case: Case, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as TeaCache's forward of Lumina 2, which leaves the host's wrappers out, and loaders
    whose attention is not the host's.
    """
    network = case.model.model.diffusion_model
    if method == "forward":
        monkeypatch.setattr(network, "forward", network._forward)
    else:
        host = load("comfy.ldm.modules.attention")
        for name in ("flux.math", "lumina.model", "krea2.model"):
            for attention in ("optimized_attention", "optimized_attention_masked"):
                monkeypatch.setattr(
                    load(f"comfy.ldm.{name}"),
                    attention,
                    host.attention_pytorch.__wrapped__,
                    raising=False,
                )
    people = case.texts(1, 5, 6)
    patched = with_regions(case.model, thirds(*case.size), people, [case.text(2)])
    with pytest.raises(PlanError, match="knows no regions"):
        case.denoised(patched, people[0])


@every
def test_a_clone_with_weights_of_its_own_is_that_model_with_regions(case: Case) -> None:
    """The host loads a model anew for TorchCompileModel where weights are moved as needed."""
    other = tiny_model(base_of(case.family), seed=9)
    masks, people = thirds(*case.size), case.texts(1, 5, 6)
    patched = with_regions(case.model, masks, people, [case.text(2)])
    moved = patched.clone(model_override=other.get_clone_model_override())
    expected = case.denoised(with_regions(other, masks, people, [case.text(2)]), people[0])
    assert torch.equal(case.denoised(moved, people[0]), expected)
    assert difference(case.denoised(patched, people[0]), expected) > 1e-3


@every
def test_each_region_sees_its_own_text_as_if_it_stood_alone(case: Case) -> None:
    people, labels = case.texts(1, 5, 6), labels_of(case)
    patched = with_regions(case.model, thirds(*case.size), people, [case.text(2)])
    together = first_attention(case, patched, people[0])
    for region, own in enumerate(people):
        alone = first_attention(case, case.model, own)
        assert difference(together[labels == region], alone[labels == region]) < EQUAL
        assert difference(together[labels != region], alone[labels != region]) > 1e-3


@every
def test_a_text_reaches_no_other_persons_pixels_in_the_first_joint_attention(case: Case) -> None:
    def rows(seed: int) -> Tensor:
        people = case.texts(1, 5, seed)
        patched = with_regions(case.model, thirds(*case.size), people, [case.text(2)])
        return first_attention(case, patched, people[0])

    changed = (rows(6) - rows(7)).abs().amax(1) > 0
    assert torch.equal(changed, labels_of(case) == 2)


@every
@pytest.mark.parametrize("isolation", [False, True])
def test_groups_are_the_masked_attention_over_all_texts(
    case: Case, isolation: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks, people = thirds(*case.size), case.texts(1, 5, 6)
    patched = with_regions(case.model, masks, people, [case.text(2)], isolation=isolation)
    grouped = case.denoised(patched, people[0])

    def dense(self: Joint, q: Tensor, k: Tensor, v: Tensor, attend: Callable) -> Tensor:
        if k.shape[1] != q.shape[1]:  # grouped queries: as many heads of keys as needed
            k, v = (one.repeat_interleave(q.shape[1] // one.shape[1], 1) for one in (k, v))
        seen = seen_by(self, q.shape[2])
        scores = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).masked_fill(~seen, float("-inf"))
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)

    monkeypatch.setattr(Joint, "attention", dense)
    assert difference(grouped, case.denoised(patched, people[0])) < EQUAL


def seen_by(joint: Joint, length: int) -> Tensor:
    """Return who sees whom [L,L] in a joint sequence whose regions have hard edges."""
    of_text = torch.repeat_interleave(
        torch.arange(len(joint.text_lengths)), torch.tensor(joint.text_lengths)
    )
    text_length = len(of_text)
    labels = torch.zeros(length - text_length, dtype=torch.long)
    for region, part in enumerate(joint.shares.parts):
        if part is not None:
            labels[part.index] = region
    seen = torch.ones(length, length, dtype=torch.bool)
    seen[:text_length, :text_length] = of_text[:, None] == of_text
    seen[text_length:, :text_length] = labels[:, None] == of_text
    if joint.isolation:
        seen[:text_length, text_length:] = (of_text[:, None] == 0) | (of_text[:, None] == labels)
    return seen


@every
def test_an_attention_of_an_unknown_length_is_refused(case: Case) -> None:
    """It would fall through without regions, and everybody's text would reach everybody. Where a
    model's first attentions are counted, it is one of the model's own that is then out of place.
    """
    patched = with_regions(case.model, thirds(*case.size), case.texts(1, 5, 6), [case.text(2)])
    attend = load("comfy.ldm.modules.attention").optimized_attention

    def another(executor: Any, *given: Any, **named: Any) -> Tensor:
        options = next(
            one for one in (*given, *named.values()) if isinstance(one, dict) and "sigmas" in one
        )
        x = torch.zeros(1, 1, 7, 8)
        attend(x, x, x, 1, skip_reshape=True, transformer_options=options)
        return executor(*given, **named)

    # Inside the regions' own wrapper, where a layer of another pack would run.
    wrappers = load("comfy.patcher_extension").WrappersMP
    patched.add_wrapper_with_key(wrappers.DIFFUSION_MODEL, "another", another)
    with pytest.raises(
        PlanError, match=r"An attention of this .* model works on \d+ tokens; expected"
    ):
        case.denoised(patched, case.text(1))


@every
def test_a_batch_is_its_single_images_with_guidance_and_texts_of_any_length(case: Case) -> None:
    people, negative = case.texts(1, 5, 6), case.text(2, 1)
    masks = torch.nn.functional.interpolate(soft_people()[None], case.size, mode="bilinear")[0]
    patched = with_regions(case.model, masks, people, [negative])
    noise = case.noise(3)
    batch = case.denoised(patched, people[0], negative, noise=noise, cfg=4.0)
    singles = [
        case.denoised(patched, people[0], negative, noise=one[None], cfg=4.0) for one in noise
    ]
    assert difference(batch, torch.cat(singles)) < EQUAL
    assert difference(batch[:1], singles[1]) > 1e-2


def gated(case: Case, people: int, *loras: RegionLora, masks: Tensor) -> Any:
    run = RegionRun()
    texts = case.texts(1, 5, 6)[: people + 1]
    patched = with_regions(case.model, masks, texts, [case.text(2)], run)
    return load("comfyui_astria.nodes.regions.host.loras").apply_gated_loras(patched, loras, run)


@every
def test_a_lora_over_the_whole_picture_is_the_merged_one(case: Case) -> None:
    file = whole_file(case.model, gain=0.3)
    everywhere = normalised(torch.ones(1, *case.size))
    merged = load("comfy.sd").load_lora_for_models(case.model, None, file, 0.8, 0)[0]
    worn = gated(case, 1, RegionLora(1, file, 0.8, "a"), masks=everywhere)
    own = case.text(5, 1)
    expected = case.denoised(merged, own)
    assert difference(case.denoised(worn, case.text(1)), expected) < 1e-4
    assert difference(case.denoised(case.model, own), expected) > 1e-3


@every
def test_a_persons_lora_leaves_another_persons_rows_as_they_are_to_the_bit(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each layer that is gated by rows, for the same input."""
    seen: dict[str, tuple[Rows, Tensor]] = {}
    add = GatedChange.__call__

    def recorded(change: GatedChange, out: Tensor, x: Tensor, y: Tensor, layer: Any) -> Tensor:
        plain = y.clone()
        result = add(change, out, x, y, layer)
        spot = change.change.spot
        if not spot.vector:
            seen[spot.name] = spot.rows, (result != plain)[0].any(-1)
        return result

    monkeypatch.setattr(GatedChange, "__call__", recorded)
    file = RegionLora(1, whole_file(case.model), 1.0, "a")
    case.denoised(gated(case, 2, file, masks=thirds(*case.size)), case.text(1))
    lengths = [hooks_of(case).tokens(length) for length in case.lengths]
    texts = torch.arange(3).repeat_interleave(torch.tensor(lengths))
    image = torch.cat([labels_of(case), torch.zeros(PADDING, dtype=torch.long)])
    labels = {Rows.TEXT: texts, Rows.IMAGE: image, Rows.JOINT: torch.cat([texts, image])}
    by_rows = {name: found for name, found in seen.items() if found[0] in labels}
    assert {rows for rows, _ in by_rows.values()} == set(labels)
    for name, (rows, changed) in by_rows.items():
        assert torch.equal(changed, labels[rows][: len(changed)] == 1), name
