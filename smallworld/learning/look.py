"""Shows what a model has learned: `python dev.py learn look --family sd15`.

Paints one-person pictures from the words of scenes that it has not seen, and has them read; people
far away are counted by themselves, for their heads are smaller than a cell of the latent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PIL import Image

from ...devtools.console import say
from ..captions import caption
from ..comparing import told
from ..drawing import drawn
from ..reader import read
from ..scene import FAR_PX, random_scene
from .host import open_host
from .loop import asked

FIRST_SEED = 5_000_000
STEPS, CFG, GUIDANCE = 20, 4.0, 3.5


def main(argv: Sequence[str]) -> None:
    """Write a sheet of drawn and painted pictures, and say what share of the words was found."""
    given = asked(argv, "look", 0, family="sd15", count=16, people=1)
    open_host()
    seen: Counter[str] = Counter()
    right: Counter[str] = Counter()
    pairs = []
    for seed in range(FIRST_SEED, FIRST_SEED + given.count):
        scene = random_scene(seed, given.people, (128, 128))
        picture = painted(given.family, caption(scene), seed)
        pairs.append((drawn(scene), picture))
        is_far = bool(scene.figures) and scene.figures[0].head_px <= FAR_PX[1]
        every = "all, far away" if is_far else "all"
        for name, is_right in told(read(picture), scene):
            names = (every,) if is_far else (every, name)
            seen.update(names)
            right.update(names if is_right else ())
    say(", ".join(f"{name} {right[name] / seen[name]:.2f}" for name in seen))
    path = given.work / f"look_{given.family}.png"
    sheet(pairs).save(path)
    say(f"the pictures, drawn above painted: {path}")


def painted(family: str, text: str, seed: int, size: tuple[int, int] = (128, 128)) -> Image.Image:
    """Return what the family's model paints from a text alone, by the host's own sampler."""
    import torch
    from comfy_extras.nodes_flux import FluxGuidance

    import nodes as host_nodes

    from ..host.files import FAMILIES, load

    model, clip, vae = load(family)
    encode = host_nodes.CLIPTextEncode().encode
    [positive], [negative] = encode(clip, text), encode(clip, "")
    is_guided = family == "flux"
    if is_guided:
        [positive] = FluxGuidance.execute(positive, GUIDANCE).args
    width, height = size
    latent = {"samples": torch.zeros(1, FAMILIES[family][1], height // 8, width // 8)}
    [found] = host_nodes.common_ksampler(
        model,
        seed,
        STEPS,
        1.0 if is_guided else CFG,
        "euler",
        "simple" if is_guided else "normal",
        positive,
        negative,
        latent,
    )
    [picture] = vae.decode(found["samples"])
    return Image.fromarray((picture.clamp(0, 1) * 255).round().byte().numpy())


def sheet(pairs: Sequence[tuple[Image.Image, Image.Image]], across: int = 8) -> Image.Image:
    """Return pairs of pictures of one size in rows, the first above the second."""
    width, height = pairs[0][0].size
    down = -(-len(pairs) // across)
    found = Image.new("RGB", (width * min(across, len(pairs)), 2 * height * down), "white")
    for number, pair in enumerate(pairs):
        for row, picture in enumerate(pair):
            place = (number % across * width, (number // across * 2 + row) * height)
            found.paste(picture, place)
    return found
