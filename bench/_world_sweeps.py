"""What can be set of the pack's ways through the small world, each setting a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from comfyui_astria.bench import _world_faceid, _world_outpaint
from comfyui_astria.bench._world import Scene, Way, ours
from comfyui_astria.bench._world_outpaint import OutpaintWay

# What the scene's own words say, where no pose says how many stand there -> how.
SAYS: dict[str, Callable[[Scene], str]] = {
    "naming nobody": attrgetter("text"),
    "naming woman or man": attrgetter("kinds"),
    "saying all of everyone": attrgetter("everything"),
}
STRENGTHS = ((0.0, 1.0), (1.0, 0.15), (1.0, 0.3), (0.4, 0.3), (0.4, 1.0), (0.2, 1.0))
SOFTNESS = (0, 4, 16, 32)  # of the regions' edges, in pixels; the compiler's own is 8 here
STARTS, OVERLAPS = (1.0, 0.9, 0.8), (0, 8, 16)  # of outpainting; the compiler's are 0.95, and 4 px
CONTEXTS = (1.5, 3.0, 4.0)  # sides of a face's crop in faces; the compiler's is 2
FACE_STARTS = (0.1, 0.2, 0.4)

PEOPLE: dict[str, Way] = {
    f"the pack, scene {what}, scene_strength {strength:g} until {until:g}": ours(
        says=says, is_posed=False, scene_strength=strength, scene_until=until
    )
    for what, says in SAYS.items()
    for strength, until in STRENGTHS
}
PEOPLE |= {
    f"the pack, softness {pixels} px": ours(regions={"softness_px": pixels}) for pixels in SOFTNESS
}
PEOPLE["the pack, isolated"] = ours(isolation=True)
PEOPLE |= {
    f"the pack, then faces anew in crops {context:g} faces wide": ours(
        "\ninpaint_faces=true", faces={"context": context}
    )
    for context in CONTEXTS
}
CLOSE_UP: dict[str, Way] = {
    f"one person close up by FaceID from {start:g} of the steps on": _world_faceid.from_part(start)
    for start in FACE_STARTS
}
OUTPAINTING: dict[str, OutpaintWay] = {
    f"the pack from {start:g} of the noise on": _world_outpaint.ours(start=start)
    for start in STARTS
}
OUTPAINTING |= {
    f"the pack, overlap {pixels} px": _world_outpaint.ours(overlap=pixels) for pixels in OVERLAPS
}
OUTPAINTING["the pack, by the base itself, told the place alone"] = _world_outpaint.ours(
    has_painter=False, says_who=False
)
