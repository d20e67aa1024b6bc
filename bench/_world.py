"""What is painted and read for the figures of the small world: scenes of several people, ways to
paint them as graphs of a host, and what a reader finds.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from comfyui_astria.devtools import small_world
from comfyui_astria.devtools.paths import DEV, STATE_FOLDER
from comfyui_astria.nodes.families.family import FAMILIES, host_sampler
from comfyui_astria.nodes.graph.graph import Graph, Link, NodeCall
from comfyui_astria.nodes.pipeline.build.sources import Options
from comfyui_astria.nodes.pipeline.compiling import CompileOptions, compile_request
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.nodes.tunes.local_files import LocalFiles
from comfyui_astria.nodes.tunes.resolve import Resolver
from comfyui_astria.nodes.tunes.state import tunes_in
from comfyui_astria.smallworld import identities, model_files, words
from comfyui_astria.smallworld.comparing import asked, person_words, scene_words
from comfyui_astria.smallworld.reader import PersonRead, Reading
from PIL import Image

STEPS, CFG = 20, 4.0
HEIGHT = 128
ONE_WIDTH, WIDTH = 128, 192  # of a picture of one person, and of more
LEAST_ROOM = 64  # pixels of width for each person: in 48 one of four is often not painted
BASE = DEV / "bench-world"  # the base directory of the host that paints
_FIRST_ID, _FIRST_CHECKPOINT = 900, 1000  # of the people's tunes, LoRAs and checkpoints
OUTPUT = "output.save"
BOTH = ("positive", "negative")
POSE = "controlnet_pose"  # the role of the ControlNet that knows poses


@dataclass(frozen=True)
class Sitter:
    """A person of a picture: the number of the face and the words of everything else."""

    number: int
    text: str


@dataclass(frozen=True)
class Scene:
    """A place, and who stands there from left to right."""

    seed: int
    place: str
    sitters: tuple[Sitter, ...]

    @property
    def width(self) -> int:
        """In pixels."""
        people = len(self.sitters)
        return max(WIDTH, LEAST_ROOM * people) if people > 1 else ONE_WIDTH

    @property
    def text(self) -> str:
        """The words of the picture without its people's."""
        return f"{self.place}, {words.COUNTS[len(self.sitters)]}"

    @property
    def kinds(self) -> str:
        """The words of the picture, and whether a woman or a man stands there, from left to
        right.
        """
        kinds = [words.KINDS[one.number % len(words.KINDS)] for one in self.sitters]
        return ", ".join([self.text, *kinds])

    @property
    def everything(self) -> str:
        """The words of the picture and of all its people, from left to right."""
        return ", ".join([self.text, *(one.text for one in self.sitters)])


def scene_of(seed: int, people: int, numbers: Sequence[int]) -> Scene:
    """Return the scene of this seed: people with different faces, hair and clothes."""
    rng = np.random.default_rng(seed)
    place = str(rng.choice([one for one in words.PLACES if one != "room"]))
    when = str(rng.choice(list(words.TIMES)))
    hairs = rng.permutation(list(words.HAIRS))
    clothes = rng.permutation(list(words.CLOTHES))
    chosen = rng.permutation(list(numbers))[:people]
    sitters = []
    for at, number in enumerate(chosen):
        kind = words.KINDS[int(number) % len(words.KINDS)]
        said = [f"ohwx {kind}", f"with {hairs[at]} hair", f"{rng.choice(list(words.SKINS))} skin"]
        said += [f"{clothes[at]} {words.GARMENTS[kind]}", "no hat", "no glasses", "standing"]
        sitters.append(Sitter(int(number), ", ".join(said)))
    return Scene(seed, f"{place} at {when}", tuple(sitters))


@dataclass(frozen=True)
class Read:
    """What of a picture is right, each a share of 1; `leak` is of what only others were told."""

    identity: float
    words: float
    leak: float
    scene: float


