"""The small drawn world in a host of ours: what prompts name bound to its files, prompts in its
sizes and words, and its copies of the templates.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw

from ..nodes.errors import AstriaError, MissingModelError
from ..nodes.graph.check import check_graph
from ..nodes.graph.definitions import Definitions, from_object_info
from ..nodes.graph.graph import Graph, Link, NodeCall, Value
from ..nodes.graph.ui_form import ui_workflow
from ..nodes.pipeline.build.sources import Options
from ..nodes.pipeline.compiling import CompileOptions, compile_request, note_text
from ..nodes.pipeline.training_plan import training_plan
from ..nodes.prompt import PromptRequest
from ..nodes.prompt.images import ImageRef
from ..nodes.training.request import TrainingRequest
from ..nodes.tunes.bindings import BINDINGS_FILE, BaseModel, Bindings
from ..nodes.tunes.file_search import Missing
from ..nodes.tunes.local_files import LocalFiles
from ..nodes.tunes.resolve import Resolver
from ..nodes.tunes.tune import Tunes
from ..smallworld import model_files
from ..smallworld.drawing import drawn
from ..smallworld.prompts import in_world
from ..smallworld.scene import Figure, Scene
from . import starters
from .base import SMALL_WORLD, TEMPLATES
from .console import DevError
from .examples import FLUX, SD15, base_of
from .family_starters import FAMILY_STARTERS
from .family_starters import PROMPTS as FAMILY_PROMPTS
from .family_starters import SIZE as FAMILY_SIZE
from .feature_starters import FEATURE_STARTERS
from .host import Host
from .one_node import PASTE, generate
from .paths import DEV, STATE_FOLDER
from .titles import TITLES
from .workflows import PROMPTS, SEED, names, text_of, ui_file
from .world_photos import FACE, FACE_ID, keep_photos

SMALL_BASE = DEV / "base-smallworld"
SCALE = 8  # the sides that prompts ask for, divided by it
NATIVE_PX = "128"
# Side of a face's crop over the face; the pack's own is 2. These models learned few close-ups.
FACE_CONTEXT = 3.0
MULTIPLE = 8  # of pixels, what a prompt may ask for
BASES = {"sd15": SD15, "flux": FLUX}  # family -> the base tune of prompts that it stands for
PICTURE, MASK = "smallworld.png", "smallworld_mask.png"
LOADER = "AstriaLoadSmallWorld"
# Ids of people in prompts: the first of each stands for the first trained person.
_PEOPLE = (("1533312", "1558021"), ("749152", "749183"), ("1795721",))
# Role -> where its model stands below the world's models, if there is one.
_ROLES = {
    "face_analysis": f"insightface/models/{model_files.NAME}/*.onnx",
    "upscaler": f"upscale_models/{model_files.NAME}/*",
    "sd15.faceid": f"ipadapter/{model_files.NAME}/sd15*",
    "sd15.controlnet_pose": f"controlnet/{model_files.NAME}/sd15_pose*",
}
_SIZES = ("w", "h", "outpaint_width", "outpaint_height")


def bindings(family: str) -> Bindings:
    """Return what ids and roles of prompts stand for in the small world; `family` is the default
    base's, whose LoRAs of people the ids mean.
    """
    bases = {BASES[one]: _base(one) for one in model_files.families()}
    people = list(model_files.loras(family).values())
    tunes = {
        id: people[place] for ids in _PEOPLE for place, id in enumerate(ids) if place < len(people)
    }
    return Bindings(bases, BASES[family], tunes, dict(_roles()))


def _base(family: str) -> BaseModel:
    own = model_files.inpaint(family)
    painter = f"{model_files.NAME}/{own.name}" if own.exists() else None
    file = f"{model_files.NAME}/{family}.safetensors"
    return BaseModel(family, file, outpaint_model=painter, native_size=NATIVE_PX)


def _roles():
    for role, pattern in _ROLES.items():
        if found := sorted(model_files.FOLDER.glob(pattern)):
            is_pack = role == "face_analysis"
            yield role, model_files.NAME if is_pack else f"{model_files.NAME}/{found[0].name}"


def resolver(family: str, tunes: Tunes | None = None) -> Resolver:
    """Return a resolver over these bindings, the world's files, and a host's tunes."""
    return Resolver(bindings(family), tunes, LocalFiles(model_files.FOLDER))


def require_families() -> tuple[str, ...]:
    """Return the families whose files are there. Raises: DevError without any."""
    if not (found := model_files.families()):
        raise DevError(
            f"The small world has no models: {model_files.FOLDER} holds no family's checkpoint and"
            " autoencoder.",
            "Train them: smallworld/README.md has the commands.",
        )
    return found


def small(text: str) -> PromptRequest:
    """Return the request of a prompt in the world's words and sizes; its pictures are drawn ones.

    Raises: PromptError as `PromptRequest.require`.
    """
    request = PromptRequest.require(in_world(text))
    given = {
        key: max(MULTIPLE, round(value / SCALE / MULTIPLE) * MULTIPLE)
        for key in _SIZES
        if (value := getattr(request, key)) is not None
    }
    if (dilate := request.mask_dilate) is not None and dilate.unit == "px":
        given["mask_dilate"] = replace(dilate, value=dilate.value / SCALE)
    pictures = {"input_image": PICTURE, "mask_image": MASK}
    files = {
        key: ImageRef("file", name)
        for key, name in pictures.items()
        if getattr(request, key) is not None
    }
    return replace(request, **given, **files)


def with_loader(graph: Graph) -> Graph:
    """Return a graph whose checkpoints of the world are loaded by its own node."""
    nodes = {}
    for name, call in graph.nodes.items():
        inputs = model_files.loading(call.inputs.get("ckpt_name"))
        nodes[name] = replace(call, class_type=LOADER, inputs=inputs) if inputs else call
    return Graph(nodes)


def with_wide_crops(graph: Graph) -> Graph:
    """Return a graph whose faces are painted anew in crops that these models know well."""
    wide = {
        name: replace(call, inputs={**call.inputs, "context": FACE_CONTEXT})
        for name, call in graph.nodes.items()
        if call.class_type == "AstriaInpaintFaces"
    }
    return Graph({**graph.nodes, **wide})


@dataclass(frozen=True)
class Templates:
    """Name -> a workflow of the editor, or what the small world lacks for it."""

    offered: dict[str, dict]
    lacking: dict[str, str]


def templates(definitions: Definitions) -> Templates:
    """Return the small world's copies of the templates."""
    offered, lacking = {}, {}
    for name in names():
        try:
            graph, note = template(name)
        except AstriaError as error:
            lacking[name] = error.message.splitlines()[0].split(". ")[0].rstrip(".")
            continue
        check_graph(graph, definitions)
        offered[name] = ui_workflow(graph, definitions, note, is_folded=True)
    return Templates(offered, lacking)


