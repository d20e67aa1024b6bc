"""The composite: the source bit for bit, the drift measured and healed outside it, everything else
as painted.
"""

from __future__ import annotations

import math

import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.outpaint.composite import heal_and_paste
from comfyui_astria.nodes.outpaint.fill import fit_source
from comfyui_astria.nodes.outpaint.geometry import ANCHORS, Canvas, Rect, place
from hypothesis import given
from hypothesis import strategies as st

sizes = st.tuples(st.integers(1, 20), st.integers(1, 20))
anchors = st.sampled_from(ANCHORS)


def noise(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def painted(canvas: Canvas, *, batch: int = 2, channels: int = 3) -> torch.Tensor:
    return noise((batch, canvas.padded_height, canvas.padded_width, channels), seed=1)


def fitted(canvas: Canvas, *, batch: int = 2, channels: int = 3) -> torch.Tensor:
    return noise((batch, canvas.window.height, canvas.window.width, channels), seed=2)


def final(padded: torch.Tensor, canvas: Canvas) -> torch.Tensor:
    x, y = canvas.padded_offset
    return padded[:, y : y + canvas.height, x : x + canvas.width]


def within(image: torch.Tensor, window: Rect) -> torch.Tensor:
    return image[:, window.y : window.y + window.height, window.x : window.x + window.width]


def outside(canvas: Canvas) -> torch.Tensor:
    mask = torch.ones(1, canvas.height, canvas.width, dtype=torch.bool)
    within(mask, canvas.window)[:] = False
    return mask[0]


@given(
    sizes,
    sizes,
    anchors,
    st.sampled_from((8, 16)),
    st.sampled_from(("crop", "shrink")),
    st.sampled_from((3, 4)),
)
def test_source_is_bit_identical_and_the_rest_is_painted(
    source: tuple[int, int],
    target: tuple[int, int],
    anchor: str,
    multiple: int,
    policy: str,
    channels: int,
) -> None:
    canvas = place(*source, *target, anchor, multiple=multiple, smaller=policy)
    image = fit_source(noise((2, source[1], source[0], channels)), canvas)
    decoded = painted(canvas, channels=channels)
    untouched = decoded.clone()
    plain = heal_and_paste(decoded, image, canvas, heal=False)
    healed = heal_and_paste(decoded, image, canvas, ring_px=5, decay_px=7)
    assert plain.shape == healed.shape == (2, target[1], target[0], channels)
    assert torch.equal(within(plain, canvas.window), image)
    assert torch.equal(within(healed, canvas.window), image)
    assert torch.equal(plain[:, outside(canvas)], final(decoded, canvas)[:, outside(canvas)])
    assert torch.equal(decoded, untouched)


@given(sizes, sizes, anchors)
def test_a_batch_equals_its_images_one_by_one(
    source: tuple[int, int], target: tuple[int, int], anchor: str
) -> None:
    canvas = place(*source, *target, anchor)
    decoded, image = painted(canvas, batch=3), fitted(canvas, batch=3)
    whole = heal_and_paste(decoded, image, canvas, ring_px=6, decay_px=9)
    singly = [
        heal_and_paste(decoded[i : i + 1], image[i : i + 1], canvas, ring_px=6, decay_px=9)
        for i in range(3)
    ]
    torch.testing.assert_close(whole, torch.cat(singly), atol=1e-6, rtol=0)
    shared = heal_and_paste(decoded, image[:1], canvas, ring_px=6, decay_px=9)
    repeated = heal_and_paste(
        decoded, image[:1].expand(3, -1, -1, -1), canvas, ring_px=6, decay_px=9
    )
    torch.testing.assert_close(shared, repeated, atol=1e-6, rtol=0)


@pytest.mark.parametrize("anchor", ANCHORS)
def test_equal_sizes_give_back_the_source(anchor: str) -> None:
    canvas = place(13, 9, 13, 9, anchor)
    image = fitted(canvas)
    assert torch.equal(heal_and_paste(torch.full((2, 16, 16, 3), math.nan), image, canvas), image)


def smooth(width: int, height: int) -> torch.Tensor:
    y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None, :]
    colours = (
        0.5 + 0.2 * torch.sin(3 * x + 2 * y),
        0.4 + 0.15 * torch.cos(4 * y - x),
        0.55 + 0.1 * x * y,
    )
    return torch.stack(colours, dim=-1)[None]