def read_of(scene: Scene, reading: Reading) -> Read:
    """Return what is right in a picture of a scene; each person is who stands in their column."""
    room = scene.width / len(scene.sitters)
    there = [person_in(reading, at * room, (at + 1) * room) for at in range(len(scene.sitters))]
    right = told = same = wrong = others = 0
    for sitter, person in zip(scene.sitters, there, strict=True):
        own, seen = asked(sitter.text), _seen(person)
        right, told = right + len(own & seen), told + len(own)
        face = identities.ALL[sitter.number]
        same += person is not None and person.identity == face
        foreign = set[object]()
        for other in scene.sitters:
            foreign |= asked(other.text) | {identities.ALL[other.number]}
        foreign -= own | {face}
        shown = {*seen, *([person.identity] if person else [])}
        wrong, others = wrong + len(foreign & shown), others + len(foreign)
    of_scene = asked(scene.text)
    if not reading.place:  # people hide the ground that tells it
        of_scene -= frozenset(words.PLACES)
    return Read(
        same / len(there),
        right / told,
        wrong / others if others else 0.0,
        len(of_scene & scene_words(reading)) / len(of_scene),
    )


def person_in(reading: Reading, left: float, right: float) -> PersonRead | None:
    """Return the largest person whose head stands between two columns."""
    found = [person for person in reading.people if left <= person.x < right]
    return max(found, key=lambda person: person.unit, default=None)


def _seen(person: PersonRead | None) -> frozenset[str]:
    return frozenset() if person is None else person_words(person)


Way = Callable[[str, Scene], Graph]


def resolver(family: str, *, is_posed: bool = True, has_painter: bool = True) -> Resolver:
    """Return a resolver over the world and what its host keeps, in which each person's tune is 900
    and their number, and their checkpoint's 1000 and their number; one that is not `is_posed` knows
    no ControlNet, without `has_painter` the base has no inpainting model beside it.
    """
    loras = model_files.loras(family)
    tunes = {str(_FIRST_ID + number): file for number, file in loras.items()}
    tunes |= {str(_FIRST_CHECKPOINT + number): checkpoint_of(family, number) for number in loras}
    bound = replace(small_world.bindings(family), tunes=tunes)
    if not is_posed:
        bound = replace(
            bound, roles={key: name for key, name in bound.roles.items() if POSE not in key}
        )
    if not has_painter:
        bases = {id: replace(base, outpaint_model=None) for id, base in bound.bases.items()}
        bound = replace(bound, bases=bases)
    files = LocalFiles(BASE / "models", model_files.FOLDER)
    return Resolver(bound, tunes_in(BASE / "user" / STATE_FOLDER), files)


def checkpoint_of(family: str, number: int) -> str:
    """Return the checkpoint of a person as the host lists it, once it has saved it."""
    return f"{model_files.NAME}/{family}_person{number}_00001_.safetensors"


def saving(family: str, number: int) -> Graph:
    """Return what saves a person's LoRA, merged into the family's model, as a checkpoint."""
    graph = Graph()
    loader = graph.add("models", small_world.LOADER, family=family)
    lora = {"lora_name": model_files.loras(family)[number], "strength_model": 1.0}
    merged = graph.add("merged", "LoraLoaderModelOnly", model=loader, **lora)
    clip, vae = Link(loader.node, 1), Link(loader.node, 2)
    name = f"checkpoints/{checkpoint_of(family, number).removesuffix('_00001_.safetensors')}"
    graph.add("saved", "CheckpointSave", model=merged, clip=clip, vae=vae, filename_prefix=name)
    return graph


def compiled(
    family: str,
    text: str,
    seed: int,
    image: str | None = None,
    mask: str | None = None,
    **known: bool,
) -> Graph:
    """Return the workflow of a prompt; `image` and `mask` are its pictures in the host's folder,
    `known` is what its `resolver` knows.
    """
    request = PromptRequest.require(f"{text}\nsteps={STEPS}\ncfg_scale={CFG:g}")
    own = Options(seed, keep_unmasked=mask is not None)
    options = CompileOptions(small_world.BASES[family], image, mask, options=own)
    made = compile_request(request, resolver(family, **known), options)
    return small_world.with_loader(made.graph)


