"""What each step learns from: one row, its own caption, scaled latents, the family's own noise."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from comfyui_astria.nodes.training.errors import TrainingError
from comfyui_astria.nodes.training.loop import Loop, LoopNumbers
from comfyui_astria.nodes.training.noise import (
    flow_sigma,
    generator_of,
    picture_order,
    shifted,
    uniform_timestep,
)
from comfyui_astria.nodes.training.photos import BACKGROUND

from .models import FAMILIES, SIZES, latents, load, numbers_of, photos_of, run_of, text, tiny_model


def lessons_of(family: str, **changes: Any) -> tuple[Any, Any]:
    """The lessons of four pictures of three sizes, and the model that they are asked of."""
    hosts = load("comfyui_astria.nodes.training.host.model")
    losses = load("comfyui_astria.nodes.training.host.loss")
    module = load("comfyui_astria.nodes.training.host.lessons")
    model = hosts.learning_model(tiny_model(family), {}, hosts.LearningOptions())
    load("comfy.model_management").load_models_gpu([model])
    model.pre_run()
    material = module.Material(
        changes.pop("photos", None) or photos_of(*SIZES),
        latents(family, *SIZES),
        [text(family, number) for number in range(len(SIZES))],
        changes.pop("without", text(family, 9)),
    )
    numbers = numbers_of(family, 8, **changes)
    return module.Lessons(losses.Denoising(model), material, numbers), model


class Asked:
    """What the diffusion model was asked, call by call."""

    def __init__(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pictures: list[tuple[int, ...]] = []
        self.captions: list[torch.Tensor] = []
        diffusion = model.model.diffusion_model
        run = diffusion.forward

        def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
            self.pictures.append(tuple(x.shape))
            self.captions.append(kwargs["context"])
            return run(x, *args, **kwargs)

        monkeypatch.setattr(diffusion, "forward", forward)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_is_one_row_with_its_own_caption(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons, model = lessons_of(family, accumulation=4, caption_dropout=0.0)
    asked = Asked(model, monkeypatch)
    losses = list(lessons.losses(0))
    assert len(losses) == len(asked.pictures) == 4, "four pictures, four rows"
    assert {shape[0] for shape in asked.pictures} == {1}
    for shape, caption in zip(asked.pictures, asked.captions, strict=True):
        own = [
            number
            for number in range(4)
            if torch.equal(caption, text(family, number)[0][0].to(caption))
        ]
        assert len(own) == 1
        assert shape[-2:] == SIZES[own[0]]


@pytest.mark.parametrize("family", FAMILIES)
def test_latents_of_every_size_are_scaled_as_the_model_sees_them(family: str) -> None:
    lessons, model = lessons_of(family)
    for example, latent in zip(lessons._own, latents(family, *SIZES), strict=True):
        torch.testing.assert_close(example.latent, model.model.process_latent_in(latent))


def test_some_captions_are_left_out_where_an_empty_text_is_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lessons, model = lessons_of("flux", caption_dropout=0.3)
    asked = Asked(model, monkeypatch)
    for step in range(40):
        list(lessons.losses(step))
    empty = text("flux", 9)[0][0]
    assert 4 <= sum(torch.equal(one, empty) for one in asked.captions) <= 22
    lessons, model = lessons_of("flux", caption_dropout=0.3, without=None)
    asked = Asked(model, monkeypatch)
    for step in range(8):
        list(lessons.losses(step))
    assert not any(torch.equal(one, empty) for one in asked.captions)


def test_a_step_of_several_pictures_lessens_the_mean_of_their_losses() -> None:
    several, _ = lessons_of("flux", accumulation=4)
    single, _ = lessons_of("flux")
    losses = [loss.item() for step in range(4) for loss in single.losses(step)]
    found = sum(loss.item() for loss in several.losses(0))
    assert found == pytest.approx(sum(losses) / 4, rel=1e-6)


def test_sdxl_is_told_each_pictures_size_without_its_caption_too() -> None:
    lessons, _ = lessons_of("sdxl")
    for example in lessons._own:
        with_caption = lessons._denoising.caption(text("sdxl", 9), example.latent)
        (without,) = lessons._uncaptioned(example)
        own = with_caption[0]["model_conds"]["y"].cond
        torch.testing.assert_close(without["model_conds"]["y"].cond, own)
    square, wide = (lessons._uncaptioned(one)[0]["model_conds"]["y"] for one in lessons._own[:2])
    assert not torch.equal(square.cond, wide.cond)


def test_class_pictures_are_learned_beside_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """DreamBooth's prior preservation: a second loss, by its weight."""
    module = load("comfyui_astria.nodes.training.photos")
    plain = photos_of(*SIZES)
    pictures = [
        *plain.pictures[:2],
        *(
            module.TunePicture(one.pixels, "photo of woman", module.CLASS)
            for one in plain.pictures[2:]
        ),
    ]
    photos = module.TunePhotos(tuple(pictures), 2, "ohwx", "woman")
    lessons, model = lessons_of("flux", photos=photos, prior_weight=2.0, caption_dropout=0.0)
    with monkeypatch.context() as watched:
        asked = Asked(model, watched)
        own, other = lessons.losses(0)
    for caption, numbers in zip(asked.captions, ((0, 1), (2, 3)), strict=True):
        of_these = [text("flux", number)[0][0].to(caption) for number in numbers]
        assert any(torch.equal(caption, one) for one in of_these), "each with its own caption"
    light, _ = lessons_of("flux", photos=photos, prior_weight=0.5, caption_dropout=0.0)
    own_again, other_again = light.losses(0)
    assert own.item() == own_again.item()
    assert other.item() == pytest.approx(4 * other_again.item())


