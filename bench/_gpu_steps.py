"""The parts of `dev.py bench gpu` that take steps of a model: SDXL, Flux.1 dev, Flux.1 dev with
8-bit weights, Flux.2 dev, Z-Image and Krea 2, all in full size with random weights.

A step is the median of a run's steps after the first, each waited for; the ratio is to a plain step
taken just before. cfg 1, a picture of 1024x1024, LoRAs of rank 16 on all linear layers of the
blocks.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from comfyui_astria.bench import _models, faceid, regions
from comfyui_astria.bench._gpu_rows import Case, Row, row
from comfyui_astria.bench._models import Setup, lora_of, model_of, text_of, token_ratio
from comfyui_astria.tests.faceid import adapters

PEOPLE, IDENTITIES = (1, 2, 3, 4), (1, 2, 3)
FACES, FACE_STEPS = 4, 4
FP8 = "float8_e4m3fn"
SDXL = replace(_models.SDXL, dtype=torch.bfloat16, steps=8, least_gb=12)
FLUX = replace(_models.FLUX, steps=6, least_gb=36)
FLUX_FP8 = replace(FLUX, name="Flux.1 dev fp8-scaled", least_gb=20)
FLUX2 = replace(_models.FLUX2, steps=4)
ZIMAGE = replace(_models.ZIMAGE, steps=4)
KREA2 = replace(_models.KREA2, steps=4)
# The same on a CPU: as narrow as the test pack's models.
_DRY = {"side": 8, "tokens": 8, "dtype": torch.float32, "steps": 2, "least_gb": 0}
_DRY_FLUX = {
    **_DRY,
    "config": {"hidden_size": 256, "num_heads": 2, "depth": 2, "depth_single_blocks": 2},
    "width": 48,
    "pooled": 64,
}
DRY = {
    "sdxl": replace(SDXL, config={}, width=160, pooled=96, **_DRY),
    "flux": replace(FLUX, **_DRY_FLUX),
    "flux_fp8": replace(FLUX_FP8, **_DRY_FLUX),
    "flux2": replace(FLUX2, config={}, width=48, **_DRY),
    "zimage": replace(ZIMAGE, config={}, width=32, **_DRY),
    "krea2": replace(KREA2, config={}, width=384, **_DRY),
}
FULL = {
    "sdxl": SDXL,
    "flux": FLUX,
    "flux_fp8": FLUX_FP8,
    "flux2": FLUX2,
    "zimage": ZIMAGE,
    "krea2": KREA2,
}


class Steps(NamedTuple):
    """What a run took: the median step, and the most GPU memory that was held."""

    ms: float
    peak_bytes: int


def cases_of(part: str, device: torch.device, *, dry: bool) -> list[Case]:
    """Return the cases of a part, which is a key of `FULL`."""
    setup = (DRY if dry else FULL)[part]
    if part == "flux_fp8":
        return _people(Subject(setup, device, fp8_model_of))
    subject = Subject(setup, device, model_of)
    if part in ("flux2", "zimage", "krea2"):
        return _people(subject)
    cases = [*_people(subject), *_hosts(subject)]
    if part == "sdxl":
        return [*cases, _faces(subject), *_faceids(subject, "FaceID Portrait", _portrait)]
    return [*cases, *_faceids(subject, "PuLID", faceid.pulid)]


@dataclass
class Subject:
    """A model that cases share, made when the first one asks, and its plain step."""

    setup: Setup
    device: torch.device
    make: Callable[[Setup, torch.device], Any]

    @cached_property
    def model(self) -> Any:
        return self.make(self.setup, self.device)

    @cached_property
    def loras(self) -> list[dict[str, torch.Tensor]]:
        return [lora_of(self.model, seed) for seed in PEOPLE]

    def texts(self, count: int) -> list:
        return [text_of(self.setup, seed) for seed in range(count)]

    def plain(self) -> Steps:
        return steps_of(self.setup, _models.Case(self.model, self.texts(1)[0]), self.device)

    def compared(self, title: str, case: _models.Case, note: str = "") -> Iterator[Row]:
        """Yield a case's step, against a plain one taken just before, and its memory."""
        plain = self.plain()
        its = steps_of(self.setup, case, self.device)
        name = f"{self.setup.name}: {title}"
        yield row(f"{name}, step", its.ms, "ms")
        yield row(f"{name} / plain", its.ms / plain.ms, "ratio", note=note)
        if self.device.type == "cuda":
            beyond_mb = (its.peak_bytes - plain.peak_bytes) / 2**20
            yield row(f"{name}, peak memory beyond plain", beyond_mb, "MB")


