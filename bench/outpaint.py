"""Outpainting's own work, from the source to the canvas and from the painted canvas to the picture,
beside the host's padding.

`python dev.py bench outpaint` runs it; by hand: `PYTHONPATH=<ComfyUI> python bench/outpaint.py
--cpu`.
"""

from __future__ import annotations

import torch
from comfyui_astria.bench._figures import figure, interleaved_medians_ms

RUNS = 5
SIZE = 2048
# (source width, source height, anchor): new area on all sides, and on one side of a source as wide
# as the canvas.
CASES = ((1024, 1024, "center"), (2048, 1024, "top-center"))


def run() -> list[dict]:
    """Return the figures: medians of interleaved runs in milliseconds, their ratio, and the change
    inside the source.
    """
    return [figure for case in CASES for figure in _compare(*case)]


def _compare(source_width: int, source_height: int, anchor: str) -> list[dict]:
    from comfyui_astria.nodes.outpaint.composite import heal_and_paste
    from comfyui_astria.nodes.outpaint.fill import canvas_mask, edge_extended, fit_source
    from comfyui_astria.nodes.outpaint.geometry import place

    from nodes import ImagePadForOutpaint  # the host's

    source = torch.rand(
        1, source_height, source_width, 3, generator=torch.Generator().manual_seed(0)
    )
    canvas = place(source_width, source_height, SIZE, SIZE, anchor)
    window = canvas.window
    decoded = (edge_extended(source, canvas, blur_px=65) * 0.98 + 0.01).clamp(0.0, 1.0)

    def lay_out() -> torch.Tensor:
        fitted = fit_source(source, place(source_width, source_height, SIZE, SIZE, anchor))
        canvas_mask(canvas, 1, overlap_px=16)
        return edge_extended(fitted, canvas, blur_px=65)

    def composite() -> torch.Tensor:
        return heal_and_paste(decoded, source, canvas)

    def host() -> torch.Tensor:
        right, bottom = SIZE - window.x - window.width, SIZE - window.y - window.height
        return ImagePadForOutpaint().expand_image(source, window.x, window.y, right, bottom, 40)[0]

    own_ms, composite_ms, host_ms = interleaved_medians_ms(RUNS, lay_out, composite, host)
    rows = slice(window.y, window.y + window.height)
    columns = slice(window.x, window.x + window.width)
    changed = max(
        (picture[:, rows, columns] - source).abs().max().item()
        for picture in (lay_out(), composite())
    )
    ratio = (own_ms + composite_ms) / host_ms
    title = f"{source_width}x{source_height} {anchor} on {SIZE}x{SIZE}"
    return [
        figure(f"{title}: canvas and mask", own_ms, "ms", True),
        figure(f"{title}: heal and paste", composite_ms, "ms", True),
        figure(f"{title}: ImagePadForOutpaint", host_ms, "ms", True),
        figure(f"{title}: canvas + composite / host", ratio, "ratio", ratio < 1.0),
        figure(f"{title}: greatest change inside the source", changed, "0..1", changed == 0.0),
    ]