def png_of(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def with_inputs(graph: Graph, class_type: str, **inputs: object) -> Graph:
    """Return a graph whose nodes of a class have these inputs."""
    nodes = {
        name: replace(call, inputs={**call.inputs, **inputs})
        if call.class_type == class_type
        else call
        for name, call in graph.nodes.items()
    }
    return Graph(nodes)


def people_of(scene: Scene, checkpoints: int = 0) -> str:
    """Return the chunks of a prompt that speak of a scene's people, each with their LoRA; the first
    so many with their checkpoint.
    """
    people = [
        f" BREAK {person_of(one.number, is_checkpoint=at < checkpoints)} {one.text}"
        for at, one in enumerate(scene.sitters)
    ]
    return "".join(people)


def person_of(number: int, *, is_checkpoint: bool = False) -> str:
    """Return the tag of a person."""
    return f"<lora:{(_FIRST_CHECKPOINT if is_checkpoint else _FIRST_ID) + number}:1>"


def _place(scene: Scene) -> str:
    return scene.text


def ours(
    more: str = "",
    says: Callable[[Scene], str] = _place,
    checkpoints: int = 0,
    *,
    is_posed: bool = True,
    regions: Mapping[str, object] = MappingProxyType({}),
    faces: Mapping[str, object] = MappingProxyType({}),
    **inputs: object,
) -> Way:
    """Return the pack's way: people in one pass, each with their own text and LoRA.

    `more` are lines of the prompt, `says` gives the scene's own words, so many of the people are
    `checkpoints`, `inputs` are Astria Regional Prompt's, `regions` Astria Regions', `faces` Astria
    Inpaint Faces'. `is_posed`: the constant pose steers them.
    """

    def way(family: str, scene: Scene) -> Graph:
        text = (
            f"{says(scene)} BREAK{people_of(scene, checkpoints)}\nw={scene.width}\nh={HEIGHT}{more}"
        )
        graph = compiled(family, text, scene.seed, is_posed=is_posed)
        graph = with_inputs(graph, "AstriaRegions", **regions)
        graph = with_inputs(graph, "AstriaInpaintFaces", **faces)
        return with_inputs(graph, "AstriaRegionalPrompt", **inputs)

    return way


def without_gates(family: str, scene: Scene) -> Graph:
    """Return the same regions, with all LoRAs on the whole picture."""
    people = [f" BREAK {one.text}" for one in scene.sitters]
    text = f"{scene.text} BREAK{''.join(people)}\nw={scene.width}\nh={HEIGHT}"
    graph = compiled(family, text, scene.seed)
    return _with_loras(graph, model_files.loras(family), scene)


def merged(family: str, scene: Scene) -> Graph:
    """Return one prompt of all people, with all LoRAs on the whole picture."""
    graph = compiled(family, f"{scene.everything}\nw={scene.width}\nh={HEIGHT}", scene.seed)
    return _with_loras(graph, model_files.loras(family), scene)


def posed(way: Way) -> Way:
    """Return a way without regions whose people the constant pose steers, as it does the pack's."""

    def steered(family: str, scene: Scene) -> Graph:
        graph = Graph(dict(way(family, scene).nodes))
        [drawn] = [call for call in graph.nodes.values() if {*BOTH} <= call.inputs.keys()]
        size = {"width": scene.width, "height": HEIGHT, "softness_px": 0}
        people = graph.add("pose.people", "AstriaRegions", persons=len(scene.sitters), **size)
        file = resolver(family).role(POSE, family)
        model = graph.add("pose.model", "ControlNetLoader", control_net_name=file)
        both = {key: drawn.inputs[key] for key in BOTH}
        amount = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
        image = Link(people.node, 3)
        own = graph.add(
            "pose", "ControlNetApplyAdvanced", **both, control_net=model, image=image, **amount
        )
        inputs = {"positive": own, "negative": Link(own.node, 1)}
        return with_inputs(graph, drawn.class_type, **inputs)

    return steered


def _with_loras(graph: Graph, files: Mapping[int, str], scene: Scene) -> Graph:
    """Return a graph whose loader's model wears the LoRAs of all sitters."""
    found: dict[str, NodeCall] = {}
    for name, call in graph.nodes.items():
        inputs = {
            key: Link("loras.last") if value == Link(name_of_loader(graph)) else value
            for key, value in call.inputs.items()
        }
        found[name] = replace(call, inputs=inputs)
        if call.class_type == small_world.LOADER:
            model = Link(name)
            for at, sitter in enumerate(scene.sitters, 1):
                own = "loras.last" if at == len(scene.sitters) else f"loras.{at}"
                lora = {"model": model, "lora_name": files[sitter.number], "strength_model": 1.0}
                found[own] = NodeCall(own, "LoraLoaderModelOnly", lora)
                model = Link(own)
    return Graph(found)


def name_of_loader(graph: Graph) -> str:
    """Return the name of the node that loads the world's model."""
    return next(name for name, call in graph.nodes.items() if call.class_type == small_world.LOADER)


def hosts(family: str, scene: Scene) -> Graph:
    """Return the host's own way: the scene's text everywhere, each person's masked to their column,
    their LoRA as a hook.
    """
    graph = Graph()
    loader = graph.add("models", small_world.LOADER, family=family)
    clip = Link(loader.node, 1)
    positive = graph.add("scene", "CLIPTextEncode", clip=clip, text=scene.text)
    graph.add("empty", "SolidMask", value=0.0, width=scene.width, height=HEIGHT)
    files = model_files.loras(family)
    for at, sitter in enumerate(scene.sitters):
        own = _masked(graph, clip, scene, at, files[sitter.number])
        positive = graph.add(
            f"both.{at}", "ConditioningCombine", conditioning_1=positive, conditioning_2=own
        )
    size = {"width": scene.width, "height": HEIGHT, "batch_size": 1}
    latent = graph.add("latent", "EmptyLatentImage", **size)
    return sampled(graph, family, positive, latent, scene.seed)


def sampled(graph: Graph, family: str, positive: Link, latent: Link, seed: int) -> Graph:
    """Return a graph with the host's own sampling of a latent by the loaded model of a family, and
    what saves the picture.
    """
    model, clip, vae = (Link(name_of_loader(graph), slot) for slot in range(3))
    negative = graph.add("negative", "CLIPTextEncode", clip=clip, text="")
    kind = FAMILIES[family]
    way = host_sampler(kind.scheduler, kind)
    if kind.is_distilled:
        positive = graph.add("guided", "FluxGuidance", conditioning=positive, guidance=CFG)
    painted = graph.add(
        "sampled",
        "KSampler",
        model=model,
        seed=seed,
        steps=STEPS,
        cfg=kind.true_cfg(CFG),
        sampler_name=way.sampler,
        scheduler=way.schedule,
        positive=positive,
        negative=negative,
        latent_image=latent,
        denoise=1.0,
    )
    picture = graph.add("picture", "VAEDecode", samples=painted, vae=vae)
    graph.add(OUTPUT, "SaveImage", images=picture, filename_prefix="world")
    return graph


def _masked(graph: Graph, clip: Link, scene: Scene, at: int, file: str) -> Link:
    """Write the conditioning of a person: their text in their column, their LoRA as a hook."""
    room = scene.width // len(scene.sitters)
    solid = {"value": 1.0, "width": room, "height": HEIGHT}
    column = graph.add(f"column.{at}", "SolidMask", **solid)
    where = {"destination": Link("empty"), "source": column, "x": at * room, "y": 0}
    mask = graph.add(f"mask.{at}", "MaskComposite", **where, operation="add")
    wanted = {"lora_name": file, "strength_model": 1.0}
    hook = graph.add(f"hook.{at}", "CreateHookLoraModelOnly", **wanted)
    text = graph.add(f"text.{at}", "CLIPTextEncode", clip=clip, text=scene.sitters[at].text)
    return graph.add(
        f"person.{at}",
        "ConditioningSetProperties",
        cond_NEW=text,
        strength=1.0,
        set_cond_area="default",
        mask=mask,
        hooks=hook,
    )


def alone(family: str, scene: Scene) -> Graph:
    """Return the prompt of one person on a picture of their own: what the model can at best."""
    return _alone(family, scene, scene.text)


def close_up(family: str, scene: Scene) -> Graph:
    """Return the same, seen from near, where a face is large enough to be known again."""
    return _alone(family, scene, f"close-up, {scene.text}")


def _alone(family: str, scene: Scene, said: str) -> Graph:
    [sitter] = scene.sitters
    text = f"{said}, <lora:{_FIRST_ID + sitter.number}:1> {sitter.text}"
    return compiled(family, f"{text}\nw={scene.width}\nh={HEIGHT}", scene.seed)