def steps_of(setup: Setup, case: _models.Case, device: torch.device) -> Steps:
    """Take the setup's steps.

    Raises: ValueError for a latent that is not finite.
    """
    its = _models.run(setup, case, device)
    if not its.latent.isfinite().all():
        raise ValueError("the latent holds numbers that are not finite")
    return Steps(statistics.median(its.steps_s) * 1000.0, its.peak_bytes)


def _people(subject: Subject) -> list[Case]:
    setup = subject.setup

    def plain() -> Iterator[Row]:
        subject.plain()  # also prepares what libraries prepare once
        its = subject.plain()
        yield row(f"{setup.name}: one plain prompt, step", its.ms, "ms")
        if subject.device.type == "cuda":
            peak_gb = its.peak_bytes / 2**30
            yield row(f"{setup.name}: one plain prompt, peak memory", peak_gb, "GB")

    def people(count: int) -> Iterator[Row]:
        case = regions.ours(setup, subject.model, subject.texts(count + 1), subject.loras[:count])
        ratio = token_ratio(setup, count)
        note = "" if ratio is None else f"tokens {ratio:.2f} of a plain step's"
        return subject.compared(_title(count), case, note)

    return [
        Case(f"{setup.name}: one plain prompt", plain, setup.least_gb),
        *(
            Case(
                f"{setup.name}: {_title(count)}", lambda count=count: people(count), setup.least_gb
            )
            for count in PEOPLE
        ),
    ]


def _hosts(subject: Subject) -> list[Case]:
    """The same by the host's masked conditionings and LoRA hooks."""
    setup = subject.setup

    def hosts(count: int) -> Iterator[Row]:
        case = regions.hosts(setup, subject.model, subject.texts(count + 1), subject.loras[:count])
        return subject.compared(f"{_title(count)}, by the host's masks and LoRA hooks", case)

    # The host keeps a copy of the changed weights for each person, and one of the unchanged.
    copies_gb = 24.0 if setup.family == "flux" else 5.0
    return [
        Case(
            f"{setup.name}: {_title(count)}, by the host's masks and LoRA hooks",
            lambda count=count: hosts(count),
            setup.least_gb and setup.least_gb + copies_gb * (count + 1),
        )
        for count in PEOPLE
    ]


def _title(count: int) -> str:
    people = "1 person" if count == 1 else f"{count} people"
    return f"{people}, each with text and LoRA"


def _faces(subject: Subject) -> Case:
    """Faces of one picture, each with a LoRA, drawn in one call and in one call each."""
    name = f"{subject.setup.name}: {FACES} faces, each with text and LoRA"

    def rows() -> Iterator[Row]:
        with tempfile.TemporaryDirectory() as folder:
            draw = face_drawer(subject, Path(folder))
            draw(0)  # prepares
            together_s, calls = draw(0)
            apart_s, _ = draw(1)
        yield row(f"{name}, sampler calls", calls, "calls", calls == 1)
        yield row(f"{name}, in one call, a face", together_s / FACES * 1000.0, "ms")
        yield row(f"{name}, in one call / in a call each", together_s / apart_s, "ratio")

    return Case(name, rows, subject.setup.least_gb and subject.setup.least_gb + 20)


def face_drawer(subject: Subject, folder: Path) -> Callable[[int], tuple[float, int]]:
    """Return what draws the faces, so many at most in a call (0: as many as fit), and gives the
    seconds and the number of calls.
    """
    import comfy.samplers
    from comfyui_astria.nodes.base.host.sampling import ImageNoise, make_sampler
    from comfyui_astria.nodes.faces.face import Face
    from comfyui_astria.nodes.redraw.crop import CropOptions
    from comfyui_astria.nodes.redraw.host.sampling import FaceDrawing, draw_faces
    from comfyui_astria.nodes.redraw.plan import plan_faces
    from comfyui_astria.tests.testpack.vae import faithful_vae

    model, persons, text = subject.model, _persons(subject, folder), subject.texts(1)[0]
    side = subject.setup.side * 8
    image = torch.rand(1, side, side * FACES, 3, generator=torch.Generator().manual_seed(0))
    found = [
        Face((side * (number + 0.3), side * 0.3, side * (number + 0.7), side * 0.7))
        for number in range(FACES)
    ]
    planned = plan_faces(image, [found], persons, None, CropOptions(side, 2.0, 0.25, 8), "scene")
    sampling = model.get_model_object("model_sampling")
    drawing = FaceDrawing(
        model,
        faithful_vae(model.model.latent_format),
        text,
        text,
        ImageNoise(0),
        make_sampler("euler"),
        comfy.samplers.calculate_sigmas(sampling, "simple", 2 * FACE_STEPS)[-FACE_STEPS - 1 :],
        1.0,
        persons,
    )

    def draw(most: int) -> tuple[float, int]:
        start_s = time.perf_counter()
        drawn, calls = draw_faces(image, planned, replace(drawing, max_batch=most))
        if not all(one.isfinite().all() for one in drawn):
            raise ValueError("a drawn face holds numbers that are not finite")
        return time.perf_counter() - start_s, calls

    return draw


