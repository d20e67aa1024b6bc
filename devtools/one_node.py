"""What the starters of one node share: loaders, Astria Generate, and where its picture is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..nodes.graph.graph import Graph, Link
from ..nodes.graph.model_files import files_of

SEED = 43
BINDINGS = """\
# What the ids of prompts stand for, for this workflow; take the # away and write your own file.
# [tunes]
# 1533312 = my_person.safetensors
# [roles]
# upscaler = 4x-UltraSharp.pth
"""

# Inline code cannot be read in a note that Vue draws, and angle brackets outside of code are taken
# for HTML.
PASTE = """\
1. Choose your model in the group *Models*.
2. Paste a prompt of the gallery into Astria Generate, with all lines that belong to it. What is \
wrong in it is underlined while you type.
3. Press Run. The report below the text says what was done, and why with these numbers.

A prompt names people by ids:

```
<lora:1533312:1.0> ohwx woman
```

Say in Astria Models which of your files each id stands for. A prompt with an input image: add a \
Load Image node and connect it to *image*.

**Astria Explain** shows the plan of a prompt before anything runs; **Astria Compile** writes it \
out as a workflow of its own.
"""
PASTE_STEPS = (
    ("Load your model", "checkpoint, or Flux"),
    ("Astria Generate", "the prompt as it is"),
    ("Save Image", "the picture"),
)


@dataclass(frozen=True)
class Starter:
    """A graph with the words of its note, and what its thumbnail tells: the nodes in order, and for
    which models it is made.
    """

    graph: Graph
    words: str
    steps: tuple[tuple[str, str], ...]
    models: str

    @property
    def note(self) -> str:
        """The Markdown shown in the workflow: what to do, and the files that it needs."""
        files = dict.fromkeys(file for call in self.graph.nodes.values() for file in files_of(call))
        lines = [f"- {file.describe()}" for file in files]
        return "\n".join(["### What to do", "", self.words, "### Files it needs", "", *lines])


def generate(
    graph: Graph,
    text: str,
    models: Mapping[str, Link],
    *,
    gathered: Mapping[str, Link] | None = None,
    **inputs: Link,
) -> Graph:
    """Return the graph with Astria Generate for a text, and what saves its picture.

    `gathered` are the models that Astria Models takes, `inputs` what Generate takes itself.
    """
    bound = graph.add("models.bindings", "AstriaModels", bindings=BINDINGS, **(gathered or {}))
    policies = {"missing_models": "error", "smaller_canvas": "crop", "keep_unmasked": False}
    policies["drawn_mask"] = ""
    picture = graph.add(
        "generate.astria",
        "AstriaGenerate",
        text=text,
        seed=SEED,
        **models,
        models=bound,
        **inputs,
        **policies,
    )
    graph.add("output.save", "SaveImage", images=picture, filename_prefix="astria")
    return graph


def flux_models(graph: Graph) -> dict[str, Link]:
    """Add the loaders of Flux.1 dev."""
    encoders = {"clip_name1": "clip_l.safetensors", "clip_name2": "t5xxl_fp16.safetensors"}
    return {
        "model": graph.add(
            "models.diffusion_model",
            "UNETLoader",
            unet_name="flux1-dev.safetensors",
            weight_dtype="default",
        ),
        "clip": graph.add(
            "models.text_encoders", "DualCLIPLoader", **encoders, type="flux", device="default"
        ),
        "vae": graph.add("models.vae", "VAELoader", vae_name="ae.safetensors"),
    }
