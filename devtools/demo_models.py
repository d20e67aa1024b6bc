"""What the demo paints with.

The models a person has bound, else tiny random ones in the wiring of each family.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..nodes.graph.graph import Value, api_workflow
from ..nodes.pipeline.build.sources import Options
from ..nodes.pipeline.compiling import CompileOptions, sources_of
from ..nodes.prompt import PromptRequest
from ..nodes.tunes.bindings import Bindings
from ..nodes.tunes.file_search import Missing
from ..nodes.tunes.local_files import LocalFiles
from ..nodes.tunes.resolve import Resolver
from ..nodes.tunes.state import bindings_in, resolver_in
from .client import Client
from .environment import Environment
from .listed_files import ListedFiles
from .paths import BASE, STATE_FOLDER

PHOTO = "astronaut.png"
DEMO_LORA = "1533312"  # the tune id in the prompts

# Names that stand for model files in the tiny wirings; the loaders that name them are replaced by
# the test pack's models.
_TINY_FILES = {
    "checkpoints": ["sd15.safetensors", "sdxl.safetensors"],
    "diffusion_models": ["flux1-dev.safetensors", "flux1-fill-dev.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl.safetensors"],
    "vae": ["ae.safetensors"],
    "upscale_models": ["4x.pth"],
}
_FLUX = (
    "diffusion_model = flux1-dev.safetensors\nclip_l = clip_l.safetensors\nt5xxl ="
    " t5xxl.safetensors\nvae = ae.safetensors"
)
_TINY_BASES = {
    "sd15": ("SD1.5", "sd15", "family = sd15\ncheckpoint = sd15.safetensors"),
    "sdxl": ("SDXL", "sdxl", "family = sdxl\ncheckpoint = sdxl.safetensors"),
    "flux": ("Flux dev", "flux", f"family = flux\n{_FLUX}"),
    "flux_fill": (
        "Flux dev + Fill",
        "flux",
        f"family = flux\n{_FLUX}\noutpaint_model = flux1-fill-dev.safetensors",
    ),
}


@dataclass(frozen=True)
class Wiring:
    """A base tune to run prompts on.

    `stand_ins` (file -> family) says which loaders the test pack replaces; None for real models.
    """

    name: str
    title: str
    family: str
    base: str
    resolver: Resolver
    bindings: Bindings
    stand_ins: Mapping[str, str] | None = None

    def options(self, request: PromptRequest, seed: int, *, save_stages: bool) -> CompileOptions:
        """Return how to compile the request on this wiring.

        The photo goes in where the prompt has an input image.
        """
        image = PHOTO if request.input_image is not None else None
        return CompileOptions(
            self.base, image, options=Options(seed, missing_models="skip"), save_stages=save_stages
        )

    def generate_graph(self, request: PromptRequest, seed: int) -> dict:
        """Return the graph an artist would wire.

        Loaders, the photo, AstriaGenerate with the prompt's text, Save Image.
        """
        sources = sources_of(request, self.resolver, self.options(request, seed, save_stages=False))
        assert not isinstance(sources, Missing), sources
        graph = sources.graph
        given: dict[str, Value | None] = {"image": sources.image}
        if sources.outpaint_models is not None:
            given["outpaint_model"] = sources.outpaint_models.model
        upscaler = self.resolver.role("upscaler")
        if request.super_resolution and not isinstance(upscaler, Missing):
            given["upscale_model"] = graph.add(
                "models.upscaler", "UpscaleModelLoader", model_name=upscaler
            )
        given["models"] = graph.add(
            "models.bindings",
            "AstriaModels",
            bindings=Bindings(tunes=self.bindings.tunes).to_text(),
        )
        models = {
            "model": sources.models.model,
            "clip": sources.models.clip,
            "vae": sources.models.vae,
        }
        linked = {name: value for name, value in given.items() if value is not None}
        policies = {"missing_models": "skip", "smaller_canvas": "crop"}
        image = graph.add(
            "generate",
            "AstriaGenerate",
            text=request.to_text(),
            seed=seed,
            **models,
            **linked,
            **policies,
        )
        graph.add("output.save", "SaveImage", images=image, filename_prefix="astria_generate")
        return api_workflow(graph)


def picture_of(client: Client, image: Mapping[str, str]) -> Image.Image:
    """Return a picture that a history entry names."""
    return Image.open(io.BytesIO(client.view(image))).convert("RGB")


def bound_wirings(environment: Environment) -> list[Wiring]:
    """Return a wiring for each base tune that is bound and whose files are all there."""
    state = BASE / "user" / STATE_FOLDER
    files = LocalFiles(BASE / "models", *([environment.models] if environment.models else []))
    bindings, resolver = bindings_in(state), resolver_in(state, files)
    found = {key: resolver.base(key) for key in bindings.bases}
    ready = {key: base for key, base in found.items() if not isinstance(base, Missing)}
    return [
        Wiring(key, f"{base.family} {key}", base.family, key, resolver, bindings)
        for key, base in ready.items()
    ]


def tiny_wirings(base: Path) -> list[Wiring]:
    """Return a wiring for each family on tiny random models, with a LoRA file for the prompts' tune
    id in `base`.
    """
    from ..tests.host.tiny_lora import write_tiny_lora

    wirings = []
    for name, (title, family, fields) in _TINY_BASES.items():
        lora = f"demo_{family}.safetensors"
        write_tiny_lora(base / "models" / "loras", family, lora)
        text = (
            f"[base {name}]\n{fields}\n[tunes]\n{DEMO_LORA} = {lora}\n[roles]\nupscaler = 4x.pth\n"
        )
        bindings = Bindings.parse(text, "demo")
        resolver = Resolver(bindings, None, ListedFiles({**_TINY_FILES, "loras": [lora]}))
        stand_ins = {"flux1-fill-dev.safetensors": "flux_fill"}
        wirings.append(Wiring(name, title, family, name, resolver, bindings, stand_ins))
    return wirings
