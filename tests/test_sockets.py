"""Every socket for pictures and masks takes all shapes that the host's own nodes send and take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_astria.nodes.errors import ImageError
from comfyui_astria.nodes.graph.definitions import snapshot
from comfyui_astria.nodes.graph.graph import Socket
from comfyui_astria.nodes.masking.segmenter import Found
from comfyui_astria.nodes.prompt import PromptRequest
from comfyui_astria.tests.pipeline.support import equipped, resolver
from comfyui_astria.tests.regions.comfy_inprocess import load, tiny_model
from torch import Tensor

HEIGHT, WIDTH = 48, 64
# They hand links on and never see what is in them.
LINKS_ONLY = {"AstriaGenerate", "AstriaExplain"}
KINDS = {"IMAGE", "MASK"}
SOCKETS = sorted(
    (name, one.name, one.kind)
    for name, definition in snapshot().items()
    if name.startswith("Astria") and name not in LINKS_ONLY
    for one in definition.inputs.values()
    if KINDS & set(one.kind.split(","))
)
# Node -> the module of its class.
MODULES = {
    "base": (
        *("EncodeImages", "FitImage", "FitMasks", "RestoreSize", "MaskedComposite", "OneBatch"),
    ),
    "control": ("ZImageInpaint",),
    "faceid": ("ApplyFaceID",),
    "faces": ("DetectFaces",),
    "finish": ("ColorGrading", "FilmGrain", "RemoveBackground", "SuperResolution"),
    "masking": ("AdjustMask", "FindPeople", "PromptMask"),
    "outpaint": ("OutpaintCanvas", "OutpaintComposite", "OutpaintMasks"),
    "pipeline": ("RequestSettings",),
    "redraw": ("InpaintFaces",),
    "regions": ("Regions",),
    "swap": ("RestoreFaces", "SwapFaces"),
    "training": ("TunePhotos",),
    "tunes": ("CreateTune", "Identity"),
}
FILES = {"RequestSettings": "prompt_nodes", "Identity": "identity_nodes"}


def grey(height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """A picture [1,H,W,3] whose channels are equal, so that it can come as one of one channel."""
    levels = torch.rand(1, height, width, 1, generator=torch.Generator().manual_seed(1))
    return levels.repeat(1, 1, 1, 3)


def mask(number: int = 1) -> Tensor:
    masks = torch.zeros(number, HEIGHT, WIDTH)
    for index in range(number):
        masks[index, 10:40, 8 + 24 * index : 28 + 24 * index] = 1
    return masks


PICTURE_FORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "one channel": lambda image: image[..., :1],
    "grey without a channel": lambda image: image[..., 0],
    "a single grey picture": lambda image: image[0, ..., 0],
    "a single picture": lambda image: image[0],
    "grey with alpha": lambda image: torch.cat([image[..., :1], image[..., :1] * 0 + 1], -1),
    "alpha": lambda image: torch.cat([image, image[..., :1] * 0 + 1], -1),
    "double": lambda image: image.double(),
}
MASK_FORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "[H,W]": lambda masks: masks[0],
    "[B,1,H,W]": lambda masks: masks[:, None],
    "[B,H,W,1]": lambda masks: masks[..., None],
    "bool": lambda masks: masks > 0,
}


class Words:
    """A segmenter that finds the two lit halves of any picture."""

    def find(self, image: Tensor, words: Any, threshold: float) -> dict[str, Found]:
        assert image.shape[-1] == 3
        scores = torch.zeros(image.shape[1:3])
        scores[5:40, 5:20] = scores[5:40, 30:50] = 0.9
        return dict.fromkeys(words, Found(scores + image[0].mean(-1) * 0.01, "test", 0.9))


class Seen(Exception):
    """Carries what a node looked at, where the rest of its work is not the test's."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what


def _seen(what: Any, *_: Any) -> Any:
    raise Seen(what)


def _canvas() -> Any:
    node = load("comfyui_astria.nodes.outpaint.nodes").AstriaOutpaintCanvas
    placed = {"anchor": "center", "width": 96, "height": 80, "smaller": "crop", "fill": "edge"}
    return node.execute(grey(), **placed, overlap_px=4, multiple=8).result[2]