def _persons(subject: Subject, folder: Path) -> list[Any]:
    """Return a person for each face, whose LoRAs are written into the folder."""
    import folder_paths
    from comfyui_astria.nodes.regions.person import Person
    from safetensors.torch import save_file

    folder_paths.add_model_folder_path("loras", str(folder))
    persons = []
    for number, text in enumerate(subject.texts(FACES + 1)[1:]):
        name = f"gpu_face_{number}.safetensors"
        save_file(subject.loras[number], folder / name)
        persons.append(Person(text, None, ((name, 0.7),)))
    return persons


def _faceids(subject: Subject, kind: str, make: Callable[[Setup, torch.device], Any]) -> list[Case]:
    setup = subject.setup
    adapter: list[Any] = []

    def faced(count: int) -> Iterator[Row]:
        from comfyui_astria.nodes.faceid.host.apply import apply_faceids
        from comfyui_astria.nodes.faceid.use import FaceIDUse

        if not adapter:
            adapter.append(make(setup, subject.device))
        recogniser = "buffalo_l" if setup.family == "sdxl" else "antelopev2"
        uses = [
            (
                FaceIDUse(adapter[0], adapters.somebody(person, recogniser=recogniser)),
                faceid.column(setup, person, count),
            )
            for person in range(count)
        ]
        case = _models.Case(apply_faceids(subject.model, uses), subject.texts(1)[0])
        return subject.compared(f"{_identities(count)}, {kind}", case)

    return [
        Case(
            f"{setup.name}: {_identities(count)}, {kind}",
            lambda count=count: faced(count),
            setup.least_gb,
        )
        for count in IDENTITIES
    ]


def _identities(count: int) -> str:
    return "1 identity" if count == 1 else f"{count} identities"


def _portrait(setup: Setup, device: torch.device) -> Any:
    widths = adapters.SDXL if setup.config else adapters.HOST_SDXL
    return faceid.portrait_of(setup, widths)


def fp8_model_of(setup: Setup, device: torch.device) -> Any:
    """Return a MODEL as the host loads it from a file of fp8-scaled linear layers, with random
    weights.
    """
    import comfy.model_patcher
    from comfyui_astria.tests.testpack.families import FAMILIES

    config = FAMILIES[setup.family]()
    config.unet_config |= setup.config
    config.quant_config = {"mixed_ops": True}
    config.set_inference_dtype(setup.dtype, setup.dtype)
    model = config.get_model({}, "", device=device)
    model.diffusion_model.load_state_dict(_fp8_file(setup, device), assign=True)
    home = _models.home_of(model, device)
    return comfy.model_patcher.CoreModelPatcher(
        model.to(home), load_device=device, offload_device=home
    )


def _fp8_file(setup: Setup, device: torch.device) -> dict[str, torch.Tensor]:
    """Return the file's tensors, made on the device one after the other."""
    import comfy.quant_ops as quant

    layout = quant.QUANT_ALGOS[FP8]["comfy_tensor_layout"]
    kind = torch.tensor(list(json.dumps({"format": FP8}).encode()), dtype=torch.uint8)
    file: dict[str, torch.Tensor] = {}
    shapes = _models.shapes_of(setup)
    generator = torch.Generator(device).manual_seed(0)
    for name, shape in shapes.items():
        weight = torch.empty(shape, dtype=setup.dtype, device=device)
        _models.fill_at_random(name, weight, generator)
        if weight.ndim < 2:
            file[name] = weight
            continue
        small = quant.QuantizedTensor.from_float(weight, layout, scale="recalculate")
        file |= small.state_dict(name)
        file[f"{name.removesuffix('weight')}comfy_quant"] = kind
    gc.collect()
    return file