def test_the_background_counts_a_tenth_of_the_person() -> None:
    loss = load("comfyui_astria.nodes.training.host.loss")
    weights = torch.full((1, 64, 64), BACKGROUND)
    weights[:, :, :32] = 1
    photos = photos_of(*SIZES)
    first, *rest = photos.pictures
    photos = replace(photos, pictures=(replace(first, weights=weights), *rest))
    lessons, _ = lessons_of("flux", photos=photos)
    denoising = lessons._denoising
    example, whole = lessons._own[:2]
    assert whole.weights is None
    halves = []
    for columns in (slice(0, 4), slice(4, 8)):
        only = torch.zeros(1, 1, 8, 8)
        only[..., columns] = 1
        half = loss.Example(example.latent, example.caption, only)
        halves.append(denoising.loss(half, half.caption, generator_of(1)).item())
    assert halves[0] != pytest.approx(halves[1], rel=1e-3)
    found = denoising.loss(example, example.caption, generator_of(1)).item()
    assert found == pytest.approx((halves[0] + 0.1 * halves[1]) / 1.1, rel=1e-5)


def test_every_picture_is_learned_once_a_round_in_another_order() -> None:
    rounds = [tuple(picture_order(5, 5 * turn + step, 3) for step in range(5)) for turn in range(6)]
    assert all(sorted(one) == list(range(5)) for one in rounds)
    assert len(set(rounds)) > 3