SIZE = {"width": 0, "height": 0, "multiple": 16}
KNOWN = SimpleNamespace(is_known=True)
FACE = {"faceid": None, "identity": KNOWN, "model": None}
DRAWING = dict.fromkeys(("vae", "positive", "negative", "noise", "sampler", "sigmas"))
NOBODY = SimpleNamespace(faces=(), turned=False, left_out=())
ANALYSIS = SimpleNamespace(look=lambda *_: NOBODY, recogniser=object())
# What a node takes beside its pictures and masks.
BESIDE: Mapping[str, Callable[[], dict[str, Any]]] = {
    "AdjustMask": lambda: {"invert": False, "dilate": "3", "shape": "round", "feather_px": 2},
    "ApplyFaceID": lambda: {**FACE, "strength": 1.0, "start": 0.0, "end": 1.0},
    "ColorGrading": lambda: {"look": "Ektar", "strength": 0.7},
    "CreateTune": lambda: {
        **{"analysis": [ANALYSIS], "title": ["a"], "name": ["a"], "token": ["a"]},
        **{"tune_id": [0], "model_type": ["faceid"], "file": ["none"]},
    },
    "DetectFaces": lambda: {"analysis": ANALYSIS, "min_confidence": 0.5, "min_size_px": 0},
    "EncodeImages": lambda: {"vae": None},
    "FilmGrain": lambda: {"strength": 0.5, "size": 1.0, "color": 0.3, "seed": 1},
    "FindPeople": lambda: {"segmenter": Words(), "persons": 2, "word": "person"},
    "FitImage": lambda: SIZE,
    "FitMasks": lambda: SIZE,
    "Identity": lambda: {"analysis": [ANALYSIS], "tune": [""]},
    "InpaintFaces": lambda: {
        **{**DRAWING, "faces": ((),), "model": tiny_model("sd15"), "cfg": 1.0},
        **{"face_size": 512, "context": 2.0, "feather": 0.2, "max_batch": 0},
        "unmatched": "scene",
    },
    "OutpaintCanvas": lambda: {
        **{"anchor": "center", "width": 96, "height": 80, "smaller": "crop"},
        **{"fill": "edge", "overlap_px": 4, "multiple": 8},
    },
    "OutpaintComposite": lambda: {"canvas": _canvas(), "heal_seam": True},
    "OutpaintMasks": lambda: {"canvas": _canvas()},
    "PromptMask": lambda: {
        **{"segmenter": Words(), "mask_prompt": "person", "mask_negative": ""},
        **{"mask_invert": False, "mask_dilate": "1", "shape": "round", "feather_px": 0},
        **{"threshold": 0.5, "on_empty": "error"},
    },
    "Regions": lambda: {"persons": 2, "width": WIDTH, "height": HEIGHT, "softness_px": 0},
    "RemoveBackground": lambda: {
        "background_model": SimpleNamespace(encode_image=lambda one: one[..., :3].mean(-1))
    },
    "RequestSettings": lambda: {
        **{"request": PromptRequest.require("a cat"), "model": tiny_model("sd15"), "seed": 1}
    },
    "RestoreFaces": lambda: {
        **{"faces": ((),), "restorer": None, "strength": 1.0, "fidelity": 0.5, "size": 512}
    },
    "RestoreSize": lambda: {"fit": SimpleNamespace(width=40, height=30)},
    "SuperResolution": lambda: {
        "upscale_model": load("comfyui_astria.tests.testpack.upscaler").nearest_x4(),
        "factor": 2.0,
    },
    "SwapFaces": lambda: {
        **{"faces": ((),), "swapper": None, "identities": (KNOWN,), "feather": 0.1},
        "unmatched": "leave",
    },
    "ZImageInpaint": lambda: {"model": None, "model_patch": None, "vae": None, "strength": 1.0},
    "TunePhotos": lambda: {
        **{"images": [grey()], "tune": [""], "token": ["ohwx"], "name": ["woman"]},
        **{"sizes": ["64"], "face_crop": [False]},
    },
}