Asked = Callable[[PromptRequest, str], PromptRequest]  # a request for a family -> another


def _as_it_is(request: PromptRequest, family: str) -> PromptRequest:
    return request


def template(
    name: str, asked: Asked = _as_it_is, *, of_any_base: bool = False
) -> tuple[Graph, str]:
    """Return the world's copy of a template and its note; `asked` may change its request.

    With `of_any_base`, the world's models stand for whatever base the template has.

    Raises: AstriaError with what the world lacks for it.
    """
    graph, note = _STARTERS.get(name, _compiled)(name, Asking(asked, of_any_base))
    return with_wide_crops(with_loader(graph)), note


@dataclass(frozen=True)
class Asking:
    """How a template is asked for: what its request becomes, and whether the world's models stand
    for any base.
    """

    change: Asked
    of_any_base: bool

    def family(self, wanted: str) -> str:
        """Return the family to paint on where a template is made for `wanted`."""
        there = model_files.families()
        return there[0] if self.of_any_base and there and wanted not in there else wanted


def _compiled(name: str, asking: Asking) -> tuple[Graph, str]:
    request = small((PROMPTS / f"{name}.txt").read_text(encoding="utf-8"))
    base, there = base_of(name), model_files.families()
    family = next((one for one, id in BASES.items() if id == base), "")
    if family not in there:  # of another base the resolver says that there is none
        base, family = (BASES[there[0]] if family or asking.of_any_base else base), there[0]
    pictures = {
        key: ref.value
        for key, ref in (("image", request.input_image), ("mask", request.mask_image))
        if ref is not None
    }
    options = CompileOptions(base, **pictures, options=Options(SEED))
    request = asking.change(request, family)
    made = compile_request(request, resolver(family), options)
    return made.graph, note_text(request, replace(made, files=()))