def drifted(image: torch.Tensor) -> torch.Tensor:
    """The image after a gain, an offset of each channel and a slow wave.

    What a VAE and a sampler do to colours.
    """
    _, height, width, _ = image.shape
    y, x = torch.linspace(0, 1, height)[:, None, None], torch.linspace(0, 1, width)[None, :, None]
    wave = 0.008 * torch.sin(2 * math.pi * x) * torch.cos(2 * math.pi * y)
    return image * 0.98 + torch.tensor([0.014, -0.009, 0.02]) + wave


def seam_step(result: torch.Tensor, truth: torch.Tensor, window: Rect) -> float:
    """Mean error, in 1/255, of the pixels that touch the window; inside it there is none."""
    error = (result - truth)[0].abs() * 255
    rows = slice(window.y, window.y + window.height)
    columns = slice(window.x, window.x + window.width)
    sides = []
    if window.x > 0:
        sides.append(error[rows, window.x - 1])
    if window.y > 0:
        sides.append(error[window.y - 1, columns])
    if window.x + window.width < result.shape[2]:
        sides.append(error[rows, window.x + window.width])
    if window.y + window.height < result.shape[1]:
        sides.append(error[window.y + window.height, columns])
    return torch.cat(sides).mean().item()


@pytest.mark.parametrize(
    "anchor", ["top-left", "top-center", "right-center", "center", "bottom-right"]
)
@pytest.mark.parametrize(
    ("source", "target"), [((576, 864), (865, 1297)), ((512, 512), (896, 512))]
)
def test_the_seam_of_a_drifted_picture_disappears(
    anchor: str, source: tuple[int, int], target: tuple[int, int]
) -> None:
    canvas = place(*source, *target, anchor)
    whole = smooth(canvas.padded_width, canvas.padded_height)
    truth, image = final(whole, canvas), within(whole, canvas.padded_window)
    decoded = drifted(whole)
    before = seam_step(heal_and_paste(decoded, image, canvas, heal=False), truth, canvas.window)
    healed = heal_and_paste(decoded, image, canvas)
    after = seam_step(healed, truth, canvas.window)
    assert before > 2.0
    assert after < 0.2
    assert after < before / 10
    assert torch.equal(within(healed, canvas.window), image)


def test_an_even_drift_fades_linearly_to_nothing() -> None:
    canvas = place(24, 24, 80, 24, "left-center")
    decoded = torch.full((1, 24, 80, 3), 0.5)
    source = torch.full((1, 24, 24, 3), 0.6)
    result = heal_and_paste(decoded, source, canvas, ring_px=8, decay_px=40)
    expected = 0.5 + 0.1 * (1 - torch.arange(56) / 40).clamp(min=0)
    torch.testing.assert_close(
        result[0, :, 24:], expected[None, :, None].expand(24, 56, 3), atol=1e-6, rtol=0
    )


def test_nothing_changes_beyond_the_decay() -> None:
    canvas = place(16, 16, 64, 64, "center")
    decoded, image = painted(canvas), fitted(canvas)
    result = heal_and_paste(decoded, image, canvas, ring_px=4, decay_px=10)
    near = torch.zeros(64, 64, dtype=torch.bool)
    near[24 - 10 : 40 + 10, 24 - 10 : 40 + 10] = True
    assert torch.equal(result[:, ~near], decoded[:, ~near])
    assert not torch.equal(result[:, 23, 24:40], decoded[:, 23, 24:40])


def test_healing_has_no_seam_of_its_own_at_the_corners() -> None:
    canvas = place(40, 40, 100, 100, "center", multiple=4)
    image = smooth(40, 40) * 0.2 + 0.3
    result = heal_and_paste(
        torch.full((1, 100, 100, 3), 0.5), image, canvas, ring_px=12, decay_px=30
    )
    change = result[0] - 0.5
    steps_x = (change[:, 1:] - change[:, :-1]).abs()
    steps_y = (change[1:] - change[:-1]).abs()
    # Largest change 0.14, fading over 30 px: 0.005 a pixel (twice that for its fine part) is slope,
    # more is an edge.
    assert change.abs()[:29].max() > 0.05
    assert steps_x[:29].max() < 0.012
    assert steps_y[:, :29].max() < 0.012


def test_a_fine_fault_fades_faster_than_a_broad_drift() -> None:
    canvas = place(128, 256, 512, 256, "left-center")
    decoded = torch.full((1, 256, 512, 3), 0.5)
    source = torch.full((1, 256, 128, 3), 0.5)
    source[:, 120:136, 100:] = 0.9
    change = (heal_and_paste(decoded, source, canvas)[0, 128, 128:, 0] - 0.5).abs()
    assert change[0] > 0.05
    assert change[128] < change[0] * 0.35


