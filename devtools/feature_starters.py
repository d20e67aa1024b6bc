"""The starters of single features: load a model, paste a prompt into one node, save the picture.

Their prompts are short and of our own; the service's own stand in workflows/prompts, compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..nodes.graph.graph import Graph, Link
from ..nodes.graph.outputs import CheckpointNode, add_node
from .examples import FILES, IMAGE
from .one_node import Starter, flux_models, generate

TWO_PEOPLE = """\
film noir street at night, rain, neon signs
BREAK 35mm photograph, shallow depth of field
BREAK woman in a yellow dress, smiling
BREAK man in a grey suit, holding an umbrella
w=1024
h=576
"""
PLACES = "0.06 0.12 0.4 0.88 | 0.54 0.08 0.4 0.92"
FACE = """\
<faceid:788416:1.0> ohwx woman trekking in the alps, photograph
negative_prompt=blurry
cfg_scale=3
w=512
h=768
"""
MASKED = """\
portrait of an astronaut in a garden on a spring day, digital painting
--mask_prompt foreground --mask_negative face --mask_dilate 2%
negative_prompt=text, watermark
denoising_strength=0.8
"""
EXTENDED = """\
--outpaint center --outpaint_width 1344 --outpaint_height 1024
denoising_strength=0
"""
SMALL_FACES = """\
a woman in a flowing dress walking through a wooded valley, soft light, seen from afar
super_resolution=true
inpaint_faces=true
w=896
h=1152
"""
LAST = "Press Run. The report below the text says what was done."
TWO_PEOPLE_NOTE = f"""\
1. In Astria Regions drag the two boxes to where the people shall stand; a corner sizes one, *+* \
adds one. The prompt has a BREAK for each.
2. Drop a LoRA of the Astria sidebar into a person's words to give them a look of their own.
3. {LAST} Move a box and run again.
"""
FACE_NOTE = f"""\
1. In the Astria sidebar press *New tune* and drop photos of one person. Write its id into the tag:

```
<faceid:788416:1.0>
```

2. {LAST}

The InsightFace packs and the FaceID adapter are for non-commercial use.
"""
MASKED_NOTE = f"""\
1. Choose a picture in Load Image.
2. Press *Show the mask* below the prompt to see what will be painted anew, before anything runs.
3. {LAST}
"""
EXTENDED_NOTE = f"""\
1. Choose a picture in Load Image, and in the prompt how large it shall become and where it \
stands: top-left, center, right-center and so on.
2. {LAST} The picture's own pixels stay as they are.
"""
SMALL_FACES_NOTE = f"""\
1. {LAST} The picture becomes four times as large, and each face is drawn again at full size.

The InsightFace pack that finds the faces is for non-commercial use.
"""
_SAVED = ("Save Image", "the picture")
_PHOTO = ("Load Image", "your picture")


def _sd15(graph: Graph) -> dict[str, Link]:
    loaded = add_node(graph, CheckpointNode, "models.checkpoint", ckpt_name=FILES["checkpoints"][0])
    return {"model": loaded.model, "clip": loaded.clip, "vae": loaded.vae}


def _multi_person() -> Starter:
    graph = Graph()
    models = flux_models(graph)
    regions = graph.add(
        "generate.people",
        "AstriaRegions",
        persons=2,
        width=1024,
        height=576,
        softness_px=32,
        names="woman | man",
        drawn_boxes=PLACES,
    )
    masks = Link(regions.node, 1)
    generate(graph, TWO_PEOPLE, models, person_masks=masks)
    steps = (("Load your model", "Flux.1"), ("Astria Regions", "people, by mouse"))
    steps += (("Astria Generate", "a BREAK for each person"), _SAVED)
    return Starter(graph, TWO_PEOPLE_NOTE, steps, "Flux.1 dev")


def _faceid() -> Starter:
    graph = Graph()
    models = _sd15(graph)
    faces = graph.add("models.face_analysis", "AstriaLoadFaceAnalysis", pack="buffalo_l")
    vision = graph.add("models.clip_vision", "CLIPVisionLoader", clip_name=FILES["clip_vision"][0])
    adapter = graph.add(
        "models.faceid",
        "AstriaLoadFaceID",
        faceid_name=FILES["ipadapter"][0],
        kind="auto",
        eva_clip="none",
        face_parsing="none",
        clip_vision=vision,
    )
    generate(graph, FACE, models, gathered={"face_analysis": faces, "faceid": adapter})
    steps = (("a tune", "photos of one person"), ("Astria Generate", "<faceid:...>"), _SAVED)
    return Starter(graph, FACE_NOTE, steps, "SD1.5")


def _masked_portrait() -> Starter:
    graph = Graph()
    models = _sd15(graph)
    photo = graph.add("input.image", "LoadImage", image=IMAGE)
    files = dict.fromkeys(("sam3", "grounding_dino", "sam", "clipseg"), "none")
    files |= {"background_removal": FILES["background_removal"][0], "sam3": FILES["checkpoints"][3]}
    segmenter = graph.add("models.segmenter", "AstriaLoadSegmenter", **files)
    generate(graph, MASKED, models, image=photo, gathered={"segmenter": segmenter})
    steps = (_PHOTO, ("Show the mask", "found by words"), ("Astria Generate", "only there"), _SAVED)
    return Starter(graph, MASKED_NOTE, steps, "SD1.5")


def _outpaint() -> Starter:
    graph = Graph()
    models = flux_models(graph)
    photo = graph.add("input.image", "LoadImage", image=IMAGE)
    generate(graph, EXTENDED, models, image=photo)
    steps = (_PHOTO, ("Astria Generate", "--outpaint"), _SAVED)
    return Starter(graph, EXTENDED_NOTE, steps, "Flux.1 dev")


def _face_inpainting() -> Starter:
    graph = Graph()
    models = flux_models(graph)
    upscaler = graph.add(
        "models.upscaler", "UpscaleModelLoader", model_name=FILES["upscale_models"][0]
    )
    faces = graph.add("models.face_analysis", "AstriaLoadFaceAnalysis", pack="buffalo_l")
    gathered = {"face_analysis": faces}
    generate(graph, SMALL_FACES, models, upscale_model=upscaler, gathered=gathered)
    steps = (("Load your models", "Flux.1, an upscaler"), ("Astria Generate", "4x, faces"), _SAVED)
    return Starter(graph, SMALL_FACES_NOTE, steps, "Flux.1 dev")


FEATURE_STARTERS: Mapping[str, Callable[[], Starter]] = {
    "start_face_inpainting": _face_inpainting,
    "start_faceid": _faceid,
    "start_masked_portrait": _masked_portrait,
    "start_multi_person": _multi_person,
    "start_outpaint": _outpaint,
}