def _start(name: str, asking: Asking) -> tuple[Graph, str]:
    wanted, text = _STARTED[name]
    family = asking.family(wanted)
    _require(resolver(family).base(BASES[family]))
    return generate_graph(asking.change(small(text), family).to_text(), family), PASTE


def _of_family(name: str, asking: Asking) -> tuple[Graph, str]:
    """Return the starter of a family: the world's models stand for it in pictures only."""
    own = name.removeprefix("start_")
    family = asking.family(own)
    _require(resolver(model_files.families()[0]).base(BASES.get(family, own)))
    text = f"{FAMILY_PROMPTS[own]}\n{FAMILY_SIZE}"
    return generate_graph(asking.change(small(text), family).to_text(), family), PASTE


def _train(name: str, asking: Asking) -> tuple[Graph, str]:
    request = TrainingRequest(
        tune_id=788416,
        photos=8,
        name="woman",
        base=BASES[_TRAINED[name]],
        seed=SEED,
        sizes_px=(int(NATIVE_PX),),
    )
    plan = training_plan(request, resolver(_TRAINED[name]))
    return plan.graph, starters.TRAIN.format(token=plan.settings.token)


def _tune(name: str, asking: Asking) -> tuple[Graph, str]:
    starter = starters.STARTERS[name]()
    pack = _require(resolver("sd15").role("face_analysis"))
    nodes = starter.graph.nodes
    own = {"AstriaLoadFaceAnalysis": {"pack": pack}, "LoadImage": {"image": PICTURE}}
    return Graph(
        {
            key: replace(call, inputs={**call.inputs, **own.get(call.class_type, {})})
            for key, call in nodes.items()
        }
    ), starter.words


def _feature(name: str, asking: Asking) -> tuple[Graph, str]:
    """Return a starter of one feature with the world's loader, words, sizes and pictures."""
    starter = FEATURE_STARTERS[name]()
    calls = starter.graph.nodes.values()
    # Its name says no family, so the world's truest stands for it.
    family = replace(asking, of_any_base=True).family("sd15")
    _require(resolver(family).base(BASES[family]))
    loader = NodeCall("models.smallworld", LOADER, {"family": family})
    slots = {call.name: _LOADED[call.class_type] for call in calls if call.class_type in _LOADED}
    unneeded = {call.name for call in calls if call.class_type == _VISION}
    nodes = {loader.name: loader}
    for call in calls:
        if call.name not in {*slots, *unneeded}:
            inputs = {
                key: _moved(value, slots, loader.name)
                for key, value in call.inputs.items()
                if not (isinstance(value, Link) and value.node in unneeded)
            }
            own = _own_inputs(call, family, asking)
            nodes[call.name] = replace(call, inputs={**inputs, **own})
    return Graph(nodes), starter.words


def _moved(value: Value, slots: Mapping[str, int], loader: str) -> Value:
    """Return an input with what was another loader's output taken from the world's."""
    if isinstance(value, Link) and value.node in slots:
        return Link(loader, slots[value.node] + value.slot)
    return value