def test_timesteps_are_as_likely_as_each_other() -> None:
    drawn = Counter(uniform_timestep(1000, generator_of(0, step)) // 100 for step in range(4000))
    assert len(drawn) == 10
    assert max(drawn.values()) < 1.25 * min(drawn.values())


@pytest.mark.parametrize(("tokens", "shift"), [(256, 0.5), (1024, 0.6302), (4096, 1.15)])
def test_flux_noise_is_logit_normal_and_shifted_by_the_pictures_size(
    tokens: int, shift: float
) -> None:
    drawn = torch.tensor([flow_sigma(tokens, generator_of(0, step)) for step in range(4000)])
    # logit(sigma) = normal + shift, as black-forest-labs/flux shifts its timesteps
    levels = torch.logit(drawn)
    assert levels.mean().item() == pytest.approx(shift, abs=0.06)
    assert levels.std().item() == pytest.approx(1.0, abs=0.05)
    assert shifted(0.5, tokens) == pytest.approx(1 / (1 + math.exp(-shift)), rel=1e-3)


def predicting(kind: str) -> tuple[Any, str]:
    """A loaded model that predicts noise, v or flow, and its family."""
    family = "flux" if kind == "flow" else "sd15"
    model = tiny_model(family)
    if kind == "v_prediction":
        sampling = load("comfy.model_sampling")

        class V(sampling.ModelSamplingDiscrete, sampling.V_PREDICTION):
            pass

        model.add_object_patch("model_sampling", V(model.model.model_config))
    load("comfy.model_management").load_models_gpu([model])
    model.pre_run()
    return model, family


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "flow"])
def test_noisy_picture_and_target_are_those_of_the_papers(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By diffusers' own schedulers, with a model whose answer is known."""
    model, family = predicting(kind)
    denoising = load("comfyui_astria.nodes.training.host.loss").Denoising(model)
    (latent,) = latents(family, (8, 12))
    example = denoising.example(latent, text(family, 1))
    noise, answer = torch.randn(2, *latent.shape, generator=torch.Generator().manual_seed(1))
    asked = []

    def forward(x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        asked.append(x)
        return answer

    monkeypatch.setattr(model.model.diffusion_model, "forward", forward)
    module = load("comfyui_astria.nodes.training.host.loss")
    monkeypatch.setattr(module, "noise_like", lambda *_: noise)
    monkeypatch.setattr(module, "uniform_timestep", lambda *_: 700)
    monkeypatch.setattr(module, "flow_sigma", lambda *_: 0.7)
    loss = denoising.loss(example, example.caption, torch.Generator())
    if kind == "flow":
        noisy, target = 0.7 * noise + 0.3 * example.latent, noise - example.latent
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from diffusers import DDPMScheduler
            from diffusers.training_utils import compute_snr
        scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
        step = torch.tensor([700])
        noisy = scheduler.add_noise(example.latent, noise, step)
        target = noise
        if kind == "v_prediction":
            target = scheduler.get_velocity(example.latent, noise, step)
    torch.testing.assert_close(asked[0], noisy, rtol=1e-4, atol=1e-5)
    assert loss.item() == pytest.approx((answer - target).square().mean().item(), rel=1e-4)
    if kind != "flow":
        weakened = module.Denoising(model, 0.02).loss(example, example.caption, torch.Generator())
        snr = compute_snr(scheduler, step).item()
        assert snr > 0.02
        weight = 0.02 / (snr if kind == "epsilon" else snr + 1)
        assert weakened.item() == pytest.approx(weight * loss.item(), rel=1e-3)


def test_no_part_of_the_timesteps_outweighs_the_others() -> None:
    """The host's own trainer weighs noise by its square: the noisiest tenth took 62 % there."""
    lessons, model = lessons_of("sd15")
    denoising = lessons._denoising
    example = lessons._own[0]
    sampling = model.get_model_object("model_sampling")
    # An answer that is wrong alike everywhere, in what the model predicts, costs alike everywhere.
    costs = []
    for step in (50, 500, 950):
        level = sampling.sigmas[step].item()
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patch:
            patch.setattr(denoising, "sigma", lambda *_, level=level: level)
            patch.setattr(
                load("comfy.samplers"),
                "calc_cond_batch",
                lambda _m, _c, noisy, sigma, _o: (example.latent + sigma * torch.ones_like(noisy),),
            )
            costs.append(denoising.loss(example, example.caption, generator_of(1)).item())
    assert costs == pytest.approx([1.0, 1.0, 1.0], rel=1e-4)


def test_min_snr_weakens_clean_timesteps_only() -> None:
    losses = load("comfyui_astria.nodes.training.host.loss")
    _, model = lessons_of("sd15")
    denoising = losses.Denoising(model, min_snr_gamma=5.0)
    assert denoising._snr_weight(10.0) == 1.0  # snr 0.01
    assert denoising._snr_weight(0.1) == pytest.approx(5 / 100)
    _, flow = lessons_of("flux")
    with pytest.raises(TrainingError, match="flow model"):
        losses.Denoising(flow, min_snr_gamma=5.0)


def test_the_rate_warms_up_over_a_twentieth() -> None:
    numbers = LoopNumbers(steps=100, learning_rate=1.0)
    assert [numbers.rate(step) for step in (0, 1, 4, 5, 99)] == [0.2, 0.4, 1.0, 1.0, 1.0]


def test_gradients_are_brought_to_length_1_and_float16_is_scaled() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    seen = []
    parameter.register_hook(lambda gradient: seen.append(gradient.norm().item()))

    def losses(_: int) -> list[torch.Tensor]:
        return [(parameter * 100).sum()]

    loop = Loop({"a": parameter}, LoopNumbers(1, 1e-3, scales_loss=True), losses)
    list(loop.steps())
    assert seen == [pytest.approx(200 * 4096)]
    # AdamW's first moment holds a tenth of the clipped gradient.
    assert loop.tensors()["exp_avg.a"].norm().item() == pytest.approx(0.1)
    # A shorter one is as it would be without the scale, and falls as torch's own AdamW lets it.
    small = torch.nn.Parameter(torch.ones(4))
    loop = Loop({"a": small}, LoopNumbers(1, 1e-3, scales_loss=True), lambda _: [small.sum() / 8])
    list(loop.steps())
    torch.testing.assert_close(loop.tensors()["exp_avg.a"], torch.full((4,), 0.1 / 8))
    torch.testing.assert_close(small.detach(), torch.full((4,), 1 - 1e-3 - 1e-3 * 0.01))


def test_a_gradient_that_overflows_float16_is_left_out_and_the_scale_halved() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    numbers = LoopNumbers(2, 1e-3, scales_loss=True)
    loop = Loop({"a": parameter}, numbers, lambda _: [parameter.sum()])
    parameter.register_hook(lambda gradient: gradient * math.inf if loop.state.step == 0 else None)
    list(loop.steps())
    assert loop.state.scale == 2048
    assert parameter.abs().sum() > 0


def test_a_model_of_another_kind_or_with_anothers_injections_is_refused() -> None:
    hosts = load("comfyui_astria.nodes.training.host.model")
    model = tiny_model("sd15").clone()
    injection = load("comfy.patcher_extension").PatcherInjection(lambda _: None, lambda _: None)
    model.set_injections("another", [injection])
    with pytest.raises(TrainingError, match="another"):
        hosts.learning_model(model, {}, hosts.LearningOptions())
    strange = tiny_model("sd15")
    strange.model.diffusion_model.out[0] = torch.nn.GroupNorm(32, 32)
    with pytest.raises(TrainingError, match="own loaders: GroupNorm of torch"):
        hosts.learning_model(strange, {}, hosts.LearningOptions())


def test_what_other_nodes_put_around_the_model_is_refused() -> None:
    """A picture's attention to something else would be learned as if it were the person's."""
    model = tiny_model("sd15")
    changed = [model.clone() for _ in range(4)]
    changed[0].set_model_attn2_patch(lambda q, k, v, options: (q, k, v))
    changed[1].set_model_unet_function_wrapper(lambda run, given: run(**given))
    changed[2].add_wrapper("diffusion_model", lambda run, *args, **kwargs: run(*args, **kwargs))
    changed[3].add_object_patch("diffusion_model.out", model.model.diffusion_model.out)
    for one in changed:
        with pytest.raises(TrainingError, match="of another node"):
            run_of(one, "sd15", 1)
    attending = model.clone()
    attending.model_options["transformer_options"]["optimized_attention_override"] = None
    run_of(attending, "sd15", 1)


def test_bases_that_hold_no_person_are_refused_by_the_node() -> None:
    start = load("comfyui_astria.nodes.training.host.start")
    families = load("comfyui_astria.nodes.families.family").FAMILIES
    model = tiny_model("sd15")
    # Six photos, of which more pictures are learned: the steps go by photos.
    given = start.Given(model, replace(photos_of(*SIZES * 3), photos=6), (), ())
    asked = {"preset": None, "steps": 0, "learning_rate": 0.0, "rank": 0, "seed": 0}
    numbers = start.numbers_for(given, families["sd15"], **asked)
    assert (numbers.steps, numbers.rank, numbers.learning_rate) == (600, 16, 1e-4)
    assert numbers.caption_dropout == 0, "no empty text is connected"
    for family in ("sd15_inpaint", "sdxl_inpaint", "flux_fill", "flux_schnell"):
        with pytest.raises(TrainingError, match=f"The MODEL is {families[family].title}"):
            start.numbers_for(given, families[family], **asked)
    for name in ("dreamshaper_lcm", "juggernautXL_lightning", "sd_xl_turbo_1.0"):
        model.cached_patcher_init = (None, (f"models/{name}.safetensors",))
        with pytest.raises(TrainingError, match=rf"distilled to few steps \({name}"):
            start.numbers_for(given, families["sd15"], **asked)


def test_flux_captions_without_guidance_are_told() -> None:
    model = tiny_model("flux")
    assert any("without Flux Guidance" in note for note in run_of(model, "flux", 1)._notes)
    run = run_of(model, "flux", 1)
    for ((_, about),) in run._material.captions:
        about["guidance"] = 1.0
    assert not any("Guidance" in note for note in run._model_notes())


def test_latents_of_another_family_are_refused() -> None:
    hosts = load("comfyui_astria.nodes.training.host.run")
    run = run_of(tiny_model("flux"), "flux", 1)
    with pytest.raises(TrainingError, match="4 channels, and the MODEL's have 16"):
        hosts.TrainingRun(
            run._base,
            run._of,
            replace(run._material, latents=latents("sd15", *SIZES)),
            run._numbers,
            run._teller,
        )


def test_patches_of_the_model_are_told() -> None:
    model = tiny_model("flux").clone()
    key = "diffusion_model.double_blocks.0.img_attn.qkv.weight"
    model.add_patches({key: (torch.zeros(384, 128),)})
    _, outcome = run_of(model, "flux", 1).run(None, None)
    assert any("carries patches on 1 weights" in note for note in outcome.notes)