@pytest.mark.parametrize("anchor", ["top-left", "bottom-right", "left-center"])
def test_mirrored_pictures_give_mirrored_results(anchor: str) -> None:
    mirror = {
        "top-left": "top-right",
        "bottom-right": "bottom-left",
        "left-center": "right-center",
    }[anchor]
    canvas = place(9, 14, 40, 31, anchor, multiple=1)
    decoded, image = painted(canvas), fitted(canvas)
    found = heal_and_paste(decoded, image, canvas, ring_px=6, decay_px=12)
    flipped = place(9, 14, 40, 31, mirror, multiple=1)
    mirrored = heal_and_paste(decoded.flip(2), image.flip(2), flipped, ring_px=6, decay_px=12)
    torch.testing.assert_close(found, mirrored.flip(2), atol=1e-6, rtol=0)


def test_nan_outside_stays_outside() -> None:
    canvas = place(16, 16, 32, 32, "center")
    decoded, image = painted(canvas), fitted(canvas)
    expected = heal_and_paste(decoded, image, canvas)
    decoded[:, 2, 3] = math.nan
    result = heal_and_paste(decoded, image, canvas)
    assert torch.equal(within(result, canvas.window), image)
    assert result.isnan().sum() == 2 * 3
    assert result[:, 2, 3].isnan().all()
    assert torch.equal(result[~result.isnan()], expected[~result.isnan()])


def test_nan_inside_the_ring_does_not_spread() -> None:
    canvas = place(16, 16, 32, 32, "center")
    decoded, image = painted(canvas), fitted(canvas)
    within(decoded, canvas.window)[:, 0, 5] = math.nan
    within(decoded, canvas.window)[:, 9, 0] = math.inf
    result = heal_and_paste(decoded, image, canvas)
    assert result.isfinite().all()
    assert torch.equal(within(result, canvas.window), image)


def test_only_painted_pixels_are_clamped() -> None:
    canvas = place(4, 4, 8, 8, "center")
    source = torch.full((1, 4, 4, 3), 1.25)
    decoded = torch.full((1, 8, 8, 3), 1.5)
    for heal in (False, True):
        result = heal_and_paste(
            decoded - 1.0 * heal, source, canvas, heal=heal, ring_px=2, decay_px=3
        )
        assert torch.equal(within(result, canvas.window), source)
        assert result[:, outside(canvas)].max() == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_result_is_float32(dtype: torch.dtype) -> None:
    canvas = place(10, 10, 20, 20, "center")
    decoded, image = painted(canvas).to(dtype), fitted(canvas)
    result = heal_and_paste(decoded, image, canvas)
    assert result.dtype == torch.float32
    assert torch.equal(within(result, canvas.window), image)
    torch.testing.assert_close(result, heal_and_paste(decoded.float(), image, canvas))


@pytest.mark.parametrize(
    ("decoded", "source", "options", "code", "words"),
    [
        (
            (1, 20, 20, 3),
            (1, 10, 10, 3),
            {},
            "outpaint_decoded_size",
            r"shape \(1, 20, 20, 3\); expected \[batch, 24, 24,",
        ),
        (
            (1, 24, 24, 3),
            (1, 10, 9, 3),
            {},
            "outpaint_window_size",
            "the fitted source is 9x10, but its window",
        ),
        (
            (3, 24, 24, 3),
            (2, 10, 10, 3),
            {},
            "outpaint_batch",
            "source holds 2 images of 3 channels, the painted canvas 3 of 3",
        ),
        (
            (1, 24, 24, 3),
            (1, 10, 10, 4),
            {},
            "outpaint_batch",
            "1 images of 4 channels, the painted canvas 1 of 3",
        ),
        (
            (1, 24, 24, 3),
            (1, 10, 10, 3),
            {"ring_px": 0},
            "outpaint_heal",
            "a ring of 0 px and a decay of 256 px",
        ),
        (
            (1, 24, 24, 3),
            (1, 10, 10, 3),
            {"decay_px": 0},
            "outpaint_heal",
            "a ring of 64 px and a decay of 0 px",
        ),
    ],
)
def test_pictures_that_do_not_fit_are_named(
    decoded: tuple[int, ...],
    source: tuple[int, ...],
    options: dict[str, int],
    code: str,
    words: str,
) -> None:
    canvas = place(10, 10, 20, 20, "center")
    with pytest.raises(ImageError, match=words) as caught:
        heal_and_paste(torch.zeros(decoded), torch.zeros(source), canvas, **options)
    assert caught.value.code == code
    assert caught.value.hint