def _own_inputs(call: NodeCall, family: str, asking: Asking) -> dict[str, Value]:
    """Return what a starter's node has otherwise in the world. Raises: MissingModelError for a
    model that the world has not.
    """
    if call.class_type == "AstriaGenerate":
        return {"text": asking.change(small(str(call.inputs["text"])), family).to_text()}
    if call.class_type == "AstriaRegions":
        sizes = {key: int(call.inputs[key]) // SCALE for key in ("width", "height")}
        return {**sizes, "softness_px": int(call.inputs["softness_px"]) // 4}
    if call.class_type == "LoadImage":
        return {"image": PICTURE}
    if call.class_type in _MODEL_OF:
        role, key = _MODEL_OF[call.class_type]
        return {key: _require(resolver(family).role(role, family))}
    return {}


def _require(found):
    """Return what was found. Raises: MissingModelError where it is missing."""
    if isinstance(found, Missing):
        raise MissingModelError(found.message, code="missing-model", hint=found.hint)
    return found


_VISION = "CLIPVisionLoader"  # the world's FaceID goes by the face alone
_WHOLE = ("CheckpointLoaderSimple",)
# Loader -> the output of the world's own that its first output is.
_LOADED = {**dict.fromkeys(_WHOLE, 0), "UNETLoader": 0, "DualCLIPLoader": 1, "VAELoader": 2}
# Loader -> the role of its model, and the input that names it.
_MODEL_OF = {
    "AstriaLoadFaceAnalysis": ("face_analysis", "pack"),
    "AstriaLoadFaceID": ("faceid", "faceid_name"),
    "AstriaLoadSegmenter": ("background_removal", "background_removal"),
    "UpscaleModelLoader": ("upscaler", "model_name"),
}
_STARTED = {
    "start_flux": ("flux", starters.FLUX_PROMPT),
    "start_stable_diffusion": ("sd15", starters.SD_PROMPT),
}
_TRAINED = {"train_person": "sd15", "train_person_flux": "flux"}
_STARTERS = {
    **dict.fromkeys(_STARTED, _start),
    **dict.fromkeys(_TRAINED, _train),
    "start_tune_from_photos": _tune,
    **dict.fromkeys(FEATURE_STARTERS, _feature),
    **dict.fromkeys(FAMILY_STARTERS, _of_family),
}


def generate_graph(text: str, family: str) -> Graph:
    """Return the graph that an artist would wire: the loader, Astria Generate with the text, Save
    Image; where the text outpaints, the base's inpainting model too.
    """
    graph = Graph()
    loaded = graph.add("models.smallworld", LOADER, family=family)
    models = {key: Link(loaded.node, slot) for slot, key in enumerate(("model", "clip", "vae"))}
    painter = bindings(family).bases[BASES[family]].outpaint_model
    if painter and PromptRequest.require(text).outpaint is not None:
        inputs = model_files.loading(painter)
        models["outpaint_model"] = graph.add("models.outpaint_model", LOADER, **inputs)
    return generate(graph, text, models)


def write_bindings(base: Path, family: str) -> None:
    """Write the bindings of the world's default `family` into a base directory, over others."""
    state = base / "user" / STATE_FOLDER
    state.mkdir(parents=True, exist_ok=True)
    (state / BINDINGS_FILE).write_text(bindings(family).to_text(), encoding="utf-8")


def furnish(host: Host, family: str) -> Templates:
    """Write bindings, pictures, a tune's photos and templates of the world where a started host
    finds them, over those of an earlier start, and return the templates.
    """
    write_bindings(host.base, family)
    draw_pictures(host.base / "input")
    keep_photos(host.base, {FACE_ID: FACE})
    found = templates(from_object_info(host.client.object_info()))
    folder = host.base / "custom_nodes" / SMALL_WORLD / TEMPLATES
    for old in folder.glob("*.*"):
        old.unlink()
    for name, workflow in found.offered.items():
        own = ui_file(name)
        (folder / own.name).write_text(text_of(workflow), encoding="utf-8")
        shutil.copy(own.with_suffix(".jpg"), folder)
    return found


def draw_pictures(folder: Path) -> None:
    """Draw the input picture of prompts, two people in a field, and a mask of all but their
    heads.
    """
    scene = _scene()
    drawn(scene).save(folder / PICTURE)
    mask_around_heads(scene).save(folder / MASK)


def _scene() -> Scene:
    woman = Figure("woman", "ginger", "pale", "green", 36, 60, 14)
    man = Figure("man", "grey", "tan", "white", 92, 60, 14)
    return Scene(128, 128, "field", "day", 76, figures=(woman, man))


def mask_around_heads(scene: Scene) -> Image.Image:
    """Return the mask of a scene's picture that leaves heads as they are, white where it paints."""
    mask = Image.new("RGB", (scene.width, scene.height), "white")
    for person in scene.figures:
        side = person.head_px * 1.3
        box = (person.x - side, person.y - 1.4 * side, person.x + side, person.y + side)
        ImageDraw.Draw(mask).ellipse(box, fill="black")
    return mask


def told(found: Templates) -> Sequence[str]:
    """Return the lines that say what is offered and what lacks what."""
    return [
        f"templates of the small world, under {SMALL_WORLD}: {len(found.offered)}",
        *(
            f"  not offered: {TITLES[name].file}: {lack}"
            for name, lack in sorted(found.lacking.items())
        ),
    ]