def _stand_still(node: str, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the work of a node that needs weights or the user's files."""
    if node == "ApplyFaceID":
        monkeypatch.setattr(module, "apply_faceids", lambda _, uses: _seen(uses[0][1]))
    if node in ("CreateTune", "Identity"):
        for name in ("state_folder", "FaceCache"):
            monkeypatch.setattr(module, name, lambda *_: None)
        monkeypatch.setattr(module, "find_person", _seen)
    if node == "EncodeImages":
        monkeypatch.setattr(
            module, "encoded", lambda _, pixels, mask: _seen(pixels if mask is None else mask)
        )
    if node == "RestoreFaces":
        for name, answer in (("check_restorer", None), ("notes", []), ("painter", None)):
            monkeypatch.setattr(module, name, lambda *_, answer=answer: answer)
    if node == "TunePhotos":
        hosts = load("comfyui_astria.nodes.training.host.photos")
        monkeypatch.setattr(
            hosts, "prepare", lambda photos, others, *_: _seen(np.stack([*photos, *others]))
        )
    if node == "ZImageInpaint":
        monkeypatch.setattr(module, "inpainting", lambda *given: _seen(_masked(given[3])))
    if node == "RequestSettings":
        monkeypatch.setattr(module, "make_resolver", lambda _: resolver())


def _masked(seen: Any) -> Tensor:
    mask = seen.mask[..., None].expand(-1, -1, -1, 3)
    return torch.cat([seen.pixels, mask, *([] if seen.control is None else [seen.control])])


def _pictures(node: str, socket: str) -> dict[str, Any]:
    """The pictures and masks that a node takes together when `socket` is looked at."""
    if node == "FitImage":
        return {"image": grey(), "mask": mask()}
    if node == "EncodeImages" and socket == "mask":
        return {"pixels": grey(), "mask": mask()}
    if node == "FitMasks":
        return {"image": grey(), "masks": mask(2)}
    if socket == "more":
        return {"pictures": [mask()], "more": mask()}
    if node == "ZImageInpaint":
        control = {socket: grey().flip(1)} if socket == "control_image" else {}
        return {"pixels": grey(), "mask": mask(), **control}
    if node == "MaskedComposite":
        return {"painted": grey().flip(1), "original": grey(), "mask": mask() * 0.5}
    if node == "OutpaintComposite":
        return {"painted": grey(80, 96)}
    if node == "Regions" and socket == "pose_image":
        pose = load("comfyui_astria.nodes.regions.pose").arms_crossed(2, WIDTH, HEIGHT)
        return {socket: pose.amax(-1, keepdim=True).repeat(1, 1, 1, 3)}
    if node in ("RestoreFaces", "SwapFaces"):
        return {"image": grey(), "mask": mask()}
    if node in ("Regions", "OutpaintMasks") and socket == "masks":
        return {socket: mask(2)}
    return {socket: mask() if "mask" in socket or node == "OneBatch" else grey()}


def _module(node: str) -> Any:
    folder = next(folder for folder, nodes in MODULES.items() if node in nodes)
    return load(f"comfyui_astria.nodes.{folder}.{FILES.get(node, 'nodes')}")


def _run(node: str, inputs: Mapping[str, Any]) -> list[Tensor]:
    """Run the node; return every tensor that comes out, pictures without alpha."""
    try:
        result = getattr(_module(node), f"Astria{node}").execute(**inputs).result
    except Seen as seen:
        result = (seen.what,)
    tensors = [
        torch.as_tensor(one) for one in result if isinstance(one, Tensor | np.ndarray | int | float)
    ]
    return [one[..., :3] if one.ndim == 4 else one for one in tensors]


@pytest.mark.parametrize(("name", "socket", "kind"), SOCKETS)
def test_a_socket_takes_every_shape_of_its_kind(
    name: str, socket: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = name.removeprefix("Astria")
    _stand_still(node, _module(node), monkeypatch)
    beside, pictures = BESIDE.get(node, dict)(), _pictures(node, socket)
    is_list = node in ("CreateTune", "Identity", "OneBatch", "TunePhotos")

    def run(value: Tensor) -> list[Tensor]:
        return _run(node, {**beside, **pictures, socket: [value] if is_list else value})

    usual = pictures[socket]
    expected = run(usual)
    assert expected
    forms = MASK_FORMS if kind == "MASK" else PICTURE_FORMS
    if node == "OneBatch":  # of either kind: the node behind it knows which
        forms = {"[H,W]": lambda masks: masks[0]}
    for form, made in forms.items():
        value = made(usual)
        if form == "[H,W]" and len(usual) > 1:
            continue
        if form == "bool" and not torch.equal(value.float(), usual):
            continue
        actual = run(value)
        assert len(actual) == len(expected), form
        for one, other in zip(actual, expected, strict=True):
            assert one.shape == other.shape, form
            assert (one.double() - other.double()).abs().max() < 1e-5, form


def test_levels_of_8_bits_are_brought_to_0_to_1() -> None:
    tensors = load("comfyui_astria.nodes.host.tensors")
    levels = torch.tensor([[0, 51, 255]], dtype=torch.uint8)
    expected = torch.tensor([[[0, 0.2, 1]]])
    assert torch.equal(tensors.as_masks(levels), expected)
    assert torch.equal(tensors.as_pictures(levels)[..., 0], expected)
    assert torch.equal(tensors.as_masks(levels.bool()), expected.ceil())
    assert torch.equal(tensors.as_masks((levels > 0).to(torch.uint8)), expected.ceil())


def test_what_is_no_picture_or_mask_is_told_with_its_shape() -> None:
    tensors = load("comfyui_astria.nodes.host.tensors")
    with pytest.raises(ImageError, match=r"shape \(1, 2, 3, 5\); expected \[batch, height, width,"):
        tensors.as_pictures(torch.zeros(1, 2, 3, 5))
    with pytest.raises(ImageError, match=r"mask of shape \(1, 8, 8, 3\); expected \[batch, height"):
        tensors.as_masks(torch.zeros(1, 8, 8, 3))


def test_plans_hand_brought_pictures_to_nodes_of_the_pack_only() -> None:
    """They know every shape; the host's do not."""
    brought = {"image", "mask", "person_masks", "control_image"}
    for text in (
        "a cat",
        "a cat\ncontrolnet=depth",
        "a cat\ndenoising_strength=0\nsuper_resolution=true --remove_background",
        "a street BREAK BREAK ohwx woman BREAK ohwx man\nhires_fix=true\ninpaint_faces=true",
        "a cat --outpaint center --outpaint_width 768 --outpaint_height 768",
    ):
        for given in (("image", "mask"), ("person_masks",), ("image", "control_image")):
            if "denoising" in text and "image" not in given:
                continue
            try:
                planned = equipped(text, **dict.fromkeys(given, True))
            except ValueError:
                continue  # a picture that the text has no use for
            for call in planned.graph.nodes.values():
                for value in call.inputs.values():
                    if isinstance(value, Socket) and value.name in brought:
                        assert call.class_type.startswith("Astria"), (text, call.class_type)


def told(name: str, **inputs: Any) -> str:
    ui = getattr(_module(name), f"Astria{name}").execute(**inputs).ui or {}
    return "\n".join(ui.get("astria_notes", ()))


def test_an_empty_mask_is_told() -> None:
    fit = {"image": grey(), "width": 0, "height": 0, "multiple": 8}
    loaded = torch.zeros(1, 64, 64)  # Load Image's, of a picture without alpha
    note = told("FitImage", mask=loaded, **fit)
    assert note.startswith("The mask is empty (64x64, all 0)")
    assert "aspect ratio" not in note and "Load Image" in note
    assert told("FitImage", mask=mask(), **fit) == told("FitImage", **fit) == ""
    two = torch.cat([mask(), mask() * 0])
    both = {**fit, "image": grey().repeat(2, 1, 1, 1)}
    assert told("FitImage", mask=two, **both).startswith("Mask 2 of 2 is empty")
    adjust = {"dilate": "0", "shape": "round", "feather_px": 0}
    assert "is empty" in told("AdjustMask", mask=loaded, invert=False, **adjust)
    assert told("AdjustMask", mask=loaded, invert=True, **adjust) == ""


@pytest.mark.parametrize("node", ["FitImage", "FitMasks", "OutpaintMasks", "Regions"])
def test_a_mask_of_another_ratio_than_its_picture_is_told(node: str) -> None:
    size = {"width": 0, "height": 0, "multiple": 8}
    number = 2 if node == "Regions" else 1
    regions = {"persons": 2, "width": WIDTH, "height": HEIGHT, "softness_px": 0}
    beside = {
        "FitImage": {"image": grey(), **size},
        "FitMasks": {"image": grey(), **size},
        "OutpaintMasks": {},
        "Regions": regions,
    }[node]
    if node == "OutpaintMasks":
        beside = {"canvas": _canvas()}
    socket = "mask" if node == "FitImage" else "masks"

    def of(height: int, width: int) -> str:
        own = torch.nn.functional.interpolate(mask(number)[None], size=(height, width))[0]
        return told(node, **beside, **{socket: own})

    for height, width in ((HEIGHT, WIDTH), (2 * HEIGHT, 2 * WIDTH), (HEIGHT // 8, WIDTH // 8)):
        assert of(height, width) == ""
    note = of(HEIGHT, HEIGHT)
    assert note.startswith(f"The mask is {HEIGHT}x{HEIGHT} and its picture {WIDTH}x{HEIGHT}")
    assert "stretched" in note
